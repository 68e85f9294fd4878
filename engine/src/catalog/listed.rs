//! Checked entries of any kind, as lists show them.

use std::sync::Arc;

use corelane_protocol::mcp::revision::Revision;

use super::prompt::PromptParts;
use super::resource::{ResourceParts, TemplateParts};
use super::tool::ToolParts;
use crate::guard::policy::EntryKind;
use crate::upstream::entry::RelayedEntry;

/// A checked entry, which an upstream may have.
pub(super) trait Listed {
    /// The kind, as policies and pins have it.
    const KIND: EntryKind;
    /// The same as a word.
    const WORD: &'static str;
    /// Whether readers distinguish the entries by their names.
    const HAS_NAMES: bool = matches!(Self::KIND, EntryKind::Tool | EntryKind::Prompt);

    /// Its name, URI or template.
    fn key(&self) -> &str;

    /// The way to its upstream, if it has one.
    fn relayed(&self) -> Option<&Arc<RelayedEntry>>;

    /// Appends the definition of an entry of this server, as clients of `revision` see it.
    fn write_own(&self, out: &mut Vec<u8>, revision: Revision);

    /// Appends the definition; that of an upstream is as it was listed.
    fn write(&self, out: &mut Vec<u8>, revision: Revision) {
        match self.relayed() {
            Some(relayed) => relayed.write(out, revision),
            None => self.write_own(out, revision),
        }
    }
}

macro_rules! listed {
    ($parts:ty, $kind:ident, $word:literal, $key:ident) => {
        impl Listed for $parts {
            const KIND: EntryKind = EntryKind::$kind;
            const WORD: &'static str = $word;

            fn key(&self) -> &str {
                &self.definition.$key
            }

            fn relayed(&self) -> Option<&Arc<RelayedEntry>> {
                self.relayed.as_ref()
            }

            fn write_own(&self, out: &mut Vec<u8>, revision: Revision) {
                self.definition.write(out, revision);
            }
        }
    };
}
listed!(ToolParts, Tool, "tool", name);
listed!(PromptParts, Prompt, "prompt", name);
listed!(ResourceParts, Resource, "resource", uri);
listed!(TemplateParts, Template, "template", uri_template);
