//! Requests that wait until the address of their peer is known.
//!
//! An anonymous client takes a place in a table in the name of its address. That is looked up when
//! such a request comes, and not for those that are answered at once. Until then, which is the next
//! turn, the request is kept apart from its connection, which waits as for a call.

use corelane_protocol::framing::http1::RequestHead;

use super::context::Context;
use super::http::{Connection, Phase};

/// A whole request.
#[derive(Debug)]
pub(crate) struct PostponedRequest {
    head: Box<[u8]>,
    body: Box<[u8]>,
}

impl PostponedRequest {
    pub(super) fn new(head: &RequestHead<'_>, body: &[u8]) -> PostponedRequest {
        PostponedRequest {
            head: head.bytes().into(),
            body: body.into(),
        }
    }
}

impl Connection {
    /// Handles a request that was postponed, now that `context` has its peer, and what the client
    /// sent behind it.
    pub(crate) fn go_on(&mut self, request: &PostponedRequest, context: &mut Context<'_>) {
        let waiting = self.buffers.as_mut().and_then(|it| it.waiting.take());
        let head = RequestHead::parse(&request.head, &context.rules.http);
        let (Some(waiting), Ok(head)) = (waiting, head) else {
            unreachable!("the head was read before, and its connection waits");
        };
        self.phase = Phase::Idle;
        self.answer(&head, &request.body, waiting.reply, context);
        if self.is_between_answers() {
            self.resume(context);
            self.end_if_read_closed();
        }
        self.give_back_buffers(context);
    }
}
