//! Making a session again from its id, on its home shard.

use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::jsonrpc::Id;
use corelane_protocol::mcp::subscription::ListKinds;
use corelane_protocol::request_state::SessionTerms;

use super::Services;
use crate::guard::audit::Event;
use crate::mcp::audit::Actor;
use crate::mcp::call_shedding::OUT_OF_MEMORY;
use crate::mcp::disposition::Disposition;
use crate::mcp::endings::SessionEnd;
use crate::mcp::inbound::Inbound;
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

    /// Makes a session of this shard again on `terms`, unless it is here or has ended.
    ///
    /// # Errors
    /// The refusal that was written, or the holder of the client must be looked up first: nothing
    /// of the request was executed.
    pub(in crate::mcp) fn restore(
        &mut self,
        (session, terms): (SessionId, SessionTerms),
        (inbound, id): (Inbound<'_>, Option<Id<'_>>),
        out: &mut Vec<u8>,
    ) -> Result<(), Disposition> {
        let sessions = &mut self.sessions;
        if sessions.contains(session) || sessions.restorer.is_ended(session) {
            return Ok(());
        }
        let context = &self.context;
        if context.is_draining() {
            return Err(context.refuse(id, Reason::Draining, out));
        }
        if self.calls.shedding.is_out_of_memory() {
            return Err(context.refuse(id, OUT_OF_MEMORY, out));
        }
        let Some(holder) = inbound.requester.holder() else {
            return Err(Disposition::PeerNeeded);
        };
        let owner = (inbound.principal(), holder);
        let agreed = (terms.revision, terms.capabilities);
        let now_ms = context.now_ms();
        match sessions.create_as(session.random, owner, agreed, now_ms) {
            Ok(evicted) => {
                context.meter.count(Counter::SessionsRestored);
                self.opened((session, evicted), (inbound, terms.lists), Some("restored"));
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
