//! The sessions of one shard with an upstream of the legacy era (MCP 2025-11-25 basic/transports,
//! "Session Management"): opened with the first call of an owner, and opened again once when the
//! upstream has forgotten them.
//!
//! The caller sends what [`UpstreamSessions::poll_request`] gives, and hands its outcome back. It
//! brings the clock and the connections. Invariant: no session is used for two owners.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use corelane_protocol::mcp::legacy_session::{LegacySession, SessionFault, SessionRequest};
use corelane_protocol::mcp::revision::Revision;

/// Any request but `ping`.
const ORDINARY: &str = "tools/call";

/// The bounds of the sessions with one upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Most sessions.
    pub sessions_max: usize,
    /// Most calls of one owner that wait for a session.
    pub waiting_max: usize,
    /// Milliseconds after which an unused session ends.
    pub idle_ms: u64,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// Its session is open: it is sent.
    Ready,
    /// It waits, and its session is to be opened.
    Opens,
    /// It waits for its session, which opens.
    Waits,
    /// There are too many sessions, or too many calls wait: it fails.
    Full,
}

/// A session that ended, if the upstream gave it an id: DELETE is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedSession<K> {
    /// Its owner.
    pub owner: K,
    /// Its revision.
    pub revision: Revision,
    /// Its id.
    pub id: Box<str>,
}

/// See the module's text. `K` names owners and `C` calls.
#[derive(Debug)]
pub struct UpstreamSessions<K, C> {
    limits: SessionLimits,
    entries: HashMap<K, Entry<C>, foldhash::fast::RandomState>,
    /// Sessions that ended for others, since the last look.
    evicted: VecDeque<EndedSession<K>>,
    /// Owners whose calls are held, with the ends of their waits.
    held: VecDeque<(u64, K)>,
    next_check_ms: u64,
    /// The number of the session that opened last.
    last_number: u64,
}

#[derive(Debug)]
struct Entry<C> {
    session: LegacySession,
    /// Of the present session.
    number: u64,
    waiting: VecDeque<C>,
    /// Whether calls wait though the session is open.
    is_held: bool,
    /// There is no session: the entry stays until the calls of the last one are over.
    has_failed: bool,
    /// Calls that are on their way.
    calls: usize,
    used_ms: u64,
}

impl<K: Clone + Eq + Hash, C> UpstreamSessions<K, C> {
    /// No session is open.
    pub fn new(limits: SessionLimits) -> UpstreamSessions<K, C> {
        UpstreamSessions {
            limits,
            entries: HashMap::default(),
            evicted: VecDeque::new(),
            held: VecDeque::new(),
            next_check_ms: 0,
            last_number: 0,
        }
    }

    /// The same, whose first session has this number: at random, no number of an earlier life is
    /// given again.
    #[must_use]
    pub fn numbered_from(self, first: u64) -> UpstreamSessions<K, C> {
        let last_number = first.wrapping_sub(1);
        UpstreamSessions {
            last_number,
            ..self
        }
    }

    /// The number of the session of an owner that is open, or opens again. Another session has
    /// another one.
    pub fn number(&self, owner: &K) -> Option<u64> {
        self.entries.get(owner).map(|entry| entry.number)
    }

    /// Admits a call of an owner. A call that is admitted as [`Admitted::Ready`] is over with
    /// [`UpstreamSessions::release`].
    ///
    /// ```
    /// use corelane_gateway::session::{Admitted, SessionLimits, UpstreamSessions};
    ///
    /// let limits = SessionLimits { sessions_max: 10, waiting_max: 10, idle_ms: 1000 };
    /// let mut sessions = UpstreamSessions::new(limits);
    /// assert_eq!(sessions.admit(&"ann", 1, 0), Admitted::Opens);
    /// sessions.handle_initialized(&"ann", "2025-11-25", Some("s-1"))?;
    /// assert_eq!(sessions.handle_accepted(&"ann"), [1], "the call that waited");
    /// assert_eq!(sessions.admit(&"ann", 1, 0), Admitted::Ready);
    /// assert_eq!(sessions.head(&"ann").and_then(|(_, id)| id), Some("s-1"));
    /// # Ok::<(), corelane_protocol::mcp::legacy_session::SessionFault>(())
    /// ```
    pub fn admit(&mut self, owner: &K, call: C, now_ms: u64) -> Admitted {
        let waiting_max = self.limits.waiting_max;
        if let Some(entry) = self.entries.get_mut(owner) {
            entry.used_ms = now_ms;
            if entry.session.may_send(ORDINARY) && !entry.is_held {
                entry.calls += 1;
                return Admitted::Ready;
            }
            if entry.waiting.len() >= waiting_max {
                return Admitted::Full;
            }
            entry.waiting.push_back(call);
            return match std::mem::take(&mut entry.has_failed) {
                true => Admitted::Opens,
                false => Admitted::Waits,
            };
        }
        if self.entries.len() >= self.limits.sessions_max && !self.evict() {
            return Admitted::Full;
        }
        let entry = Entry {
            session: LegacySession::new(),
            number: self.last_number,
            waiting: VecDeque::from([call]),
            is_held: false,
            has_failed: false,
            calls: 0,
            used_ms: now_ms,
        };
        self.entries.insert(owner.clone(), entry);
        Admitted::Opens
    }

