//! Which calls may wait: decided before their handlers run, so that a refused call has had no
//! effect and may be made again.

use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::jsonrpc::{Id, Value};

use super::disposition::Disposition;
use super::holder::HolderKey;
use super::start::{HandlerRequest, Starter};

/// Values in the params of a call, past which their bytes are counted before it runs: so many take
/// a few MiB beside their texts.
const PLAIN_NODES_MAX: usize = 10_000;

impl Starter<'_> {
    /// Whether the call of a request may wait, should it have to.
    ///
    /// # Errors
    /// The refusal that was written.
    #[inline]
    pub(super) fn admit_call(
        &mut self,
        request: &HandlerRequest<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Disposition> {
        let is_plain = |params: Value<'_>| params.node_count() <= PLAIN_NODES_MAX;
        if request.params.is_none_or(is_plain) && self.calls.shares().is_ample() {
            return Ok(());
        }
        self.admit_scarce(request, out)
    }

    /// With much taken, or asked for, it matters who asks, and for how much.
    #[cold]
    fn admit_scarce(
        &mut self,
        request: &HandlerRequest<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Disposition> {
        let holder = self.holder_of(request);
        let bytes = request.params.map_or(0, |params| params.owned_bytes());
        let Err(full) = self.calls.shares().check(holder, bytes) else {
            return Ok(());
        };
        let reason = Reason::Overloaded(self.context.format(format_args!("{full}")));
        Err(self.context.refuse(Some(request.id), reason, out))
    }

    /// Whose share a call counts in.
    pub(super) fn holder_of(&self, request: &HandlerRequest<'_>) -> HolderKey {
        self.context.holders.key_of(request.inbound.principal())
    }

    /// Whether a session of `calls` calls in flight may have another one.
    ///
    /// # Errors
    /// The refusal that was written.
    pub(super) fn admit_to_session(
        &mut self,
        calls: usize,
        id: Id<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Disposition> {
        let calls_max = self.context.settings.calls.per_session_max;
        if calls < calls_max {
            return Ok(());
        }
        let text = self.context.format(format_args!(
            "the session has {calls_max} calls in flight, which is its limit \
             (calls.per_session_max)"
        ));
        Err(self.context.refuse(Some(id), Reason::Overloaded(text), out))
    }
}
