//! Peers of HTTP+SSE (MCP 2024-11-05 basic/transports, "HTTP with SSE"): a stream brings the
//! messages of a peer, and each message to it is a request.
//!
//! The stream is the answer to a request like any other, on a link of the pool that it keeps. Once
//! it has named the endpoint for messages, its link has lines too, as that of a process does. The
//! upstream takes a message with a status of 2xx; the answer to it comes on the stream.

use corelane_gateway::link::endpoint_target;
use corelane_gateway::relay::{Executed, Failure, Reason};
use corelane_io::chunk::Chunk;
use corelane_io::rings::Rings;
use corelane_io::slots::SlotKey;
use corelane_protocol::framing::http1::end_request_head;

use super::line_link::LineLink;
use super::{Links, TIMEOUT};
use crate::upstream::owner::SessionOwner;
use crate::upstream::relay::{Delivery, EventStream, Recipient, Relay, RelayKey, StreamEvent};

impl Links {
    /// Requests the stream of a peer, which has to name its endpoint in time.
    pub(super) fn open_events(&mut self, upstream: u16, owner: SessionOwner) {
        let table = self.port.table();
        let Some(heads) = &table.endpoints[usize::from(upstream)].heads.events else {
            return self.peer_failed(upstream, &owner, &Failure::unsent(Reason::Unavailable));
        };
        let mut request = self.port.chunk();
        request.extend_from_slice(&heads.get);
        end_request_head(&mut request, None);
        let recipient = Recipient::Stream(Box::new(EventStream::new(owner)));
        let due_ms = self.now_ms + self.settings.connect_ms + self.settings.list_ms;
        self.send_of_events(upstream, recipient, request, due_ms);
    }

    /// Sends a message to a peer, for a call or for none.
    pub(super) fn deliver(&mut self, stream: SlotKey, call: Option<RelayKey>, body: Chunk) {
        let Some(link) = self.slots.get(self.local(stream)) else {
            return;
        };
        let target = link.line.as_ref().and_then(|line| line.target());
        let (upstream, Some(target)) = (link.upstream, target) else {
            return;
        };
        let request = self.port.delivery(upstream, target, &body);
        self.port.give(body);
        let recipient = Recipient::Delivery(Delivery { stream, call });
        let due_ms = self.now_ms + self.settings.connect_ms + self.settings.list_ms;
        self.send_of_events(upstream, recipient, request, due_ms);
    }

    /// Sends the messages that wait on a link, if it is that of a stream. Returns whether it is.
    pub(super) fn deliver_output(&mut self, key: SlotKey) -> bool {
        let local = self.local(key);
        let line = self.slots.get_mut(local).and_then(|it| it.line.as_mut());
        let Some(line) = line.filter(|line| line.is_of_events()) else {
            return false;
        };
        let messages: Vec<Chunk> = std::iter::from_fn(|| line.pop()).collect();
        for message in messages {
            self.deliver(key, None, message);
        }
        true
    }

    fn send_of_events(&mut self, upstream: u16, recipient: Recipient, request: Chunk, due_ms: u64) {
        let of = (self.port.next_id(), upstream);
        let key = self.port.add_written(of, recipient, Some(request), due_ms);
        self.timed.push(key);
    }

    /// Takes the events of the stream that a link carries, if it does.
    pub(super) fn take_events(&mut self, rings: &mut Rings, key: SlotKey, stream: RelayKey) {
        let events = self.port.find(stream).map(|mut it| it.take_events());
        for event in events.unwrap_or_default() {
            // The one before may have ended the link.
            let Some(link) = self.slots.get(self.local(key)) else {
                return;
            };
            match (event, link.line.is_some()) {
                (StreamEvent::Endpoint(url), false) => self.name_target(rings, key, (stream, &url)),
                (StreamEvent::Message(text), true) => self.take_line(rings, key, &text),
                // The endpoint is named once, before the first message.
                (StreamEvent::Endpoint(_), true) | (StreamEvent::Message(_), false) => {}
            }
        }
        self.flush_line(rings, key);
    }

