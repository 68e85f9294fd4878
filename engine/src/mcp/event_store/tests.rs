//! Each rule of the store, and all of them together against a model that is slow and plain.

mod model;

use super::{
    EVENT_OVERHEAD_BYTES, EventDrops, EventId, EventLimits, EventStore, ReplayError,
    STREAM_OVERHEAD_BYTES, StreamId,
};
use crate::guard::holder::{HolderKey, Holders};
use crate::mcp::session_id::SessionId;

/// The holder of streams in tests about other limits.
const ANYONE: HolderKey = HolderKey::ANONYMOUS;

const LIMITS: EventLimits = EventLimits {
    bytes_max: 1_000_000,
    bytes_per_session_max: 100_000,
    events_per_stream_max: 100,
    streams_per_session_max: 10,
};

fn store(limits: EventLimits) -> EventStore {
    EventStore::new(3, limits)
}

fn session(number: u128) -> SessionId {
    SessionId {
        home: 3,
        random: number,
    }
}

/// The counted bytes of `streams` with `events` of `message_bytes` each.
fn cost(streams: usize, events: usize, message_bytes: usize) -> usize {
    streams * STREAM_OVERHEAD_BYTES + events * (EVENT_OVERHEAD_BYTES + message_bytes)
}

/// The limit of a shard of which a single holder may have `bytes`: eight ninths.
fn limit_of_one_holder(bytes: usize) -> usize {
    bytes + bytes.div_ceil(8)
}

/// Begins a stream with its first event and `events` messages of one byte: 1, 2 and so on.
fn filled(store: &mut EventStore, owner: SessionId, events: u8) -> StreamId {
    filled_by(store, (owner, ANYONE), events)
}

/// The same for a session of `holder`.
fn filled_by(
    store: &mut EventStore,
    (owner, holder): (SessionId, HolderKey),
    events: u8,
) -> StreamId {
    let stream = store.begin(owner, holder);
    store.append(stream, b"").unwrap();
    for number in 1..=events {
        store.append(stream, &[number]).unwrap();
    }
    stream
}

type Replayed = Result<(Vec<(u64, Vec<u8>)>, bool), ReplayError>;

fn replayed(store: &EventStore, stream: StreamId, after: u64) -> Replayed {
    let replay = store.replay(stream, after)?;
    let is_finished = replay.is_finished();
    let events = replay.map(|(id, message)| {
        assert_eq!((id.home, id.stream), (3, stream));
        (id.sequence, message.to_vec())
    });
    Ok((events.collect(), is_finished))
}

fn ones(sequences: std::ops::RangeInclusive<u8>) -> Vec<(u64, Vec<u8>)> {
    sequences
        .map(|number| (u64::from(number), vec![number]))
        .collect()
}

#[test]
fn a_stream_is_replayed_from_after_the_event_the_client_saw_last() {
    let mut store = store(LIMITS);
    let one = filled(&mut store, session(1), 3);
    let other = filled(&mut store, session(1), 5);
    for after in 0..=3 {
        let rest = ones(after as u8 + 1..=3);
        assert_eq!(replayed(&store, one, after), Ok((rest, false)));
    }
    assert_eq!(replayed(&store, other, 4), Ok((ones(5..=5), false)));
    assert_eq!(store.drops(), EventDrops::default());
}

#[test]
fn a_lowered_limit_drops_the_oldest_events_one_at_a_time_and_counts_them() {
    let mut store = store(LIMITS);
    let one = filled(&mut store, session(1), 3);
    let other = filled(&mut store, session(2), 3);
    assert!(!store.is_shrinking());
    store.set_limits(EventLimits {
        bytes_max: limit_of_one_holder(cost(1, 3, 1)),
        events_per_stream_max: 2,
        ..LIMITS
    });
    let mut steps = 0;
    while store.is_shrinking() {
        store.shrink();
        steps += 1;
    }
    // Three events of the first stream, and its place.
    assert_eq!(steps, 4);
    let dropped = EventDrops {
        events: 3,
        streams: 1,
    };
    assert_eq!(store.drops(), dropped);
    assert!(replayed(&store, one, 0).is_err());
    assert_eq!(replayed(&store, other, 0), Ok((ones(1..=3), false)));
    // The next event of a stream with too many takes the place of two.
    store.append(other, &[4]).unwrap();
    assert_eq!(replayed(&store, other, 2), Ok((ones(3..=4), false)));
    assert_eq!(store.drops().events, 5);
}

