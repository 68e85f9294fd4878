//! The record of a session: the state beyond `initialize` that survives its owner.

use serde::{Deserialize, Serialize};

use crate::id::{Birth, Process, SessionId};
use crate::settings::{CHANGES_MAX, URIS_MAX};

/// A session in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The id, without its sealed part.
    pub id: SessionId,
    /// The principal, whole.
    pub principal: Box<str>,
    /// The facts that `initialize` fixed.
    pub birth: Birth,
    /// The process that may write next; none after a release.
    pub owner: Option<Process>,
    /// Owners before, which may live and not know of the loss: the owner of now notifies them.
    pub formers: Vec<Process>,
    /// Changes since the first of those lost it: theirs of the same subjects are older.
    pub recent: Vec<Change>,
    /// The session has ended: the record is a tombstone.
    pub has_ended: bool,
    /// Counts changes of the owner. It is the upper part of event sequences.
    pub take_overs: u16,
    /// The part that calls of the client change.
    pub state: State,
}

/// The part of a session that its client changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The log level, if the client set one.
    pub level: Option<u8>,
    /// The URIs that it subscribed to, at most 64.
    pub uris: Vec<Box<str>>,
    /// Its streams: number and the sequence of the last event.
    pub streams: Vec<(u32, u64)>,
}

/// One change of a session. Each sets a value, so the last one for a subject wins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Sets the log level.
    Level(u8),
    /// Subscribes to a URI.
    Subscribe(Box<str>),
    /// Ends the subscription to a URI.
    Unsubscribe(Box<str>),
    /// The last event of a stream had this sequence, or a higher one.
    Stream(u32, u64),
}

impl Change {
    /// Whether a later change of the same subject replaces this one.
    #[must_use]
    pub fn has_subject_of(&self, other: &Change) -> bool {
        use Change::{Level, Stream, Subscribe, Unsubscribe};
        match (self, other) {
            (Level(_), Level(_)) => true,
            (Stream(stream, _), Stream(other, _)) => stream == other,
            (Subscribe(uri) | Unsubscribe(uri), Subscribe(other) | Unsubscribe(other)) => {
                uri == other
            }
            _ => false,
        }
    }
}

impl State {
    /// Applies a change; false if the table that it adds to is full.
    pub fn apply(&mut self, change: &Change) -> bool {
        match change {
            Change::Level(level) => self.level = Some(*level),
            Change::Unsubscribe(uri) => self.uris.retain(|other| other != uri),
            Change::Subscribe(uri) if self.uris.contains(uri) => {}
            Change::Subscribe(uri) if self.uris.len() < URIS_MAX => self.uris.push(uri.clone()),
            Change::Subscribe(_) => return false,
            Change::Stream(number, next) => {
                let known = self.streams.iter().position(|(other, _)| other == number);
                match known {
                    Some(at) => self.streams[at].1 = self.streams[at].1.max(*next),
                    None if self.streams.len() < URIS_MAX => self.streams.push((*number, *next)),
                    None => return false,
                }
            }
        }
        true
    }
}

/// Adds a change to a list that keeps one for each subject, in the order of the last changes.
///
/// Returns false if the list was full and lost its oldest entry.
pub(crate) fn push_change(changes: &mut Vec<Change>, change: Change) -> bool {
    changes.retain(|other| !other.has_subject_of(&change));
    changes.push(change);
    if changes.len() > CHANGES_MAX {
        changes.remove(0);
        return false;
    }
    true
}
