//! The names of a server's entries before it starts, to check a policy against them.

use super::Server;
use crate::guard::policy::{ArgumentSchema, Entries, EntryKind};

/// The entries that were added one by one, without the files of directories.
impl Entries for Server {
    fn count(&self, kind: EntryKind) -> usize {
        match kind {
            EntryKind::Tool => self.entries.tools.len(),
            EntryKind::Resource => self.entries.resources.len(),
            EntryKind::Template => self.entries.templates.len(),
            EntryKind::Prompt => self.entries.prompts.len(),
        }
    }

    fn name(&self, kind: EntryKind, place: usize) -> &str {
        match kind {
            EntryKind::Tool => self.entries.tools[place].name(),
            EntryKind::Resource => self.entries.resources[place].uri(),
            EntryKind::Template => self.entries.templates[place].uri_template(),
            EntryKind::Prompt => self.entries.prompts[place].name(),
        }
    }

    fn arguments(&self, place: usize) -> Option<Vec<ArgumentSchema>> {
        ArgumentSchema::of_input(self.entries.tools[place].schema()?.get())
    }
}
