//! The channel of a connection: many requests at once, in both directions, on one sequence of
//! messages.
//!
//! It is the same for all framings of messages. Bounds on input, output and turns are those of
//! every [`Connection`]; the rest is here. A request leaves the connection [`Phase::Idle`] and
//! waits in a table of its own, so that further messages are read, among them the one that cancels
//! it. A session belongs to the connection and ends with it.

use corelane_protocol::binding::claims::Claims;
use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::framing::websocket::CloseCode;
use corelane_protocol::jsonrpc::{IdScanner, OwnedId};

use super::body::RequestBody;
use super::channel::{MessageChannel, Outgoing};
use super::context::Context;
use super::http::{Connection, Phase};
use super::in_flight::ChannelRequest;
use super::preconditions;
use super::response;
use crate::guard::holder::HolderKey;
use crate::guard::refusal::Refusal;
use crate::mcp::{Channel, Disposition, Exchange, Inbound, Part, Requester, write_refusal};
use crate::mcp::{SessionId, StreamOwner};
use crate::meter::Counter;

/// The parts of a connection that end with the input of its peer.
pub(crate) struct EndOfInput {
    /// Its session: the requests in it get no answers any more.
    pub(crate) session: Option<SessionId>,
    /// Its subscriptions, by their places.
    pub(crate) subscriptions: Vec<u32>,
}

impl Connection {
    /// Whether its messages are those of a channel.
    pub(crate) fn has_channel(&self) -> bool {
        self.has_lines() || self.channel().is_some()
    }

    /// The channel of the connection, if it has one; that of lines is there while it has a state.
    pub(crate) fn channel(&self) -> Option<&MessageChannel> {
        self.buffers.as_ref()?.channel()
    }

    pub(super) fn channel_mut(&mut self) -> Option<&mut MessageChannel> {
        self.buffers.as_mut()?.channel_mut()
    }

    /// The channel, made for a connection of lines if it has none.
    pub(super) fn open_channel(&mut self, context: &mut Context<'_>) -> &mut MessageChannel {
        self.buffers(context).open_channel()
    }

    /// Handles whole messages at the start of `input`, on a connection that began as one of HTTP.
    /// Returns how many bytes they took.
    pub(super) fn process_messages(
        &mut self,
        input: &mut [u8],
        context: &mut Context<'_>,
    ) -> usize {
        match self.channel() {
            Some(channel) if channel.is_websocket() => self.process_frames(input, context),
            _ => {
                // No request can follow: the answer to this one does not end.
                self.phase = Phase::Idle;
                input.len()
            }
        }
    }

    /// The output of a stream of HTTP+SSE.
    pub(super) fn outgoing(&self) -> Option<&Outgoing> {
        self.channel()?.outgoing()
    }

    /// Handles one message, or lets it be decoded elsewhere.
    pub(crate) fn handle_message(&mut self, message: &[u8], context: &mut Context<'_>) {
        if context.endpoint.decodes_elsewhere(message.len()) {
            return self.decode_message(message.to_vec(), 0..message.len(), context);
        }
        self.sequence = self.next_sequence();
        self.handle_body(RequestBody::Bytes(message), context);
    }

    /// Handles the message that has the present number.
    pub(super) fn handle_body(&mut self, body: RequestBody<'_>, context: &mut Context<'_>) {
        if self.end_if_expired(context) {
            return;
        }
        let channel = self.channel();
        let overload = overload(channel, context);
        let on_channel = Channel {
            session: channel.and_then(|channel| channel.session),
            overload: overload.as_deref(),
            is_legacy: self.outgoing().is_some(),
        };
        let exchange = context.channel_exchange(self.sequence);
        let peer = context.peers.get(&context.key.index);
        let identity = match context.access.identity_of(peer) {
            Ok(identity) => identity,
            Err(refusal) => return self.deny_message(&refusal, &body, context),
        };
        let requester = Requester::Here {
            claims: Claims::NONE,
            identity: identity.as_ref(),
            address: peer.and_then(|peer| peer.address),
            // That of standard input and output is not known.
            peer: Some(peer.map_or(HolderKey::ANONYMOUS, |peer| peer.holder)),
        };
        let inbound = Inbound::new(&requester, exchange).on_channel(on_channel);
        let mut scratch = std::mem::take(&mut context.pool.scratch);
        scratch.clear();
        let endpoint = &mut context.endpoint;
        let (disposition, id) = match body {
            RequestBody::Bytes(message) => {
                endpoint.handle_channel_message(inbound, message, &mut scratch)
            }
            RequestBody::Decoded(message) => {
                endpoint.handle_large_channel_message(inbound, message, &mut scratch)
            }
            RequestBody::Undecodable(error, id) => {
                let id = id.as_ref().map(OwnedId::as_id);
                let refused = endpoint.refuse(id, Reason::Undecodable(error), &mut scratch);
                (refused, None)
            }
        };
        if !scratch.is_empty() {
            self.write_framed(None, &scratch, context);
        }
        context.pool.scratch = scratch;
        self.settle_message(disposition, id, context);
    }

