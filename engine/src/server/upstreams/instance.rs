//! One upstream on its way from its configuration to its end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use corelane_protocol::framing::http1::write_field;

use super::credential::Credential;
use super::served::ServedUpstream;
use super::tracked::Tracked;
use crate::upstream::endpoint::{Endpoint, EventHeads, Heads, Standing};

/// One upstream.
pub(super) struct Instance {
    pub(super) id: u64,
    pub(super) tracked: Tracked,
    /// Of its replicas, as they were configured.
    pub(super) replicas: Vec<Endpoint>,
    /// The numbers of the further ones.
    pub(super) further: Arc<[u16]>,
    pub(super) credential: Option<Credential>,
    pub(super) files: u64,
    pub(super) stage: Stage,
    /// Look-ups of its addresses that have not ended.
    pub(super) lookups: u32,
    /// The shards that have nothing of a replica any more, with the number of that.
    pub(super) drained: BTreeSet<(u16, u16)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Serves,
    /// It takes the place of the one with this number when its lists are read, at this time at the
    /// latest.
    Begins(u16, Instant),
    /// Its calls end, at this time at the latest.
    Drains(Instant),
    Ends,
}

impl Stage {
    pub(super) fn word(self) -> &'static str {
        match self {
            Stage::Serves => "serves",
            Stage::Begins(..) => "begins",
            Stage::Drains(_) => "drains",
            Stage::Ends => "ends",
        }
    }
}

/// How an upstream is like one of another configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Likeness {
    Same,
    /// It is reached in the same way.
    InPlace,
    Other,
}

impl Instance {
    /// Its name.
    pub(super) fn name(&self) -> &Arc<str> {
        &self.replicas[0].name
    }

    /// Its own number, which is used once.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// When something is to be done for it without an event. Without its credential nothing is
    /// requested of it.
    pub(super) fn due(&self) -> Option<Instant> {
        match &self.credential {
            Some(credential) if !credential.is_there() => credential.due(),
            Some(credential) => credential
                .due()
                .into_iter()
                .chain([self.tracked.due()])
                .min(),
            None => Some(self.tracked.due()),
        }
    }

    /// Whether it is time for the next step for its lists.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let credential = self.credential.as_ref();
        credential.is_none_or(Credential::is_there) && self.tracked.due() <= now
    }

    pub(super) fn likeness(&self, served: &ServedUpstream) -> Likeness {
        let upstream = self.tracked.upstream();
        let replicas = self.tracked.places().iter().zip(&self.replicas);
        let mut pairs = replicas.zip(&served.replicas);
        let is_reached_alike = upstream.is_reached_like(&served.upstream)
            && self.replicas.len() == served.replicas.len()
            && pairs.all(|((place, endpoint), (other_place, other))| {
                place == other_place && endpoint.heads == other.heads
            })
            && self.files == served.files;
        match is_reached_alike {
            true if *upstream == served.upstream => Likeness::Same,
            true => Likeness::InPlace,
            false => Likeness::Other,
        }
    }

    /// The replica with a number of the upstream whose number is `first`.
    pub(super) fn endpoint(&self, first: u16, number: u16) -> Endpoint {
        let further = self.further.iter().position(|it| *it == number);
        let replica = further.map_or(0, |place| place + 1);
        Endpoint {
            upstream: first,
            replicas: match further {
                None => Arc::clone(&self.further),
                Some(_) => Arc::default(),
            },
            instance: self.id,
            standing: match self.stage {
                Stage::Serves | Stage::Begins(..) => Standing::Serves,
                Stage::Drains(_) => Standing::Drains,
                Stage::Ends => Standing::Ends,
            },
            address: self.tracked.address(replica).cloned(),
            era: self.tracked.era(),
            has_updates: self.tracked.has_updates(),
            has_tasks: self.tracked.has_tasks(),
            heads: Heads {
                service: self.service(),
                ..self.heads(&self.replicas[replica].heads)
            },
            credential: self.credential.as_ref().map(Credential::endpoint),
            ..self.replicas[replica].clone()
        }
    }
}

impl Instance {
    /// Whether the tokens of clients are exchanged.
    fn exchanges(&self) -> bool {
        self.replicas[0].exchanges
    }

    /// The line of the credential of this server, if calls of clients have another one.
    fn service(&self) -> Arc<[u8]> {
        let field = self.credential.as_ref().and_then(Credential::field);
        let mut line = Vec::new();
        if let Some((name, value)) = field.filter(|_| self.exchanges()) {
            let _ = write_field(&mut line, name, value.as_bytes());
        }
        line.into()
    }

    /// The starts of heads of a replica, with its credential, unless that is for no call of a
    /// client.
    fn heads(&self, heads: &Heads) -> Heads {
        let field = self.credential.as_ref().and_then(Credential::field);
        let field = field.filter(|_| !self.exchanges());
        let has_heads = !heads.post.is_empty() || heads.events.is_some();
        let Some((name, value)) = field.filter(|_| has_heads) else {
            return heads.clone();
        };
        let with = |head: &Arc<[u8]>| {
            if head.is_empty() {
                return Arc::clone(head);
            }
            let mut head = head.to_vec();
            // The value was checked when it was read; one that cannot be sent is left out.
            let _ = write_field(&mut head, name, value.as_bytes());
            Arc::from(head)
        };
        Heads {
            post: with(&heads.post),
            get: with(&heads.get),
            delete: with(&heads.delete),
            events: heads.events.as_ref().map(|events| {
                Arc::new(EventHeads {
                    url: events.url.clone(),
                    get: with(&events.get),
                    post: with(&events.post),
                })
            }),
            service: Arc::default(),
        }
    }
}
