//! The table of sessions without an endpoint around it.

use std::sync::LazyLock;

use super::eviction::{EVICTION_LOOKS_MAX, EVICTION_SAMPLE};
use super::*;
use crate::guard::holder::Holders;

const IDLE_TIMEOUT_MS: u64 = 1000;

fn limits(sessions_max: usize, per_principal_max: usize) -> SessionLimits {
    SessionLimits {
        sessions_max,
        per_principal_max,
        streams_max: 90,
        idle_timeout_ms: IDLE_TIMEOUT_MS,
        id_max_age_s: 0,
        ended_max: 1,
    }
}

fn sessions(sessions_max: usize) -> Sessions {
    sessions_within(limits(sessions_max, sessions_max))
}

fn sessions_within(limits: SessionLimits) -> Sessions {
    Sessions::new(3, limits, Arc::new(Sealer::random()))
}

/// The holder of a principal; all anonymous clients are one.
fn holder_of(principal: Option<&str>) -> HolderKey {
    static HOLDERS: LazyLock<Holders> = LazyLock::new(Holders::default);
    principal.map_or(HolderKey::ANONYMOUS, |name| HOLDERS.of_principal(name))
}

fn create_as(
    sessions: &mut Sessions,
    principal: Option<&str>,
    now_ms: u64,
) -> Result<SessionId, NoRoom> {
    let terms = (Revision::V2025_11_25, ClientCapabilities::default());
    let owner = (principal, holder_of(principal));
    let created = sessions.create(owner, terms, now_ms);
    created.map(|(id, _)| id)
}

fn create(sessions: &mut Sessions, now_ms: u64) -> Result<SessionId, NoRoom> {
    create_as(sessions, None, now_ms)
}

const BUSY: CallKey = CallKey {
    index: 0,
    generation: 0,
};

#[test]
fn a_session_is_found_until_it_is_removed() {
    let mut sessions = sessions(20);
    let ids: Vec<_> = (0..10).map(|_| create(&mut sessions, 0).unwrap()).collect();
    for id in &ids {
        assert_eq!(id.home, 3);
        assert_eq!(sessions.touch(*id, 1).unwrap().id, *id);
    }
    assert!(sessions.remove(ids[4]).is_some());
    assert!(sessions.touch(ids[4], 2).is_none());
    assert!(sessions.remove(ids[4]).is_none());
    assert_eq!(sessions.sessions.len(), 9);
}

#[test]
fn idle_sessions_expire_in_order_and_busy_ones_do_not() {
    let mut sessions = sessions(10);
    let old = create(&mut sessions, 0).unwrap();
    let busy = create(&mut sessions, 1).unwrap();
    let used = create(&mut sessions, 2).unwrap();
    sessions.begin_call(busy, BUSY);
    sessions.touch(used, 500);
    assert!(sessions.expire(IDLE_TIMEOUT_MS - 1).is_none());
    assert_eq!(sessions.expire(IDLE_TIMEOUT_MS + 2).unwrap().id, old);
    assert!(sessions.expire(IDLE_TIMEOUT_MS + 2).is_none());
    assert_eq!(sessions.expire(IDLE_TIMEOUT_MS + 500).unwrap().id, used);
    sessions.end_call(busy, BUSY, IDLE_TIMEOUT_MS + 500);
    assert_eq!(sessions.expire(IDLE_TIMEOUT_MS * 3).unwrap().id, busy);
    assert_eq!(sessions.sessions.len(), 0);
}

#[test]
fn past_a_lowered_limit_idle_sessions_go_one_at_a_time_and_busy_ones_stay() {
    let mut sessions = sessions(10);
    // Each of another client, so that none is at its share.
    let add = |sessions: &mut Sessions, at: u64| {
        let name = format!("client {at}");
        create_as(sessions, Some(&name), at)
    };
    let ids: Vec<_> = (0..10).map(|at| add(&mut sessions, at).unwrap()).collect();
    for busy in &ids[..3] {
        sessions.begin_call(*busy, BUSY);
    }
    sessions.set_limits(limits(5, 5));
    let mut evicted = Vec::new();
    while sessions.is_shrinking() {
        let before = sessions.len();
        evicted.extend(sessions.shrink(100).map(|session| session.id));
        assert!(before - sessions.len() <= 1);
    }
    assert_eq!(evicted, ids[3..8]);
    // Fewer than are busy: the others go, and it ends.
    sessions.set_limits(limits(1, 1));
    while sessions.is_shrinking() {
        sessions.shrink(200);
    }
    assert_eq!(sessions.len(), 3);
    assert!(add(&mut sessions, 300).is_err());
    sessions.set_limits(limits(20, 20));
    assert!(!sessions.is_shrinking());
    for at in 0..17 {
        add(&mut sessions, 400 + at).unwrap();
    }
    assert_eq!(sessions.len(), 20);
}

