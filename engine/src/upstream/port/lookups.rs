//! The calls on their way, by their names, upstreams and sessions, and the commands for the shard.

use std::cell::RefMut;

use super::{Command, UpstreamPort};
use crate::upstream::endpoint::Standing;
use crate::upstream::owner::SessionOwner;
use crate::upstream::relay::{Relay, RelayKey};

impl UpstreamPort {
    /// The call called `key`, unless it is over.
    pub(crate) fn find(&self, key: RelayKey) -> Option<RefMut<'_, Relay>> {
        let relays = self.relays.borrow_mut();
        RefMut::filter_map(relays, |relays| {
            let relay = relays.get_mut(key.index as usize);
            relay.filter(|relay| relay.id == key.id)
        })
        .ok()
    }

    /// Takes a call out.
    pub(crate) fn remove(&self, key: RelayKey) -> Option<Relay> {
        let is_it = self.find(key).is_some();
        is_it.then(|| self.relays.borrow_mut().remove(key.index as usize))
    }

    /// Takes the next command.
    pub(crate) fn next_command(&self) -> Option<Command> {
        self.commands.borrow_mut().pop_front()
    }

    /// Whether there is a command.
    pub(crate) fn has_commands(&self) -> bool {
        !self.commands.borrow().is_empty()
    }

    /// The instance that has this number, and is to stay.
    pub(crate) fn instance(&self, upstream: u16) -> Option<u64> {
        let table = self.table.borrow();
        let endpoint = table.endpoints.get(usize::from(upstream))?;
        (endpoint.standing == Standing::Serves).then_some(endpoint.instance)
    }

    /// The numbers of the upstream that has this name and is to stay, and of its replica with this
    /// hash of its address.
    pub(crate) fn numbers_of(&self, name: &str, address: u64) -> Option<(u16, u16)> {
        let table = self.table.borrow();
        let mut endpoints = table.endpoints.iter().enumerate();
        let (replica, endpoint) = endpoints.find(|(_, it)| {
            it.standing == Standing::Serves && it.hash == address && *it.name == *name
        })?;
        Some((endpoint.upstream, replica as u16))
    }

    /// The call of a client in the session of `owner`, if there is just one on its way.
    pub(crate) fn only_call(&self, upstream: u16, owner: &SessionOwner) -> Option<RelayKey> {
        let relays = self.relays.borrow();
        let mut calls = relays.iter().filter(|(_, relay)| {
            relay.upstream == upstream && relay.link.is_some() && relay.is_call_of(owner)
        });
        match (calls.next(), calls.next()) {
            (Some((index, relay)), None) => Some(RelayKey {
                index: index as u32,
                id: relay.id,
            }),
            _ => None,
        }
    }

    /// The calls and other requests of an upstream.
    pub(crate) fn of_upstream(&self, upstream: u16) -> Vec<RelayKey> {
        let relays = self.relays.borrow();
        let of_it = relays.iter().filter(|(_, it)| it.upstream == upstream);
        let key_of = |(index, relay): (usize, &Relay)| RelayKey {
            index: index as u32,
            id: relay.id,
        };
        of_it.map(key_of).collect()
    }

    /// The calls of clients, by upstream, of so many of them.
    pub(crate) fn calls_by_upstream(&self, upstreams: usize) -> Vec<usize> {
        let mut calls = vec![0; upstreams];
        for (_, relay) in self.relays.borrow().iter() {
            if relay.is_for_client()
                && let Some(count) = calls.get_mut(usize::from(relay.upstream))
            {
                *count += 1;
            }
        }
        calls
    }
}
