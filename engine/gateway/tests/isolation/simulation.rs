//! One upstream and its clients: events in a random order, and what must hold after each.

use std::collections::{HashMap, HashSet};

use corelane_gateway::link::{Assigned, Pool, PoolLimits, Released};
use corelane_gateway::session::{Admitted, SessionLimits, UpstreamSessions};
use corelane_io::rng::Rng;
use corelane_protocol::mcp::legacy_session::SessionRequest;

use crate::sealed::{CLIENT_IDS, Sealed};

/// Events of one seed.
pub(crate) const EVENTS: u64 = 1000;
const POOL: PoolLimits = PoolLimits {
    links_max: 3,
    idle_max: 2,
    connects_max: 2,
    waiting_max: 4,
};
const SESSIONS: SessionLimits = SessionLimits {
    sessions_max: 3,
    waiting_max: 3,
    idle_ms: 5000,
};

/// A session of a client: its principal, and which of the two sessions.
type Owner = (usize, u64);
pub(crate) type Checked = Result<(), String>;

/// A fault that is planted to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    None,
    /// A call that is cancelled keeps its place in the session.
    KeepsPlace,
    /// A call is sent in the session of another owner.
    SwapsSessions,
    /// A call that leaves its client stays in line for a link.
    StaysInLine,
    /// A state is sealed for nobody.
    SealsForNobody,
    /// A new session has the number of the first one.
    RepeatsNumbers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Session,
    Line,
    Link(u64),
}

struct Call {
    owner: Owner,
    client_id: u64,
    place: Place,
    was_lost: bool,
    /// The id of the session in its request.
    session: Option<String>,
}

struct Simulation {
    rng: Rng,
    mutation: Mutation,
    now_ms: u64,
    last: u64,
    sessions: UpstreamSessions<Owner, u64>,
    pool: Pool<u64, u64>,
    opening: usize,
    calls: HashMap<u64, Call>,
    begun: HashSet<u64>,
    ended: HashSet<u64>,
    handshakes: Vec<Owner>,
    /// Sessions that the upstream knows: the owners of their ids.
    known: HashMap<String, Owner>,
    numbers: HashSet<u64>,
    sealed: Sealed,
}

/// Runs one seed.
///
/// # Errors
/// The invariant that does not hold.
pub(crate) fn run(seed: u64, mutation: Mutation) -> Checked {
    let mut simulation = Simulation {
        rng: Rng::seeded(seed),
        mutation,
        now_ms: 0,
        last: 0,
        sessions: UpstreamSessions::new(SESSIONS).numbered_from(seed),
        pool: Pool::new(POOL),
        opening: 0,
        calls: HashMap::new(),
        begun: HashSet::new(),
        ended: HashSet::new(),
        handshakes: Vec::new(),
        known: HashMap::new(),
        numbers: HashSet::new(),
        sealed: Sealed::new(seed, mutation == Mutation::SealsForNobody),
    };
    for _ in 0..EVENTS {
        simulation.step()?;
        simulation.check_bounds()?;
    }
    simulation.finish()
}

pub(crate) fn violated(condition: bool, text: impl Fn() -> String) -> Checked {
    match condition {
        true => Err(text()),
        false => Ok(()),
    }
}

impl Simulation {
    fn step(&mut self) -> Checked {
        self.now_ms += self.rng.below(40);
        match self.rng.below(12) {
            0..=2 => self.begin(),
            3 | 4 => self.shake_hands(),
            5 => self.open_link(),
            6 | 7 => self.answer(),
            8 => self.cancel(),
            9 => self.cut(),
            10 => {
                let (principal, client_id) = (self.rng.below(2), self.rng.below(CLIENT_IDS));
                let drawn = self.rng.below(u64::MAX);
                self.sealed
                    .check(principal as usize, client_id, (drawn, self.now_ms))
            }
            _ => {
                self.expire();
                match self.rng.below(8) {
                    0 => self.end_client_session(),
                    _ => Ok(()),
                }
            }
        }
    }

    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// One of the calls for which this holds.
    fn draw(&mut self, is_meant: impl Fn(&Call) -> bool) -> Option<u64> {
        let meant = self.calls.iter().filter(|(_, call)| is_meant(call));
        let mut keys: Vec<u64> = meant.map(|(key, _)| *key).collect();
        keys.sort_unstable();
        let drawn = self.rng.below(keys.len().max(1) as u64);
        keys.get(drawn as usize).copied()
    }

    fn begin(&mut self) -> Checked {
        let owner = (self.rng.below(2) as usize, self.rng.below(2));
        let key = self.number();
        let call = Call {
            owner,
            client_id: self.rng.below(CLIENT_IDS),
            place: Place::Session,
            was_lost: false,
            session: None,
        };
        self.begun.insert(key);
        self.calls.insert(key, call);
        self.admit(key)
    }