    /// Refuses a message that access control refuses; a notification is dropped.
    #[cold]
    fn deny_message(
        &mut self,
        refusal: &Refusal,
        body: &RequestBody<'_>,
        context: &mut Context<'_>,
    ) {
        context.meter.count(Counter::RefusedCredential);
        let id = match body {
            RequestBody::Bytes(message) => IdScanner::id_of(message),
            RequestBody::Decoded(message) => message.id(),
            RequestBody::Undecodable(_, id) => id.clone(),
        };
        let Some(id) = id else { return };
        let mut text = Vec::new();
        write_refusal(refusal, id.as_id(), &mut text);
        self.write_framed(None, &text, context);
    }

    /// Numbers of requests go around; no two requests in flight have one, and none has that of the
    /// channel.
    pub(super) fn next_sequence(&self) -> u32 {
        let mut sequence = self.sequence;
        loop {
            sequence = sequence.wrapping_add(1);
            let channel = self.channel();
            let is_taken = channel.is_some_and(|channel| channel.in_flight.contains(sequence));
            if sequence != Exchange::CHANNEL && !is_taken {
                return sequence;
            }
        }
    }

    /// Remembers a request that is answered later.
    fn settle_message(
        &mut self,
        disposition: Disposition,
        id: Option<OwnedId>,
        context: &mut Context<'_>,
    ) {
        let (call, stream) = match disposition {
            Disposition::Answer { session, .. } => {
                if let Some(new) = session {
                    self.open_channel(context).session = Some(new.id);
                }
                return;
            }
            Disposition::Accepted | Disposition::Done => return,
            Disposition::Cancel(id) => return self.cancel(&id, context),
            Disposition::Pending(call) => (call, None),
            Disposition::PendingCalls(session) => (None, Some(StreamOwner::Calls(session))),
            Disposition::Stream(owner) => {
                context.meter.open_stream();
                (None, Some(owner))
            }
            Disposition::Forward { home, request } => {
                let stream = request.answered_by();
                context.effects.forwards.push((home, request));
                (None, stream)
            }
            Disposition::PeerNeeded => unreachable!("the holder of a channel is known"),
        };
        let request = ChannelRequest {
            id,
            call,
            stream,
            responses: Vec::new(),
        };
        let sequence = self.sequence;
        let channel = self.open_channel(context);
        channel.in_flight.insert(sequence, request);
    }

    /// Cancels the oldest request in flight with this id: nothing more is sent for it. An id of
    /// none is ignored, as the answer may have been on its way.
    fn cancel(&mut self, id: &OwnedId, context: &mut Context<'_>) {
        let Some(channel) = self.channel_mut() else {
            return;
        };
        let Some(sequence) = channel.in_flight.number_of(id) else {
            if let Some(session) = channel.session {
                let endpoint = &mut context.endpoint;
                endpoint.handle_cancel_in_session(session, id.as_id());
            }
            return;
        };

        self.buffers(context)
            .changes
            .retain(|it| it.sequence != sequence);
        let Some(request) = self.end_channel_request(sequence, context) else {
            return;
        };
        if let Some(call) = request.call {
            context.endpoint.handle_cancel(call);
        }
        if let Some(StreamOwner::Listen(place)) = request.stream {
            context.endpoint.handle_subscription_gone(place);
        }
    }

    /// Whether an answer numbered `sequence` has a place.
    pub(super) fn awaits_on_channel(&self, sequence: u32) -> bool {
        let has_place = |channel: &MessageChannel| match sequence {
            Exchange::CHANNEL => channel.session.is_some(),
            sequence => channel.in_flight.contains(sequence),
        };
        let is_open = self.is_between_answers() || self.is_decoding_message();
        is_open && self.channel().is_some_and(has_place)
    }

    /// A part of the answer to the request `sequence`, or a message of the channel itself.
    pub(super) fn deliver_on_channel(
        &mut self,
        sequence: u32,
        part: Part,
        context: &mut Context<'_>,
    ) {
        match part {
            Part::Event { message, .. } => self.write_message(None, &message, context),
            Part::Change { id, message } => self.deliver_change(sequence, (id, message), context),
            Part::Response(message) => {
                let channel = self.channel_mut();
                let request = channel.and_then(|channel| channel.in_flight.get_mut(sequence));
                if let Some(ChannelRequest { responses, .. }) = request {
                    responses.push(if responses.is_empty() { b'[' } else { b',' });
                    responses.extend_from_slice(&message);
                }
            }
            Part::Final { body, .. } => {
                self.write_answer(&body, context);
                self.end_channel_request(sequence, context);
            }
            Part::Accepted | Part::Unanswered | Part::Done | Part::StreamEnd => {
                let ended = self.end_channel_request(sequence, context);
                let responses = ended.map(|request| request.responses);
                if let Some(mut responses) = responses.filter(|it| !it.is_empty()) {
                    responses.push(b']');
                    self.write_answer(&responses, context);
                }
            }
            // There is no stream that could be open, or away for a while.
            Part::StreamOpen(_) | Part::StreamPause { .. } => {}
        }
        self.end_if_answered(context);
    }

