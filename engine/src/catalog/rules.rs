//! The rules that the entries of a catalog keep besides their own: their names differ for readers,
//! their texts are visible, and they are as they were pinned.

use std::sync::Arc;

use corelane_protocol::mcp::revision::Revision;

use super::defect::CatalogError;
use super::legible;
use super::listed::Listed;
use super::lists::Lists;
use super::ordered_registry::OrderedRegistry;
#[cfg(feature = "auth")]
use super::pinned::{PinnedEntries, RefusedEntry};
use crate::guard::policy::EntryKind;

/// The parts of a plan that the next one has, too.
#[derive(Clone)]
pub(super) struct Rules {
    pub(super) page_entries_max: usize,
    pub(super) allows_hidden: bool,
    /// Schemes of the resources of upstreams, with the numbers of those.
    pub(super) schemes: Arc<[(u16, Box<str>)]>,
    #[cfg(feature = "auth")]
    pub(super) pinned: Option<Arc<PinnedEntries>>,
    /// The entries that pins refused when the server started.
    #[cfg(feature = "auth")]
    pub(super) refused: Arc<[RefusedEntry]>,
}

impl Rules {
    /// The rules on names and texts for all entries. Resources may be files, whose names others
    /// choose, so they have none.
    pub(super) fn check(&self, lists: &Lists) -> Result<(), CatalogError> {
        let tools = lists.tools.iter().map(|it| &*it.definition.name);
        legible::check_names("tool", tools)?;
        let prompts = lists.prompts.iter().map(|it| &*it.definition.name);
        legible::check_names("prompt", prompts)?;
        lists
            .tools
            .iter()
            .try_for_each(|it| self.check_text(&**it))?;
        lists
            .prompts
            .iter()
            .try_for_each(|it| self.check_text(&**it))?;
        lists
            .templates
            .iter()
            .try_for_each(|it| self.check_text(&**it))
    }

    fn check_text<P: Listed>(&self, entry: &P) -> Result<(), CatalogError> {
        match self.allows_hidden {
            true => Ok(()),
            false => legible::check(P::WORD, entry.key(), &definition_of(entry)),
        }
    }

    /// The entry, if its text is visible and as it was pinned.
    pub(super) fn checked<P: Listed>(&self, entry: Arc<P>) -> Result<Arc<P>, CatalogError> {
        self.check_text(&*entry)?;
        self.check_pin(P::KIND, entry.key(), &definition_of(&*entry))?;
        Ok(entry)
    }

    /// The entry, which is added to `list`, or replaces the one of its name: it has a name of its
    /// own for readers, too.
    pub(super) fn checked_in<P: Listed>(
        &self,
        entry: Arc<P>,
        list: &OrderedRegistry<P>,
    ) -> Result<Arc<P>, CatalogError> {
        let others = list.iter().map(|it| it.key());
        let others = others.filter(|other| *other != entry.key());
        legible::check_names(P::WORD, others.chain([entry.key()]))?;
        self.checked(entry)
    }

    #[cfg(feature = "auth")]
    fn check_pin(&self, kind: EntryKind, name: &str, text: &[u8]) -> Result<(), CatalogError> {
        let pinned = self.pinned.as_ref();
        pinned.map_or(Ok(()), |pinned| pinned.check(kind, name, text))
    }

    #[cfg(not(feature = "auth"))]
    #[expect(clippy::unused_self, reason = "there are no pins without the feature")]
    fn check_pin(&self, _: EntryKind, _: &str, _: &[u8]) -> Result<(), CatalogError> {
        Ok(())
    }
}

/// The definition of an entry, as lists show it.
fn definition_of<P: Listed>(entry: &P) -> Vec<u8> {
    let mut text = Vec::new();
    entry.write(&mut text, Revision::V2026_07_28);
    text
}

#[cfg(test)]
mod tests {
    use crate::catalog::tool::Tool;
    use crate::catalog::{CatalogError, Entries, Plan};
    use crate::handler::Call;

    fn tool(name: &str, description: &str, schema: &str) -> Tool {
        Tool::from_schema(name, description, schema, async |_: &Call, _: ()| Ok("x"))
    }

    const OBJECT: &str = r#"{"type":"object"}"#;

    #[test]
    fn texts_with_hidden_characters_are_refused_unless_they_are_allowed() {
        let in_schema = r#"{"type":"object","properties":{"a":{"description":"\u202e"}}}"#;
        for (description, schema, character) in [
            ("a\u{200b}b", OBJECT, Some('\u{200b}')),
            ("a\u{e0041}", OBJECT, Some('\u{e0041}')),
            ("fine", in_schema, Some('\u{202e}')),
            ("two\nlines\tand a tab", OBJECT, None),
        ] {
            let plan = |allows_hidden| {
                let entries = Entries {
                    allows_hidden,
                    ..Entries::from(vec![tool("a", description, schema)])
                };
                Plan::new(entries, 10)
            };
            let found = match plan(false) {
                Err(CatalogError::Hidden { character, .. }) => Some(character),
                _ => None,
            };
            assert_eq!(found, character, "{description:?}");
            assert!(plan(true).is_ok());
        }
    }

    #[test]
    fn names_that_look_alike_are_refused_at_the_start_and_later() {
        let plan = |names: &[&str]| {
            let tools: Vec<Tool> = names.iter().map(|name| tool(name, "d", OBJECT)).collect();
            Plan::new(tools.into(), 10)
        };
        for names in [["pay", "Pay"], ["pay_l", "pay_1"], ["modern", "modem"]] {
            let refused = plan(&names);
            assert!(
                matches!(refused, Err(CatalogError::Lookalike { .. })),
                "{names:?}"
            );
            let first = plan(&names[..1]).expect("one tool");
            let added = first.with_tool(tool(names[1], "d", OBJECT));
            assert!(
                matches!(added, Err(CatalogError::Lookalike { .. })),
                "{names:?}"
            );
            let replaced = first.with_tool(tool(names[0], "other", OBJECT));
            assert!(replaced.is_ok(), "{names:?}");
        }
        assert!(plan(&["pay_1", "pay_2", "pay_10"]).is_ok());
    }
}
