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
use corelane_protocol::framing::http1::write_field;

use super::credential::Credential;
use super::served::ServedUpstream;
use super::tracked::Tracked;
use crate::catalog::RelayedList;
use crate::profile::Gateway;
use crate::server::reload_result::{UpstreamChange, UpstreamChangeKind};
use crate::upstream::board::{Endpoint, Heads, Standing};

/// Most instances, those that drain included.
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
}

/// One upstream.
pub(super) struct Instance {
    id: u64,
    pub(super) tracked: Tracked,
    endpoint: Endpoint,
    pub(super) credential: Option<Credential>,
    files: u64,
    stage: Stage,
    /// Look-ups of its address that have not ended.
    pub(super) lookups: u32,
    /// The shards that have nothing of it any more.
    drained: BTreeSet<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Serves,
    /// It takes the place of the one with this number when its lists are read, at this time at the
    /// latest.
    Begins(u16, Instant),
    /// Its calls end, at this time at the latest.
    Drains(Instant),
    Ends,
}

impl Stage {
    fn word(self) -> &'static str {
        match self {
            Stage::Serves => "serves",
            Stage::Begins(..) => "begins",
            Stage::Drains(_) => "drains",
            Stage::Ends => "ends",
        }
    }
}

/// How an upstream is like one of another configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Likeness {
    Same,
    /// It is reached in the same way.
    InPlace,
    Other,
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
        for served in set {
            let number = instances.insert(served, Stage::Serves, now);
            instances.order.push(number);
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
                    begun += 1;
                    UpstreamChangeKind::Changed
                }
                None => {
                    begun += 1;
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
        let used = self.numbers().count();
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
                None => order.push(self.insert(served, Stage::Serves, now)),
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
        self.insert(served, Stage::Begins(serving, until), now);
    }

    fn insert(&mut self, served: ServedUpstream, stage: Stage, now: Instant) -> u16 {
        let is_free = |slot: &Slot| matches!(slot, Slot::Free(_));
        let free = self.places.iter().position(is_free);
        let place = free.unwrap_or(self.places.len());
        let number = place as u16;
        self.last_id += 1;
        let slot = Slot::Used(Box::new(Instance {
            id: self.last_id,
            tracked: Tracked::new(number, served.upstream, served.place, now),
            endpoint: served.endpoint,
            credential: served.credential.map(|it| Credential::new(it, now)),
            files: served.files,
            stage,
            lookups: 0,
            drained: BTreeSet::new(),
        }));
        match free {
            Some(place) => self.places[place] = slot,
            None => self.places.push(slot),
        }
        number
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
            Slot::Free(_) => None,
        });
        let due = all.filter_map(|it| match it.stage {
            Stage::Serves => it.due(),
            Stage::Begins(_, until) => it.due().into_iter().chain([until]).min(),
            Stage::Drains(until) => Some(until),
            Stage::Ends => None,
        });
        due.min()
    }

    /// A shard has nothing more of an instance.
    pub(super) fn handle_drained(&mut self, number: u16, id: u64, shard: u16) {
        let shards = self.shards;
        let Some(slot) = self.places.get_mut(usize::from(number)) else {
            return;
        };
        let Slot::Used(instance) = slot else {
            return;
        };
        if instance.id != id {
            return;
        }
        instance.drained.insert(shard);
        if instance.drained.len() == shards && instance.lookups == 0 {
            let name = &*instance.endpoint.name;
            tracing::info!(upstream = name, "nothing is left of it on any shard");
            *slot = Slot::Free(id);
        }
    }

    /// A look-up of an address has ended. That of an instance that drains was the last thing to
    /// wait for, perhaps.
    pub(super) fn handle_looked_up(&mut self, number: u16) {
        if let Some(instance) = self.used_mut(number) {
            instance.lookups = instance.lookups.saturating_sub(1);
            let id = instance.id;
            if let Some(shard) = instance.drained.first().copied() {
                self.handle_drained(number, id, shard);
            }
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
            Slot::Free(_) => None,
        }
    }

    fn used_mut(&mut self, number: u16) -> Option<&mut Instance> {
        match self.places.get_mut(usize::from(number))? {
            Slot::Used(instance) => Some(instance),
            Slot::Free(_) => None,
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
            let schemes = &self.used(*number)?.tracked.upstream().schemes;
            Some(schemes.iter().map(|scheme| (*number, scheme.clone())))
        });
        served.flatten().collect()
    }

    /// The upstreams as shards see them, by number.
    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        let endpoints = self.places.iter().map(|slot| match slot {
            Slot::Used(instance) => instance.endpoint(),
            Slot::Free(id) => Endpoint::free(*id),
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
        self.used(number).map_or("", |it| &it.endpoint.name)
    }
}

impl Instance {
    /// Its name.
    pub(super) fn name(&self) -> &Arc<str> {
        &self.endpoint.name
    }

    /// Its own number, which is used once.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// When something is to be done for it without an event. Without its credential nothing is
    /// requested of it.
    fn due(&self) -> Option<Instant> {
        match &self.credential {
            Some(credential) if !credential.is_there() => credential.due(),
            Some(credential) => credential
                .due()
                .into_iter()
                .chain([self.tracked.due()])
                .min(),
            None => Some(self.tracked.due()),
        }
    }

    /// Whether it is time for the next step for its lists.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let credential = self.credential.as_ref();
        credential.is_none_or(Credential::is_there) && self.tracked.due() <= now
    }

    fn likeness(&self, served: &ServedUpstream) -> Likeness {
        let upstream = self.tracked.upstream();
        let is_reached_alike = upstream.is_reached_like(&served.upstream)
            && self.endpoint.heads == served.endpoint.heads
            && *self.tracked.place() == served.place
            && self.files == served.files;
        match is_reached_alike {
            true if *upstream == served.upstream => Likeness::Same,
            true => Likeness::InPlace,
            false => Likeness::Other,
        }
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint {
            instance: self.id,
            standing: match self.stage {
                Stage::Serves | Stage::Begins(..) => Standing::Serves,
                Stage::Drains(_) => Standing::Drains,
                Stage::Ends => Standing::Ends,
            },
            address: self.tracked.address().cloned(),
            era: self.tracked.era(),
            has_updates: self.tracked.has_updates(),
            heads: self.heads(),
            credential: self.credential.as_ref().map(Credential::endpoint),
            ..self.endpoint.clone()
        }
    }
}

impl Instance {
    /// The starts of heads, with its credential.
    fn heads(&self) -> Heads {
        let heads = &self.endpoint.heads;
        let field = self.credential.as_ref().and_then(Credential::field);
        let Some((name, value)) = field.filter(|_| !heads.post.is_empty()) else {
            return heads.clone();
        };
        let with = |head: &Arc<[u8]>| {
            let mut head = head.to_vec();
            // The value was checked when it was read; one that cannot be sent is left out.
            let _ = write_field(&mut head, name, value.as_bytes());
            Arc::from(head)
        };
        Heads {
            post: with(&heads.post),
            get: with(&heads.get),
            delete: with(&heads.delete),
        }
    }
}

#[cfg(test)]
mod tests;
