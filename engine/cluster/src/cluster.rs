//! The cluster core of one process.
//!
//! Methods have three kinds: `handle_*` take an event with its time; commands such as
//! [`Cluster::change`] come from the host; the rest are getters. After any method that is not a
//! getter, the caller calls [`Cluster::poll_output`] until it returns nothing. The same calls in
//! the same order give the same outputs. It deliberately lacks a clock, threads, encodings of
//! frames, and names of any store or bus.

mod delete;
mod exchange;
mod fanout;
mod generation;
mod input;
mod join;
mod leave;
mod operate;
mod ownership;
mod route;
mod stream;
mod tick;
mod view;
mod writes;

pub use view::MemberView;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::frame::{Envelope, Frame, Generation, Heartbeat, Request, Stage, Xid};
use crate::id::{Birth, Now, OpenTail, Process, SessionId};
use crate::lookup::{Lookup, Pending};
use crate::membership::Members;
use crate::operators::Operators;
use crate::owners::Owners;
use crate::record::Change;
use crate::refusal::Busy;
use crate::remote::{Exchange, Remote};
use crate::session::{Base, Session, Tombstone};
use crate::settings::Settings;
use crate::sim::{mutated, sim_point};
use crate::timers::{Timer, Timers};
use crate::updates::Updates;
use crate::vocabulary::{Call, Key, Note, Op, Output, ReadFrom, SessionKey};

/// The use of an operation of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Claim,
    Generation,
    Level,
    Lookup(SessionKey),
    Session(SessionKey),
    Tombstone(SessionKey),
}

/// An operation of the store that has no result yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doing {
    purpose: Purpose,
    /// The doubt at which it began: a later doubt makes its result worthless as a proof.
    epoch: u64,
    is_put: bool,
}

/// A notice to a former owner that has not been acknowledged.
#[derive(Debug)]
pub(crate) struct Notice {
    id: SessionId,
    /// The revision with which the session was taken: an acknowledgement of an earlier one is old.
    since: u64,
    tries: u8,
}

/// The claim of a node number.
#[derive(Debug, Default)]
struct Claim {
    /// The write number of the claim, by which it is recognised.
    nonce: u64,
    incarnation: u16,
}

/// The cluster core of one process. See the [module](self).
pub struct Cluster {
    settings: Settings,
    tails: Box<dyn OpenTail>,
    random: Box<dyn FnMut() -> u64>,
    /// This process; incarnation 0 until it has joined.
    me: Process,
    stage: Stage,
    last_us: u64,
    is_connected: bool,
    /// When the own heartbeat last came back, and how long it took.
    echo_us: u64,
    echo_took_us: u64,
    /// When it really came back: a stop or a new connection does not count here.
    echoed_us: u64,
    /// Own heartbeats on their way: sequence and time.
    echoes: VecDeque<(u64, u64)>,
    is_isolated: bool,
    /// Counts doubts. Sessions of an earlier doubt are read from the store before they are served.
    epoch: u64,
    generation: Generation,
    /// The life that this process gives to an empty store.
    proposed: Generation,
    generation_due_us: u64,
    is_reading_generation: bool,
    /// The life of the store was read since the store was last out of reach.
    is_generation_sure: bool,
    next: u64,
    next_write: u64,
    sequence: u64,
    heartbeat_us: u64,
    members: Members,
    owners: Owners,
    sessions: BTreeMap<SessionKey, Session>,
    dirty: VecDeque<SessionKey>,
    lane: VecDeque<SessionKey>,
    reseeding: VecDeque<SessionKey>,
    writes_in_flight: usize,
    tombstones: BTreeMap<SessionKey, Tombstone>,
    /// Sessions that ended here, the oldest first: stale reads of the store must not revive them.
    graves: (VecDeque<SessionKey>, BTreeSet<SessionKey>),
    /// Sessions whose record is read as soon as the life of the store is known.
    unread: BTreeSet<SessionKey>,
    lookups: BTreeMap<SessionKey, Lookup>,
    exchanges: BTreeMap<Xid, Exchange>,
    remotes: BTreeMap<(Process, Xid), Remote>,
    /// Requests that found no process, until they are tried once more.
    again: BTreeMap<Call, Pending>,
    /// Local calls that another process may have executed: they are never answered 503.
    doubtful: BTreeSet<Call>,
    notices: BTreeMap<(SessionKey, Process), Notice>,
    ops: BTreeMap<Op, Doing>,
    homing: (u64, u64),
    drain_until_us: Option<u64>,
    claim: Claim,
    updates: Updates,
    operators: Operators,
    timers: Timers,
    outputs: VecDeque<Output>,
}

