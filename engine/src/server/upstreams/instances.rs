//! The upstreams that are served, those that are to take the places of others, and those that
//! drain: how one set of them follows another.
//!
//! An upstream that a reload leaves as it is keeps its links, sessions and processes. One whose
//! entries alone are shown in another way keeps them, too. Of one that is reached in another way a
//! new instance begins, which takes the place of the one of before when its lists are read; that
//! one drains. A number is used again when no shard has anything of its upstream any more.
//!
//! The clock and all effects are the caller's.

mod inspected;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use corelane_gateway::catalog::ListKind;

use super::credential::Credential;
use super::instance::{Instance, Likeness, Stage};
use super::outcomes::UpstreamLists;
use super::served::ServedUpstream;
use super::tracked::Tracked;
use crate::catalog::RelayedList;
use crate::profile::Gateway;
use crate::server::reload_result::{UpstreamChange, UpstreamChangeKind};
use crate::upstream::endpoint::Endpoint;

/// Most replicas of all instances, those that drain included.
pub(super) const INSTANCES_MAX: usize = 1024;

/// See the module's text.
pub(super) struct Instances {
    places: Vec<Slot>,
    /// Those that are served, in the order of the configuration.
    order: Vec<u16>,
    last_id: u64,
    shards: usize,
}

/// A number of an upstream.
enum Slot {
    /// It is free; the id of the last instance that had it.
    Free(u64),
    Used(Box<Instance>),
    /// It is of a further replica of the upstream with this number.
    Further(u16),
}

/// The instances of upstreams that a reload has replaced drain, and there are too many.
#[derive(Debug)]
pub(super) struct TooManyDrain;

impl Instances {
    /// The upstreams with which the server starts, on so many shards.
    pub(super) fn new(set: Vec<ServedUpstream>, shards: usize, now: Instant) -> Instances {
        let mut instances = Instances {
            places: Vec::new(),
            order: Vec::new(),
            last_id: 0,
            shards,
        };
        let further: Vec<usize> = set.iter().map(|it| it.replicas.len() - 1).collect();
        for served in set {
            let number = instances.insert(served, Stage::Serves, now);
            instances.order.push(number);
        }
        // The first replicas have the numbers of the upstreams in the catalog of the start.
        for (number, further) in (0..).zip(further) {
            instances.number_further(number, further);
        }
        instances
    }

    /// What a set of upstreams would change.
    ///
    /// # Errors
    /// There are too many instances, those that drain included.
    pub(super) fn changes_to(
        &self,
        set: &[ServedUpstream],
    ) -> Result<Vec<UpstreamChange>, TooManyDrain> {
        let mut changes = Vec::new();
        let mut begun = 0;
        let change = |name: &str, kind| UpstreamChange {
            name: name.to_owned(),
            kind,
        };
        for served in set {
            let name = &*served.upstream.name;
            let likeness = self.serving(name).map(|serving| {
                let latest = self.beginning(serving).unwrap_or(serving);
                self.used(latest).map(|it| it.likeness(served))
            });
            let kind = match likeness.flatten() {
                Some(Likeness::Same) => continue,
                Some(Likeness::InPlace) => UpstreamChangeKind::Changed,
                Some(Likeness::Other) => {
                    begun += served.replicas.len();
                    UpstreamChangeKind::Changed
                }
                None => {
                    begun += served.replicas.len();
                    UpstreamChangeKind::Added
                }
            };
            changes.push(change(name, kind));
        }
        for number in &self.order {
            let name = self.name(*number);
            if !set.iter().any(|served| *served.upstream.name == *name) {
                changes.push(change(name, UpstreamChangeKind::Removed));
            }
        }
        let is_free = |slot: &&Slot| matches!(slot, Slot::Free(_));
        let used = self.places.len() - self.places.iter().filter(is_free).count();
        match used + begun > INSTANCES_MAX {
            true => Err(TooManyDrain),
            false => Ok(changes),
        }
    }

    /// Serves another set of upstreams from now on, for which [`Instances::changes_to`] found no
    /// fault. The caller changes the catalog and then the table.
    pub(super) fn exchange(&mut self, set: Vec<ServedUpstream>, now: Instant, settings: &Gateway) {
        let before = std::mem::take(&mut self.order);
        let mut order = Vec::new();
        for served in set {
            let mut all = before.iter().copied();
            match all.find(|number| *self.name(*number) == *served.upstream.name) {
                Some(number) => {
                    self.change(number, served, (now, settings));
                    order.push(number);
                }
                None => order.push(self.begin(served, Stage::Serves, now)),
            }
        }
        for number in before {
            if !order.contains(&number) {
                let beginning = self.beginning(number);
                for number in beginning.into_iter().chain([number]) {
                    self.retire(number, now, settings);
                }
            }
        }
        self.order = order;
    }

