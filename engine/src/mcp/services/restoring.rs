//! Making a session again from its id, on its home shard.

use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::jsonrpc::Id;
use corelane_protocol::mcp::subscription::ListKinds;
use corelane_protocol::request_state::SessionTerms;

use super::Services;
use crate::guard::audit::Event;
use crate::guard::holder::HolderKey;
use crate::mcp::audit::Actor;
use crate::mcp::call_shedding::OUT_OF_MEMORY;
use crate::mcp::disposition::Disposition;
use crate::mcp::endings::SessionEnd;
use crate::mcp::inbound::Inbound;
use crate::mcp::rate_limits::Counted;
use crate::mcp::session_id::{NamedSession, SessionId};
use crate::mcp::sessions::Session;
use crate::meter::Counter;

impl Services {
    /// The terms that the id of a session carries for its requester.
    pub(super) fn terms_of(
        &self,
        named: NamedSession<'_>,
        inbound: Inbound<'_>,
    ) -> Option<SessionTerms> {
        let unix_s = self.context.unix_now_ms() / 1000;
        let restorer = &self.sessions.restorer;
        restorer.terms_of(named, inbound.principal(), unix_s)
    }

    /// Makes a session of this shard again from its id, unless it is here or has ended, or the id
    /// carries nothing for its requester. It counts for `holder`, and among the new sessions of the
    /// client.
    ///
    /// # Errors
    /// The refusal that was written, or the holder of the client must be looked up first: nothing
    /// of the request was executed.
    pub(in crate::mcp) fn restore(
        &mut self,
        session: SessionId,
        named: NamedSession<'_>,
        (inbound, holder, id): (Inbound<'_>, Option<HolderKey>, Option<Id<'_>>),
        out: &mut Vec<u8>,
    ) -> Result<(), Disposition> {
        let sessions = &self.sessions;
        let is_needed = sessions.restorer.reads(named)
            && !sessions.contains(session)
            && !sessions.restorer.is_ended(session);
        let Some(terms) = is_needed.then(|| self.terms_of(named, inbound)).flatten() else {
            self.settle(session);
            return Ok(());
        };
        let context = &self.context;
        if context.is_draining() {
            return Err(context.refuse(id, Reason::Draining, out));
        }
        if self.calls.shedding.is_out_of_memory() {
            return Err(context.refuse(id, OUT_OF_MEMORY, out));
        }
        let Some(holder) = holder else {
            return Err(Disposition::PeerNeeded);
        };
        let client = (*inbound.requester, Some(holder));
        let counted = Counted::Session;
        self.limits.admit(context, counted, client, (id, out))?;
        let owner = (inbound.principal(), holder);
        let agreed = (terms.revision, terms.capabilities);
        let now_ms = context.now_ms();
        match self
            .sessions
            .create_as(session.random, owner, agreed, now_ms)
        {
            Ok(evicted) => {
                context.meter.count(Counter::SessionsRestored);
                let how = Some("restored");
                self.opened((session, evicted), (inbound, terms.lists), how);
                self.settle(session);
                Ok(())
            }
            Err(no_room) => {
                let text = context.format(format_args!("{no_room}"));
                Err(context.refuse(id, Reason::Overloaded(text), out))
            }
        }
    }

    /// Completes a session that was just made, and ends the one that was evicted for it.
    pub(super) fn opened(
        &mut self,
        (session, evicted): (SessionId, Option<Session>),
        (inbound, lists): (Inbound<'_>, ListKinds),
        how: Option<&'static str>,
    ) {
        self.context.meter.count(Counter::SessionsOpen);
        let actor = Actor::of(inbound.requester, Some(session));
        self.context.audit.session(Event::SessionOpened, actor, how);
        if let Some(evicted) = evicted {
            self.endings().end_session(evicted, SessionEnd::Evicted);
        }
        if let Some(session) = self.sessions.find(session) {
            session.lists = lists;
            session.configuration = self.subscriptions.configuration;
        }
    }
}