    /// Opens a session for an owner without a call. Returns the one that it had before.
    pub fn open(&mut self, owner: &K, now_ms: u64) -> Option<EndedSession<K>> {
        // Calls that wait for a session wait for the next one.
        let entry = self.entries.get_mut(owner);
        let waiting = entry.map(|entry| std::mem::take(&mut entry.waiting));
        let before = self.end(owner);
        let entry = Entry {
            session: LegacySession::new(),
            number: self.last_number,
            waiting: waiting.unwrap_or_default(),
            is_held: false,
            has_failed: false,
            calls: 0,
            used_ms: now_ms,
        };
        self.entries.insert(owner.clone(), entry);
        before
    }

    /// Calls of an owner that wait for its session.
    pub fn waiting(&self, owner: &K) -> usize {
        let entry = self.entries.get(owner);
        entry.map_or(0, |entry| entry.waiting.len())
    }

    /// The request of the handshake that is to be sent for an owner.
    pub fn poll_request(&self, owner: &K) -> Option<SessionRequest> {
        self.entries.get(owner)?.session.poll_request()
    }

    /// The revision and the id of a session, for the heads of its requests.
    pub fn head(&self, owner: &K) -> Option<(Revision, Option<&str>)> {
        let session = &self.entries.get(owner)?.session;
        Some((session.revision(), session.id()))
    }

    /// Handles the result of `initialize`.
    ///
    /// # Errors
    /// Its revision or its id cannot be used: the caller calls
    /// [`UpstreamSessions::handle_failed`].
    pub fn handle_initialized(
        &mut self,
        owner: &K,
        version: &str,
        id: Option<&str>,
    ) -> Result<(), SessionFault> {
        match self.entries.get_mut(owner) {
            Some(entry) => {
                self.last_number = self.last_number.wrapping_add(1);
                entry.number = self.last_number;
                entry.session.handle_initialize_result(version, id)
            }
            None => Ok(()),
        }
    }

    /// Handles the acceptance of the notification: returns the calls that waited, which are
    /// admitted again.
    pub fn handle_accepted(&mut self, owner: &K) -> VecDeque<C> {
        let Some(entry) = self.entries.get_mut(owner) else {
            return VecDeque::new();
        };
        entry.session.handle_accepted();
        std::mem::take(&mut entry.waiting)
    }

    /// Holds the calls of a session that is open until `until_ms`, or until
    /// [`UpstreamSessions::let_go`]: its stream opens first.
    pub fn hold(&mut self, owner: &K, calls: VecDeque<C>, until_ms: u64) {
        if let Some(entry) = self.entries.get_mut(owner) {
            (entry.waiting, entry.is_held) = (calls, true);
            self.held.push_back((until_ms, owner.clone()));
        }
    }

    /// Holds the calls of an owner no longer: returns those that waited, which are admitted again.
    pub fn let_go(&mut self, owner: &K) -> VecDeque<C> {
        match self.entries.get_mut(owner).filter(|entry| entry.is_held) {
            Some(entry) => {
                entry.is_held = false;
                std::mem::take(&mut entry.waiting)
            }
            None => VecDeque::new(),
        }
    }

    /// The calls of the next owner that were held long enough.
    pub fn next_held(&mut self, now_ms: u64) -> Option<VecDeque<C>> {
        self.held
            .front()
            .filter(|(until_ms, _)| *until_ms <= now_ms)?;
        let (_, owner) = self.held.pop_front()?;
        Some(self.let_go(&owner))
    }

