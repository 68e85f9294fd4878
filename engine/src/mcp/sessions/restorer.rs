//! Sessions that are made again from their ids alone.
//!
//! With `sessions.id_max_age_s` the id of a session carries what its handshake fixed, sealed with
//! the keys of the server. A shard that does not have the session makes it again from that: one
//! that was evicted or idle, and one of a process that ended, if the next one has the same keys.
//! Its client notices nothing, where otherwise it would get 404, which official clients take for
//! the end.
//!
//! Invariant: a session that its client ended, or that had a log level or subscriptions when it
//! ended, is not made again in this life of the shard, as long as no more than `sessions.ended_max`
//! sessions ended after it.
//!
//! It lacks changes after the handshake: the log level, subscriptions, kept events and tasks end
//! with the session.

use std::collections::VecDeque;
use std::sync::Arc;

use corelane_protocol::request_state::{NONCE_BYTES, Sealer, SessionTerms};
use hashbrown::HashSet;

use super::limits::SessionLimits;
use crate::mcp::session_id::{NamedSession, SessionId};

/// The longest that `sessions.id_max_age_s` may be.
const ID_MAX_AGE_S_MAX: u64 = 2_592_000;

/// How far the clock of the process that made an id may be ahead, in seconds.
const CLOCK_LEEWAY_S: u64 = 60;

/// Makes the texts of ids, and reads the terms of sessions back from them.
#[derive(Debug)]
pub(crate) struct Restorer {
    sealer: Arc<Sealer>,
    /// The number of this node of a cluster; 0 without one.
    node: u16,
    id_max_age_s: u64,
    ended_max: usize,
    /// Whether an id with terms was made.
    has_sealed: bool,
    /// Random bits of sessions that are not made again, and when their ids are too old, in unix
    /// seconds: oldest first.
    ended: VecDeque<(u128, u64)>,
    is_ended: HashSet<u128>,
}

impl Restorer {
    pub(super) fn new(sealer: Arc<Sealer>, limits: &SessionLimits) -> Restorer {
        Restorer {
            sealer,
            node: 0,
            id_max_age_s: limits.id_max_age_s,
            ended_max: limits.ended_max,
            has_sealed: limits.id_max_age_s > 0,
            ended: VecDeque::new(),
            is_ended: HashSet::new(),
        }
    }

    /// Seals and opens with these keys from now on.
    pub(crate) fn set_keys(&mut self, sealer: &Arc<Sealer>) {
        self.sealer = Arc::clone(sealer);
    }

    /// From now on the server is this node of a cluster, which remembers the ends of sessions.
    pub(crate) fn set_node(&mut self, node: u16) {
        self.node = node;
    }

    pub(super) fn set_limits(&mut self, limits: &SessionLimits) {
        self.id_max_age_s = limits.id_max_age_s;
        self.ended_max = limits.ended_max;
        self.has_sealed |= limits.id_max_age_s > 0;
    }

    /// The text of the id of a session that `principal` made on these terms.
    pub(crate) fn text_of(
        &self,
        id: SessionId,
        principal: Option<&str>,
        terms: SessionTerms,
    ) -> Box<[u8]> {
        let head = id.to_text();
        if self.id_max_age_s == 0 {
            return head.into();
        }
        let nonce = nonce_of(id, self.node);
        let seal = self.sealer.seal_session(&nonce, principal, terms);
        let node = match self.node {
            0 => String::new(),
            node => format!("{node:04x}"),
        };
        [node.as_bytes(), &head, seal.as_bytes()].concat().into()
    }

    /// Whether an id carries terms that may be read.
    pub(crate) fn reads(&self, named: NamedSession<'_>) -> bool {
        !named.seal.is_empty() && self.id_max_age_s > 0
    }

    /// The terms that an id carries, if they are for `principal` and young enough.
    pub(crate) fn terms_of(
        &self,
        named: NamedSession<'_>,
        principal: Option<&str>,
        unix_s: u64,
    ) -> Option<SessionTerms> {
        if !self.reads(named) {
            return None;
        }
        let nonce = nonce_of(named.id, named.node);
        let terms = self.sealer.open_session(&nonce, principal, named.seal)?;
        let created_s = u64::from(terms.created_s);
        let is_young =
            created_s <= unix_s + CLOCK_LEEWAY_S && unix_s < created_s + self.id_max_age_s;
        is_young.then_some(terms)
    }

    /// The sessions that ended for good, each with the time at which its id is too old, in unix
    /// seconds.
    pub(crate) fn ended(&self) -> impl Iterator<Item = (u128, u64)> {
        self.ended.iter().copied()
    }

    /// Whether a session ended for good.
    pub(crate) fn is_ended(&self, id: SessionId) -> bool {
        self.is_ended.contains(&{ id.random })
    }

    /// A session ended at the request of its client, or ended with changes that its id does not
    /// have: it is not made again.
    pub(crate) fn note_ended(&mut self, id: SessionId, unix_s: u64) {
        // Ids that were sealed before a reload may be read again after the next one.
        let is_read = self.node == 0 && (self.has_sealed || self.id_max_age_s > 0);
        if is_read && !self.is_ended(id) {
            self.make_room(unix_s);
            self.note_ended_until(id, unix_s + ID_MAX_AGE_S_MAX + CLOCK_LEEWAY_S);
        }
    }

