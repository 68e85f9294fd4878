//! Requests that wait until the address of their peer is known.
//!
//! An anonymous client takes a place in a table in the name of its address. That is looked up when
//! such a request comes, and not for requests that are answered at once. Until then, which is the
//! next turn, the request is kept apart from its connection, which waits as for a call.

use corelane_protocol::framing::http1::RequestHead;

use super::body::{PostponedBody, PostponedRequest, RequestBody};
use super::buffers::Reply;
use super::context::Context;
use super::http::{Connection, Phase};

impl Connection {
    /// Handles a postponed request, now that `context` has its peer, and the bytes that the client
    /// sent after it. Returns whether the connection has no further use.
    pub(crate) fn go_on(&mut self, request: PostponedRequest, context: &mut Context<'_>) -> bool {
        let PostponedRequest { head, body } = request;
        let waiting = self.buffers.as_mut().and_then(|it| it.take_waiting());
        let head = RequestHead::parse(&head, &context.rules.http);
        let (Some(waiting), Ok(head)) = (waiting, head) else {
            unreachable!("the head was read before, and its connection waits");
        };
        let body = match body {
            PostponedBody::Bytes(ref bytes) => RequestBody::Bytes(bytes),
            PostponedBody::Decoded(message) => RequestBody::Decoded(message),
        };
        self.handle_waiting(&head, (body, waiting.reply), context)
    }

    /// Handles the waiting request, and the bytes that the client sent after it. Returns whether
    /// the connection has no further use.
    pub(super) fn handle_waiting(
        &mut self,
        head: &RequestHead<'_>,
        (body, reply): (RequestBody<'_>, Reply),
        context: &mut Context<'_>,
    ) -> bool {
        self.phase = Phase::Idle;
        self.answer(head, body, reply, context);
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