    /// A stream has named the endpoint for messages to its peer, which is open now.
    fn name_target(&mut self, rings: &mut Rings, key: SlotKey, (stream, url): (RelayKey, &[u8])) {
        let table = self.port.table();
        let Some(mut relay) = self.port.find(stream) else {
            return;
        };
        let heads = &table.endpoints[usize::from(relay.upstream)].heads.events;
        let base = heads.as_ref().map_or("", |heads| &*heads.url);
        match (endpoint_target(base, url), relay.stream_owner()) {
            (Ok(target), Some(owner)) => {
                let line = LineLink::new(owner.clone()).with_target(target);
                // It lasts until one of both sides ends it.
                relay.due_ms = Some(u64::MAX);
                drop(relay);
                let local = self.local(key);
                if let Some(link) = self.slots.get_mut(local) {
                    link.line = Some(Box::new(line));
                }
                self.peer_opened(rings, key);
            }
            (Err(fault), _) => {
                let name = &*table.endpoints[usize::from(relay.upstream)].name;
                let warnings = &self.endpoints[usize::from(relay.upstream)].warnings;
                if let Some(suppressed) = warnings.admit(self.now_ms) {
                    tracing::warn!(upstream = name, %fault, suppressed, "its stream is of no use");
                }
                drop(relay);
                let failure = Failure::unsent(Reason::Protocol).with_detail(fault.to_string());
                self.fail(stream, &failure);
                self.drop_link(rings, key);
            }
            (Ok(_), None) => {}
        }
    }

    /// A request of HTTP+SSE was answered, and the answer is over.
    pub(super) fn end_of_events(&mut self, relay: &Relay) {
        if !relay.is_delivered() || relay.stream_owner().is_some() {
            let failure = match relay.stream_owner() {
                Some(_) if relay.is_delivered() => super::signs::ended(),
                _ => relay.failure_of_answer(),
            };
            return self.events_failed(relay, &failure);
        }
        let call = relay.delivery().and_then(|delivery| delivery.call);
        let Some((stream, call)) = relay.delivery().map(|it| it.stream).zip(call) else {
            return;
        };
        let Some(mut sent) = self.port.find(call).filter(|it| !it.is_answerable()) else {
            // Its answer comes on the stream.
            return;
        };
        sent.accept();
        drop(sent);
        self.forget_sent(stream, call);
        self.end(call);
    }

    /// A request of HTTP+SSE has failed: with a stream its peer, and with a message its call.
    pub(super) fn events_failed(&mut self, relay: &Relay, failure: &Failure) {
        if let Some(owner) = relay.stream_owner() {
            return self.peer_failed(relay.upstream, owner, failure);
        }
        let Some(delivery) = relay.delivery() else {
            return;
        };
        if relay.has_lost_stream() {
            self.lost_streams.push(delivery.stream);
        }
        if let Some(call) = delivery.call
            && self.forget_sent(delivery.stream, call)
        {
            let executed = match relay.was_sent {
                true => Executed::Unknown,
                false => failure.executed,
            };
            let failure = failure.clone();
            self.fail(
                call,
                &Failure {
                    executed,
                    ..failure
                },
            );
        }
    }

    /// Takes a call out of those that a stream answers. Returns whether it was one.
    fn forget_sent(&mut self, stream: SlotKey, call: RelayKey) -> bool {
        let local = self.local(stream);
        let line = self.slots.get_mut(local).and_then(|it| it.line.as_mut());
        let Some(line) = line.filter(|line| line.calls.contains_key(&call.id)) else {
            return false;
        };
        line.forget(call);
        true
    }

    /// The time of a request of HTTP+SSE is over.
    pub(super) fn cancel_of_events(&mut self, rings: &mut Rings, key: RelayKey, relay: Relay) {
        match relay.link {
            Some(link) => self.drop_link(rings, link),
            None => {
                self.endpoint(relay.upstream).pool.withdraw(key);
            }
        }
        let failure = match relay.tries {
            0 => Failure::new(Reason::Timeout, Executed::No),
            _ => TIMEOUT,
        };
        self.events_failed(&relay, &failure);
        if let Some(request) = relay.request {
            self.port.give(request);
        }
    }
}