    /// The same of a session of an earlier process, whose id is too old at `until_s`, in unix
    /// seconds.
    pub(crate) fn note_ended_until(&mut self, id: SessionId, until_s: u64) {
        if self.ended.len() < self.ended_max.max(1) && self.is_ended.insert(id.random) {
            self.ended.push_back((id.random, until_s));
        }
    }

    /// Forgets those whose ids are too old, and the oldest ones for another one.
    fn make_room(&mut self, unix_s: u64) {
        while let Some((random, until_s)) = self.ended.front().copied() {
            if until_s > unix_s && self.ended.len() < self.ended_max {
                break;
            }
            self.ended.pop_front();
            self.is_ended.remove(&random);
        }
    }
}

/// Random bits never repeat, so no two ids have one nonce.
fn nonce_of(id: SessionId, node: u16) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    nonce[..16].copy_from_slice(&{ id.random }.to_be_bytes());
    nonce[16..18].copy_from_slice(&{ id.home }.to_be_bytes());
    nonce[18..20].copy_from_slice(&node.to_be_bytes());
    nonce
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use corelane_protocol::mcp::revision::Revision;
    use corelane_protocol::request_state::{Sealer, SessionTerms};

    use super::super::SessionLimits;
    use super::{ID_MAX_AGE_S_MAX, Restorer};
    use crate::mcp::session_id::{NamedSession, SessionId};

    const NOW_S: u64 = 1_800_000_000;

    fn restorer(id_max_age_s: u64, ended_max: usize) -> Restorer {
        let limits = SessionLimits {
            sessions_max: 1,
            per_principal_max: 1,
            streams_max: 1,
            idle_timeout_ms: 1,
            id_max_age_s,
            ended_max,
        };
        Restorer::new(Arc::new(Sealer::new(&[[1; 32]])), &limits)
    }

    fn terms() -> SessionTerms {
        SessionTerms {
            revision: Revision::V2025_06_18,
            capabilities: Default::default(),
            lists: Default::default(),
            created_s: NOW_S as u32,
        }
    }

    fn id(random: u128) -> SessionId {
        SessionId { home: 3, random }
    }

    #[test]
    fn another_process_with_the_same_keys_reads_the_terms_until_the_id_is_too_old() {
        let text = restorer(60, 4).text_of(id(7), Some("ann"), terms());
        let named = NamedSession::parse(&text).expect("an id");
        assert_eq!(named.id, id(7));
        let next = restorer(60, 4);
        let read = |principal, unix_s| next.terms_of(named, principal, unix_s);
        for (unix_s, is_young) in [
            (-61, false),
            (-60, true),
            (0, true),
            (59, true),
            (60, false),
        ] {
            let expected = is_young.then_some(terms());
            let unix_s = NOW_S.saturating_add_signed(unix_s);
            assert_eq!(read(Some("ann"), unix_s), expected, "{unix_s}");
        }
        assert_eq!((read(Some("bob"), NOW_S), read(None, NOW_S)), (None, None));
        // The seal of one id does not fit another one.
        let (node, seal) = (0, named.seal);
        let other = NamedSession {
            id: id(8),
            node,
            seal,
        };
        assert_eq!(next.terms_of(other, Some("ann"), NOW_S), None);
        assert_eq!(restorer(0, 4).terms_of(named, Some("ann"), NOW_S), None);
        assert_eq!(restorer(0, 4).text_of(id(7), None, terms()).len(), 36);
    }

    #[test]
    fn an_id_of_a_cluster_names_its_node_and_is_opened_by_all_nodes() {
        let mut first = restorer(60, 4);
        first.set_node(0x12);
        let text = first.text_of(id(7), None, terms());
        assert_eq!((&text[..4], text.len()), (&b"0012"[..], 74));
        let named = NamedSession::parse(&text).expect("an id");
        assert_eq!((named.id, named.node), (id(7), 0x12));
        let mut second = restorer(60, 4);
        second.set_node(2);
        assert_eq!(second.terms_of(named, None, NOW_S), Some(terms()));
        let moved = NamedSession { node: 3, ..named };
        assert_eq!(second.terms_of(moved, None, NOW_S), None);
    }

    #[test]
    fn ended_sessions_are_remembered_up_to_the_limit_and_the_age() {
        let mut restorer = restorer(60, 4);
        for random in 0..6 {
            restorer.note_ended(id(random), NOW_S);
            restorer.note_ended(id(random), NOW_S);
        }
        let ended = |restorer: &Restorer| (0..6).map(|at| restorer.is_ended(id(at))).collect();
        let present: Vec<bool> = ended(&restorer);
        assert_eq!(present, [false, false, true, true, true, true]);
        restorer.note_ended(id(9), NOW_S + ID_MAX_AGE_S_MAX + 60);
        let present: Vec<bool> = ended(&restorer);
        assert_eq!(present, [false; 6]);
        assert!(restorer.is_ended(id(9)));
    }
}