#[test]
fn at_the_cap_the_least_recently_used_idle_session_makes_room() {
    let mut sessions = sessions(3);
    let busy = create(&mut sessions, 0).unwrap();
    let first = create(&mut sessions, 1).unwrap();
    let second = create(&mut sessions, 2).unwrap();
    sessions.begin_call(busy, BUSY);
    sessions.touch(first, 3);
    let third = create(&mut sessions, 4).unwrap();
    assert!(sessions.find(second).is_none());
    for id in [busy, first, third] {
        sessions.begin_call(id, BUSY);
    }
    assert_eq!(create(&mut sessions, 5), Err(NoRoom::Shard { max: 3 }));
    assert_eq!(sessions.sessions.len(), 3);
}

#[test]
fn busy_sessions_in_front_do_not_hide_idle_ones_for_ever() {
    let busy_count = 2 * EVICTION_LOOKS_MAX;
    let mut sessions = sessions(busy_count + 1);
    for number in 0..busy_count {
        let name = number.to_string();
        let busy = create_as(&mut sessions, Some(&name), 0).unwrap();
        sessions.begin_call(busy, BUSY);
    }
    let idle = create(&mut sessions, 1).unwrap();
    let tries = (0..3).filter(|_| create(&mut sessions, 2).is_ok()).count();
    assert_eq!(tries, 1);
    assert!(sessions.find(idle).is_none());
}

/// A table of ample size for the shard, and of `per_principal_max` sessions for a principal.
fn capped(per_principal_max: usize) -> Sessions {
    sessions_within(limits(1000, per_principal_max))
}

#[test]
fn a_session_exists_for_its_principal_only() {
    let mut sessions = capped(10);
    let names = [None, Some("ann"), Some("bob"), Some("")];
    let ids = names.map(|name| (name, create_as(&mut sessions, name, 0).unwrap()));
    for (owner, id) in ids {
        for name in names.into_iter().chain([Some("an"), Some("Ann")]) {
            let found = sessions.touch_as(name, id, 1).is_some();
            assert_eq!(found, name == owner, "{owner:?} {name:?}");
        }
    }
}

#[test]
fn a_request_of_another_principal_does_not_use_a_session() {
    let mut sessions = capped(2);
    let first = create_as(&mut sessions, Some("ann"), 0).unwrap();
    let second = create_as(&mut sessions, Some("ann"), 1).unwrap();
    assert!(sessions.touch_as(Some("bob"), first, 2).is_none());
    create_as(&mut sessions, Some("ann"), 3).unwrap();
    assert!(sessions.find(first).is_none());
    assert!(sessions.find(second).is_some());
    assert!(sessions.touch_as(Some("bob"), second, 900).is_none());
    assert_eq!(sessions.expire(IDLE_TIMEOUT_MS + 1).unwrap().id, second);
}

#[test]
fn a_session_was_in_use_until_its_last_call_ended() {
    let mut sessions = capped(10);
    let id = create(&mut sessions, 0).unwrap();
    sessions.begin_call(id, BUSY);
    sessions.end_call(id, BUSY, IDLE_TIMEOUT_MS - 1);
    assert!(sessions.expire(2 * IDLE_TIMEOUT_MS - 2).is_none());
    assert_eq!(sessions.expire(2 * IDLE_TIMEOUT_MS - 1).unwrap().id, id);
}

#[test]
fn a_principal_at_its_cap_makes_room_among_its_own() {
    let mut sessions = capped(2);
    let stranger = create_as(&mut sessions, Some("bob"), 0).unwrap();
    let anonymous: Vec<_> = (0..5).map(|_| create(&mut sessions, 0).unwrap()).collect();
    let first = create_as(&mut sessions, Some("ann"), 1).unwrap();
    let second = create_as(&mut sessions, Some("ann"), 2).unwrap();
    sessions.begin_call(second, BUSY);
    sessions.touch(second, 3);
    sessions.touch(first, 4);
    let third = create_as(&mut sessions, Some("ann"), 5).unwrap();
    assert!(sessions.find(first).is_none());
    sessions.begin_call(third, BUSY);
    let refused = create_as(&mut sessions, Some("ann"), 6);
    assert_eq!(refused, Err(NoRoom::Principal { max: 2 }));
    sessions.end_call(second, BUSY, 6);
    create_as(&mut sessions, Some("ann"), 7).unwrap();
    assert!(sessions.find(second).is_none());
    for id in anonymous.into_iter().chain([stranger, third]) {
        assert!(
            sessions.find(id).is_some(),
            "never another's and never a busy one"
        );
    }
}

