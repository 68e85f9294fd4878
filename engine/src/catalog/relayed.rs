//! Entries of upstreams in the catalog, and their exchange for others.

use std::collections::HashSet;
use std::sync::Arc;

use corelane_gateway::catalog::ListKind;
use corelane_gateway::uris::UriRoutes;

use super::checked::{checked_prompt, checked_resource, checked_template, checked_tool};
use super::defect::CatalogError;
use super::listed::Listed;
use super::lists::Lists;
use super::ordered_registry::OrderedRegistry;
use super::prompt::Prompt;
use super::resource::{Resource, ResourceTemplate};
use super::rules::Rules;
use super::tool::Tool;
use crate::guard::lookalike::DistinctNames;
use crate::upstream::entry::RelayedEntry;

/// The number of this server among the owners of URIs.
pub(super) const OWN: u16 = u16::MAX;

/// What an exchange of entries has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exchanged {
    /// Nothing.
    Nothing,
    /// The ways to upstreams, which no client sees.
    Ways,
    /// What clients see.
    Listed,
}

/// The entries of all upstreams of one kind, with their names, URIs or templates.
pub(crate) type RelayedList = Vec<(Box<str>, RelayedEntry)>;

impl Lists {
    /// Whether an upstream has an entry.
    pub(super) fn has_relayed(&self) -> bool {
        has_relayed(&self.tools)
            || has_relayed(&self.prompts)
            || has_relayed(&self.resources)
            || has_relayed(&self.templates)
    }

    /// The owners of resources that no list has: upstreams with their `schemes`, and those with the
    /// schemes and authorities of their resources. Without upstreams there are none.
    pub(super) fn routes(&self, schemes: &[(u16, Box<str>)]) -> UriRoutes {
        let mut routes = UriRoutes::default();
        for (upstream, scheme) in schemes {
            routes.add_scheme(*upstream, scheme);
        }
        if has_relayed(&self.resources) || has_relayed(&self.templates) {
            let resources = self.resources.iter().map(|it| (it.relayed(), it.key()));
            let templates = self.templates.iter().map(|it| (it.relayed(), it.key()));
            for (relayed, uri) in resources.chain(templates) {
                match relayed {
                    Some(entry) if *entry.original != *uri => {
                        routes.add_namespaced(entry.upstream, uri);
                    }
                    Some(entry) => routes.add(entry.upstream, uri),
                    None => routes.add(OWN, uri),
                }
            }
        }
        routes
    }

    /// Puts `entries` in the place of all of upstreams of their kind. Returns the change, and the
    /// faults of those that are left out, with the numbers of their upstreams.
    pub(super) fn put_relayed(
        &mut self,
        kind: ListKind,
        entries: RelayedList,
        rules: &Rules,
    ) -> (Exchanged, Vec<(u16, CatalogError)>) {
        match kind {
            ListKind::Tools => exchange(&mut self.tools, entries, |key, entry| {
                rules.checked(checked_tool(Tool::relayed(key, entry))?)
            }),
            ListKind::Prompts => exchange(&mut self.prompts, entries, |key, entry| {
                rules.checked(checked_prompt(Prompt::relayed(key, entry))?)
            }),
            ListKind::Resources => exchange(&mut self.resources, entries, |key, entry| {
                checked_resource(Resource::relayed(key, entry))
            }),
            ListKind::Templates => exchange(&mut self.templates, entries, |key, entry| {
                let template = ResourceTemplate::relayed(key, entry);
                rules.checked(checked_template(template)?)
            }),
        }
    }
}

fn has_relayed<P: Listed>(list: &OrderedRegistry<P>) -> bool {
    list.iter().any(|it| it.relayed().is_some())
}

/// Puts checked entries in the place of all of upstreams, in their order. An entry of this server
/// keeps its name, and so does the first one of upstreams.
fn exchange<P: Listed>(
    list: &mut OrderedRegistry<P>,
    entries: RelayedList,
    check: impl Fn(String, RelayedEntry) -> Result<Arc<P>, CatalogError>,
) -> (Exchanged, Vec<(u16, CatalogError)>) {
    let is_relayed = |it: &P| it.relayed().is_some();
    let own = list.iter().filter(|it| !is_relayed(it));
    let mut keys: HashSet<String> = own.map(|it| it.key().to_owned()).collect();
    let mut distinct = DistinctNames::default();
    if P::HAS_NAMES {
        keys.iter().for_each(|key| _ = distinct.add(key));
    }
    let (mut parts, mut faults) = (Vec::with_capacity(entries.len()), Vec::new());
    for (key, entry) in entries {
        let (name, upstream) = (String::from(key), entry.upstream);
        let checked = match keys.insert(name.clone()) {
            false => Err(CatalogError::Duplicate {
                kind: P::WORD,
                name,
            }),
            true => check(name, entry).and_then(|part| match P::HAS_NAMES {
                true => distinct_name(&mut distinct, part),
                false => Ok(part),
            }),
        };
        match checked {
            Ok(part) => parts.push(part),
            Err(fault) => faults.push((upstream, fault)),
        }
    }
    let before: Vec<_> = list.iter().filter_map(|it| it.relayed()).collect();
    let after: Vec<_> = parts.iter().filter_map(|it| it.relayed()).collect();
    let are_listed_alike = || {
        let both = before.iter().zip(&after);
        before.len() == after.len() && both.into_iter().all(|(one, other)| one.is_listed_as(other))
    };
    let exchanged = match before == after {
        true => Exchanged::Nothing,
        false if are_listed_alike() => Exchanged::Ways,
        false => Exchanged::Listed,
    };
    list.replace_in_order(is_relayed, P::key, &parts);
    (exchanged, faults)
}

/// The entry, if no reader takes its name for another one.
fn distinct_name<P: Listed>(
    distinct: &mut DistinctNames,
    part: Arc<P>,
) -> Result<Arc<P>, CatalogError> {
    let looks_like = distinct.add(part.key());
    looks_like.map_err(|other| CatalogError::Lookalike {
        kind: P::WORD,
        name: part.key().to_owned(),
        other: other.into(),
    })?;
    Ok(part)
}
