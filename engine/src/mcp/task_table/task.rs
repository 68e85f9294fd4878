//! One task: the values that both eras show, and the values that the table needs.

use corelane_protocol::mcp::era::Era;

use super::error::NotKept;
use super::status::TaskStatus;
use crate::guard::holder::HolderKey;
use crate::mcp::age_list::{Links, LinksOf};
use crate::mcp::session_id::SessionId;
use crate::mcp::task_id::TaskId;

/// The owner of a task.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TaskOwner {
    /// A principal without a session.
    Principal(Box<str>),
    /// A legacy session, of whomever it is.
    Session(SessionId),
    /// No owner: knowing the id is the permission.
    Nobody,
}

/// A waiter for the end of a task; the caller gives the number its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiter(pub(crate) u64);

/// How a task that was not cancelled ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The result of the request, encoded.
    Result {
        /// The result.
        result: Box<[u8]>,
        /// Whether it is the result of a tool that failed, which one era calls a failed task.
        is_error: bool,
    },
    /// The error of the request, encoded.
    Error(Box<[u8]>),
    /// The outcome did not fit.
    Lost(NotKept),
}

/// A task.
#[derive(Debug)]
pub(crate) struct Task {
    /// Its name.
    pub(crate) id: TaskId,
    /// Its state.
    pub(crate) status: TaskStatus,
    /// The message of its handler about the state.
    pub(crate) message: Option<Box<str>>,
    /// When it was made, in milliseconds since 1970.
    pub(crate) created_ms: u64,
    /// When its state or message changed last, in milliseconds since 1970.
    pub(crate) updated_ms: u64,
    /// How long it is kept, in milliseconds from its creation.
    pub(crate) ttl_ms: u64,
    /// Its outcome, once it has ended; none if it was cancelled.
    pub(crate) outcome: Option<Outcome>,
    pub(super) owner: TaskOwner,
    /// Its holder.
    pub(super) holder: HolderKey,
    /// How many tasks of the table were made before.
    pub(super) ordinal: u64,
    /// All requests to the client, in order: a key is not used again.
    pub(super) inputs: Vec<InputRequest>,
    pub(super) waiters: Vec<Waiter>,
    /// Its counted bytes.
    pub(super) bytes: usize,
    pub(super) in_shard: Links,
    pub(super) in_owner: Links,
    pub(super) in_holder: Links,
}

/// A request to the client.
#[derive(Debug)]
pub(super) struct InputRequest {
    pub(super) key: Box<str>,
    pub(super) progress: InputProgress,
}

/// The progress of a request to the client.
#[derive(Debug)]
pub(super) enum InputProgress {
    /// The request waits for an answer.
    Outstanding(Box<[u8]>),
    /// The answer waits for the handler.
    Answered(Box<[u8]>),
    /// Taken by the handler, or withdrawn.
    Over,
}

/// The list of the shard's finished tasks.
pub(super) const IN_SHARD: LinksOf<Task> = |task| &mut task.in_shard;
/// The list of the owner's finished tasks.
pub(super) const IN_OWNER: LinksOf<Task> = |task| &mut task.in_owner;
/// The list of the holder's finished tasks.
pub(super) const IN_HOLDER: LinksOf<Task> = |task| &mut task.in_holder;

impl Task {
    /// The requests that wait for an answer, each with its key, in the order they were made.
    pub(crate) fn requests(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.inputs
            .iter()
            .filter_map(|input| match &input.progress {
                InputProgress::Outstanding(request) => Some((&*input.key, &**request)),
                _ => None,
            })
    }

    /// The waiters for the end.
    pub(crate) fn waiters(&self) -> &[Waiter] {
        &self.waiters
    }

    /// Withdraws the requests that wait for a response.
    pub(super) fn withdraw_requests(&mut self) {
        for input in self
            .inputs
            .iter_mut()
            .filter(|input| input.is_outstanding())
        {
            input.progress = InputProgress::Over;
        }
    }

    /// Drops the values that a finished task does not need, unread responses included.
    pub(super) fn clear(&mut self) {
        self.message = None;
        self.inputs = Vec::new();
    }

    /// When it expires, in milliseconds since 1970.
    pub(super) fn expires_ms(&self) -> u64 {
        self.created_ms.saturating_add(self.ttl_ms)
    }

    /// Whether it is there for `owner` now.
    pub(super) fn is_known_to(&self, owner: &TaskOwner, now_ms: u64) -> bool {
        self.owner == *owner && !self.is_expired(now_ms)
    }

    /// Whether its time is over.
    pub(super) fn is_expired(&self, now_ms: u64) -> bool {
        now_ms >= self.expires_ms()
    }

    /// Sets the state, or confirms it. The clock of the machine may be set back; a task's does not
    /// go back.
    ///
    /// # Panics
    /// If the task is over: the table allows no change then.
    pub(super) fn become_at(&mut self, status: TaskStatus, now_ms: u64) {
        let stays = self.status == status && !status.is_terminal();
        assert!(stays || self.status.may_become(status));
        self.status = status;
        self.updated_ms = self.updated_ms.max(now_ms);
    }
}

impl InputRequest {
    /// Whether its request waits for an answer.
    pub(super) fn is_outstanding(&self) -> bool {
        matches!(self.progress, InputProgress::Outstanding(_))
    }

    /// Its key and its answer, if there is one that was not taken.
    pub(super) fn take_answer(&mut self) -> Option<(Box<str>, Box<[u8]>)> {
        match std::mem::replace(&mut self.progress, InputProgress::Over) {
            InputProgress::Answered(answer) => Some((self.key.clone(), answer)),
            other => {
                self.progress = other;
                None
            }
        }
    }

    /// The bytes of its content without the key.
    pub(super) fn content_bytes(&self) -> usize {
        match &self.progress {
            InputProgress::Outstanding(content) | InputProgress::Answered(content) => content.len(),
            InputProgress::Over => 0,
        }
    }
}

impl Outcome {
    /// The bytes of its values.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Outcome::Result { result, .. } => result.len(),
            Outcome::Error(error) => error.len(),
            Outcome::Lost(_) => 0,
        }
    }
}

impl TaskOwner {
    /// The owner of the tasks of a request: its session, which belongs to one principal; without
    /// one, in the modern era, the principal, or no owner at all.
    pub(crate) fn of(session: Option<SessionId>, principal: Option<&str>) -> TaskOwner {
        match (session, principal) {
            (Some(session), _) => TaskOwner::Session(session),
            (None, Some(principal)) => TaskOwner::Principal(principal.into()),
            (None, None) => TaskOwner::Nobody,
        }
    }

    /// The era of an owner's requests: only sessions own tasks in the legacy one.
    pub(crate) fn era(&self) -> Era {
        match self {
            TaskOwner::Session(_) => Era::Legacy,
            TaskOwner::Principal(_) | TaskOwner::Nobody => Era::Modern,
        }
    }

    /// The bytes of its name.
    pub(super) fn name_bytes(&self) -> usize {
        match self {
            TaskOwner::Principal(name) => name.len(),
            TaskOwner::Session(_) | TaskOwner::Nobody => 0,
        }
    }
}