#[test]
fn a_cap_above_that_of_the_shard_has_no_effect() {
    let mut sessions = sessions_within(limits(2, 3));
    let stranger = create(&mut sessions, 0).unwrap();
    for now_ms in 1..4 {
        create_as(&mut sessions, Some("ann"), now_ms).unwrap();
    }
    assert!(sessions.find(stranger).is_none());
    assert_eq!(sessions.sessions.len(), 2);
}

#[test]
fn a_principal_without_sessions_is_forgotten() {
    let mut sessions = capped(1);
    for round in 0..100 {
        let name = format!("principal {round}");
        let id = create_as(&mut sessions, Some(&name), round).unwrap();
        let next = create_as(&mut sessions, Some(&name), round).unwrap();
        assert!(sessions.find(id).is_none());
        assert_eq!(sessions.principals.len(), 1);
        assert!(sessions.remove(next).is_some());
        assert_eq!(sessions.principals.len(), 0);
    }
    assert!(sessions.principals.capacity() < 20, "places are used again");
}

/// A session as the model knows it.
#[derive(Debug)]
struct Known {
    id: SessionId,
    principal: usize,
    calls: Vec<CallKey>,
    streams: u32,
    used: u64,
}

impl Known {
    fn is_busy(&self) -> bool {
        !self.calls.is_empty() || self.streams > 0
    }
}

fn exchange(sequence: u32) -> Exchange {
    Exchange {
        shard: 3,
        slot: corelane_io::slots::SlotKey {
            index: 0,
            generation: 0,
        },
        sequence,
        takes_events: true,
        is_on_channel: false,
    }
}

#[test]
fn a_holder_at_its_share_makes_room_among_its_own_and_leaves_some_to_others() {
    const MAX: usize = 90;
    let mut sessions = sessions(MAX);
    let others: Vec<SessionId> = ["ann", "bob", "cy", "dee", "eve"]
        .map(|name| create_as(&mut sessions, Some(name), 0).unwrap())
        .into();
    let mut used: Vec<SessionId> = Vec::new();
    for now_ms in 1..400 {
        let id = create(&mut sessions, now_ms).unwrap();
        // In use all the time, unlike the changing ones.
        if used.len() < 4 {
            used.push(id);
        }
        for id in &used {
            assert!(sessions.touch(*id, now_ms).is_some(), "{now_ms}");
        }
    }
    let held = sessions.shares.held_by(HolderKey::ANONYMOUS);
    assert!((70..=80).contains(&held), "{held} of {MAX}");
    for id in &others {
        assert!(sessions.find(*id).is_some(), "never another's");
    }
    // Others take the rest, and then one of them is evicted; the holder still has its own only.
    let crowd: Vec<String> = (0..MAX).map(|number| number.to_string()).collect();
    for name in &crowd[..MAX - held - others.len()] {
        create_as(&mut sessions, Some(name), 400).unwrap();
    }
    assert_eq!(sessions.sessions.len(), MAX);
    create(&mut sessions, 401).unwrap();
    assert_eq!(sessions.shares.held_by(HolderKey::ANONYMOUS), held);
    for id in &others {
        assert!(sessions.find(*id).is_some(), "never another's");
    }
}

#[test]
fn a_holder_whose_share_is_in_use_is_refused_and_others_are_not() {
    let mut sessions = sessions(90);
    let mut held = 0;
    let refused = loop {
        match create(&mut sessions, 0) {
            Ok(id) => sessions.begin_call(id, BUSY),
            Err(refused) => break refused,
        }
        held += 1;
    };
    assert_eq!(refused, NoRoom::Holder { held, max: 90 });
    assert_eq!(held, 80);
    let other = create_as(&mut sessions, Some("ann"), 0).unwrap();
    assert!(sessions.remove(other).is_some());
    let own = sessions.sessions.iter().next();
    let own = own.map(|(_, session)| session.id).unwrap();
    sessions.end_call(own, BUSY, 1);
    // A sample at a time, so that the used ones do not hide it for ever.
    let tries = 0..held.div_ceil(EVICTION_SAMPLE);
    let made = tries.filter(|_| create(&mut sessions, 2).is_ok());
    assert_eq!(made.count(), 1);
    assert!(sessions.find(own).is_none());
}

