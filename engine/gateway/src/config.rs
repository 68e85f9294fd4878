//! The upstreams of a configuration: the sections `[[upstream]]`.
//!
//! Everything is checked when the file is read, with the line and the remedy of each fault. It
//! deliberately lacks secrets, which are references here, and sizes and times, which the profile
//! has.

mod child;
mod credential;
mod fault;
mod fields;
mod target;
mod text;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub(crate) use child::INHERITED;
pub use child::{Child, ChildLimits};
pub use credential::{Credential, Proof, ServiceAccount};
pub use fault::{Fault, UpstreamsError};
pub use target::{Target, TargetError};

use crate::names::Naming;
use crate::uris::own_scheme;
use corelane_guard::policy::NamePattern;

/// Most upstreams of a configuration.
pub const UPSTREAMS_MAX: usize = 256;
/// Most addresses of one upstream.
pub const ADDRESSES_MAX: usize = 32;

/// An upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its name, in exposed names, metrics and logs.
    pub name: Box<str>,
    /// Where it is: at least one, and several are replicas of each other.
    pub targets: Vec<Target>,
    /// The files of the authorities that sign its certificates; without any, those that the system
    /// trusts do.
    pub ca_files: Vec<PathBuf>,
    /// The certificate with which this server shows who it is, if it has one.
    pub client_certificate: Option<ClientCertificate>,
    /// Whether the server is not ready without it.
    pub is_required: bool,
    /// The era that it speaks.
    pub era: Era,
    /// The clients that share one of its sessions, if it has any.
    pub sessions: Sessions,
    /// How the names of its entries are exposed.
    pub naming: Naming,
    /// Whether its URIs have its name in them.
    pub has_namespaced_uris: bool,
    /// Schemes whose URIs are its own, also those that it does not list.
    pub schemes: Vec<Box<str>>,
    /// The tools that clients may see.
    pub tools: Filter,
    /// Changes of the tools that it lists, by original name.
    pub overrides: BTreeMap<Box<str>, ToolOverride>,
    /// The effect of a definition that changes.
    pub pins: OnChange,
    /// The credential with which it is requested, if there is one.
    pub credential: Option<Credential>,
    /// Fields of each request to it: names in lower case, and values or references to secrets.
    pub headers: BTreeMap<Box<str>, Value>,
    /// Fields of clients that are passed on, in lower case.
    pub forwarded_headers: Vec<Box<str>>,
    /// Whether its annotations decide which calls are repeated.
    pub trusts_annotations: bool,
    /// How its requests go to clients.
    pub questions: Questions,
}

/// How the requests of an upstream go to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Questions {
    /// Whether the message of an elicitation names the upstream: the user sees only this server.
    pub name_upstream: bool,
    /// Whether a call of a modern client stays open at an upstream with sessions while the client
    /// answers.
    pub park: bool,
}

impl Default for Questions {
    fn default() -> Questions {
        Questions {
            name_upstream: true,
            park: true,
        }
    }
}

/// The files of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, and those of the authorities between it and the root, in PEM.
    pub certificate_file: PathBuf,
    /// Its private key in PEM, which its owner alone may read.
    pub key_file: PathBuf,
}

/// A value, or the place of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// The value itself.
    Plain(Box<str>),
    /// It is in this file.
    File(Box<str>),
    /// It is in this variable of the environment.
    Variable(Box<str>),
}

/// The era that an upstream speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Era {
    /// It is found out.
    #[default]
    Auto,
    /// 2026-07-28 and later.
    Modern,
    /// With sessions.
    Legacy,
}

/// The clients that share a session of an upstream with sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sessions {
    /// Each session of a client has its own.
    #[default]
    Client,
    /// All sessions of a principal have one.
    Principal,
    /// All clients have one.
    Shared,
    /// Each call has its own.
    Call,
}

/// The effect of a definition that changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnChange {
    /// Nothing.
    #[default]
    Off,
    /// A warning and a record.
    Warn,
    /// The entry is hidden.
    Refuse,
}

/// Which entries clients may see, by original name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    include: Vec<NamePattern>,
    exclude: Vec<NamePattern>,
}

/// Changes of a tool that an upstream lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolOverride {
    /// Its title.
    pub title: Option<Box<str>>,
    /// Its description.
    pub description: Option<Box<str>>,
    /// Arguments that clients do not see and may not send.
    pub fixed: serde_json::Map<String, serde_json::Value>,
}

impl Upstream {
    /// The schemes whose URIs are its own, as `UriRoutes::add_scheme` takes them.
    pub fn own_schemes(&self) -> impl Iterator<Item = Box<str>> {
        self.schemes
            .iter()
            .map(|scheme| match self.has_namespaced_uris {
                true => own_scheme(scheme, &self.name),
                false => scheme.clone(),
            })
    }

    /// Whether it is reached as `other` is: links, sessions and processes of one serve the other.
    pub fn is_reached_like(&self, other: &Upstream) -> bool {
        // The rest is about the entries that clients see.
        let reached = Upstream {
            is_required: other.is_required,
            naming: other.naming.clone(),
            schemes: other.schemes.clone(),
            tools: other.tools.clone(),
            overrides: other.overrides.clone(),
            pins: other.pins,
            trusts_annotations: other.trusts_annotations,
            ..self.clone()
        };
        reached == *other
    }
}

impl Filter {
    /// Whether clients may see an entry. An exclusion wins; without inclusions all are included.
    pub fn admits(&self, original: &str) -> bool {
        let matches = |of: &[NamePattern]| of.iter().any(|pattern| pattern.matches(original));
        (self.include.is_empty() || matches(&self.include)) && !matches(&self.exclude)
    }
}

impl Value {
    /// `file:PATH`, `env:NAME`, or the value itself.
    pub fn parse(text: &str) -> Value {
        match text.split_once(':') {
            Some(("file", path)) => Value::File(path.into()),
            Some(("env", name)) => Value::Variable(name.into()),
            _ => Value::Plain(text.into()),
        }
    }
}

/// Reads the sections `[[upstream]]` of a configuration. Other sections are for others to read.
///
/// ```
/// let text = r#"
/// [[upstream]]
/// name = "git"
/// command = ["uvx", "mcp-server-git"]
/// [[upstream]]
/// name = "github"
/// url = "https://mcp.example.com/mcp"
/// prefix = "gh_"
/// "#;
/// let upstreams = corelane_gateway::config::parse(text)?;
/// assert_eq!(upstreams[0].naming.exposed("log", 64), "git_log");
/// assert_eq!(upstreams[1].naming.exposed("search", 64), "gh_search");
/// # Ok::<(), corelane_gateway::config::UpstreamsError>(())
/// ```
///
/// # Errors
/// There are faults: all are named, each with its line.
pub fn parse(text: &str) -> Result<Vec<Upstream>, UpstreamsError> {
    text::parse(text)
}

#[cfg(test)]
mod tests;