    /// Changes the upstream that is served with this number.
    fn change(
        &mut self,
        serving: u16,
        served: ServedUpstream,
        (now, settings): (Instant, &Gateway),
    ) {
        let beginning = self.beginning(serving);
        for number in beginning.into_iter().chain([serving]) {
            let Some(instance) = self.used_mut(number) else {
                continue;
            };
            match instance.likeness(&served) {
                Likeness::Same => return,
                Likeness::InPlace => return instance.tracked.set_upstream(served.upstream, now),
                Likeness::Other if number != serving => self.retire(number, now, settings),
                Likeness::Other => {}
            }
        }
        let until = now + Duration::from_millis(settings.takeover_ms);
        let number = self.begin(served, Stage::Begins(serving, until), now);
        let definitions = self.used(serving).map(|it| it.tracked.definitions());
        if let (Some(definitions), Some(instance)) = (definitions, self.used_mut(number)) {
            instance.tracked.take_definitions(definitions);
        }
    }

    /// Adds an upstream with all of its replicas.
    fn begin(&mut self, served: ServedUpstream, stage: Stage, now: Instant) -> u16 {
        let further = served.replicas.len() - 1;
        let number = self.insert(served, stage, now);
        self.number_further(number, further);
        number
    }

    fn insert(&mut self, served: ServedUpstream, stage: Stage, now: Instant) -> u16 {
        let number = self.free_number();
        self.last_id += 1;
        let (places, replicas) = served.replicas.into_iter().unzip();
        self.places[usize::from(number)] = Slot::Used(Box::new(Instance {
            id: self.last_id,
            tracked: Tracked::new(number, served.upstream, places, now),
            replicas,
            further: Arc::default(),
            credential: served.credential.map(|it| Credential::new(it, now)),
            files: served.files,
            stage,
            lookups: 0,
            drained: BTreeSet::new(),
        }));
        number
    }

    /// Gives the further replicas of an upstream their numbers.
    fn number_further(&mut self, number: u16, further: usize) {
        let numbers = (0..further).map(|_| {
            let place = self.free_number();
            self.places[usize::from(place)] = Slot::Further(number);
            place
        });
        let numbers: Arc<[u16]> = numbers.collect();
        if let Some(instance) = self.used_mut(number) {
            instance.further = numbers;
        }
    }

    /// A number that is free.
    fn free_number(&mut self) -> u16 {
        let is_free = |slot: &Slot| matches!(slot, Slot::Free(_));
        let free = self.places.iter().position(is_free);
        let place = free.unwrap_or(self.places.len());
        if free.is_none() {
            self.places.push(Slot::Free(0));
        }
        place as u16
    }

    fn retire(&mut self, number: u16, now: Instant, settings: &Gateway) {
        if let Some(instance) = self.used_mut(number) {
            instance.stage = Stage::Drains(now + Duration::from_millis(settings.drain_ms));
        }
    }

    /// Does everything whose time has come. Returns whether other upstreams are served, for which
    /// the caller changes the catalog.
    pub(super) fn advance(&mut self, now: Instant, settings: &Gateway) -> bool {
        let mut has_taken_over = false;
        for number in 0..self.places.len() as u16 {
            let Some(instance) = self.used_mut(number) else {
                continue;
            };
            match instance.stage {
                Stage::Begins(before, until) if until <= now || instance.tracked.is_read() => {
                    instance.stage = Stage::Serves;
                    has_taken_over = true;
                    let place = self.order.iter_mut().find(|it| **it == before);
                    if let Some(place) = place {
                        *place = number;
                    }
                    self.retire(before, now, settings);
                }
                Stage::Drains(until) if until <= now => instance.stage = Stage::Ends,
                _ => {}
            }
        }
        has_taken_over
    }

    /// When something is to be done without an event.
    pub(super) fn due(&self) -> Option<Instant> {
        let all = self.places.iter().filter_map(|slot| match slot {
            Slot::Used(instance) => Some(instance),
            Slot::Free(_) | Slot::Further(_) => None,
        });
        let due = all.filter_map(|it| match it.stage {
            Stage::Serves => it.due(),
            Stage::Begins(_, until) => it.due().into_iter().chain([until]).min(),
            Stage::Drains(until) => Some(until),
            Stage::Ends => None,
        });
        due.min()
    }

    /// A shard has nothing more of the replica with this number of an instance.
    pub(super) fn handle_drained(&mut self, number: u16, id: u64, shard: u16) {
        let first = match self.places.get(usize::from(number)) {
            Some(Slot::Further(first)) => *first,
            _ => number,
        };
        if let Some(instance) = self.used_mut(first).filter(|it| it.id == id) {
            instance.drained.insert((number, shard));
            self.free_if_drained(first);
        }
    }

