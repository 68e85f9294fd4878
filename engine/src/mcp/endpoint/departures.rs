//! The holders of anonymous clients, and the departure of clients.

use corelane_protocol::jsonrpc::Id;
use corelane_protocol::mcp::era::Era;

use super::Endpoint;
use crate::guard::holder::HolderKey;
use crate::guard::network::Network;
use crate::handler::event_queue::CallKey;
use crate::mcp::delivery::Part;
use crate::mcp::disposition::{Forwarded, ForwardedKind};
use crate::mcp::endings::SessionEnd;
use crate::mcp::event_store::EventId;
use crate::mcp::exchange::Exchange;
use crate::mcp::session_id::SessionId;

impl Endpoint {
    /// Accepts a request with a message that was handled elsewhere.
    pub(crate) fn accept_later(&mut self, exchange: Exchange) {
        self.services.outbox.push(exchange, Part::Accepted);
    }

    /// Handles that the client of a call cancels it: nothing is sent for it any more.
    pub(crate) fn handle_cancel(&mut self, key: CallKey) {
        self.services.endings().cancel(key);
    }

    /// Handles that a client cancels a request of a batch in its session.
    pub(crate) fn handle_cancel_in_session(&mut self, session: SessionId, id: Id<'_>) {
        self.services.cancel_request(session, id);
    }

    /// Handles the loss of the connection that a session belongs to.
    pub(crate) fn handle_channel_gone(&mut self, session: SessionId) {
        if let Some(session) = self.services.sessions.remove(session) {
            self.services
                .endings()
                .end_session(session, SessionEnd::ChannelGone);
        }
    }

    /// The holder for anonymous clients of a network; clients without a known one share a holder.
    pub(crate) fn holder_of(&self, network: Option<Network>) -> HolderKey {
        let holders = &self.services.context.holders;
        network.map_or(HolderKey::ANONYMOUS, |network| holders.of_network(network))
    }

    /// Handles the loss of the connection of an exchange that waits for a call.
    pub(crate) fn handle_client_gone(&mut self, key: CallKey, exchange: Exchange) {
        self.services.call_events().client_gone(key, exchange);
    }

    /// Handles that the client of an exchange that waits for a call sends no more. Returns whether
    /// that cancels the call: closing is cancelling in the modern era. A legacy call continues, and
    /// may be ended if other calls of the client need its place.
    pub(crate) fn handle_hang_up(&mut self, key: CallKey) -> bool {
        let calls = &mut self.services.calls;
        let is_modern = calls.find(key).is_some_and(|it| it.era == Era::Modern);
        if !is_modern {
            calls.abandon(key);
        }
        is_modern
    }

    /// The same for an exchange that waits for calls of a session. Returns the notice for the home
    /// shard of the session, if that is another one.
    pub(crate) fn handle_hang_up_of_calls(
        &mut self,
        session: SessionId,
        exchange: Exchange,
    ) -> Option<Forwarded> {
        if session.home != self.services.context.settings.shard {
            let kind = ForwardedKind::ClientHungUp;
            return Some(Forwarded::notice(exchange, session, kind));
        }
        self.services
            .session_streams()
            .client_hung_up(session, exchange);
        None
    }

    /// Handles the loss of the connection of a session's stream, or of one that waits for calls of
    /// a session; stream and calls stay.
    pub(crate) fn handle_stream_gone(&mut self, session: SessionId, exchange: Exchange) {
        self.services
            .session_streams()
            .connection_gone(session, exchange);
    }

    /// Handles the death of another shard: its connections are gone, and its tasks.
    pub(crate) fn handle_shard_gone(&mut self, shard: u16) {
        self.services.session_streams().shard_gone(shard);
        self.services.limits.handle_shard_gone(shard);
        self.services.tasks.watchers.forget_shard(shard);
        self.services.listening().end_those_of(shard);
    }

    /// How many streams the sessions of this shard have open.
    #[cfg(test)]
    pub(crate) fn open_streams(&self) -> usize {
        let sessions = &self.services.sessions;
        let found = (0..sessions.places()).filter_map(|place| sessions.at_place(place));
        found.map(|session| session.streams().len()).sum()
    }

    /// Handles a message to a session that did not reach the connection of its stream.
    pub(crate) fn handle_undelivered(&mut self, event: EventId, message: Vec<u8>) {
        let mut broadcasting = self.services.broadcasting();
        broadcasting.notifier.redirect(event, message);
    }

    /// Handles that the client of a channel sends no more: its session gets no answers.
    pub(crate) fn handle_channel_input_over(&mut self, session: SessionId) {
        self.services.call_events().end_input_of(session);
    }

    /// Handles that the client of a subscription on a channel sends no more, and waits for the rest
    /// of its answers. The subscription would be one for ever.
    pub(crate) fn handle_subscriber_input_over(&mut self, place: u32) {
        self.services.listening().end_one(place);
    }

    /// Handles the loss of the connection of a subscription.
    pub(crate) fn handle_subscription_gone(&mut self, place: u32) {
        self.services.listening().connection_gone(place);
    }
}