#[test]
fn ids_name_home_stream_and_sequence_and_streams_are_never_named_again() {
    let mut store = store(LIMITS);
    let first = store.begin(session(1), ANYONE);
    let mut texts = std::collections::HashSet::new();
    for sequence in 0..3 {
        let id = store.append(first, b"x").unwrap();
        assert_eq!((id.home, id.stream, id.sequence), (3, first, sequence));
        assert!(texts.insert(id.to_text()));
    }
    store.cancel(first);
    assert_ne!(store.begin(session(1), ANYONE), first);
}

#[test]
fn an_event_that_never_was_is_unknown() {
    let mut store = store(LIMITS);
    let stream = store.begin(session(1), ANYONE);
    assert_eq!(replayed(&store, stream, 0), Err(ReplayError::Unknown));
    store.append(stream, b"");
    assert_eq!(replayed(&store, stream, 0), Ok((vec![], false)));
    for after in [1, 2, u64::MAX] {
        assert_eq!(replayed(&store, stream, after), Err(ReplayError::Unknown));
    }
    let never_begun = StreamId(stream.0 + 1);
    assert_eq!(replayed(&store, never_begun, 0), Err(ReplayError::Unknown));
}

#[test]
fn a_finished_stream_ends_its_replay_and_takes_no_more() {
    let mut store = store(LIMITS);
    let stream = filled(&mut store, session(1), 2);
    store.finish(stream);
    store.finish(stream);
    assert_eq!(store.append(stream, b"late"), None);
    assert_eq!(replayed(&store, stream, 1), Ok((ones(2..=2), true)));
    assert_eq!(replayed(&store, stream, 2), Ok((vec![], true)));
}

#[test]
fn a_priming_event_in_the_middle_is_replayed_empty() {
    let mut store = store(LIMITS);
    let stream = filled(&mut store, session(1), 1);
    store.append(stream, b"");
    let (events, _) = replayed(&store, stream, 0).unwrap();
    assert_eq!(events, [(1, vec![1]), (2, vec![])]);
}

#[test]
fn the_owner_is_known_as_long_as_the_stream() {
    let mut store = store(LIMITS);
    let stream = filled(&mut store, session(7), 1);
    assert_eq!(store.owner_of(stream), Some(session(7)));
    store.forget_owner(session(7));
    assert_eq!(store.owner_of(stream), None);
    assert_eq!(replayed(&store, stream, 0), Err(ReplayError::Unknown));
    assert_eq!(store.append(stream, b"x"), None);
}

#[test]
fn forgetting_an_owner_forgets_its_streams_and_no_others() {
    let mut store = store(LIMITS);
    let gone: Vec<_> = (0..4).map(|_| filled(&mut store, session(1), 2)).collect();
    let kept = filled(&mut store, session(2), 2);
    store.finish(gone[2]);
    store.forget_owner(session(1));
    store.forget_owner(session(1));
    for stream in gone {
        assert_eq!(store.owner_of(stream), None);
    }
    assert_eq!(store.owner_of(kept), Some(session(2)));
    assert_eq!(store.bytes(), cost(1, 2, 1));
    assert_eq!(store.drops(), EventDrops::default());
}

#[test]
fn a_store_without_streams_owns_nothing() {
    let mut store = store(LIMITS);
    for _ in 0..2 {
        for number in 0..100 {
            filled(&mut store, session(number % 20), 10);
        }
        assert_eq!(store.bytes(), cost(100, 1000, 1));
        for number in 0..20 {
            store.forget_owner(session(number));
        }
        assert_eq!(store.bytes(), 0);
        assert_eq!(store.streams.capacity() + store.owners.capacity(), 0);
        assert_eq!(store.by_number.capacity() + store.by_session.capacity(), 0);
    }
}

#[test]
fn a_full_stream_loses_its_oldest_event() {
    let mut store = store(EventLimits {
        events_per_stream_max: 3,
        ..LIMITS
    });
    let stream = filled(&mut store, session(1), 5);
    assert_eq!(replayed(&store, stream, 2), Ok((ones(3..=5), false)));
    assert_eq!(replayed(&store, stream, 1), Err(ReplayError::Evicted));
    assert_eq!(store.drops().events, 2);
}

#[test]
fn finished_streams_go_before_open_ones_and_idle_longest_first() {
    let mut store = store(EventLimits {
        bytes_max: limit_of_one_holder(cost(4, 8, 1)),
        ..LIMITS
    });
    let open = filled(&mut store, session(1), 2);
    let [late, early] = [2, 3].map(|owner| filled(&mut store, session(owner), 2));
    store.finish(early);
    store.finish(late);
    let busy = filled(&mut store, session(4), 2);
    store.append(busy, b"x");
    assert_eq!(replayed(&store, early, 0), Err(ReplayError::Evicted));
    assert_eq!(replayed(&store, early, 1), Ok((ones(2..=2), true)));
    store.append(busy, b"x");
    assert_eq!(replayed(&store, early, 2), Ok((vec![], true)));
    store.append(busy, b"x");
    assert_eq!(store.owner_of(early), None);
    // The place of a stream takes the bytes of some events more.
    let room = STREAM_OVERHEAD_BYTES / cost(0, 1, 1);
    for _ in 0..room {
        assert_eq!(replayed(&store, late, 0), Ok((ones(1..=2), true)));
        store.append(busy, b"x");
    }
    assert_eq!(replayed(&store, late, 0), Err(ReplayError::Evicted));
    assert_eq!(replayed(&store, open, 0), Ok((ones(1..=2), false)));
    assert_eq!(replayed(&store, busy, 0).unwrap().0.len(), 2 + 3 + room);
}

