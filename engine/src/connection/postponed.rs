//! Requests that wait until the address of their peer is known.
//!
//! An anonymous client takes a place in a table in the name of its address. That is looked up when
//! such a request comes, and not for requests that are answered at once. Until then, which is the
//! next turn, the request is kept apart from its connection, which waits as for a call.

use corelane_protocol::framing::http1::RequestHead;
use corelane_protocol::limits::HttpLimits;

use super::body::{LargeRequest, PostponedBody, PostponedRequest, RequestBody};
use super::context::Context;
use super::http::{Connection, Phase};
use super::reply::Reply;

impl Connection {
    /// Handles a postponed request, now that `context` has its peer, and the bytes that the client
    /// sent after it. Returns whether the connection has no further use.
    pub(crate) fn go_on(&mut self, request: PostponedRequest, context: &mut Context<'_>) -> bool {
        let PostponedRequest { head, body } = request;
        let waiting = self.buffers.as_mut().and_then(|it| it.take_waiting());
        let head = RequestHead::parse(&head, &HttpLimits::WIDEST);
        let (Some(waiting), Ok(head)) = (waiting, head) else {
            unreachable!("the head was read before, and its connection waits");
        };
        match body {
            PostponedBody::Bytes(bytes) => {
                let body = RequestBody::Bytes(&bytes);
                if let Some(reply) = self.answer_waiting(&head, (body, waiting.reply), context) {
                    let large = LargeRequest {
                        http: Some((reply, head.bytes().into())),
                        body: 0..bytes.len(),
                    };
                    self.decode_elsewhere(large, bytes.into_vec(), context);
                }
                self.after_waiting(context)
            }
            PostponedBody::Decoded(message) => {
                let body = RequestBody::Decoded(message);
                self.handle_waiting(&head, (body, waiting.reply), context)
            }
        }
    }

    /// Handles the waiting request with a body that is decoded, or cannot be, and the bytes that
    /// the client sent after it. Returns whether the connection has no further use.
    pub(super) fn handle_waiting(
        &mut self,
        head: &RequestHead<'_>,
        waiting: (RequestBody<'_>, Reply),
        context: &mut Context<'_>,
    ) -> bool {
        let large = self.answer_waiting(head, waiting, context);
        debug_assert!(large.is_none(), "its body is decoded");
        self.after_waiting(context)
    }

    /// Answers the waiting request; as [`Connection::answer`].
    fn answer_waiting(
        &mut self,
        head: &RequestHead<'_>,
        (body, reply): (RequestBody<'_>, Reply),
        context: &mut Context<'_>,
    ) -> Option<Reply> {
        self.phase = Phase::Idle;
        self.answer(head, body, reply, context)
    }

    /// Handles the bytes that the client sent after a request that waited. Returns whether the
    /// connection has no further use.
    fn after_waiting(&mut self, context: &mut Context<'_>) -> bool {
        if self.is_answering() && self.is_read_closed {
            // As if the peer had sent its last just after the request.
            return self.finished(context);
        }
        if self.channel().is_some() {
            // It was upgraded, and no frame was read.
            self.phase = Phase::Idle;
        }
        if self.is_between_answers() {
            self.resume(context);
            self.end_if_read_closed(context);
        }
        self.give_back_buffers(context);
        false
    }
}