    /// The handshake has failed, or the upstream forgets each session at once: returns the calls
    /// that fail with it. The next call opens another session.
    pub fn handle_failed(&mut self, owner: &K) -> VecDeque<C> {
        let Some(entry) = self.entries.get_mut(owner) else {
            return VecDeque::new();
        };
        let waiting = std::mem::take(&mut entry.waiting);
        match entry.calls {
            0 => drop(self.entries.remove(owner)),
            // Their ends must not count for the next session.
            _ => {
                entry.session = LegacySession::new();
                (entry.is_held, entry.has_failed) = (false, true);
            }
        }
        waiting
    }

    /// A call was refused, because the upstream has forgotten the session with this id. The call
    /// was not executed, and is admitted again. Returns whether the session is to be opened.
    ///
    /// # Errors
    /// The upstream forgets each session at once: the caller calls
    /// [`UpstreamSessions::handle_failed`].
    pub fn handle_lost(&mut self, owner: &K, id: &str) -> Result<bool, SessionFault> {
        let Some(entry) = self.entries.get_mut(owner) else {
            return Ok(false);
        };
        let was_open = entry.session.id() == Some(id);
        entry.session.handle_lost(id)?;
        Ok(was_open)
    }

    /// A call that was ready is over; `was_answered` if the upstream knew its session.
    pub fn release(&mut self, owner: &K, was_answered: bool, now_ms: u64) {
        if let Some(entry) = self.entries.get_mut(owner) {
            entry.calls = entry.calls.saturating_sub(1);
            entry.used_ms = now_ms;
            if was_answered && !entry.has_failed {
                entry.session.handle_answer();
            }
            if entry.has_failed && entry.calls == 0 {
                self.entries.remove(owner);
            }
        }
    }

    /// Ends the session of an owner that is gone. Its calls were cancelled before.
    pub fn end(&mut self, owner: &K) -> Option<EndedSession<K>> {
        let session = self.entries.remove(owner)?.session;
        let id = session.id()?;
        Some(EndedSession {
            owner: owner.clone(),
            revision: session.revision(),
            id: id.into(),
        })
    }

    /// Ends all sessions, which have no calls: returns those for which DELETE is due.
    pub fn end_all(&mut self) -> Vec<EndedSession<K>> {
        let owners: Vec<K> = self.entries.keys().cloned().collect();
        let ended = owners.iter().filter_map(|owner| self.end(owner));
        let mut ended: Vec<EndedSession<K>> = ended.collect();
        ended.extend(self.evicted.drain(..));
        ended
    }

    /// Ends the session that was not used for the longest time, for another one. Returns whether
    /// there is one without calls.
    fn evict(&mut self) -> bool {
        let entries = self.entries.iter();
        let unused =
            entries.filter(|(_, it)| it.calls == 0 && it.session.may_send(ORDINARY) && !it.is_held);
        let oldest = unused.min_by_key(|(_, it)| it.used_ms);
        let Some(owner) = oldest.map(|(owner, _)| owner.clone()) else {
            return false;
        };
        let ended = self.end(&owner);
        self.evicted.extend(ended);
        true
    }

    /// A session that ended for another one, or one that was not used for its time and ends now.
    pub fn next_expired(&mut self, now_ms: u64) -> Option<EndedSession<K>> {
        if let Some(evicted) = self.evicted.pop_front() {
            return Some(evicted);
        }
        while now_ms >= self.next_check_ms {
            let idle_ms = self.limits.idle_ms;
            let is_expired = |entry: &Entry<C>| {
                let is_open = entry.session.may_send(ORDINARY) && !entry.is_held;
                let is_used = entry.calls > 0 || !is_open;
                !is_used && now_ms >= entry.used_ms + idle_ms
            };
            let mut entries = self.entries.iter();
            let Some((owner, _)) = entries.find(|(_, entry)| is_expired(entry)) else {
                self.next_check_ms = now_ms + CHECK_MS;
                return None;
            };
            let owner = owner.clone();
            if let Some(ended) = self.end(&owner) {
                return Some(ended);
            }
        }
        None
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Milliseconds between two searches for sessions that were not used.
const CHECK_MS: u64 = 1000;

#[cfg(test)]
mod tests;
