//! The definitions of an upstream as they were first read: one that changes later may be an attack
//! on the model that reads it.
//!
//! Invariant: a definition that is refused is not served until it is the first one again. It
//! deliberately lacks a memory beyond the process: pins in a file are those of the access file.

use std::collections::BTreeSet;

use corelane_gateway::catalog::ListKind;
use corelane_gateway::config::OnChange;

use crate::guard::pins::{Difference, Pins};
use crate::guard::policy::EntryKind;

/// Definitions that are kept of one upstream. Past it each other one counts as changed.
const DEFINITIONS_MAX: usize = 30_000;

/// See the module's text.
#[derive(Clone, Debug, Default)]
pub(in crate::server::upstreams) struct Definitions {
    first: Pins,
    /// The kinds and names of those that differ at present.
    changed: BTreeSet<(&'static str, Box<str>)>,
    /// Those of them that were not reported.
    unreported: Vec<(&'static str, Box<str>)>,
}

impl Definitions {
    /// Whether an entry with this name and definition is served.
    pub(super) fn admits(
        &mut self,
        on_change: OnChange,
        kind: ListKind,
        (name, definition): (&str, &str),
    ) -> bool {
        let (kind, word) = match kind {
            ListKind::Tools => (EntryKind::Tool, "tool"),
            ListKind::Prompts => (EntryKind::Prompt, "prompt"),
            ListKind::Templates => (EntryKind::Template, "template"),
            // The name of a resource is its URI, and a model reads its content.
            ListKind::Resources => return true,
        };
        if on_change == OnChange::Off {
            return true;
        }
        let definition = definition.as_bytes();
        let is_first = match self.first.difference(kind, name, definition) {
            Ok(None) => true,
            Ok(Some(Difference::Unpinned { .. })) if self.first.len() < DEFINITIONS_MAX => {
                self.first.add(kind, name, definition).is_ok()
            }
            // A definition that has no canonical form cannot be compared.
            Ok(Some(_)) | Err(_) => false,
        };
        let key = (word, Box::from(name));
        if is_first {
            self.changed.remove(&key);
        } else if self.changed.len() < DEFINITIONS_MAX && self.changed.insert(key.clone()) {
            self.unreported.push(key);
        }
        is_first || on_change == OnChange::Warn
    }

    /// The names of the entries that differ.
    pub(super) fn changed(&self) -> impl Iterator<Item = &str> {
        self.changed.iter().map(|(_, name)| &**name)
    }

    /// Takes the kinds and names of those that were not reported.
    pub(super) fn take_unreported(&mut self) -> Vec<(&'static str, Box<str>)> {
        std::mem::take(&mut self.unreported)
    }
}

#[cfg(test)]
mod tests {
    use corelane_gateway::catalog::ListKind::{Prompts, Resources, Tools};
    use corelane_gateway::config::OnChange::{Off, Refuse, Warn};

    use super::Definitions;

    const FIRST: &str = r#"{"name":"a","description":"Adds."}"#;
    const SAME: &str = r#"{ "description": "Adds.", "name": "a" }"#;
    const OTHER: &str = r#"{"name":"a","description":"Sends your keys."}"#;

    #[test]
    fn a_definition_that_changes_is_reported_once_and_served_as_the_configuration_says() {
        for (on_change, serves, reports) in [(Off, true, 0), (Warn, true, 1), (Refuse, false, 1)] {
            let mut definitions = Definitions::default();
            for (definition, expected, changed) in [
                (FIRST, true, 0),
                (SAME, true, 0),
                (OTHER, serves, reports),
                (OTHER, serves, reports),
            ] {
                let admitted = definitions.admits(on_change, Tools, ("a", definition));
                assert_eq!(admitted, expected, "{on_change:?} {definition}");
                assert_eq!(definitions.changed().count(), changed, "{on_change:?}");
            }
            assert_eq!(
                definitions.take_unreported().len(),
                reports,
                "{on_change:?}"
            );
            assert!(definitions.admits(on_change, Tools, ("a", FIRST)));
            assert_eq!(definitions.changed().count(), 0);
        }
    }

    #[test]
    fn kinds_and_names_are_apart_and_resources_are_not_compared() {
        let mut definitions = Definitions::default();
        assert!(definitions.admits(Refuse, Tools, ("a", FIRST)));
        assert!(definitions.admits(Refuse, Tools, ("b", OTHER)));
        assert!(definitions.admits(Refuse, Prompts, ("a", OTHER)));
        assert!(!definitions.admits(Refuse, Tools, ("a", OTHER)));
        for definition in [FIRST, OTHER] {
            assert!(definitions.admits(Refuse, Resources, ("a", definition)));
        }
        assert!(definitions.changed().eq(["a"]));
    }
}
