//! The requests of a channel that wait for their answers.
//!
//! A client with one subscription has one of them for hours, so the table takes memory for what is
//! in it. Most requests end in the order of their arrival, which moves no other.

use std::collections::VecDeque;

use corelane_protocol::jsonrpc::OwnedId;

use crate::handler::event_queue::CallKey;
use crate::mcp::StreamOwner;

/// A request with a later answer.
#[derive(Debug)]
pub(crate) struct ChannelRequest {
    /// Its id, by which it is cancelled; a batch has none.
    pub(super) id: Option<OwnedId>,
    /// The call that answers it, if that runs on this shard.
    pub(crate) call: Option<CallKey>,
    /// The owner of its stream, or the calls that answer it.
    pub(crate) stream: Option<StreamOwner>,
    /// The responses to a batch so far: an array that is not closed.
    pub(super) responses: Vec<u8>,
}

/// The requests of a channel by their numbers, at most `in_flight_max` of the profile.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    /// Sorted by the numbers.
    requests: VecDeque<(u32, ChannelRequest)>,
}

impl InFlight {
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// All of them, the oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(u32, ChannelRequest)> {
        self.requests.iter()
    }

    pub(super) fn contains(&self, number: u32) -> bool {
        self.place_of(number).is_ok()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut ChannelRequest> {
        let place = self.place_of(number).ok()?;
        self.requests.get_mut(place).map(|(_, request)| request)
    }

    /// The number of the oldest request with this id.
    pub(super) fn number_of(&self, id: &OwnedId) -> Option<u32> {
        let has_id = |(_, request): &&(u32, ChannelRequest)| request.id.as_ref() == Some(id);
        self.requests.iter().find(has_id).map(|(number, _)| *number)
    }

    /// Adds a request with a number that is not there yet.
    pub(super) fn insert(&mut self, number: u32, request: ChannelRequest) {
        if self.requests.is_empty() {
            self.requests.reserve_exact(1);
        }
        let place = self.place_of(number).unwrap_or_else(|place| place);
        self.requests.insert(place, (number, request));
    }

    /// Takes a request out. A table that has become mostly empty frees its memory.
    pub(super) fn remove(&mut self, number: u32) -> Option<ChannelRequest> {
        let place = self.place_of(number).ok()?;
        let (_, request) = self.requests.remove(place)?;
        if self.requests.len() <= self.requests.capacity() / 4 {
            self.requests.shrink_to(2 * self.requests.len());
        }
        Some(request)
    }

    fn place_of(&self, number: u32) -> Result<usize, usize> {
        self.requests.binary_search_by_key(&number, |(of, _)| *of)
    }
}

impl IntoIterator for InFlight {
    type Item = (u32, ChannelRequest);
    type IntoIter = std::collections::vec_deque::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.requests.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{ChannelRequest, InFlight};
    use corelane_io::rng::Rng;
    use corelane_protocol::jsonrpc::OwnedId;

    fn request(id: u32) -> ChannelRequest {
        ChannelRequest {
            id: Some(OwnedId::Integer(i64::from(id))),
            call: None,
            stream: None,
            responses: Vec::new(),
        }
    }

    fn bytes(table: &InFlight) -> usize {
        table.requests.capacity() * size_of::<(u32, ChannelRequest)>()
    }

    #[test]
    fn it_is_a_sorted_map_for_any_order_of_numbers_and_ends() {
        let (mut rng, mut table) = (Rng::printed(), InFlight::default());
        let mut model = BTreeMap::new();
        let mut number = u32::MAX - 500;
        for _ in 0..5000 {
            if rng.below(2) == 0 || model.len() > 40 {
                // The oldest, or any other.
                let at = rng.below(2) * rng.below(model.len().max(1) as u64);
                let of = model.keys().nth(at as usize).copied();
                let of = of.unwrap_or(number);
                let removed = table.remove(of).map(|it| it.id);
                assert_eq!(removed, model.remove(&of));
            } else {
                number = number.wrapping_add(1);
                table.insert(number, request(number));
                model.insert(number, request(number).id);
            }
            let found: Vec<_> = table.iter().map(|(of, it)| (*of, it.id.clone())).collect();
            let expected: Vec<_> = model.clone().into_iter().collect();
            assert_eq!(found, expected);
            assert_eq!(table.contains(number), model.contains_key(&number));
            assert_eq!(table.get_mut(number).is_some(), table.contains(number));
        }
    }

    /// The memory of a client with a subscription, before and after a burst of requests.
    #[test]
    fn one_request_takes_the_memory_of_one_also_after_many() {
        const REQUEST_BYTES_MAX: usize = 88;
        let mut table = InFlight::default();
        table.insert(0, request(0));
        assert!(bytes(&table) <= REQUEST_BYTES_MAX, "{}", bytes(&table));
        (1..1000).for_each(|number| table.insert(number, request(number)));
        (1..1000).for_each(|number| drop(table.remove(number)));
        assert!(bytes(&table) <= 2 * REQUEST_BYTES_MAX, "{}", bytes(&table));
        drop(table.remove(0));
        assert_eq!(bytes(&table), 0);
    }
}
