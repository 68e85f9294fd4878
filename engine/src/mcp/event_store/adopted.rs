//! Streams of a process before this one.

use super::{EventStore, StreamId};
use crate::guard::holder::HolderKey;
use crate::mcp::session_id::SessionId;

impl EventStore {
    /// The sequence of the next event of a stream that is kept and open.
    pub(crate) fn next_of(&self, stream: StreamId) -> Option<u64> {
        let stream = &self.streams[self.index_of(stream)? as usize];
        (!stream.is_finished).then(|| stream.next())
    }

    /// Continues a stream of a process before this one with this sequence: none of its events is
    /// kept. It has another number than all streams here; otherwise it is not kept.
    pub(crate) fn adopt(
        &mut self,
        (owner, holder): (SessionId, HolderKey),
        (number, next): (u64, u64),
    ) -> StreamId {
        let present = std::mem::replace(&mut self.next_number, number);
        let is_new = self.index_of(StreamId(number)).is_none();
        let stream = match is_new {
            true => self.begin(owner, holder),
            false => StreamId(number),
        };
        self.next_number = self.next_number.max(present);
        if let Some(index) = self.index_of(stream).filter(|_| is_new) {
            self.streams[index as usize].first = next;
        }
        stream
    }
}

#[cfg(test)]
mod tests {
    use super::super::{EventLimits, EventStore, ReplayError};
    use crate::guard::holder::HolderKey;
    use crate::mcp::session_id::SessionId;

    #[test]
    fn a_stream_goes_on_with_its_numbers_and_without_its_events() {
        let mut store = EventStore::new(
            0,
            EventLimits {
                bytes_max: 1 << 20,
                bytes_per_session_max: 1 << 20,
                events_per_stream_max: 9,
                streams_per_session_max: 9,
            },
        );
        let of = (SessionId { home: 0, random: 1 }, HolderKey::ANONYMOUS);
        let adopted = store.adopt(of, (1 << 40, 5));
        assert_eq!((adopted.0, store.next_of(adopted)), (1 << 40, Some(5)));
        let event = store.append(adopted, b"five").expect("it is kept");
        assert_eq!((event.stream, event.sequence), (adopted, 5));
        let kept = |after| store.replay(adopted, after).map(Iterator::count);
        assert_eq!((kept(4), kept(5)), (Ok(1), Ok(0)));
        assert_eq!(kept(3), Err(ReplayError::Evicted));
        assert_eq!(kept(6), Err(ReplayError::Unknown));
        // No later stream has its number, and a second one with it is another client's.
        assert_eq!(store.begin(of.0, of.1).0, (1 << 40) + 1);
        let twice = (SessionId { home: 0, random: 2 }, HolderKey::ANONYMOUS);
        store.adopt(twice, (1 << 40, 9));
        assert_eq!(store.owner_of(adopted), Some(of.0));
        assert_eq!(store.next_of(adopted), Some(6));
        store.finish(adopted);
        assert_eq!(store.next_of(adopted), None);
    }
}
