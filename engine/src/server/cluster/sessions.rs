//! Events of shards about sessions, and the core.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use corelane_cluster::frame::{Request, Stage};
use corelane_cluster::id::{Birth, Process, SessionId};
use corelane_cluster::record::{Change, State};
use corelane_cluster::vocabulary::{Origin, SessionKey};

use super::frames::opened;
use super::host::Host;
use crate::cluster::{ClusterEvent, ClusterMessage, ClusterSession, ClusterState};

/// Between two tries with events that the core could not take.
const AGAIN: Duration = Duration::from_secs(1);
/// Of them, the number that is tried at once.
const AGAIN_MAX: usize = 1_024;
/// The level of the log that a session has without setting one.
const LEVEL_DEFAULT: u8 = 1;

impl Host {
    pub(super) fn on_event(&mut self, event: ClusterEvent) {
        match event {
            ClusterEvent::LookUp(shard, session) => self.look_up(usize::from(shard), *session),
            ClusterEvent::Changed(changed) => {
                let (session, state) = *changed;
                self.change(session, state);
            }
            ClusterEvent::Delete(shard, session) => self.delete(usize::from(shard), &session),
            ClusterEvent::Gone {
                random,
                has_expired,
            } => {
                self.unheard.states.remove(&random);
                if !self.leave(random, has_expired) {
                    self.unheard.departed.insert(random, has_expired);
                }
            }
        }
    }

    /// The session as the core names it.
    fn id_of(&self, session: &ClusterSession) -> SessionId {
        let me = self.core.process();
        let now = self.now();
        let incarnation = match session.node == me.node {
            true => me.incarnation,
            // Its process of now gives the session up.
            false => {
                let members = self.core.members(now);
                let known = members.iter().find(|it| it.process.node == session.node);
                known.map_or(0, |it| it.process.incarnation)
            }
        };
        SessionId {
            home: Process {
                node: session.node,
                incarnation,
            },
            shard: session.home,
            random: session.random,
        }
    }

    fn look_up(&mut self, shard: usize, session: ClusterSession) {
        let key = session.random;
        self.unheard.departed.remove(&key);
        if self.is_alone() {
            // As a server without a cluster does.
            return self.send(shard, ClusterMessage::Serve(key, None));
        }
        let request = Request {
            session: self.id_of(&session),
            tail: opened(session.birth),
            principal: session.principal.unwrap_or_default(),
            is_repeatable: true,
            body: Box::default(),
        };
        let call = self.call(shard, key);
        let now = self.now();
        self.core.handle_request(now, call, Box::new(request));
    }

    /// A new call of the core, for a shard.
    fn call(&mut self, shard: usize, key: SessionKey) -> u64 {
        let call = self.next_call;
        self.next_call += 1;
        self.calls.insert(call, (shard, key));
        call
    }

    /// Whether the core has the session now.
    fn hold(&mut self, session: &ClusterSession) -> bool {
        let (revision, capabilities, created_unix_s) = session.birth;
        let birth = Birth {
            revision,
            capabilities,
            created_unix_s,
        };
        let (now, id) = (self.now(), self.id_of(session));
        let principal = session.principal.as_deref().unwrap_or_default();
        self.core.hold(now, id, principal, birth)
    }

    /// A session is in this state: the core gets the changes that lead to it.
    fn change(&mut self, session: ClusterSession, state: ClusterState) {
        let key = session.random;
        if !self.hold(&session) {
            self.unheard.states.insert(key, (session, state));
            return;
        }
        let before = self.core.state(key).cloned().unwrap_or_default();
        let now = self.now();
        for change in changes(&before, &state) {
            self.core.change(now, key, change);
        }
    }

    fn delete(&mut self, shard: usize, session: &ClusterSession) {
        let key = session.random;
        self.unheard.states.remove(&key);
        self.unheard.departed.remove(&key);
        let is_held = self.hold(session);
        let call = self.call(shard, key);
        let now = self.now();
        if !is_held || !self.core.delete(now, Origin::Local(call), key) {
            self.calls.remove(&call);
            let text = "the cluster cannot keep the end of the session now";
            self.send(shard, ClusterMessage::Busy(key, text));
        }
    }

    /// A session left its shard. Returns whether the core has let it go.
    fn leave(&mut self, key: SessionKey, has_expired: bool) -> bool {
        let now = self.now();
        if self.core.standing(key).is_none() {
            return true;
        }
        match has_expired {
            true => self.core.expire(now, key),
            false => self.core.page_out(now, key),
        }
    }

    /// Tries events again that the core could not take.
    pub(super) fn try_again(&mut self) {
        if self.unheard.len() == 0 || self.unheard.tried.is_some_and(|at| at.elapsed() < AGAIN) {
            return;
        }
        self.unheard.tried = Some(Instant::now());
        if self.core.stage() == Stage::Alive {
            let keys: Vec<SessionKey> = self
                .unheard
                .states
                .keys()
                .take(AGAIN_MAX)
                .copied()
                .collect();
            for key in keys {
                if let Some((session, state)) = self.unheard.states.remove(&key) {
                    self.change(session, state);
                }
            }
        }
        let departed = self.unheard.departed.iter().take(AGAIN_MAX);
        let departed: Vec<(SessionKey, bool)> = departed.map(|(key, it)| (*key, *it)).collect();
        for (key, has_expired) in departed {
            if self.leave(key, has_expired) {
                self.unheard.departed.remove(&key);
            }
        }
    }

    /// The state of a session that the core has.
    pub(super) fn state_of(&self, key: SessionKey) -> Option<Box<ClusterState>> {
        let state = self.core.state(key)?;
        Some(Box::new(ClusterState {
            level: state.level,
            uris: state.uris.clone(),
        }))
    }
}

/// The changes that lead from one state to another one.
fn changes(before: &State, after: &ClusterState) -> Vec<Change> {
    let level = after.level.filter(|level| {
        let known = before.level.unwrap_or(LEVEL_DEFAULT);
        *level != known
    });
    let now: BTreeSet<_> = after.uris.iter().collect();
    let ended = before.uris.iter().filter(|uri| !now.contains(uri));
    let begun = after.uris.iter().filter(|uri| !before.uris.contains(uri));
    let level = level.map(Change::Level).into_iter();
    // Sessions that end make room for new ones.
    level
        .chain(ended.cloned().map(Change::Unsubscribe))
        .chain(begun.cloned().map(Change::Subscribe))
        .collect()
}

#[cfg(test)]
mod tests {
    use corelane_cluster::record::{Change, State};

    use super::changes;
    use crate::cluster::ClusterState;

    #[test]
    fn changes_lead_from_one_state_to_the_other() {
        let before = State {
            level: None,
            uris: vec!["a".into(), "b".into()],
            ..State::default()
        };
        let uris = |all: &[&str]| all.iter().map(|uri| Box::from(*uri)).collect();
        let cases: [(Option<u8>, &[&str], Vec<Change>); 4] = [
            (None, &["a", "b"], vec![]),
            // The level that it has without setting one.
            (Some(1), &["b", "a"], vec![]),
            (Some(4), &["a", "b"], vec![Change::Level(4)]),
            (
                Some(1),
                &["b", "c"],
                vec![
                    Change::Unsubscribe("a".into()),
                    Change::Subscribe("c".into()),
                ],
            ),
        ];
        for (level, after, expected) in cases {
            let after = ClusterState {
                level,
                uris: uris(after),
            };
            assert_eq!(changes(&before, &after), expected, "{after:?}");
        }
    }
}
