//! Tests of the sessions with an upstream.

use corelane_protocol::mcp::legacy_session::{SessionFault, SessionRequest};
use corelane_protocol::mcp::revision::Revision;

use super::{Admitted, SessionLimits, UpstreamSessions};

const LIMITS: SessionLimits = SessionLimits {
    sessions_max: 2,
    waiting_max: 2,
    idle_ms: 5000,
};

type Sessions = UpstreamSessions<&'static str, u32>;

/// Sessions of which that of this owner is open.
fn opened(owner: &'static str, id: &str) -> Sessions {
    let mut sessions = Sessions::new(LIMITS);
    assert_eq!(sessions.admit(&owner, 0, 0), Admitted::Opens);
    open(&mut sessions, owner, id);
    sessions
}

fn open(sessions: &mut Sessions, owner: &'static str, id: &str) -> Vec<u32> {
    let initialize = SessionRequest::Initialize(Revision::V2025_11_25);
    assert_eq!(sessions.poll_request(&owner), Some(initialize));
    let read = sessions.handle_initialized(&owner, "2025-11-25", Some(id));
    assert_eq!(read, Ok(()));
    let initialized = Some(SessionRequest::Initialized);
    assert_eq!(sessions.poll_request(&owner), initialized);
    sessions.handle_accepted(&owner).into()
}

#[test]
fn calls_wait_for_the_session_of_their_owner_within_bounds() {
    let mut sessions = Sessions::new(LIMITS);
    let admitted: Vec<_> = (0..3).map(|call| sessions.admit(&"a", call, 0)).collect();
    assert_eq!(admitted, [Admitted::Opens, Admitted::Waits, Admitted::Full]);
    assert_eq!(sessions.admit(&"b", 3, 0), Admitted::Opens);
    assert_eq!(sessions.admit(&"c", 4, 0), Admitted::Full);
    assert_eq!(open(&mut sessions, "a", "s-a"), [0, 1]);
    assert_eq!(sessions.admit(&"a", 0, 0), Admitted::Ready);
    assert_eq!(sessions.admit(&"b", 5, 0), Admitted::Waits, "b has its own");
    assert_eq!(sessions.handle_failed(&"b"), [3, 5]);
    assert_eq!(sessions.admit(&"b", 3, 0), Admitted::Opens, "once more");
}

#[test]
fn a_session_that_is_lost_is_opened_again_once_for_all_calls() {
    let mut sessions = opened("a", "s-1");
    for call in [1, 2] {
        assert_eq!(sessions.admit(&"a", call, 0), Admitted::Ready);
    }
    assert_eq!(sessions.handle_lost(&"a", "s-1"), Ok(true));
    assert_eq!(sessions.handle_lost(&"a", "s-1"), Ok(false), "it opens");
    for call in [1, 2] {
        assert_eq!(sessions.admit(&"a", call, 0), Admitted::Waits);
    }
    assert_eq!(open(&mut sessions, "a", "s-2"), [1, 2]);
    assert_eq!(
        sessions.handle_lost(&"a", "s-2"),
        Err(SessionFault::LostAgain)
    );
}

#[test]
fn calls_of_a_session_that_failed_do_not_count_for_the_next_one() {
    let mut sessions = opened("a", "s-1");
    for call in [1, 2] {
        assert_eq!(sessions.admit(&"a", call, 0), Admitted::Ready);
    }
    assert_eq!(sessions.handle_lost(&"a", "s-1"), Ok(true));
    assert!(sessions.handle_failed(&"a").is_empty(), "none waits");
    assert_eq!(sessions.admit(&"a", 3, 0), Admitted::Opens);
    assert_eq!(open(&mut sessions, "a", "s-2"), [3]);
    assert_eq!(sessions.admit(&"a", 3, 0), Admitted::Ready);
    for _ in [1, 2] {
        sessions.release(&"a", false, 0);
    }
    assert_eq!(sessions.next_expired(90_000), None, "call 3 uses it");
    assert!(sessions.handle_failed(&"a").is_empty());
    assert_eq!(sessions.len(), 1, "until the call is over");
    sessions.release(&"a", true, 0);
    assert!(sessions.is_empty());
}