impl Cluster {
    /// The core of a process of this node number. `random` gives the life of a store that is empty.
    ///
    /// It serves after it has joined: the host connects the bus and calls
    /// [`Cluster::handle_connected`].
    #[must_use]
    pub fn new(
        node: u16,
        settings: Settings,
        tails: Box<dyn OpenTail>,
        random: Box<dyn FnMut() -> u64>,
        now: Now,
    ) -> Cluster {
        Cluster {
            settings,
            tails,
            random,
            me: Process {
                node,
                incarnation: 0,
            },
            stage: Stage::Joining,
            last_us: now.us,
            is_connected: false,
            echo_us: now.us,
            echo_took_us: 0,
            echoed_us: 0,
            echoes: VecDeque::new(),
            is_isolated: false,
            epoch: 1,
            generation: 0,
            proposed: 0,
            generation_due_us: now.us,
            is_reading_generation: false,
            is_generation_sure: false,
            next: 1,
            next_write: 1,
            sequence: 0,
            heartbeat_us: now.us,
            members: Members::default(),
            owners: Owners::default(),
            sessions: BTreeMap::new(),
            dirty: VecDeque::new(),
            lane: VecDeque::new(),
            reseeding: VecDeque::new(),
            writes_in_flight: 0,
            tombstones: BTreeMap::new(),
            graves: Default::default(),
            unread: BTreeSet::new(),
            lookups: BTreeMap::new(),
            exchanges: BTreeMap::new(),
            remotes: BTreeMap::new(),
            again: BTreeMap::new(),
            doubtful: BTreeSet::new(),
            notices: BTreeMap::new(),
            ops: BTreeMap::new(),
            homing: (0, 0),
            drain_until_us: None,
            claim: Claim::default(),
            updates: Updates::default(),
            operators: Operators::default(),
            timers: Timers::default(),
            outputs: VecDeque::new(),
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// A session that `initialize` made here; false if the process has no room.
    pub fn create(&mut self, now: Now, id: SessionId, principal: &str, birth: Birth) -> bool {
        self.begin(now);
        let has_room = self.sessions.len() < self.settings.sessions_max;
        if self.stage != Stage::Alive || !has_room {
            return false;
        }
        let session = Session::new(id, principal.into(), birth, self.epoch);
        self.sessions.insert(id.random, session);
        true
    }

    /// A session that the host has and the core does not know: one without changes, which is about
    /// to get one or to end. The store is read before it counts as owned. False if the process has
    /// no room, or has not joined.
    pub fn hold(&mut self, now: Now, id: SessionId, principal: &str, birth: Birth) -> bool {
        if self.sessions.contains_key(&id.random) {
            return true;
        }
        let is_held = self.create(now, id, principal, birth);
        if let Some(session) = self.sessions.get_mut(&id.random).filter(|_| is_held) {
            session.epoch = 0;
            session.base = Base::Unknown;
        }
        is_held
    }

    /// A change of a session by a call that is served; false if a table of the session is full or
    /// it is not here any more: the call must fail.
    pub fn change(&mut self, now: Now, key: SessionKey, change: Change) -> bool {
        self.begin(now);
        let Some(session) = self.sessions.get_mut(&key) else {
            return false;
        };
        session.note_change(now);
        if !session.change(change) {
            self.note(Note::ChangesDropped(key));
            return false;
        }
        session.is_recorded = true;
        self.mark(key);
        true
    }

    /// Whether operations on sessions may go to the store: its life is known since it was reached.
    fn can_use_store(&self) -> bool {
        self.is_connected && self.generation != 0 && self.is_generation_sure
    }

    /// Takes the time of an event. A gap means that the process was stopped: every session is in
    /// doubt before anything else happens.
    fn begin(&mut self, now: Now) {
        if now.us - self.last_us > self.settings.doubt_us {
            sim_point!("doubt_after_pause");
            if !mutated!("no_doubt_after_pause") {
                self.epoch += 1;
            }
            // The heartbeats that were missed say nothing about the bus and the others.
            self.echo_us = now.us;
            self.is_isolated = false;
            self.is_generation_sure = false;
            self.is_reading_generation = false;
            self.check_generation(now);
            self.claim_later(now);
            self.members.excuse_silence(now.us);
        }
        self.last_us = now.us;
    }

    fn note(&mut self, note: Note) {
        self.outputs.push_back(Output::Note(note));
    }

    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn send(&mut self, to: Process, frame: Frame) {
        let envelope = self.envelope(frame);
        self.outputs.push_back(Output::Send(to, envelope));
    }

    fn publish(&mut self, frame: Frame) {
        let envelope = self.envelope(frame);
        self.outputs.push_back(Output::Publish(envelope));
    }

    fn envelope(&mut self, frame: Frame) -> Envelope {
        let is_repeated = mutated!("reuse_sequence") && self.sequence.is_multiple_of(50);
        self.sequence += u64::from(self.sequence == 0 || !is_repeated);
        Envelope {
            from: self.me,
            sequence: self.sequence,
            frame,
        }
    }

    /// Takes a request of a client of this process.
    pub fn handle_request(&mut self, now: Now, call: u64, request: Box<Request>) {
        self.begin(now);
        if self.stage == Stage::Joining {
            return self.outputs.push_back(Output::Refuse(call, Busy::Joining));
        }
        self.route(now, Pending::new(call, request));
    }

    /// Sets the timer that is due at `at_us`.
    fn arm(&mut self, at_us: u64, timer: Timer) {
        self.timers.arm(at_us, timer);
    }

    fn set_heartbeat(&mut self, change: impl FnOnce(&mut Heartbeat)) {
        change(&mut self.operators.own);
    }

    /// Reads a key, with a deadline.
    fn read(&mut self, now: Now, purpose: Purpose, key: Key, from: ReadFrom) -> Op {
        let wait_us = match from {
            ReadFrom::Leader => self.settings.leader_read_us,
            ReadFrom::Any => self.settings.any_read_us,
        };
        let op = self.op(now, purpose, wait_us, false);
        self.outputs.push_back(Output::Read(op, key, from));
        op
    }

    /// Names an operation of the store, with a deadline.
    fn op(&mut self, now: Now, purpose: Purpose, wait_us: u64, is_put: bool) -> Op {
        let op = self.next();
        let epoch = self.epoch;
        let doing = Doing {
            purpose,
            epoch,
            is_put,
        };
        self.ops.insert(op, doing);
        self.arm(now.us + wait_us, Timer::Op(op));
        op
    }

    /// Sessions without a duplicate: for tables that are walked while they change.
    fn session_keys(&self) -> BTreeSet<SessionKey> {
        self.sessions.keys().copied().collect()
    }
}
