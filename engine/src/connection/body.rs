//! Bodies of requests, and whole requests that are kept until they can be handled.

use std::ops::Range;

use corelane_io::slots::SlotKey;
use corelane_protocol::framing::http1::{Headers, RequestHead};
use corelane_protocol::jsonrpc::{DecodeError, OwnedId};

use super::reply::Reply;
use crate::guard::holder::HolderKey;
use crate::handler::offload::JobId;
use crate::mcp::LargeMessage;

/// The body of a request.
pub(super) enum RequestBody<'a> {
    /// As it arrived.
    Bytes(&'a [u8]),
    /// As it was decoded elsewhere.
    Decoded(Box<LargeMessage>),
    /// As it could not be decoded elsewhere; with the id of a request on a channel.
    Undecodable(DecodeError, Option<OwnedId>),
}

impl<'a> RequestBody<'a> {
    /// Its bytes, if it is as it arrived.
    pub(super) fn bytes(&self) -> &'a [u8] {
        match self {
            RequestBody::Bytes(bytes) => bytes,
            RequestBody::Decoded(_) | RequestBody::Undecodable(..) => &[],
        }
    }
}

/// A request whose body is to be decoded elsewhere.
pub(super) struct LargeRequest {
    /// How to answer it, and its head; a message of a channel has neither.
    pub(super) http: Option<(Reply, Box<[u8]>)>,
    /// Where its body is.
    pub(super) body: Range<usize>,
}

/// A body that is decoded elsewhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyElsewhere {
    /// The work of decoding it.
    pub(crate) job: JobId,
    /// Bytes held for it, which count among those of unfinished requests.
    pub(crate) held_bytes: usize,
}

/// A whole request that is kept apart from its connection.
#[derive(Debug)]
pub(crate) struct PostponedRequest {
    pub(super) head: Box<[u8]>,
    pub(super) body: PostponedBody,
}

/// A request that is kept until access control can decide about it.
#[derive(Debug)]
pub(crate) struct KeptRequest {
    /// Its connection.
    pub(crate) key: SlotKey,
    /// The request.
    pub(crate) request: PostponedRequest,
    /// The holder of its peer, if that was looked up.
    pub(crate) peer: Option<HolderKey>,
    /// When its time is over, in milliseconds since the shard started.
    pub(crate) due_ms: u64,
}

/// The body of a request that is kept.
#[derive(Debug)]
pub(super) enum PostponedBody {
    /// As it arrived.
    Bytes(Box<[u8]>),
    /// As it was decoded elsewhere.
    Decoded(Box<LargeMessage>),
}

impl PostponedRequest {
    /// A request with this body. One that could not be decoded is refused like an empty one.
    pub(super) fn of(head: &RequestHead<'_>, body: RequestBody<'_>) -> PostponedRequest {
        match body {
            RequestBody::Bytes(body) => PostponedRequest::new(head, body),
            RequestBody::Decoded(message) => PostponedRequest::decoded(head, message),
            RequestBody::Undecodable(..) => PostponedRequest::new(head, &[]),
        }
    }

    pub(super) fn new(head: &RequestHead<'_>, body: &[u8]) -> PostponedRequest {
        PostponedRequest {
            head: head.bytes().into(),
            body: PostponedBody::Bytes(body.into()),
        }
    }

    /// Its header fields.
    pub(crate) fn headers(&self) -> Headers<'_> {
        Headers::of(&self.head)
    }

    /// A request whose body was decoded elsewhere.
    pub(super) fn decoded(head: &RequestHead<'_>, body: Box<LargeMessage>) -> PostponedRequest {
        PostponedRequest {
            head: head.bytes().into(),
            body: PostponedBody::Decoded(body),
        }
    }
}