#[test]
fn a_session_at_its_limit_of_bytes_loses_its_own() {
    let mut store = store(EventLimits {
        bytes_per_session_max: cost(2, 4, 1),
        ..LIMITS
    });
    let other = filled(&mut store, session(2), 2);
    let idle = filled(&mut store, session(1), 2);
    let busy = filled(&mut store, session(1), 3);
    assert_eq!(replayed(&store, idle, 0), Err(ReplayError::Evicted));
    assert_eq!(replayed(&store, busy, 0), Ok((ones(1..=3), false)));
    assert_eq!(replayed(&store, other, 0), Ok((ones(1..=2), false)));
}

#[test]
fn a_session_at_its_limit_of_streams_loses_the_one_that_goes_first() {
    let mut store = store(EventLimits {
        streams_per_session_max: 2,
        ..LIMITS
    });
    let other = filled(&mut store, session(2), 1);
    let open = filled(&mut store, session(1), 1);
    let finished = filled(&mut store, session(1), 1);
    store.finish(finished);
    let third = filled(&mut store, session(1), 1);
    assert_eq!(store.owner_of(finished), None);
    let fourth = filled(&mut store, session(1), 1);
    assert_eq!(store.owner_of(open), None);
    for kept in [other, third, fourth] {
        assert_eq!(replayed(&store, kept, 0), Ok((ones(1..=1), false)));
    }
    let lost = EventDrops {
        events: 2,
        streams: 2,
    };
    assert_eq!(store.drops(), lost);
}

#[test]
fn an_event_beyond_the_limit_costs_no_other_stream() {
    let mut store = store(EventLimits {
        bytes_per_session_max: cost(2, 4, 1),
        ..LIMITS
    });
    let neighbour = filled(&mut store, session(1), 1);
    let stream = filled(&mut store, session(1), 2);
    let id = store.append(stream, &[0; 10_000]).unwrap();
    assert_eq!(replayed(&store, stream, 2), Err(ReplayError::Evicted));
    assert_eq!(replayed(&store, stream, id.sequence), Ok((vec![], false)));
    assert_eq!(replayed(&store, neighbour, 0), Ok((ones(1..=1), false)));
    assert_eq!(store.append(stream, b"x").unwrap().sequence, 4);
    assert_eq!(replayed(&store, stream, 3).unwrap().0.len(), 1);
}

#[test]
fn limits_without_room_for_a_stream_keep_nothing() {
    let too_little = STREAM_OVERHEAD_BYTES - 1;
    for limits in [
        EventLimits {
            bytes_max: too_little,
            ..LIMITS
        },
        EventLimits {
            bytes_per_session_max: too_little,
            ..LIMITS
        },
        EventLimits {
            streams_per_session_max: 0,
            ..LIMITS
        },
    ] {
        let mut store = store(limits);
        let stream = store.begin(session(1), ANYONE);
        assert_eq!(store.append(stream, b""), None);
        assert_eq!(replayed(&store, stream, 0), Err(ReplayError::Unknown));
        assert_eq!(store.bytes(), 0);
    }
}

#[test]
fn a_drained_queue_gives_its_memory_back() {
    let mut store = store(LIMITS);
    let stream = filled(&mut store, session(1), 100);
    let index = store.index_of(stream).unwrap();
    for kept in (0..100).rev() {
        assert!(store.drop_event(index));
        let capacity = store.streams[index as usize].events.capacity();
        assert!(capacity <= 3 * kept + super::EVENT_SLOTS_MIN, "{capacity}");
    }
}