    /// A look-up of the addresses of an instance has ended. That of one that drains was the last
    /// thing to wait for, perhaps.
    pub(super) fn handle_looked_up(&mut self, number: u16) {
        if let Some(instance) = self.used_mut(number) {
            instance.lookups = instance.lookups.saturating_sub(1);
            self.free_if_drained(number);
        }
    }

    /// Frees the numbers of an instance of which nothing is left.
    fn free_if_drained(&mut self, number: u16) {
        let shards = self.shards;
        let Some(instance) = self.used(number) else {
            return;
        };
        if instance.drained.len() < shards * instance.replicas.len() || instance.lookups > 0 {
            return;
        }
        let (id, name, further) = (instance.id, instance.name(), Arc::clone(&instance.further));
        tracing::info!(upstream = &**name, "nothing is left of it on any shard");
        for number in std::iter::once(&number).chain(&*further) {
            self.places[usize::from(*number)] = Slot::Free(id);
        }
    }

    /// The instance with this number, unless it drains.
    pub(super) fn active(&mut self, number: u16) -> Option<&mut Instance> {
        let instance = self.used_mut(number)?;
        let is_active = matches!(instance.stage, Stage::Serves | Stage::Begins(..));
        is_active.then_some(instance)
    }

    /// The instance with this number.
    pub(super) fn used(&self, number: u16) -> Option<&Instance> {
        match self.places.get(usize::from(number))? {
            Slot::Used(instance) => Some(instance),
            Slot::Free(_) | Slot::Further(_) => None,
        }
    }

    fn used_mut(&mut self, number: u16) -> Option<&mut Instance> {
        match self.places.get_mut(usize::from(number))? {
            Slot::Used(instance) => Some(instance),
            Slot::Free(_) | Slot::Further(_) => None,
        }
    }

    /// The numbers of all instances.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u16> + use<> {
        let all = self.places.iter().enumerate();
        let used = all.filter(|(_, slot)| matches!(slot, Slot::Used(_)));
        let numbers: Vec<u16> = used.map(|(number, _)| number as u16).collect();
        numbers.into_iter()
    }

    /// The entries of one kind of the upstreams that are served, in their order.
    pub(super) fn entries(&self, kind: ListKind) -> RelayedList {
        let served = self.order.iter().filter_map(|number| self.used(*number));
        let entries = served.flat_map(|it| it.tracked.entries(kind).iter().cloned());
        entries.collect()
    }

    /// The schemes of the upstreams that are served.
    pub(super) fn schemes(&self) -> Vec<(u16, Box<str>)> {
        let served = self.order.iter().filter_map(|number| {
            let schemes = self.used(*number)?.tracked.upstream().own_schemes();
            Some(schemes.map(|scheme| (*number, scheme)))
        });
        served.flatten().collect()
    }

    /// The lists of the upstreams that are served, in their order.
    pub(super) fn list_states(&self) -> Vec<UpstreamLists> {
        let served = self.order.iter().filter_map(|number| self.used(*number));
        let states = served.map(|it| UpstreamLists {
            name: Arc::clone(it.name()),
            is_required: it.tracked.upstream().is_required,
            state: it.tracked.list_state(),
        });
        states.collect()
    }

    /// Whether the program of an upstream keeps ending before it answers.
    pub(super) fn has_crash_loop(&self) -> bool {
        let mut all = self.numbers().filter_map(|number| self.used(number));
        all.any(|it| it.tracked.is_crash_looping())
    }

    /// The replicas of all upstreams as shards see them, by number.
    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        let numbered = (0..).zip(&self.places);
        let endpoints = numbered.map(|(number, slot)| {
            let (first, id) = match slot {
                Slot::Used(_) => (number, 0),
                Slot::Further(first) => (*first, 0),
                Slot::Free(id) => (number, *id),
            };
            match self.used(first) {
                Some(instance) => instance.endpoint(first, number),
                None => Endpoint::free(number, id),
            }
        });
        endpoints.collect()
    }

    fn serving(&self, name: &str) -> Option<u16> {
        let mut all = self.order.iter().copied();
        all.find(|number| self.name(*number) == name)
    }

    /// The instance that is to take the place of the one with this number.
    fn beginning(&self, serving: u16) -> Option<u16> {
        let is_it = |number: &u16| {
            let stage = self.used(*number).map(|it| it.stage);
            matches!(stage, Some(Stage::Begins(before, _)) if before == serving)
        };
        self.numbers().find(is_it)
    }

    fn name(&self, number: u16) -> &str {
        self.used(number).map_or("", |it| it.name())
    }
}

#[cfg(test)]
mod tests;
