//! The checked and encoded catalog: made when the server starts, and again with each change.
//!
//! Invariant: each entry of a [`Plan`] is usable and has a name of its own.

use std::collections::HashSet;
use std::sync::Arc;

use corelane_gateway::catalog::ListKind as RelayedKind;
use corelane_gateway::uris::UriRoutes;
use corelane_protocol::mcp::lifecycle::Offer;
use corelane_protocol::mcp::revision::Revision;
use corelane_protocol::mcp::subscription::{ListKind, ListKinds};

use super::checked::{checked, checked_prompt, checked_resource, checked_template, checked_tool};
use super::defect::CatalogError;
use super::listed::Listed as _;
use super::lists::Lists;
use super::page::Pages;
#[cfg(feature = "auth")]
use super::pinned::{self, PinnedEntries, RefusedEntry};
use super::prompt::{Prompt, PromptParts};
use super::relayed::{Exchanged, OWN, RelayedList};
use super::resource::{Resource, ResourceParts, ResourceTemplate};
use super::rules::Rules;
use super::tool::{Tool, ToolParts};

impl std::fmt::Debug for Plan {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tools = self.lists.tools.iter().map(|tool| &tool.definition.name);
        formatter.debug_list().entries(tools).finish()
    }
}

/// The registered entries, in the order of registration.
#[derive(Default)]
pub(crate) struct Entries {
    pub(crate) tools: Vec<Tool>,
    pub(crate) resources: Vec<Resource>,
    pub(crate) templates: Vec<ResourceTemplate>,
    pub(crate) prompts: Vec<Prompt>,
    /// Features that are offered without an entry.
    pub(crate) offer: Offer,
    /// Schemes of the resources of upstreams, with the numbers of those.
    pub(crate) schemes: Vec<(u16, Box<str>)>,
    /// Texts may have hidden characters.
    pub(crate) allows_hidden: bool,
    /// The pins that entries are compared with.
    #[cfg(feature = "auth")]
    pub(crate) pinned: Option<PinnedEntries>,
}

impl From<Vec<Tool>> for Entries {
    fn from(tools: Vec<Tool>) -> Entries {
        Entries {
            tools,
            ..Entries::default()
        }
    }
}

/// The checked and encoded catalog, shared by all shards and never changed.
pub(crate) struct Plan {
    pub(super) lists: Lists,
    /// By list and revision. Revisions with the same encoding of a list share its pages.
    pub(super) pages: [[Arc<Pages>; Revision::ALL.len()]; 4],
    offer: Offer,
    rules: Rules,
    routes: UriRoutes,
}

/// An entry of an upstream that is left out: its kind, the number of its upstream, and its fault.
pub(crate) type HiddenEntry = (RelayedKind, u16, CatalogError);

/// A list of the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    Tools,
    Resources,
    Templates,
    Prompts,
}

