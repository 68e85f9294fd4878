//! `initialize` (legacy) and `server/discover` (modern): the descriptions of the two sides.

use super::about::{write_array, write_text, write_title};
use super::capability::ClientCapabilities;
use super::params::ParamsError;
use super::result::{Caching, ResultTrailer};
use super::subscription::{ListKind, ListKinds};
use super::{era::Era, revision::Revision};
use crate::jsonrpc::{Id, Value, encode};

/// The description of a server and its features.
#[derive(Debug, Clone, Default)]
pub struct ServerDescription {
    /// Programmatic name.
    pub name: String,
    /// Version of the server, not of the protocol.
    pub version: String,
    /// Name for people.
    pub title: Option<String>,
    /// Hints to the model on how to use this server.
    pub instructions: Option<String>,
}

/// The features of a server; it serves the methods of these and of no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offer {
    /// Resources or templates.
    pub resources: bool,
    /// Prompts.
    pub prompts: bool,
    /// Suggestions for arguments.
    pub completions: bool,
    /// Tools with calls that may become tasks.
    pub tasks: bool,
}

/// A feature that a server may have, next to its tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// Resources or templates.
    Resources,
    /// Prompts.
    Prompts,
    /// Suggestions for arguments of prompts and variables of templates.
    Completions,
    /// Tools with calls that may become tasks.
    Tasks,
}

impl Offer {
    /// Adds `feature`.
    pub fn insert(&mut self, feature: Feature) {
        match feature {
            Feature::Resources => self.resources = true,
            Feature::Prompts => self.prompts = true,
            Feature::Completions => self.completions = true,
            Feature::Tasks => self.tasks = true,
        }
    }

    /// The lists that have notifications of changes.
    pub fn lists(self) -> ListKinds {
        let mut lists = ListKinds::default();
        lists.insert(ListKind::Tools);
        if self.prompts {
            lists.insert(ListKind::Prompts);
        }
        if self.resources {
            lists.insert(ListKind::Resources);
        }
        lists
    }

    /// The features of either.
    #[must_use]
    pub fn union(self, other: Offer) -> Offer {
        Offer {
            resources: self.resources || other.resources,
            prompts: self.prompts || other.prompts,
            completions: self.completions || other.completions,
            tasks: self.tasks || other.tasks,
        }
    }

    /// Appends the member `capabilities`. Every server has tools, if none at present, and logs.
    fn write_member(self, out: &mut Vec<u8>, revision: Revision) {
        out.extend_from_slice(br#""capabilities":{"logging":{},"tools":{"listChanged":true}"#);
        let (has_tasks, has_extension) = match revision.era() {
            Era::Legacy => (self.tasks && revision.has_tasks(), false),
            Era::Modern => (false, self.tasks),
        };
        let resources: &[u8] = br#","resources":{"subscribe":true,"listChanged":true}"#;
        let others: [(bool, &[u8]); 5] = [
            (
                self.completions && revision.has_audio(),
                br#","completions":{}"#,
            ),
            (self.prompts, br#","prompts":{"listChanged":true}"#),
            (self.resources, resources),
            (
                has_tasks,
                br#","tasks":{"list":{},"cancel":{},"requests":{"tools":{"call":{}}}}"#,
            ),
            (
                has_extension,
                br#","extensions":{"io.modelcontextprotocol/tasks":{}}"#,
            ),
        ];
        for (is_there, member) in others {
            out.extend_from_slice(if is_there { member } else { b"" });
        }
        out.push(b'}');
    }
}

impl ServerDescription {
    /// The `Implementation` object, with the members that `revision` defines.
    pub fn server_info(&self, revision: Revision) -> Vec<u8> {
        let mut out = br#"{"name":"#.to_vec();
        encode::write_string(&mut out, &self.name);
        write_title(&mut out, self.title.as_deref(), revision);
        out.extend_from_slice(br#","version":"#);
        encode::write_string(&mut out, &self.version);
        out.push(b'}');
        out
    }
}

/// The parameters of `initialize`.
#[derive(Debug, Clone, Copy)]
pub struct InitializeParams<'a> {
    /// The revision that the client requests, any text.
    pub protocol_version: &'a str,
    /// The capabilities of the client, for the whole session.
    pub capabilities: ClientCapabilities,
}

impl<'a> InitializeParams<'a> {
    /// Reads the parameters of `initialize`.
    ///
    /// # Errors
    /// [`ParamsError`] names the first required member that is missing or has the wrong type.
    pub fn read(params: Option<Value<'a>>) -> Result<InitializeParams<'a>, ParamsError> {
        const INFO: ParamsError = ParamsError(
            "initialize needs params.clientInfo to be an object with a name and a version",
        );
        let object = params.and_then(|params| params.as_object());
        let member = |name| object.and_then(|object| object.get(name));
        let protocol_version = member("protocolVersion")
            .and_then(|value| value.as_str())
            .ok_or(ParamsError(
                "initialize needs params.protocolVersion to be a string",
            ))?;
        let capabilities = member("capabilities")
            .filter(|value| value.as_object().is_some())
            .ok_or(ParamsError(
                "initialize needs params.capabilities to be an object",
            ))?;
        let info = member("clientInfo")
            .and_then(|value| value.as_object())
            .ok_or(INFO)?;
        for key in ["name", "version"] {
            info.get(key).and_then(|value| value.as_str()).ok_or(INFO)?;
        }
        Ok(InitializeParams {
            protocol_version,
            capabilities: ClientCapabilities::read(capabilities),
        })
    }
}

/// Writes the whole answer to `initialize`.
pub fn write_initialize_result(
    out: &mut Vec<u8>,
    id: Id<'_>,
    revision: Revision,
    (server, offer): (&ServerDescription, Offer),
) {
    debug_assert_eq!(
        revision.era(),
        Era::Legacy,
        "a handshake never agrees on a modern revision"
    );
    encode::begin_result(out, id);
    out.extend_from_slice(br#"{"protocolVersion":""#);
    out.extend_from_slice(revision.as_str().as_bytes());
    out.extend_from_slice(br#"","#);
    offer.write_member(out, revision);
    out.extend_from_slice(br#","serverInfo":"#);
    out.extend_from_slice(&server.server_info(revision));
    write_text(out, "instructions", server.instructions.as_deref());
    out.extend_from_slice(b"}}");
}

/// Writes the members of the result of `server/discover` and closes it.
pub fn write_discover_result(
    out: &mut Vec<u8>,
    id: Id<'_>,
    (server, offer): (&ServerDescription, Offer),
    trailer: &ResultTrailer,
) {
    encode::begin_result(out, id);
    out.extend_from_slice(br#"{"supportedVersions":"#);
    write_array(out, Revision::MODERN, |revision, out| {
        encode::write_string(out, revision.as_str());
    });
    out.push(b',');
    offer.write_member(out, Revision::V2026_07_28);
    write_text(out, "instructions", server.instructions.as_deref());
    trailer.finish(out, Era::Modern, Caching::Revalidate);
}
