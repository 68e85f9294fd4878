//! Entries of an upstream as clients see them.

use corelane_gateway::catalog::{Entry, ListKind, expose};
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::tasks::TaskSupport;

use super::{Listing, Tracked};
use crate::server::upstreams::answers::{self, header_params_of};
use crate::upstream::entry::RelayedEntry;

impl Tracked {
    /// The entry for the catalog; none if the configuration hides it.
    pub(super) fn relayed(
        &mut self,
        listing: &Listing,
        entry: Entry,
        chars_max: usize,
    ) -> Result<Option<(Box<str>, RelayedEntry)>, String> {
        let is_tool = listing.kind == ListKind::Tools;
        let header_params = match is_tool {
            true => header_params_of(&entry)?,
            false => Vec::new(),
        };
        let is_trusted = is_tool && self.upstream.trusts_annotations;
        let is_repeatable = is_trusted && answers::may_be_made_twice(&entry);
        let task_support = match (is_tool && self.has_tasks, self.era) {
            (false, _) => None,
            // It decides itself (SEP-2663).
            (true, Era::Modern) => Some(TaskSupport::Optional),
            (true, Era::Legacy) => answers::task_support_of(&entry),
        };
        let exposed = expose(&self.upstream, listing.kind, entry, chars_max);
        let Some(exposed) = exposed.map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        let definition = (&*exposed.key, &*exposed.json);
        let on_change = self.upstream.pins;
        if !self.definitions.admits(on_change, listing.kind, definition) {
            return Ok(None);
        }
        let changes = self.upstream.overrides.get(&exposed.original);
        let changes = changes.filter(|_| is_tool);
        let entry = RelayedEntry {
            upstream: self.number,
            has_completions: listing.has_completions,
            fixed: changes.map(|it| it.fixed.clone()).unwrap_or_default(),
            header_params,
            is_repeatable,
            task_support,
            listed: exposed.json.into(),
            listed_legacy: exposed.legacy_json.map(String::into),
            original: exposed.original,
        };
        Ok(Some((exposed.key, entry)))
    }
}