#[test]
fn calls_are_held_until_the_stream_is_open_or_for_their_time() {
    let mut sessions = Sessions::new(LIMITS);
    for (owner, id) in [("a", "s-a"), ("b", "s-b")] {
        assert_eq!(sessions.admit(&owner, 1, 0), Admitted::Opens);
        let calls = open(&mut sessions, owner, id);
        sessions.hold(&owner, calls.into(), 250);
        assert_eq!(sessions.admit(&owner, 2, 0), Admitted::Waits);
    }
    assert_eq!(sessions.admit(&"c", 1, 0), Admitted::Full, "none is unused");
    assert_eq!(sessions.let_go(&"a"), [1, 2]);
    assert!(sessions.let_go(&"a").is_empty(), "once");
    assert_eq!(sessions.admit(&"a", 1, 10), Admitted::Ready);
    assert_eq!(sessions.next_held(249), None);
    assert_eq!(sessions.next_held(250), Some([].into()), "a was let go");
    assert_eq!(sessions.next_held(250), Some([1, 2].into()));
    assert_eq!(sessions.next_held(250), None);
    assert_eq!(sessions.admit(&"b", 1, 250), Admitted::Ready);
}

#[test]
fn an_unused_session_ends_and_one_with_a_call_does_not() {
    let mut sessions = opened("a", "s-1");
    assert_eq!(sessions.admit(&"a", 1, 0), Admitted::Ready);
    assert_eq!(sessions.next_expired(60_000), None, "it has a call");
    sessions.release(&"a", true, 60_000);
    assert_eq!(sessions.next_expired(64_999), None);
    let ended = sessions.next_expired(66_000).expect("it is unused");
    assert_eq!((&*ended.id, ended.revision), ("s-1", Revision::V2025_11_25));
    assert_eq!(sessions.next_expired(70_000), None);
    assert!(sessions.is_empty());
}

#[test]
fn the_session_that_was_unused_for_the_longest_time_ends_for_another_one() {
    let mut sessions = opened("a", "s-a");
    assert_eq!(sessions.admit(&"b", 1, 10), Admitted::Opens);
    open(&mut sessions, "b", "s-b");
    assert_eq!(sessions.admit(&"a", 2, 20), Admitted::Ready);
    sessions.release(&"a", true, 30);
    assert_eq!(sessions.admit(&"c", 3, 40), Admitted::Opens);
    assert_eq!(
        sessions.next_expired(40).map(|it| it.id),
        Some("s-b".into())
    );
    // One has a call, and the other opens.
    assert_eq!(sessions.admit(&"a", 4, 50), Admitted::Ready);
    assert_eq!(sessions.admit(&"d", 5, 50), Admitted::Full);
    assert_eq!(sessions.next_expired(50), None);
    assert_eq!(sessions.len(), 2);
}

#[test]
fn each_session_has_a_number_of_its_own() {
    let mut sessions = Sessions::new(LIMITS).numbered_from(u64::MAX);
    assert_eq!(sessions.number(&"a"), None);
    for (owner, number) in [("a", u64::MAX), ("b", 0)] {
        assert_eq!(sessions.admit(&owner, 0, 0), Admitted::Opens);
        open(&mut sessions, owner, owner);
        assert_eq!(sessions.number(&owner), Some(number));
    }
    assert_eq!(sessions.handle_lost(&"a", "a"), Ok(true));
    assert_eq!(sessions.number(&"a"), Some(u64::MAX), "none is open yet");
    open(&mut sessions, "a", "a-2");
    assert_eq!(sessions.number(&"a"), Some(1));
}

#[test]
fn a_session_ends_with_its_owner() {
    let mut sessions = opened("a", "s-1");
    assert_eq!(sessions.end(&"a").map(|it| it.id), Some("s-1".into()));
    assert_eq!(sessions.end(&"a"), None);
    assert_eq!(sessions.admit(&"b", 1, 0), Admitted::Opens);
    assert_eq!(sessions.end(&"b"), None, "the upstream gave it no id yet");
}