impl Plan {
    /// Checks `entries` and encodes their lists in pages of at most `page_entries_max`.
    pub(crate) fn new(entries: Entries, page_entries_max: usize) -> Result<Plan, CatalogError> {
        let tools = checked(entries.tools, "tool", Tool::name, checked_tool)?;
        let resources = checked(
            entries.resources,
            "resource",
            Resource::uri,
            checked_resource,
        )?;
        let uri_template = ResourceTemplate::uri_template;
        let templates = checked(
            entries.templates,
            "template",
            uri_template,
            checked_template,
        )?;
        let prompts = checked(entries.prompts, "prompt", Prompt::name, checked_prompt)?;
        #[cfg_attr(
            not(feature = "auth"),
            expect(unused_mut, reason = "pins refuse entries")
        )]
        let mut rules = Rules {
            page_entries_max,
            allows_hidden: entries.allows_hidden,
            schemes: entries.schemes.into(),
            #[cfg(feature = "auth")]
            pinned: entries.pinned.map(Arc::new),
            #[cfg(feature = "auth")]
            refused: Arc::default(),
        };
        #[cfg_attr(
            not(feature = "auth"),
            expect(unused_mut, reason = "pins remove entries")
        )]
        let mut lists = Lists {
            tools: tools.into_iter().collect(),
            resources: resources.into_iter().collect(),
            templates: templates.into_iter().collect(),
            prompts: prompts.into_iter().collect(),
        };
        rules.check(&lists)?;
        #[cfg(feature = "auth")]
        if let Some(pinned) = &rules.pinned {
            rules.refused = pinned.apply(&mut lists)?.into();
        }
        Ok(Plan::of(lists, rules, entries.offer))
    }

    /// The entries that pins refused when the server started.
    #[cfg(feature = "auth")]
    pub(super) fn refused(&self) -> &[RefusedEntry] {
        &self.rules.refused
    }

    /// The pins of the entries.
    ///
    /// # Errors
    /// A definition cannot be pinned.
    #[cfg(feature = "auth")]
    pub(crate) fn pins(&self) -> Result<crate::guard::pins::Pins, CatalogError> {
        Ok(pinned::pins_of(&self.lists)?)
    }

    /// Encodes the lists of checked entries, which are offered besides `declared`.
    fn of(lists: Lists, rules: Rules, declared: Offer) -> Plan {
        let max = rules.page_entries_max;
        let pages = [
            in_all_revisions(|revision| {
                Pages::new("tools", max, &lists.tools, |it, out| {
                    it.write(out, revision);
                })
            }),
            in_all_revisions(|revision| {
                Pages::new("resources", max, &lists.resources, |it, out| {
                    it.write(out, revision);
                })
            }),
            in_all_revisions(|revision| {
                Pages::new("resourceTemplates", max, &lists.templates, |it, out| {
                    it.write(out, revision);
                })
            }),
            in_all_revisions(|revision| {
                Pages::new("prompts", max, &lists.prompts, |it, out| {
                    it.write(out, revision);
                })
            }),
        ];
        Plan {
            offer: declared.union(lists.offer()),
            routes: lists.routes(&rules.schemes),
            lists,
            pages,
            rules,
        }
    }

    /// Whether an upstream has entries of the catalog.
    pub(crate) fn has_relayed(&self) -> bool {
        self.lists.has_relayed()
    }

    /// The upstream that a resource belongs to which no list has, if that is certain.
    pub(crate) fn upstream_of(&self, uri: &str) -> Option<u16> {
        let upstream = self.routes.route(uri);
        upstream.filter(|upstream| *upstream != OWN)
    }

    /// The tool called `name`: searched for, as a shard's own catalog has an index.
    pub(crate) fn tool(&self, name: &str) -> Option<&Arc<ToolParts>> {
        let mut tools = self.lists.tools.iter();
        tools.find(|it| it.definition.name == name)
    }

    /// The prompt called `name`, likewise.
    pub(crate) fn prompt(&self, name: &str) -> Option<&Arc<PromptParts>> {
        let mut prompts = self.lists.prompts.iter();
        prompts.find(|it| it.definition.name == name)
    }

    /// The same catalog with one kind of entries edited by `edit`; nothing if it changed nothing.
    /// An offered feature stays so: a session keeps the capabilities that it has negotiated (MCP
    /// 2025-11-25 basic/lifecycle, "Operation").
    fn edited(&self, edit: impl FnOnce(&mut Lists) -> bool) -> Option<Plan> {
        let mut lists = self.lists.clone();
        edit(&mut lists).then(|| Plan::of(lists, self.rules.clone(), self.offer))
    }

    /// The same catalog with `tool`, which replaces a tool of its name.
    pub(crate) fn with_tool(&self, tool: Tool) -> Result<Option<Plan>, CatalogError> {
        let part = self
            .rules
            .checked_in(checked_tool(tool)?, &self.lists.tools)?;
        let is_it = |it: &ToolParts| it.definition.name == part.definition.name;
        Ok(self.edited(|lists| {
            lists.tools.put(is_it, Arc::clone(&part));
            true
        }))
    }

    /// The same catalog with these entries instead of all of their kinds that upstreams have, and
    /// with these schemes of upstreams; with it the lists in which clients see a difference, and
    /// the entries that are left out. Nothing if nothing changes. An entry of this server
    /// keeps its name.
    pub(crate) fn with_upstreams(
        &self,
        schemes: Vec<(u16, Box<str>)>,
        entries: Vec<(RelayedKind, RelayedList)>,
    ) -> (Option<(Plan, ListKinds)>, Vec<HiddenEntry>) {
        let mut lists = self.lists.clone();
        let (mut changed, mut faults) = (ListKinds::default(), Vec::new());
        let mut is_other = *self.rules.schemes != *schemes;
        for (kind, entries) in entries {
            let (change, left_out) = lists.put_relayed(kind, entries, &self.rules);
            is_other |= change != Exchanged::Nothing;
            if change == Exchanged::Listed {
                changed.insert(list_of(kind));
            }
            faults.extend(
                left_out
                    .into_iter()
                    .map(|(upstream, fault)| (kind, upstream, fault)),
            );
        }
        let rules = Rules {
            schemes: schemes.into(),
            ..self.rules.clone()
        };
        let plan = is_other.then(|| (Plan::of(lists, rules, self.offer), changed));
        (plan, faults)
    }

    /// The same catalog with `resource`, which replaces a resource of its URI.
    pub(crate) fn with_resource(&self, resource: Resource) -> Result<Option<Plan>, CatalogError> {
        let part = checked_resource(resource)?;
        let is_it = |it: &ResourceParts| it.definition.uri == part.definition.uri;
        Ok(self.edited(|lists| {
            lists.resources.put(is_it, Arc::clone(&part));
            true
        }))
    }

    /// The same catalog with `resources` instead of all whose URI starts with `prefix`.
    pub(crate) fn with_resources(
        &self,
        prefix: &str,
        resources: Vec<Resource>,
    ) -> Result<Option<Plan>, CatalogError> {
        let parts = checked(resources, "resource", Resource::uri, checked_resource)?;
        Ok(self.edited(|lists| {
            let is_below = |it: &ResourceParts| it.definition.uri.starts_with(prefix);
            lists
                .resources
                .replace(is_below, |it| &it.definition.uri, &parts);
            true
        }))
    }

    /// The same catalog with `resources` in the places of those with the same URIs; one whose URI
    /// is not there is left out. Nothing if there is none.
    pub(crate) fn with_refreshed(
        &self,
        mut resources: Vec<Resource>,
    ) -> Result<Option<Plan>, CatalogError> {
        let uri_of = |it: &ResourceParts| it.definition.uri.clone();
        let known: HashSet<String> = self.lists.resources.iter().map(|it| uri_of(it)).collect();
        resources.retain(|it| known.contains(it.uri()));
        let parts = checked(resources, "resource", Resource::uri, checked_resource)?;
        let fresh: HashSet<String> = parts.iter().map(|it| uri_of(it)).collect();
        Ok(self.edited(|lists| {
            let is_fresh = |it: &ResourceParts| fresh.contains(&it.definition.uri);
            lists
                .resources
                .replace(is_fresh, |it| &it.definition.uri, &parts);
            !parts.is_empty()
        }))
    }

    /// The same catalog once more.
    pub(crate) fn again(&self) -> Option<Plan> {
        self.edited(|_| true)
    }

    /// The same catalog with `prompt`, which replaces a prompt of its name.
    pub(crate) fn with_prompt(&self, prompt: Prompt) -> Result<Option<Plan>, CatalogError> {
        let part = self
            .rules
            .checked_in(checked_prompt(prompt)?, &self.lists.prompts)?;
        let is_it = |it: &PromptParts| it.definition.name == part.definition.name;
        Ok(self.edited(|lists| {
            lists.prompts.put(is_it, Arc::clone(&part));
            true
        }))
    }

    /// The same catalog without the tool called `name`; nothing if there is none.
    pub(crate) fn without_tool(&self, name: &str) -> Option<Plan> {
        self.edited(|lists| lists.tools.remove(|it| it.definition.name == name))
    }

    /// The same catalog without the resource at `uri`; nothing if there is none.
    pub(crate) fn without_resource(&self, uri: &str) -> Option<Plan> {
        self.edited(|lists| lists.resources.remove(|it| it.definition.uri == uri))
    }

    /// The same catalog without the prompt called `name`; nothing if there is none.
    pub(crate) fn without_prompt(&self, name: &str) -> Option<Plan> {
        self.edited(|lists| lists.prompts.remove(|it| it.definition.name == name))
    }

    /// Which features there are, or were.
    pub(crate) fn offer(&self) -> Offer {
        self.offer
    }
}

/// The list that clients know, of the entries of a kind.
fn list_of(kind: RelayedKind) -> ListKind {
    match kind {
        RelayedKind::Tools => ListKind::Tools,
        RelayedKind::Prompts => ListKind::Prompts,
        RelayedKind::Resources | RelayedKind::Templates => ListKind::Resources,
    }
}

/// The pages of one list as each revision has them.
fn in_all_revisions(encode: impl Fn(Revision) -> Pages) -> [Arc<Pages>; Revision::ALL.len()] {
    let mut older: Option<Arc<Pages>> = None;
    Revision::ALL.map(|revision| {
        let pages = Arc::new(encode(revision));
        let shared = older.take().filter(|older| *older == pages);
        let pages = shared.unwrap_or(pages);
        older = Some(Arc::clone(&pages));
        pages
    })
}
