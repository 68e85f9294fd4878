//! Pins of a catalog that are in use: entries that differ are reported, and refused if so set.

use crate::audit::AuditLog;
use crate::guard::audit::{Event, Record};
use crate::guard::pins::{Difference, OnMismatch, Pins, PinsError};
use crate::guard::policy::EntryKind;

use super::defect::CatalogError;
use super::listed::Listed as _;
use super::lists::Lists;
use corelane_protocol::mcp::revision::Revision;

/// The revision whose definitions are pinned: it has all members.
const REVISION: Revision = Revision::V2026_07_28;

/// Pins with the action on a difference.
#[derive(Clone, Debug)]
pub(crate) struct PinnedEntries {
    pub(crate) pins: Pins,
    pub(crate) on_mismatch: OnMismatch,
    /// Records differences, if the server has an audit log.
    pub(crate) log: Option<AuditLog>,
}

impl PinnedEntries {
    /// Reports each difference of a whole catalog, and removes the entries that are refused.
    /// Returns the kinds and names of those.
    ///
    /// # Errors
    /// A definition cannot be pinned.
    pub(super) fn apply(&self, lists: &mut Lists) -> Result<Vec<RefusedEntry>, CatalogError> {
        let differences = self.pins.differences(&pins_of(lists)?);
        for difference in &differences {
            self.report(difference);
        }
        if self.on_mismatch != OnMismatch::Refuse {
            return Ok(Vec::new());
        }
        let mut refused = Vec::new();
        for difference in &differences {
            let name = difference.name();
            let kind = match difference.kind() {
                "tool" => {
                    lists.tools.remove(|it| it.definition.name == name);
                    EntryKind::Tool
                }
                "prompt" => {
                    lists.prompts.remove(|it| it.definition.name == name);
                    EntryKind::Prompt
                }
                _ => {
                    let templates = &mut lists.templates;
                    templates.remove(|it| it.definition.uri_template == name);
                    EntryKind::Template
                }
            };
            refused.push((kind, name.into()));
        }
        Ok(refused)
    }

    /// Reports a new entry that differs.
    ///
    /// # Errors
    /// The entry is refused.
    pub(super) fn check(
        &self,
        kind: EntryKind,
        name: &str,
        definition: &[u8],
    ) -> Result<(), CatalogError> {
        let found = self.pins.difference(kind, name, definition);
        let Some(difference) = found? else {
            return Ok(());
        };
        self.report(&difference);
        match self.on_mismatch {
            OnMismatch::Refuse => Err(CatalogError::Pinned(difference)),
            OnMismatch::Warn | OnMismatch::Off => Ok(()),
        }
    }

    fn report(&self, difference: &Difference) {
        let outcome = match self.on_mismatch {
            OnMismatch::Off => return,
            OnMismatch::Warn => "warned",
            OnMismatch::Refuse => "refused",
        };
        tracing::warn!(%difference, outcome, "pins");
        if let Some(log) = &self.log {
            log.record(&Record {
                kind: Some(difference.kind()),
                name: Some(difference.name()),
                decision: Some(match difference {
                    Difference::Changed { .. } => "changed",
                    Difference::Unpinned { .. } => "unpinned",
                    Difference::Absent { .. } => "absent",
                }),
                outcome: Some(outcome),
                ..Record::new(Event::PinMismatch, 0)
            });
        }
    }
}

/// The kind and the name of an entry that is refused.
pub(crate) type RefusedEntry = (EntryKind, Box<str>);

/// The pins of checked entries.
///
/// # Errors
/// A definition cannot be pinned.
pub(super) fn pins_of(lists: &Lists) -> Result<Pins, PinsError> {
    let mut pins = Pins::default();
    let mut text = Vec::new();
    for tool in lists.tools.iter() {
        text.clear();
        tool.write(&mut text, REVISION);
        pins.add(EntryKind::Tool, &tool.definition.name, &text)?;
    }
    for prompt in lists.prompts.iter() {
        text.clear();
        prompt.write(&mut text, REVISION);
        pins.add(EntryKind::Prompt, &prompt.definition.name, &text)?;
    }
    for template in lists.templates.iter() {
        text.clear();
        template.write(&mut text, REVISION);
        pins.add(
            EntryKind::Template,
            &template.definition.uri_template,
            &text,
        )?;
    }
    Ok(pins)
}
