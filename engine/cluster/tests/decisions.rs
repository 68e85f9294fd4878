//! The answer to a request for a session that is not here: each cause of 404 and of 503 by name.

use std::collections::BTreeMap;

use corelane_cluster::cluster::Cluster;
use corelane_cluster::codec::{Kind, Written, encode};
use corelane_cluster::frame::{Envelope, Frame, Heartbeat, Request, Stage};
use corelane_cluster::id::{Birth, Now, OpenTail, Process, SessionId, Tail};
use corelane_cluster::record::{Record, State};
use corelane_cluster::refusal::{Busy, Missing};
use corelane_cluster::session::Standing;
use corelane_cluster::settings::Settings;
use corelane_cluster::vocabulary::{Failure, Key, Origin, Output, PutResult, ReadFrom, ReadResult};

const UNIX_S: u64 = 1_900_000_000;
const ME: Process = process(1, 1);
const OTHER: Process = process(2, 1);
const DEAD: Process = process(3, 1);
const TAIL: Tail = [7; 34];

const fn process(node: u16, incarnation: u16) -> Process {
    Process { node, incarnation }
}

/// Opens ids of alice. The shard is their age in days.
struct Tails;

impl OpenTail for Tails {
    fn open_tail(&self, id: &SessionId, _: &Tail, principal: &str) -> Option<Birth> {
        (principal == "alice").then_some(Birth {
            revision: 1,
            capabilities: 0,
            created_unix_s: UNIX_S - 86_400 * u64::from(id.shard),
        })
    }
}

/// A core with a store and with peers that send heartbeats.
struct Host {
    core: Cluster,
    us: u64,
    store: BTreeMap<Key, ReadResult>,
    has_leader: bool,
    echoes: bool,
    revision: u64,
    sequence: u64,
    peers: Vec<Process>,
    results: Vec<Output>,
    sent: Vec<(Process, Frame)>,
}

impl Host {
    /// A core that has joined as node 1 and hears node 2.
    fn joined(settings: Settings) -> Host {
        let mut host = Host::new(settings);
        host.core.handle_connected(host.now());
        // Long enough to know which processes do not live.
        host.advance(3_000_000);
        assert_eq!(host.core.process(), ME);
        host.results.clear();
        host
    }

    fn new(settings: Settings) -> Host {
        let now = Now {
            us: 1,
            unix_s: UNIX_S,
        };
        Host {
            core: Cluster::new(1, settings, Box::new(Tails), Box::new(|| 99), now),
            us: 1,
            store: BTreeMap::new(),
            has_leader: true,
            echoes: true,
            revision: 0,
            sequence: 0,
            peers: vec![OTHER],
            results: Vec::new(),
            sent: Vec::new(),
        }
    }

    fn now(&self) -> Now {
        Now {
            us: self.us,
            unix_s: UNIX_S + self.us / 1_000_000,
        }
    }

    /// Lets time pass, with ticks, and with heartbeats of the peers.
    fn advance(&mut self, us: u64) {
        for _ in 0..us / 10_000 {
            self.us += 10_000;
            if (self.us / 10_000).is_multiple_of(25) {
                for peer in self.peers.clone() {
                    self.hear(peer, Stage::Alive);
                }
            }
            self.core.handle_tick(self.now());
            self.drain();
        }
    }

    fn hear(&mut self, from: Process, stage: Stage) {
        let heartbeat = Heartbeat {
            stage,
            unix_s: self.now().unix_s,
            level: 1,
            level_max: 1,
            ..Heartbeat::default()
        };
        self.frame(from, Frame::Heartbeat(Box::new(heartbeat)));
    }

    fn frame(&mut self, from: Process, frame: Frame) {
        self.sequence += 1;
        let sequence = self.sequence;
        let envelope = Envelope {
            from,
            sequence,
            frame,
        };
        self.core.handle_frame(self.now(), envelope);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Read(op, key, from) if self.has_leader || from == ReadFrom::Any => {
                    let result = self.store.get(&key).cloned();
                    let result = result.unwrap_or(ReadResult::Absent);
                    self.core.handle_read(self.now(), op, result);
                }
                Output::Put(op, key, _, _, value) if self.has_leader => {
                    self.revision += 1;
                    let revision = self.revision;
                    self.store.insert(key, ReadResult::Found(revision, value));
                    let written = PutResult::Written(revision);
                    self.core.handle_put(self.now(), op, written);
                }
                Output::Publish(envelope) if self.echoes => {
                    self.core.handle_frame(self.now(), envelope);
                }
                Output::Send(to, envelope) => self.sent.push((to, envelope.frame)),
                Output::Read(..) | Output::Put(..) | Output::Publish(_) | Output::Note(_) => {}
                other => self.results.push(other),
            }
        }
    }

    /// Sends a request, and gives the first output for its client after `us`.
    fn request(&mut self, request: Request, us: u64) -> Output {
        self.core.handle_request(self.now(), 5, Box::new(request));
        self.drain();
        self.advance(us);
        let mut results = std::mem::take(&mut self.results).into_iter();
        let answer = results.find(|output| !matches!(output, Output::Arrive(_)));
        answer.expect("the request has a result")
    }

    fn store_session(&mut self, id: SessionId, owner: Option<Process>, has_ended: bool) {
        let record = Record {
            id,
            principal: "alice".into(),
            birth: Birth {
                revision: 1,
                capabilities: 0,
                created_unix_s: UNIX_S,
            },
            owner,
            formers: Vec::new(),
            recent: Vec::new(),
            has_ended,
            take_overs: 4,
            state: State {
                level: Some(3),
                ..State::default()
            },
        };
        let written = Written {
            writer: owner.unwrap_or(DEAD),
            number: 1,
        };
        let value = encode(Kind::Session, 1, written, &record).expect("a record");
        self.revision += 1;
        let found = ReadResult::Found(self.revision, value);
        self.store.insert(Key::Session(99, id.random), found);
    }
}

