//! The store against a model of it: vectors that are searched from end to end.

use super::{
    EVENT_OVERHEAD_BYTES, EventDrops, EventLimits, EventStore, ReplayError, Replayed,
    STREAM_OVERHEAD_BYTES, StreamId, replayed, session,
};
use crate::guard::holder::{HolderKey, Holders};
use crate::guard::shares::share_of;
use corelane_io::rng::Rng;
use std::sync::LazyLock;

/// Whether a stream of this owner is meant.
type Of<'a> = &'a dyn Fn(u128) -> bool;

/// The holder of a session: two sessions have the same one.
fn holder_of(owner: u128) -> HolderKey {
    static HOLDERS: LazyLock<Holders> = LazyLock::new(Holders::default);
    HOLDERS.of_principal(&(owner / 2).to_string())
}

struct Model {
    limits: EventLimits,
    /// In the order of use.
    streams: Vec<ModelStream>,
    drops: EventDrops,
}

struct ModelStream {
    id: StreamId,
    owner: u128,
    is_finished: bool,
    is_cancelled: bool,
    sent: u64,
    events: Vec<(u64, Vec<u8>)>,
}

impl ModelStream {
    fn bytes(&self) -> usize {
        let events = self.events.iter();
        let costs = events.map(|(_, message)| EVENT_OVERHEAD_BYTES + message.len());
        STREAM_OVERHEAD_BYTES + costs.sum::<usize>()
    }
}

impl Model {
    fn bytes_of(&self, of: Of<'_>) -> usize {
        let counted = self.streams.iter().filter(|stream| of(stream.owner));
        counted.map(ModelStream::bytes).sum()
    }

    fn bytes(&self) -> usize {
        self.bytes_of(&|_| true)
    }

    /// The bytes that each holder may have.
    fn share(&self) -> usize {
        let bytes_max = self.limits.bytes_max;
        share_of(bytes_max, bytes_max.min(self.bytes()))
    }

    fn at(&self, id: StreamId) -> Option<usize> {
        self.streams.iter().position(|stream| stream.id == id)
    }

    /// Moves a stream to the end and returns it.
    fn touch(&mut self, at: usize) -> &mut ModelStream {
        self.streams[at..].rotate_left(1);
        self.streams.last_mut().expect("a stream was just moved")
    }

    fn first_to_go(&self, of: Of<'_>) -> usize {
        let goes = |finished: bool| {
            let mut streams = self.streams.iter();
            streams.position(|stream| of(stream.owner) && stream.is_finished == finished)
        };
        goes(true).or_else(|| goes(false)).expect("a stream exists")
    }

    fn drop_stream(&mut self, at: usize) {
        self.drops.streams += 1;
        self.drops.events += self.streams.remove(at).events.len() as u64;
    }

    /// Makes room after a change of the last stream.
    fn make_room(&mut self, owner: u128) {
        let own = |other| other == owner;
        while self.bytes_of(&own) > self.limits.bytes_per_session_max {
            self.drop_from(self.first_to_go(&own));
        }
        let holder = holder_of(owner);
        let own = |other| holder_of(other) == holder;
        while self.bytes_of(&own) > self.share() {
            let at = self.first_to_go(&own);
            if at + 1 == self.streams.len() && self.streams[at].events.len() <= 1 {
                break;
            }
            self.drop_from(at);
        }
        while self.bytes() > self.limits.bytes_max {
            let held = |it: HolderKey| self.bytes_of(&|owner| holder_of(owner) == it);
            let others = self.streams.iter().map(|stream| holder_of(stream.owner));
            let others = others.filter(|it| *it != holder && held(*it) > self.share());
            let largest = others.max_by_key(|it| (held(*it), *it));
            let of = |owner| largest.is_none_or(|it| holder_of(owner) == it);
            self.drop_from(self.first_to_go(&of));
        }
    }

    fn drop_from(&mut self, at: usize) {
        if self.streams[at].events.is_empty() {
            self.drop_stream(at);
        } else {
            self.streams[at].events.remove(0);
            self.drops.events += 1;
        }
    }

    fn begin(&mut self, id: StreamId, owner: u128) {
        self.streams.push(ModelStream {
            id,
            owner,
            is_finished: false,
            is_cancelled: false,
            sent: 0,
            events: Vec::new(),
        });
        let of_owner = self.streams.iter().filter(|stream| stream.owner == owner);
        if of_owner.count() > self.limits.streams_per_session_max {
            self.drop_stream(self.first_to_go(&|other| other == owner));
        }
        self.make_room(owner);
    }