#[test]
fn the_sessions_of_a_holder_have_a_share_of_the_streams() {
    let mut sessions = sessions(1000);
    let own: Vec<SessionId> = (0..20).map(|_| create(&mut sessions, 0).unwrap()).collect();
    let other = create_as(&mut sessions, Some("ann"), 0).unwrap();
    let open = |sequence| OpenStream {
        stream: None,
        exchange: exchange(sequence),
    };
    for sequence in 0..80 {
        let id = own[sequence as usize % own.len()];
        assert!(!sessions.is_at_stream_share(id), "{sequence}");
        sessions.open_stream(id, open(sequence));
    }
    assert!(sessions.is_at_stream_share(own[0]) && !sessions.is_at_stream_share(other));
    // Losing one twice counts once.
    sessions.lose_stream(own[0], exchange(0));
    sessions.lose_stream(own[0], exchange(0));
    assert_eq!(sessions.stream_shares.held_by(HolderKey::ANONYMOUS), 79);
    for id in own {
        assert!(sessions.remove(id).is_some());
    }
    assert_eq!(sessions.stream_shares.used(), 0);
}

/// For any sequence of uses, the evicted session is the one that a search would find.
#[test]
fn the_session_that_makes_room_is_that_of_the_model() {
    const NAMES: [&str; 3] = ["ann", "bob", "cy"];
    const PER_PRINCIPAL_MAX: usize = 5;
    let mut rng = corelane_io::rng::Rng::printed();
    let mut sessions = capped(PER_PRINCIPAL_MAX);
    let mut model: Vec<Known> = Vec::new();
    let (mut evictions, mut refusals) = (0, 0);
    for now in 0..20_000_u64 {
        let at = (!model.is_empty()).then(|| rng.below(model.len() as u64) as usize);
        match (rng.below(8), at) {
            (0 | 1, _) => {
                let principal = rng.below(NAMES.len() as u64) as usize;
                let own = model.iter().filter(|it| it.principal == principal);
                let is_full = own.clone().count() == PER_PRINCIPAL_MAX;
                let oldest = own.filter(|it| !it.is_busy()).min_by_key(|it| it.used);
                let oldest = oldest.map(|it| it.id).filter(|_| is_full);
                let terms = (Revision::V2025_11_25, ClientCapabilities::default());
                let name = Some(NAMES[principal]);
                match sessions.create((name, holder_of(name)), terms, now) {
                    Ok((id, evicted)) => {
                        let evicted = evicted.map(|session| session.id);
                        assert_eq!(evicted, oldest);
                        evictions += usize::from(evicted.is_some());
                        model.retain(|it| Some(it.id) != evicted);
                        model.push(Known {
                            id,
                            principal,
                            calls: Vec::new(),
                            streams: 0,
                            used: now,
                        });
                    }
                    Err(refused) => {
                        let max = PER_PRINCIPAL_MAX;
                        assert_eq!(refused, NoRoom::Principal { max });
                        assert!(is_full && oldest.is_none());
                        refusals += 1;
                    }
                }
            }
            (kind, Some(at)) => step(&mut sessions, &mut model, (kind, at), now),
            _ => {}
        }
        assert_eq!(sessions.sessions.len(), model.len());
    }
    assert!(evictions > 100 && refusals > 10, "{evictions} {refusals}");
}

/// Something happens to the session at `at`.
fn step(sessions: &mut Sessions, model: &mut Vec<Known>, (kind, at): (u64, usize), now: u64) {
    let known = &mut model[at];
    let id = known.id;
    let was_busy = known.is_busy();
    let key = CallKey {
        index: now as u32,
        generation: 1,
    };
    match kind {
        2 => {
            assert!(sessions.touch(id, now).is_some());
            known.used = now;
        }
        3 => {
            sessions.begin_call(id, key);
            known.calls.push(key);
        }
        4 | 5 => {
            if let Some(call) = known.calls.pop() {
                sessions.end_call(id, call, now);
            }
        }
        6 => {
            known.streams = 1 - known.streams;
            let (stream, exchange) = (None, exchange(id.random as u32));
            match known.streams {
                1 => sessions.open_stream(id, OpenStream { stream, exchange }),
                _ => sessions.lose_stream(id, exchange),
            }
        }
        _ if known.used.is_multiple_of(4) => {
            assert!(sessions.remove(id).is_some());
            model.remove(at);
            return;
        }
        _ => {}
    }
    // One that becomes idle was in use until now.
    if was_busy && !known.is_busy() {
        known.used = now;
    }
}