fn id(home: Process) -> SessionId {
    SessionId {
        home,
        shard: 0,
        random: 42,
    }
}

fn call(session: SessionId) -> Request {
    Request {
        session,
        tail: TAIL,
        principal: "alice".into(),
        is_repeatable: false,
        body: Box::default(),
    }
}

fn is_served(output: &Output) -> bool {
    matches!(output, Output::Serve(Origin::Local(5), _))
}

#[test]
fn not_found_if_its_client_ended_it() {
    let mut host = Host::joined(Settings::default());
    host.store_session(id(DEAD), None, true);
    let answer = host.request(call(id(DEAD)), 10_000);
    assert_eq!(answer, Output::NotFound(5, Missing::Ended));
}

#[test]
fn not_found_if_it_expired_with_changes() {
    let mut host = Host::joined(Settings::default());
    host.store
        .insert(Key::Session(99, 42), ReadResult::Marker(9));
    let answer = host.request(call(id(DEAD)), 10_000);
    assert_eq!(answer, Output::NotFound(5, Missing::Ended));
}

#[test]
fn not_found_if_the_id_is_too_old() {
    let mut host = Host::joined(Settings::default());
    let old = SessionId {
        shard: 2,
        ..id(DEAD)
    };
    let answer = host.request(call(old), 10_000);
    assert_eq!(answer, Output::NotFound(5, Missing::TooOld));
}

#[test]
fn not_found_if_no_key_of_ours_sealed_it_for_the_principal() {
    let mut host = Host::joined(Settings::default());
    let mut request = call(id(DEAD));
    request.principal = "mallory".into();
    let answer = host.request(request.clone(), 10_000);
    assert_eq!(answer, Output::NotFound(5, Missing::NotOurs));
    // The same if the session is here.
    assert!(is_served(&host.request(call(id(DEAD)), 10_000)));
    let answer = host.request(request, 10_000);
    assert_eq!(answer, Output::NotFound(5, Missing::NotOurs));
}

#[test]
fn busy_while_joining() {
    let mut host = Host::new(Settings::default());
    let answer = host.request(call(id(DEAD)), 10_000);
    assert_eq!(answer, Output::Refuse(5, Busy::Joining));
}

#[test]
fn busy_while_draining() {
    let mut host = Host::joined(Settings::default());
    host.core.handle_drain(host.now());
    host.advance(100_000);
    assert_eq!(host.results, [Output::Drained]);
    host.results.clear();
    let answer = host.request(call(id(DEAD)), 10_000);
    assert_eq!(answer, Output::Refuse(5, Busy::Draining));
}

#[test]
fn busy_if_a_table_is_full() {
    let settings = Settings {
        sessions_max: 0,
        ..Settings::default()
    };
    let mut host = Host::joined(settings);
    let answer = host.request(call(id(DEAD)), 10_000);
    assert_eq!(answer, Output::Refuse(5, Busy::Full));
}

#[test]
fn busy_if_the_owner_is_silent_and_not_gone() {
    let mut host = Host::joined(Settings::default());
    host.peers.clear();
    host.advance(1_000_000);
    let answer = host.request(call(id(OTHER)), 10_000);
    assert_eq!(answer, Output::Refuse(5, Busy::Suspect));
    host.advance(600_000);
    assert!(is_served(&host.request(call(id(OTHER)), 10_000)));
}

#[test]
fn busy_if_the_session_moves_faster_than_the_request() {
    let mut host = Host::joined(Settings::default());
    let third = process(4, 1);
    host.peers.push(third);
    host.advance(300_000);
    host.core
        .handle_request(host.now(), 5, Box::new(call(id(OTHER))));
    host.drain();
    for _ in 0..Settings::default().hops_max {
        let (to, frame) = host.sent.pop().expect("a forward");
        let Frame::Forward(xid, ..) = frame else {
            panic!("no forward: {frame:?}");
        };
        let next = if to == OTHER { third } else { OTHER };
        host.frame(to, Frame::Moved(xid, next));
    }
    assert_eq!(host.results, [Output::Refuse(5, Busy::Moving)]);
}

