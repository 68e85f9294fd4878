//! Messages for streams of HTTP+SSE, on their way from the connections of their POSTs.
//!
//! A POST is answered when its message was handled on the shard of the stream, so that its client
//! hears of a stream that is gone. The answers to POSTs are delivered at the end of the turn: the
//! next request of the connection may be such a POST again.

use corelane_protocol::binding::refusal::Reason;

use super::ShardMessage;
use super::work::Shard;
use crate::connection::posted::PostedMessage;
use crate::meter::Counter;
use corelane_io::lanes::Tier;
use corelane_io::slots::SlotKey;

impl Shard {
    /// Passes the messages of this step on.
    pub(super) fn send_posts(&mut self) {
        while let Some(post) = self.handling.effects.posts.pop() {
            let to = post.stream.shard;
            if to == self.handling.shard {
                self.post_here(post);
            } else if usize::from(to) >= self.ring_fds.len() {
                self.refuse_post(&post, Reason::SessionUnknown);
            } else {
                self.forward_post(to, post);
            }
        }
    }

    fn forward_post(&mut self, to: u16, post: PostedMessage) {
        let message = ShardMessage::Post(Box::new(post));
        let lane = (usize::from(to), Tier::Request);
        let sent = match self.deaths.is_down(to) {
            true => Err(message),
            false => self.overflow.try_send(&mut self.sender, lane, message),
        };
        if let Err(ShardMessage::Post(post)) = sent {
            self.handling.meter.count(Counter::LanesFull);
            let text = "the shard of the stream takes no more messages now";
            self.refuse_post(&post, Reason::Overloaded(text));
        }
    }

    /// Handles a message on its stream, or keeps it while the client does not read.
    pub(super) fn post_here(&mut self, post: PostedMessage) {
        let key = post.stream.slot;
        let client = self.handling.peers.get(&key.index);
        let identity = client.and_then(|client| client.identity.as_ref());
        let principal = identity.map(|identity| identity.principal_key());
        let is_of_client = principal == post.principal.as_deref();
        let connection = self.slots.get_mut(key);
        let connection = connection.filter(|it| it.is_stream_of(post.stream.random));
        let Some(connection) = connection.filter(|_| is_of_client) else {
            return self.refuse_post(&post, Reason::SessionUnknown);
        };
        let takes_message = !connection.has_much_output(&self.profile.connection)
            && !connection.is_decoding_message();
        if !connection.holds_posts() && takes_message {
            return self.handle_post(key, &post);
        }
        if let Err(post) = connection.hold_post(post, self.profile.lines.in_flight_max) {
            let text = "the client does not read its stream, and lines.in_flight_max messages wait";
            self.refuse_post(&post, Reason::Overloaded(text));
        }
    }

    /// Handles the messages that have waited, as many as fit now.
    pub(super) fn release_posts(&mut self, key: SlotKey) {
        while let Some(connection) = self.slots.get_mut(key)
            && !connection.has_much_output(&self.profile.connection)
            && !connection.is_decoding_message()
            && let Some(post) = connection.next_post()
        {
            self.handle_post(key, &post);
        }
    }

    fn handle_post(&mut self, key: SlotKey, post: &PostedMessage) {
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        let mut context = self.handling.context(key);
        connection.handle_message(post.body.text().unwrap_or_default(), &mut context);
        let out = context.out.take();
        self.handling.endpoint.accept_later(post.exchange);
        self.finish_step(key, out);
    }

    pub(super) fn refuse_post(&mut self, post: &PostedMessage, reason: Reason<'_>) {
        self.handling
            .endpoint
            .refuse_later(post.exchange, None, reason);
    }
}