#[test]
fn events_that_are_withdrawn_leave_nothing_behind_and_those_before_them_stay() {
    for from in 0..=3 {
        let mut store = store(LIMITS);
        let stream = filled(&mut store, session(1), 3);
        let event = |sequence: u8| EventId {
            home: 3,
            stream,
            sequence: sequence.into(),
        };
        let behind: Vec<Box<[u8]>> = (from + 1..=3).map(|number| [number].into()).collect();
        assert_eq!(store.withdraw(event(from)), Some(behind));
        assert_eq!(store.withdraw(event(from)), None);
        assert_eq!(store.withdraw(event(3)), None);
        let kept = from.saturating_sub(1);
        assert_eq!(store.bytes(), cost(1, kept.into(), 1));
        if from > 0 {
            let before = (1..from).map(|number| (u64::from(number), vec![number]));
            let before = before.collect();
            assert_eq!(replayed(&store, stream, 0), Ok((before, false)));
        }
        assert_eq!(store.append(stream, &[9]), Some(event(from)));
    }
}

#[test]
fn of_a_cancelled_stream_only_its_place_is_kept_and_nothing_is_replayed() {
    let mut store = store(LIMITS);
    let stream = filled(&mut store, session(1), 3);
    store.cancel(stream);
    assert_eq!(store.bytes(), cost(1, 0, 0));
    for after in 0..=3 {
        assert_eq!(replayed(&store, stream, after), Ok((vec![], true)));
    }
    assert_eq!(replayed(&store, stream, 4), Err(ReplayError::Unknown));
    assert_eq!(store.append(stream, b"late"), None);
    assert_eq!(store.drops(), EventDrops::default());
    store.cancel(stream);
    assert_eq!(store.bytes(), cost(1, 0, 0));
}

#[test]
fn a_holder_past_its_share_loses_its_own_events_and_no_other_does() {
    let mut store = store(EventLimits {
        bytes_max: 9 * cost(1, 1, 1000),
        ..LIMITS
    });
    let holders = Holders::default();
    let [greedy, other] = ["ann", "bob"].map(|name| holders.of_principal(name));
    let theirs = filled_by(&mut store, (session(0), other), 1);
    store.finish(theirs);
    let begun: Vec<StreamId> = (1..=30)
        .map(|number| {
            let stream = store.begin(session(number), greedy);
            store.append(stream, b"").unwrap();
            store.append(stream, &[7; 1000]).unwrap();
            stream
        })
        .collect();
    assert_eq!(replayed(&store, theirs, 0), Ok((ones(1..=1), true)));
    let is_kept = |stream: &&StreamId| replayed(&store, **stream, 0).is_ok();
    let kept: Vec<_> = begun.iter().filter(is_kept).copied().collect();
    assert_eq!(
        kept,
        begun[30 - 7..],
        "its newest, eight ninths of the whole"
    );
}

#[test]
fn the_holder_furthest_past_its_share_makes_room_for_the_others() {
    let mut store = store(EventLimits {
        bytes_max: 9 * cost(1, 1, 10_000),
        ..LIMITS
    });
    let holders = Holders::default();
    let [greedy, other] = ["ann", "bob"].map(|name| holders.of_principal(name));
    let theirs = filled_by(&mut store, (session(0), other), 1);
    store.finish(theirs);
    let send = |store: &mut EventStore, number: u128, holder, bytes: usize| {
        let stream = store.begin(session(number), holder);
        store.append(stream, b"").unwrap();
        store.append(stream, &vec![7; bytes]).unwrap();
        stream
    };
    for number in 1..=10 {
        send(&mut store, number, greedy, 10_000);
    }
    for number in 20..24 {
        let newcomer = holders.of_principal(&number.to_string());
        let stream = send(&mut store, number, newcomer, 8000);
        assert_eq!(replayed(&store, stream, 0).map(|it| it.0.len()), Ok(1));
    }
    assert_eq!(replayed(&store, theirs, 0), Ok((ones(1..=1), true)));
}

#[test]
fn an_event_larger_than_a_share_is_kept_in_a_store_full_of_small_holders() {
    let mut store = store(EventLimits {
        bytes_max: 100 * cost(1, 1, 1000),
        bytes_per_session_max: cost(1, 1, 20_000),
        ..LIMITS
    });
    let holders = Holders::default();
    for number in 0..100 {
        let small = holders.of_principal(&number.to_string());
        let stream = store.begin(session(number), small);
        store.append(stream, b"").unwrap();
        store.append(stream, &[7; 1000]).unwrap();
    }
    let large = holders.of_principal("large");
    let stream = store.begin(session(1000), large);
    store.append(stream, b"").unwrap();
    store.append(stream, &[7; 20_000]).unwrap();
    assert_eq!(replayed(&store, stream, 0).map(|it| it.0.len()), Ok(1));
    let before = store.drops();
    store.append(stream, &[8; 20_000]).unwrap();
    assert_eq!(replayed(&store, stream, 0), Err(ReplayError::Evicted));
    assert_eq!(replayed(&store, stream, 1).map(|it| it.0.len()), Ok(1));
    assert_eq!(store.drops().events, before.events + 1, "its own goes next");
}
