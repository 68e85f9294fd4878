//! A call that may become a task of an upstream, and a request about one, while they wait.

use corelane_gateway::relay::{Input, Replaced, TaskExchange, TaskMethod, TaskMode};
use corelane_protocol::mcp::capability::ClientCapabilities;
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::tasks::TaskOptions;

use crate::guard::subject::SubjectToken;
use crate::upstream::owner::SessionOwner;
use crate::upstream::port::{AboutTask, Bearer, NewRelay};

/// See the module's text.
#[derive(Debug)]
pub(crate) enum RelayedTask {
    /// Its legacy client has requested a task, with these options: it gets one, even if the
    /// upstream answers at once.
    Requested(TaskOptions),
    /// It is about this task.
    About(Box<TaskTarget>),
}

/// A task of an upstream, and the request of a client about it.
#[derive(Debug)]
pub(crate) struct TaskTarget {
    /// The request.
    pub(super) exchange: TaskExchange,
    /// The era of the upstream.
    pub(super) era: Era,
    /// The number of the upstream.
    pub(super) upstream: u16,
    /// The number of its replica with the task.
    pub(super) replica: u16,
    /// The instance that has the number of the upstream.
    pub(super) instance: u64,
    /// The owner of the session with the task, if the upstream has sessions.
    pub(super) owner: Option<SessionOwner>,
    /// The number of the session.
    pub(super) session: Option<u64>,
    /// The id of the task there.
    pub(super) id: Box<str>,
    /// The capabilities of the client.
    pub(super) capabilities: ClientCapabilities,
    /// Fields of the client that are passed on, as they are sent.
    pub(super) forwarded: Box<[u8]>,
    /// The token of the client, if that is exchanged for the upstream.
    pub(super) subject: Option<SubjectToken>,
    /// When the next request is due, if one is waited for, in milliseconds since the shard started.
    pub(super) poll_due_ms: Option<u64>,
}

impl RelayedTask {
    /// Whether answers of the client to requests of the task go to the upstream in requests of
    /// their own, and not in the session of the call.
    pub(super) fn is_polled(&self) -> bool {
        match self {
            RelayedTask::Requested(_) => false,
            RelayedTask::About(target) => target.era == Era::Modern,
        }
    }
}

impl TaskTarget {
    /// A request to the upstream, with answers of the client if it is to have any.
    pub(super) fn request<'a>(
        &'a self,
        method: TaskMethod,
        responses: Option<&'a [u8]>,
    ) -> NewRelay<'a> {
        NewRelay {
            upstream: self.upstream,
            method: method.name(),
            owner: self.owner.clone(),
            replaced: Some(Replaced::Task(&self.id)),
            params: b"{}",
            fixed: None,
            header_params: &[],
            input: Input {
                responses,
                state: None,
            },
            capabilities: match self.exchange.eras() {
                // Its answers go with the request of `watch_request`.
                (Era::Modern, Era::Legacy) => ClientCapabilities::default(),
                _ => self.capabilities,
            },
            forwarded: &self.forwarded,
            log_level: None,
            has_progress: false,
            is_repeatable: method.is_repeatable(),
            // A modern upstream serves no other client (SEP-2663, "Capability Negotiation").
            task: match self.era {
                Era::Modern => TaskMode::Declared,
                Era::Legacy => TaskMode::None,
            },
            about: Some(AboutTask {
                name: self.exchange.name(),
                session: self.session,
                replica: self.replica,
            }),
            bearer: Bearer::Client(self.subject.as_ref()),
        }
    }

    /// The request for the result that a legacy upstream sends its own requests with. They are
    /// those that the client can answer now, and could when the session was opened.
    pub(super) fn watch_request(&self) -> NewRelay<'_> {
        let declared = self.owner.as_ref().map(SessionOwner::capabilities);
        let declared = declared.unwrap_or_default().bits();
        NewRelay {
            capabilities: ClientCapabilities::from_bits(self.capabilities.bits() & declared),
            ..self.request(TaskMethod::Result, None)
        }
    }
}