    /// A call is over: it has its one answer, or its client has left.
    fn end(&mut self, key: u64) -> Checked {
        let call = self.calls.remove(&key);
        violated(call.is_none() || !self.ended.insert(key), || {
            format!("call {key} ends twice")
        })
    }

    fn admit(&mut self, key: u64) -> Checked {
        let Some(call) = self.calls.get_mut(&key) else {
            // It was cancelled while it waited.
            return Ok(());
        };
        (call.place, call.session) = (Place::Session, None);
        let owner = call.owner;
        match self.sessions.admit(&owner, key, self.now_ms) {
            Admitted::Ready => self.line_up(key),
            Admitted::Opens => {
                self.handshakes.push(owner);
                Ok(())
            }
            Admitted::Waits => Ok(()),
            Admitted::Full => self.end(key),
        }
    }

    fn line_up(&mut self, key: u64) -> Checked {
        self.calls.get_mut(&key).expect("it is there").place = Place::Line;
        match self.pool.assign(key) {
            Assigned::Link(link) => self.send(link, key),
            Assigned::Opens => {
                self.opening += 1;
                Ok(())
            }
            Assigned::Waits => Ok(()),
            Assigned::Full => {
                self.leave_session(key, false);
                self.end(key)
            }
        }
    }

    fn send(&mut self, link: u64, key: u64) -> Checked {
        let Some(call) = self.calls.get_mut(&key) else {
            return Err(format!("link {link} carries call {key}, which is over"));
        };
        let mut owner = call.owner;
        if self.mutation == Mutation::SwapsSessions && self.rng.below(4) == 0 {
            owner.0 = 1 - owner.0;
        }
        let head = self.sessions.head(&owner);
        call.session = head.and_then(|(_, id)| id).map(str::to_owned);
        call.place = Place::Link(link);
        Ok(())
    }

    fn leave_session(&mut self, key: u64, was_answered: bool) {
        let owner = self.calls[&key].owner;
        self.sessions.release(&owner, was_answered, self.now_ms);
    }

    /// The next step of a handshake, or its failure.
    fn shake_hands(&mut self) -> Checked {
        if self.handshakes.is_empty() {
            return Ok(());
        }
        let at = self.rng.below(self.handshakes.len() as u64) as usize;
        let owner = self.handshakes[at];
        let request = self.sessions.poll_request(&owner);
        if request.is_none() || self.rng.below(10) == 0 {
            self.handshakes.remove(at);
            return self.fail_session(&owner);
        }
        if let Some(SessionRequest::Initialize(_)) = request {
            let id = format!("s-{}", self.number());
            let read = self
                .sessions
                .handle_initialized(&owner, "2025-11-25", Some(&id));
            self.known.insert(id, owner);
            let number = match self.mutation {
                Mutation::RepeatsNumbers => Some(0),
                _ => self.sessions.number(&owner),
            };
            let is_new = number.is_some_and(|number| self.numbers.insert(number));
            return violated(read.is_err() || !is_new, || {
                format!("session {number:?} of {owner:?} is not new")
            });
        }
        self.handshakes.remove(at);
        let waiting = self.sessions.handle_accepted(&owner);
        waiting.into_iter().try_for_each(|key| self.admit(key))
    }

    fn open_link(&mut self) -> Checked {
        if self.opening == 0 {
            return Ok(());
        }
        self.opening -= 1;
        if self.rng.below(5) == 0 {
            let failed = self.pool.open_failed();
            return failed.into_iter().try_for_each(|key| {
                let is_there = self.calls.contains_key(&key);
                violated(!is_there, || format!("call {key} waits and is over"))?;
                self.leave_session(key, false);
                self.end(key)
            });
        }
        let link = self.number();
        match self.pool.opened(link, None, self.now_ms) {
            Released::Carries(key) => self.send(link, key),
            Released::Idle | Released::Closes => Ok(()),
        }
    }

    /// The upstream answers a call, or has forgotten its session.
    fn answer(&mut self) -> Checked {
        let Some(key) = self.draw(|call| matches!(call.place, Place::Link(_))) else {
            return Ok(());
        };
        let call = &self.calls[&key];
        let (owner, client_id) = (call.owner, call.client_id);
        let Place::Link(link) = call.place else {
            unreachable!("it was drawn for its link");
        };
        let session = call.session.clone().unwrap_or_default();
        let served = self.known.get(&session).copied();
        if self.rng.below(6) == 0 {
            self.known.remove(&session);
        }
        match served {
            Some(served) => {
                violated(served != owner, || {
                    format!("call {key} of {owner:?} is served in the session of {served:?}")
                })?;
                self.sealed.add(owner.0, client_id, (key, self.now_ms));
                self.leave_session(key, true);
                self.end(key)?;
            }
            None => self.lost(key, &session)?,
        }
        match self.pool.release(link, None, self.now_ms) {
            Released::Carries(next) => self.send(link, next),
            Released::Idle | Released::Closes => Ok(()),
        }
    }

