//! The capabilities that a client declares.

use super::revision::Revision;
use crate::jsonrpc::Value;
use crate::jsonrpc::encode::ObjectWriter;

/// Name of the extension for tasks (modern).
pub const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// A client capability that serving a request can depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientCapability {
    /// Forms shown to the user; a bare `elicitation: {}` means this one.
    ElicitationForm,
    /// Pages opened for the user.
    ElicitationUrl,
    /// `roots/list`.
    Roots,
    /// `sampling/createMessage`.
    Sampling,
    /// Tools inside sampling.
    SamplingTools,
    /// The extension for tasks (modern).
    Tasks,
}

impl ClientCapability {
    /// The `requiredCapabilities` object of error -32021 that names this capability.
    pub const fn required_object(self) -> &'static str {
        match self {
            ClientCapability::ElicitationForm => r#"{"elicitation":{"form":{}}}"#,
            ClientCapability::ElicitationUrl => r#"{"elicitation":{"url":{}}}"#,
            ClientCapability::Roots => r#"{"roots":{}}"#,
            ClientCapability::Sampling => r#"{"sampling":{}}"#,
            ClientCapability::SamplingTools => r#"{"sampling":{"tools":{}}}"#,
            ClientCapability::Tasks => r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#,
        }
    }

    /// Its path among the capabilities of a client, such as `elicitation.form`, or the name of the
    /// extension.
    pub const fn as_str(self) -> &'static str {
        match self {
            ClientCapability::ElicitationForm => "elicitation.form",
            ClientCapability::ElicitationUrl => "elicitation.url",
            ClientCapability::Roots => "roots",
            ClientCapability::Sampling => "sampling",
            ClientCapability::SamplingTools => "sampling.tools",
            ClientCapability::Tasks => TASKS_EXTENSION,
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The set of capabilities a client declared: in `initialize` for a legacy session, in every
/// request for a modern client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ClientCapabilities(u8);

impl ClientCapabilities {
    /// Reads a `ClientCapabilities` object; unknown members are ignored.
    pub fn read(value: Value<'_>) -> ClientCapabilities {
        let mut set = ClientCapabilities::default();
        for (name, value) in value.as_object().into_iter().flatten() {
            let members = value.as_object();
            let has =
                |member: &str| members.is_some_and(|members| members.optional(member).is_some());
            match name {
                "elicitation" if members.is_some() => {
                    if has("url") {
                        set.insert(ClientCapability::ElicitationUrl);
                    }
                    if has("form") || !has("url") {
                        set.insert(ClientCapability::ElicitationForm);
                    }
                }
                "roots" if !value.is_null() => set.insert(ClientCapability::Roots),
                "sampling" if members.is_some() => {
                    set.insert(ClientCapability::Sampling);
                    if has("tools") {
                        set.insert(ClientCapability::SamplingTools);
                    }
                }
                "extensions" if has(TASKS_EXTENSION) => set.insert(ClientCapability::Tasks),
                _ => {}
            }
        }
        set
    }

    /// The capabilities that `revision` has: no other request is sent to the client.
    #[must_use]
    pub fn of_revision(mut self, revision: Revision) -> ClientCapabilities {
        if !revision.has_icons() {
            self.remove(ClientCapability::ElicitationUrl);
            self.remove(ClientCapability::SamplingTools);
        }
        if !revision.has_structured_content() {
            self.remove(ClientCapability::ElicitationForm);
        }
        self
    }

    /// The set as bits, to be kept outside of this process. A bit never changes its meaning.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The set with these bits. One that this release does not know stays as it is.
    pub const fn from_bits(bits: u8) -> ClientCapabilities {
        ClientCapabilities(bits)
    }

    /// The capabilities to answer requests of a server: all but that for tasks.
    #[must_use]
    pub fn to_requests(mut self) -> ClientCapabilities {
        self.remove(ClientCapability::Tasks);
        self
    }

    fn remove(&mut self, capability: ClientCapability) {
        self.0 &= !capability.bit();
    }

    /// Adds `capability`.
    pub fn insert(&mut self, capability: ClientCapability) {
        self.0 |= capability.bit();
    }

    /// Whether the server can send the client no request at all.
    pub fn accepts_no_requests(self) -> bool {
        self.0 & !ClientCapability::Tasks.bit() == 0
    }

    /// Appends the capabilities to answer requests of a server, as a `ClientCapabilities` object.
    /// That for tasks, which is about requests of the client, is left out.
    pub fn write_requests(self, out: &mut Vec<u8>) {
        self.to_requests().write(out);
    }

    /// Appends all of them, as a modern `ClientCapabilities` object.
    pub fn write(self, out: &mut Vec<u8>) {
        let mut all = ObjectWriter::begin(out);
        let mut write = |name: &str, members: &[(&str, ClientCapability)]| {
            let mut object = ObjectWriter::begin(all.name(name));
            for (member, capability) in members {
                if self.contains(*capability) {
                    object.name(member).extend_from_slice(b"{}");
                }
            }
            object.end();
        };
        let (form, url) = (
            ClientCapability::ElicitationForm,
            ClientCapability::ElicitationUrl,
        );
        if self.contains(form) || self.contains(url) {
            write("elicitation", &[("form", form), ("url", url)]);
        }
        if self.contains(ClientCapability::Sampling) {
            write("sampling", &[("tools", ClientCapability::SamplingTools)]);
        }
        if self.contains(ClientCapability::Roots) {
            write("roots", &[]);
        }
        if self.contains(ClientCapability::Tasks) {
            write("extensions", &[(TASKS_EXTENSION, ClientCapability::Tasks)]);
        }
        all.end();
    }

    /// Whether the client declared `capability`.
    pub fn contains(self, capability: ClientCapability) -> bool {
        self.0 & capability.bit() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jsonrpc::{Decoder, JsonLimits};

    #[test]
    fn null_declares_nothing() {
        let read = |text: &str| {
            let mut decoder = Decoder::new(JsonLimits::default());
            let decoded = decoder.decode(text.as_bytes()).unwrap();
            ClientCapabilities::read(decoded.root())
        };
        for (nulls, plain) in [
            (
                r#"{"roots":null,"sampling":null,"elicitation":null,"extensions":null}"#,
                "{}",
            ),
            (
                r#"{"elicitation":{"form":null,"url":null}}"#,
                r#"{"elicitation":{}}"#,
            ),
            (
                r#"{"elicitation":{"form":null,"url":{}}}"#,
                r#"{"elicitation":{"url":{}}}"#,
            ),
            (r#"{"sampling":{"tools":null}}"#, r#"{"sampling":{}}"#),
            (
                r#"{"extensions":{"io.modelcontextprotocol/tasks":null}}"#,
                "{}",
            ),
        ] {
            assert_eq!(read(nulls), read(plain), "{nulls}");
        }
    }

    #[test]
    fn written_capabilities_are_read_as_the_same() {
        for text in [
            "{}",
            r#"{"elicitation":{"form":{}}}"#,
            r#"{"elicitation":{"url":{}},"roots":{}}"#,
            r#"{"elicitation":{"form":{},"url":{}},"sampling":{"tools":{}},"roots":{}}"#,
            r#"{"sampling":{}}"#,
        ] {
            let mut decoder = Decoder::new(JsonLimits::default());
            let decoded = decoder.decode(text.as_bytes()).unwrap();
            let mut read = ClientCapabilities::read(decoded.root());
            read.insert(ClientCapability::Tasks);
            let mut out = Vec::new();
            read.write_requests(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
            let mut out = Vec::new();
            read.write(&mut out);
            let mut again = Decoder::new(JsonLimits::default());
            let decoded = again.decode(&out).unwrap();
            assert_eq!(ClientCapabilities::read(decoded.root()), read);
        }
    }

    #[test]
    fn a_revision_leaves_only_its_own_capabilities() {
        let all = [
            ClientCapability::ElicitationForm,
            ClientCapability::ElicitationUrl,
            ClientCapability::Roots,
            ClientCapability::Sampling,
            ClientCapability::SamplingTools,
        ];
        let mut declared = ClientCapabilities::default();
        all.into_iter().for_each(|it| declared.insert(it));
        for (revision, left) in [
            (Revision::V2024_11_05, [false, false, true, true, false]),
            (Revision::V2025_03_26, [false, false, true, true, false]),
            (Revision::V2025_06_18, [true, false, true, true, false]),
            (Revision::V2025_11_25, [true; 5]),
            (Revision::V2026_07_28, [true; 5]),
        ] {
            let declared = declared.of_revision(revision);
            assert_eq!(all.map(|it| declared.contains(it)), left, "{revision:?}");
        }
    }
}
