//! The rules that the entries of a catalog keep besides their own: their names differ for readers,
//! their texts are visible, and they are as they were pinned.

#[cfg(feature = "auth")]
use std::sync::Arc;

use corelane_protocol::mcp::revision::Revision;

use super::defect::CatalogError;
use super::legible;
use super::lists::Lists;
#[cfg(feature = "auth")]
use super::pinned::PinnedEntries;
use super::prompt::PromptParts;
use super::tool::ToolParts;
use crate::guard::policy::EntryKind;

/// The parts of a plan that the next one has, too.
#[derive(Clone)]
pub(super) struct Rules {
    pub(super) page_entries_max: usize,
    pub(super) allows_hidden: bool,
    #[cfg(feature = "auth")]
    pub(super) pinned: Option<Arc<PinnedEntries>>,
}

impl Rules {
    /// The rules on names and texts for all entries. Resources may be files, whose names others
    /// choose, so they have none.
    pub(super) fn check(&self, lists: &Lists) -> Result<(), CatalogError> {
        let tools = lists.tools.iter().map(|it| &*it.definition.name);
        legible::check_names("tool", tools)?;
        let prompts = lists.prompts.iter().map(|it| &*it.definition.name);
        legible::check_names("prompt", prompts)?;
        let mut tools = lists.tools.iter();
        tools
            .try_for_each(|it| self.check_text("tool", &it.definition.name, &definition_of(it)))?;
        let mut prompts = lists.prompts.iter().map(|it| &it.definition);
        prompts.try_for_each(|it| {
            let text = text_of(|out| it.write(out, Revision::V2026_07_28));
            self.check_text("prompt", &it.name, &text)
        })?;
        let mut templates = lists.templates.iter().map(|it| &it.definition);
        templates.try_for_each(|it| {
            let text = text_of(|out| it.write(out, Revision::V2026_07_28));
            self.check_text("template", &it.uri_template, &text)
        })
    }

    fn check_text(
        &self,
        kind: &'static str,
        name: &str,
        definition: &[u8],
    ) -> Result<(), CatalogError> {
        match self.allows_hidden {
            true => Ok(()),
            false => legible::check(kind, name, definition),
        }
    }

    /// The rules for a tool that is added to `lists`, or replaces the one of its name.
    pub(super) fn check_tool(&self, tool: &ToolParts, lists: &Lists) -> Result<(), CatalogError> {
        let (name, text) = (&tool.definition.name, definition_of(tool));
        let others = lists.tools.iter().map(|it| &*it.definition.name);
        let others = others.filter(|other| other != name);
        legible::check_names("tool", others.chain([&**name]))?;
        self.check_text("tool", name, &text)?;
        self.check_pin(EntryKind::Tool, name, &text)
    }

    /// The same for a prompt.
    pub(super) fn check_prompt(
        &self,
        prompt: &PromptParts,
        lists: &Lists,
    ) -> Result<(), CatalogError> {
        let name = &prompt.definition.name;
        let text = text_of(|out| prompt.definition.write(out, Revision::V2026_07_28));
        let others = lists.prompts.iter().map(|it| &*it.definition.name);
        let others = others.filter(|other| other != name);
        legible::check_names("prompt", others.chain([&**name]))?;
        self.check_text("prompt", name, &text)?;
        self.check_pin(EntryKind::Prompt, name, &text)
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

/// The definition of a tool, as lists show it.
fn definition_of(tool: &ToolParts) -> Vec<u8> {
    text_of(|out| tool.write(out, Revision::V2026_07_28))
}

fn text_of(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut text = Vec::new();
    write(&mut text);
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