    fn lost(&mut self, key: u64, session: &str) -> Checked {
        self.leave_session(key, false);
        let call = self.calls.get_mut(&key).expect("it is there");
        let was_lost = std::mem::replace(&mut call.was_lost, true);
        let owner = call.owner;
        let lost = self.sessions.handle_lost(&owner, session);
        if lost == Ok(true) {
            self.handshakes.push(owner);
        }
        if lost.is_ok() && !was_lost {
            return self.admit(key);
        }
        if lost.is_err() {
            self.fail_session(&owner)?;
        }
        self.end(key)
    }

    fn fail_session(&mut self, owner: &Owner) -> Checked {
        let failed = self.sessions.handle_failed(owner);
        let is_there = |key: &u64| self.calls.contains_key(key);
        let failed: Vec<u64> = failed.into_iter().filter(is_there).collect();
        failed.into_iter().try_for_each(|key| self.end(key))
    }

    fn cancel(&mut self) -> Checked {
        let Some(key) = self.draw(|_| true) else {
            return Ok(());
        };
        self.withdraw(key)
    }

    fn withdraw(&mut self, key: u64) -> Checked {
        let place = self.calls[&key].place;
        if place != Place::Session && self.mutation != Mutation::KeepsPlace {
            self.leave_session(key, false);
        }
        match place {
            Place::Line if self.mutation != Mutation::StaysInLine => {
                let did = self.pool.withdraw(key);
                violated(!did, || format!("call {key} is not in line"))?;
            }
            Place::Link(link) => self.close(link),
            Place::Line | Place::Session => {}
        }
        self.end(key)
    }

    fn close(&mut self, link: u64) {
        self.pool.closed(link);
        while self.pool.begin_opening() {
            self.opening += 1;
        }
    }

    /// The connection of a call breaks: it fails.
    fn cut(&mut self) -> Checked {
        match self.draw(|call| matches!(call.place, Place::Link(_))) {
            Some(key) => self.withdraw(key),
            None => Ok(()),
        }
    }

    fn end_client_session(&mut self) -> Checked {
        let owner = (self.rng.below(2) as usize, self.rng.below(2));
        while let Some(key) = self.draw(|call| call.owner == owner) {
            self.withdraw(key)?;
        }
        self.handshakes.retain(|it| *it != owner);
        match self.sessions.end(&owner) {
            Some(ended) => self.forget(&ended.owner, &ended.id),
            None => Ok(()),
        }
    }

    /// A DELETE reaches the upstream.
    fn forget(&mut self, owner: &Owner, id: &str) -> Checked {
        let known = self.known.remove(id);
        violated(known.is_some_and(|it| it != *owner), || {
            format!("{owner:?} ends the session of {known:?}")
        })
    }

    fn expire(&mut self) {
        while self.pool.next_expired(self.now_ms).is_some() {}
        while let Some(ended) = self.sessions.next_expired(self.now_ms) {
            self.known.remove(&*ended.id);
        }
    }

    fn check_bounds(&self) -> Checked {
        let on_links = |call: &&Call| matches!(call.place, Place::Link(_));
        let carried = self.calls.values().filter(on_links).count();
        let in_line = |call: &&Call| call.place == Place::Line;
        let in_line = self.calls.values().filter(in_line).count();
        let links = self.opening + carried + self.pool.idle();
        violated(self.pool.links() != links, || {
            format!("{} links of which {links} are known", self.pool.links())
        })?;
        violated(self.pool.waiting() != in_line, || {
            format!("{} calls in line, not {in_line}", self.pool.waiting())
        })?;
        violated(
            links > POOL.links_max || self.sessions.len() > SESSIONS.sessions_max,
            || format!("{links} links, {} sessions", self.sessions.len()),
        )
    }

    /// Without new calls all ends, and nothing is left.
    fn finish(mut self) -> Checked {
        for _ in 0..100 * EVENTS {
            if self.calls.is_empty() && self.opening == 0 && self.handshakes.is_empty() {
                break;
            }
            self.shake_hands()?;
            self.open_link()?;
            self.answer()?;
        }
        self.now_ms += 100_000;
        self.expire();
        violated(self.begun != self.ended, || {
            let left = self.begun.difference(&self.ended).count();
            format!("{left} calls have no answer")
        })?;
        let left = (self.sessions.len(), self.pool.links(), self.pool.waiting());
        violated(left != (0, 0, 0), || {
            format!("sessions, links and calls that are left: {left:?}")
        })
    }
}
