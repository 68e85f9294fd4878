//! The admission of calls that may wait, before their handlers run: a refused call has had no
//! effect and may be made again. When the limit is reached, calls are ended whose client left them
//! and makes another one.

use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::jsonrpc::{Id, Value};

use super::context::Context;
use super::disposition::Disposition;
use super::endings::Endings;
use super::notifier::Notifier;
use super::session_id::SessionId;
use super::start::{HandlerRequest, Starter};
use super::task_table::CreateError;
use super::task_updates::TaskUpdates;
use crate::guard::holder::HolderKey;
use crate::handler::call::RequestOptions;
use crate::meter::Counter;

/// Values in the params of a call, past which their bytes are counted before it runs: this many
/// take a few MiB beside their texts.
const PLAIN_NODES_MAX: usize = 10_000;
/// Calls that one call may end.
const GIVEN_UP_PER_CALL_MAX: usize = 16;

impl HandlerRequest<'_> {
    /// Takes the options of its call, with what its handler may know of the caller.
    pub(super) fn take_options(&mut self, context: &Context) -> RequestOptions {
        let exposed = &context.settings.parts.exposed;
        RequestOptions {
            caller_info: self.inbound.requester.caller_info(exposed),
            span: context.meter.span(),
            ..std::mem::take(&mut self.options)
        }
    }
}

impl Starter<'_> {
    /// Whether the call of a request may wait, if necessary. Gives its holder: while no offloaded
    /// work waits and its tool has many places, that does not matter and is not looked up.
    ///
    /// # Errors
    /// The refusal that was written.
    #[inline]
    pub(super) fn admit_call(
        &mut self,
        request: &HandlerRequest<'_>,
        out: &mut Vec<u8>,
    ) -> Result<HolderKey, Disposition> {
        let is_plain = |params: Value<'_>| params.node_count() <= PLAIN_NODES_MAX;
        if request.params.is_none_or(is_plain)
            && self.calls.shares().is_ample()
            && !request.needs_holder
            && !self.calls.offloads_wait()
        {
            return Ok(HolderKey::ANONYMOUS);
        }
        self.admit_scarce(request, out)
    }

    /// With much in use, or a large request, the holder and the size decide.
    #[cold]
    fn admit_scarce(
        &mut self,
        request: &HandlerRequest<'_>,
        out: &mut Vec<u8>,
    ) -> Result<HolderKey, Disposition> {
        let Some(holder) = self.holder_of(request) else {
            return Err(self.context.need_peer(Counter::RequestsModern));
        };
        let bytes = request.params.map_or(0, |params| params.owned_bytes());
        for _ in 0..GIVEN_UP_PER_CALL_MAX {
            if self.calls.shares().check(holder, bytes).is_ok() {
                return Ok(holder);
            }
            let Some(key) = self.calls.oldest_abandoned(holder) else {
                break;
            };
            self.endings().give_up(key);
        }
        let Err(full) = self.calls.shares().check(holder, bytes) else {
            return Ok(holder);
        };
        let reason = Reason::Overloaded(self.context.format(format_args!("{full}")));
        Err(self.context.refuse(Some(request.id), reason, out))
    }

    /// Whether a request may become a task.
    ///
    /// # Errors
    /// The refusal that was written.
    pub(super) fn admit_task(
        &mut self,
        request: &HandlerRequest<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Disposition> {
        let Some(holder) = self.holder_of(request) else {
            return Err(self.context.need_peer(Counter::RequestsModern));
        };
        let admitted = self.tasks.table.admit(&request.task_owner(), holder);
        admitted.map_err(|full| self.refuse_task(request.id, full, out))
    }

    /// Refuses a task, and names the limit that it would exceed.
    #[cold]
    pub(super) fn refuse_task(
        &self,
        id: Id<'_>,
        full: CreateError,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let text = self.context.format(format_args!("{full}"));
        self.context.refuse(Some(id), Reason::Overloaded(text), out)
    }

    /// The holder of a call or a task; none if it must be looked up first.
    pub(super) fn holder_of(&self, request: &HandlerRequest<'_>) -> Option<HolderKey> {
        match request.session {
            Some(session) => self.sessions.holder_of(session),
            None => request.inbound.requester.holder(),
        }
    }

    /// Whether a session with the most calls in flight may have another one: a call that its client
    /// left is ended for it.
    ///
    /// # Errors
    /// The refusal that was written.
    #[cold]
    pub(super) fn make_room_in_session(
        &mut self,
        session: SessionId,
        id: Id<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Disposition> {
        let found = self.sessions.find(session);
        let abandoned = found.and_then(|found| self.calls.first_abandoned(found.calls()));
        if let Some(key) = abandoned {
            self.endings().give_up(key);
            return Ok(());
        }
        let text = self.context.format(format_args!(
            "the session has {} calls in flight, which is its limit (calls.per_session_max)",
            self.context.settings.calls.per_session_max
        ));
        Err(self.context.refuse(Some(id), Reason::Overloaded(text), out))
    }

    fn endings(&mut self) -> Endings<'_> {
        Endings {
            calls: self.calls,
            updates: TaskUpdates {
                context: self.context,
                tasks: self.tasks,
                notifier: Notifier {
                    sessions: self.sessions,
                    streams: self.streams,
                    outbox: self.outbox,
                },
            },
        }
    }
}