    fn write_answer(&mut self, message: &[u8], context: &mut Context<'_>) {
        self.write_message(None, message, context);
        let waits = self.is_sending();
        if let Some(channel) = self.channel_mut().filter(|_| waits) {
            channel.answer_bytes += message.len() as u32;
        }
    }

    /// Bytes of answers that wait behind the send under way. They do not show how far behind the
    /// peer is: they may be ready all at once, however fast it reads.
    pub(super) fn channel_answer_bytes(&self) -> usize {
        self.channel()
            .map_or(0, |channel| channel.answer_bytes as usize)
    }

    /// Takes a request out of those in flight.
    fn end_channel_request(
        &mut self,
        sequence: u32,
        context: &mut Context<'_>,
    ) -> Option<ChannelRequest> {
        let request = self.channel_mut()?.in_flight.remove(sequence)?;
        if request.stream.is_some_and(StreamOwner::is_stream) {
            context.meter.end_stream(None);
        }
        Some(request)
    }

    /// The connection is to end when all that has come is handled: see
    /// [`Connection::end_when_answered`].
    pub(crate) fn begin_ending(&mut self, context: &mut Context<'_>) {
        self.open_channel(context).is_ending = true;
    }

    /// The parts of a connection that wait for a peer which sends no more on its socket, once.
    /// Standard input is the only one of its server, which drains at its end.
    pub(crate) fn take_end_of_input(&mut self) -> Option<EndOfInput> {
        let is_over = self.is_input_over() && !self.source.is_stdio();
        let channel = self.channel_mut();
        let channel = channel.filter(|channel| is_over && !channel.is_ending)?;
        channel.is_ending = true;
        let subscriptions = channel
            .in_flight
            .iter()
            .filter_map(|(_, it)| match it.stream {
                Some(StreamOwner::Listen(place)) => Some(place),
                _ => None,
            });
        Some(EndOfInput {
            session: channel.session,
            subscriptions: subscriptions.collect(),
        })
    }

    /// The socket of the connection is empty: it ends when all requests in flight are answered.
    pub(crate) fn end_when_answered(&mut self, context: &mut Context<'_>) {
        let channel = self.open_channel(context);
        (channel.is_ending, channel.is_drained) = (true, true);
        self.end_if_answered(context);
    }

    /// Whether everything that the peer has sent, and ever will, was handled.
    pub(crate) fn is_input_over(&self) -> bool {
        self.is_read_closed && !self.has_requests_left_over() && !self.is_decoding_message()
    }

    /// Ends a connection that has nothing to answer any more and gets nothing else to. Not while it
    /// handles messages: the rest of them does not count as left over.
    pub(super) fn end_if_answered(&mut self, context: &mut Context<'_>) {
        let channel = self.channel();
        let outgoing = self.outgoing();
        let is_websocket = channel.is_some_and(MessageChannel::is_websocket);
        let is_over = self.is_read_closed || channel.is_some_and(|channel| channel.is_drained);
        // A WebSocket has no half that stays open: its client sends no more because it has gone. So
        // has one whose messages come on other connections.
        let has_gone = (is_websocket || outgoing.is_some()) && self.is_read_closed;
        let owes_nothing = channel.is_none_or(|channel| channel.in_flight.is_empty());
        let is_answered = owes_nothing || has_gone;
        if !is_over || !is_answered || self.has_requests_left_over() || !self.is_between_answers() {
            return;
        }
        if is_websocket && !has_gone {
            return self.close_socket(CloseCode::GoingAway, "the server shuts down", context);
        }
        if let Some(Outgoing { reply, .. }) = outgoing {
            response::write_stream_end(context.out(), reply);
        }
        let lingers = outgoing.is_some() && !has_gone;
        self.phase = Phase::Flushing { lingers };
    }

    /// Forgets the answers that waited behind a send that has ended.
    pub(super) fn forget_channel_answers(&mut self) {
        if let Some(channel) = self.channel_mut() {
            channel.answer_bytes = 0;
        }
    }
}

/// Why a connection takes no further request now, if so.
fn overload(channel: Option<&MessageChannel>, context: &Context<'_>) -> Option<String> {
    let (in_flight_max, section) = match channel {
        Some(channel) if channel.is_websocket() => {
            (context.rules.websocket.in_flight_max, "websocket")
        }
        _ => (context.rules.lines.in_flight_max, "lines"),
    };
    if channel.is_some_and(|channel| channel.in_flight.len() >= in_flight_max) {
        return Some(format!(
            "the connection has {in_flight_max} requests in flight, which is its limit \
             ({section}.in_flight_max)"
        ));
    }
    preconditions::overload(context).map(str::to_owned)
}