    fn append(&mut self, id: StreamId, message: &[u8]) -> Option<u64> {
        let at = self.at(id)?;
        if self.streams[at].is_finished {
            return None;
        }
        let EventLimits {
            bytes_max,
            bytes_per_session_max,
            events_per_stream_max,
            ..
        } = self.limits;
        let stream = self.touch(at);
        let sequence = stream.sent;
        stream.sent += 1;
        let alone = STREAM_OVERHEAD_BYTES + EVENT_OVERHEAD_BYTES + message.len();
        if sequence == 0 {
            return Some(sequence);
        }
        if alone > bytes_max.min(bytes_per_session_max) {
            let kept = std::mem::take(&mut stream.events);
            self.drops.events += kept.len() as u64 + 1;
            return Some(sequence);
        }
        let is_full = stream.events.len() == events_per_stream_max;
        if is_full {
            stream.events.remove(0);
        }
        stream.events.push((sequence, message.to_vec()));
        let owner = stream.owner;
        self.drops.events += u64::from(is_full);
        self.make_room(owner);
        Some(sequence)
    }

    fn finish(&mut self, id: StreamId) {
        if let Some(at) = self.at(id) {
            self.touch(at).is_finished = true;
        }
    }

    fn cancel(&mut self, id: StreamId) {
        if let Some(at) = self.at(id) {
            let stream = self.touch(at);
            (stream.is_finished, stream.is_cancelled) = (true, true);
            stream.events.clear();
        }
    }

    fn replay(&self, id: StreamId, after: u64) -> Replayed {
        let stream = &self.streams[self.at(id).ok_or(ReplayError::Unknown)?];
        if after >= stream.sent {
            return Err(ReplayError::Unknown);
        }
        if stream.is_cancelled {
            return Ok((Vec::new(), true));
        }
        let later = stream.events.iter().filter(|(at, _)| *at > after);
        let later: Vec<_> = later.cloned().collect();
        if later.len() as u64 != stream.sent - after - 1 {
            return Err(ReplayError::Evicted);
        }
        Ok((later, stream.is_finished))
    }
}

fn agree(store: &EventStore, model: &Model, ids: &[StreamId]) {
    assert_eq!(store.bytes(), model.bytes());
    assert!(store.bytes() <= model.limits.bytes_max);
    assert_eq!(store.drops(), model.drops);
    assert_eq!(store.streams.len(), model.streams.len());
    assert_eq!(store.by_number.len(), store.streams.len());
    assert_eq!(store.by_session.len(), store.owners.len());
    for (_, owner) in &store.owners {
        assert!(owner.bytes <= model.limits.bytes_per_session_max);
        assert!(owner.streams <= model.limits.streams_per_session_max);
        assert!(owner.streams > 0);
        assert_eq!(
            owner.bytes,
            model.bytes_of(&|other| other == owner.session.random)
        );
    }
    for id in ids {
        let owner = model.at(*id).map(|at| session(model.streams[at].owner));
        assert_eq!(store.owner_of(*id), owner);
        let sent = model.at(*id).map_or(0, |at| model.streams[at].sent);
        for after in 0..=sent {
            assert_eq!(replayed(store, *id, after), model.replay(*id, after));
        }
    }
}

fn play(rng: &mut Rng, limits: EventLimits) {
    const OWNERS: u64 = 5;
    let mut store = super::store(limits);
    let mut model = Model {
        limits,
        streams: Vec::new(),
        drops: EventDrops::default(),
    };
    let mut ids: Vec<StreamId> = Vec::new();
    for _ in 0..300 {
        let owner = u128::from(rng.below(OWNERS));
        let recent = ids.len().saturating_sub(20);
        let id = (ids.len() > recent)
            .then(|| ids[recent + rng.below((ids.len() - recent) as u64) as usize]);
        match (rng.below(20), id) {
            (0..3, _) | (_, None) => {
                let id = store.begin(session(owner), holder_of(owner));
                model.begin(id, owner);
                ids.push(id);
            }
            (3..5, Some(id)) => {
                store.finish(id);
                model.finish(id);
            }
            (5, Some(id)) => {
                store.cancel(id);
                model.cancel(id);
            }
            (6, _) if rng.below(8) == 0 => {
                store.forget_owner(session(owner));
                model.streams.retain(|stream| stream.owner != owner);
            }
            (_, Some(id)) => {
                let bytes = rng.below(60) * rng.below(60) / 8;
                let message = vec![rng.below(256) as u8; bytes as usize];
                let named = store.append(id, &message).map(|id| id.sequence);
                assert_eq!(named, model.append(id, &message));
            }
        }
        agree(&store, &model, &ids[ids.len().saturating_sub(20)..]);
    }
    for owner in 0..OWNERS {
        store.forget_owner(session(u128::from(owner)));
    }
    assert_eq!(store.bytes(), 0);
    assert!(store.streams.is_empty() && store.owners.is_empty());
}

#[test]
fn agrees_with_the_model_under_random_use() {
    let mut rng = Rng::printed();
    for _ in 0..60 {
        let limits = EventLimits {
            bytes_max: 500 + rng.below(8_000) as usize,
            bytes_per_session_max: 500 + rng.below(4_000) as usize,
            events_per_stream_max: 1 + rng.below(12) as usize,
            streams_per_session_max: 1 + rng.below(5) as usize,
        };
        play(&mut rng, limits);
    }
}