#[test]
fn busy_while_isolated_if_it_may_not_adopt() {
    for adopt_when_isolated in [true, false] {
        let mut host = Host::joined(Settings {
            adopt_when_isolated,
            ..Settings::default()
        });
        host.echoes = false;
        host.advance(1_500_000);
        assert!(host.core.is_isolated());
        let answer = host.request(call(id(OTHER)), 10_000);
        let busy = Output::Refuse(5, Busy::Isolated);
        assert_eq!(is_served(&answer), adopt_when_isolated);
        assert_eq!(answer == busy, !adopt_when_isolated);
    }
}

#[test]
fn never_busy_and_never_not_found_while_the_store_has_no_leader() {
    let mut host = Host::joined(Settings::default());
    host.has_leader = false;
    let answer = host.request(call(id(DEAD)), 400_000);
    assert!(is_served(&answer), "{answer:?}");
    assert_eq!(host.core.standing(42), Some(Standing::Provisional));
    host.has_leader = true;
    host.advance(1_000_000);
    assert_eq!(host.core.standing(42), Some(Standing::Confirmed));
}

#[test]
fn a_record_without_a_live_owner_is_taken_over_with_its_state() {
    for owner in [None, Some(DEAD), Some(OTHER)] {
        let mut host = Host::joined(Settings::default());
        host.advance(1_600_000);
        host.store_session(id(DEAD), owner, false);
        host.core
            .handle_request(host.now(), 5, Box::new(call(id(DEAD))));
        host.drain();
        host.advance(30_000);
        let forwards = host.sent.iter();
        let forwards = forwards.filter(|(_, it)| matches!(it, Frame::Forward(..)));
        let is_forwarded = forwards.map(|(to, _)| *to).eq([OTHER]);
        assert_eq!(is_forwarded, owner == Some(OTHER));
        if !is_forwarded {
            assert_eq!(host.core.state(42).and_then(|state| state.level), Some(3));
            assert_eq!(host.core.standing(42), Some(Standing::Confirmed));
        }
    }
}

#[test]
fn without_forwards_a_session_comes_from_a_live_owner_and_an_own_one_needs_no_record() {
    let settings = || Settings {
        forwards: false,
        ..Settings::default()
    };
    for has_heard in [true, false] {
        let mut host = Host::joined(settings());
        host.store_session(id(DEAD), Some(OTHER), false);
        host.core
            .handle_request(host.now(), 5, Box::new(call(id(DEAD))));
        host.drain();
        host.advance(30_000);
        // The owner must not serve it beside this process: it has to know first.
        assert_eq!(host.results, [Output::Arrive(42)]);
        assert_eq!(host.core.standing(42), Some(Standing::Confirmed));
        let took = host.sent.iter().find_map(|(to, frame)| match frame {
            Frame::Took(id, _, revision) if *to == OTHER => Some((*id, *revision)),
            _ => None,
        });
        let (session, revision) = took.expect("a notice to the owner");
        match has_heard {
            true => host.frame(OTHER, Frame::TookHeard(session, revision)),
            false => host.advance(250_000),
        }
        assert!(host.results.iter().any(is_served), "{:?}", host.results);
        assert_eq!(host.core.state(42).and_then(|state| state.level), Some(3));
    }
    // One that was made here and never changed: it is neither kept here nor written.
    let mut host = Host::joined(settings());
    assert!(is_served(&host.request(call(id(ME)), 30_000)));
    assert_eq!(host.core.standing(42), None);
    assert!(!host.store.contains_key(&Key::Session(99, 42)));
    // Its host gives it up when another process has taken it.
    host.frame(OTHER, Frame::Took(id(ME), 99, 7));
    assert_eq!(host.results, [Output::Leave(42)]);
}

#[test]
fn an_owner_that_does_not_accept_leaves_the_outcome_unknown() {
    let mut host = Host::joined(Settings::default());
    let answer = host.request(call(id(OTHER)), 300_000);
    assert_eq!(answer, Output::Fail(5, Failure::OutcomeUnknown));
}

#[test]
fn no_responders_twice_prove_a_process_gone() {
    let mut host = Host::joined(Settings::default());
    host.core
        .handle_request(host.now(), 5, Box::new(call(id(OTHER))));
    host.drain();
    for is_first in [true, false] {
        let (_, frame) = host.sent.pop().expect("a forward");
        let Frame::Forward(xid, ..) = frame else {
            panic!("no forward: {frame:?}");
        };
        host.core.handle_no_responders(host.now(), OTHER, xid);
        host.drain();
        assert_eq!(host.results.is_empty(), is_first, "{:?}", host.results);
        host.advance(110_000);
    }
    assert!(host.results.iter().any(is_served), "{:?}", host.results);
}
