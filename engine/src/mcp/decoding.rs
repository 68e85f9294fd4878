//! Decodes large messages away from their shard, so that no turn takes as long as a message.
//!
//! Bodies longer than `json.inline_bytes_max` go to the pool. They come back decoded, their
//! arguments checked and read, in any order: small messages overtake them.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use corelane_protocol::jsonrpc::{DecodeError, IdScanner, JsonLimits, OwnedId};
use crossbeam::queue::SegQueue;

use super::exchange::Exchange;
use super::large_message::LargeMessage;
use crate::catalog::Plan;
use crate::guard::holder::HolderKey;
use crate::handler::offload::{JobId, OffloadPort, QueueFull, WorkKind};

/// The bodies of one endpoint that are decoded elsewhere.
pub(super) struct Decoding {
    offload: Rc<OffloadPort>,
    /// Bounded by the waiting requests, each of which has at most one body here.
    decoded: Arc<SegQueue<Decoded>>,
    limits: JsonLimits,
    batch_max: usize,
    inline_bytes_max: usize,
}

/// A request with a body to decode.
#[derive(Debug)]
pub(crate) struct Undecoded {
    /// Where its answer goes.
    pub(crate) exchange: Exchange,
    /// Its head: the request line, the fields and the empty line.
    pub(crate) head: Box<[u8]>,
    /// Bytes that contain the body.
    pub(crate) bytes: Vec<u8>,
    /// Where the body is.
    pub(crate) body: Range<usize>,
}

/// A request with a decoded body.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// Where its answer goes.
    pub(crate) exchange: Exchange,
    /// Its head, as it came.
    pub(crate) head: Box<[u8]>,
    /// Bytes that were held for it until now.
    pub(crate) held_bytes: usize,
    /// The id of a request on a channel that could not be decoded: its refusal needs it.
    pub(crate) id: Option<OwnedId>,
    /// Its message or batch; `None` if decoding panicked.
    pub(crate) message: Option<Result<Box<LargeMessage>, DecodeError>>,
}

impl Undecoded {
    fn body(&self) -> &[u8] {
        &self.bytes[self.body.clone()]
    }

    /// The id for a refusal on a channel, where it must not be missing. HTTP refuses without it.
    fn id(&self) -> Option<OwnedId> {
        let is_on_channel = self.exchange.is_on_channel;
        is_on_channel
            .then(|| IdScanner::id_of(self.body()))
            .flatten()
    }
}

impl Decoding {
    /// Decodes bodies longer than `inline_bytes_max` through `offload`, within `limits` and batches
    /// of at most `batch_max`.
    pub(super) fn new(
        offload: Rc<OffloadPort>,
        limits: JsonLimits,
        batch_max: usize,
        inline_bytes_max: usize,
    ) -> Decoding {
        Decoding {
            offload,
            decoded: Arc::default(),
            limits,
            batch_max,
            inline_bytes_max,
        }
    }

    /// Changes the limits for bodies that come from now on.
    pub(super) fn set_limits(
        &mut self,
        limits: JsonLimits,
        batch_max: usize,
        inline_bytes_max: usize,
    ) {
        self.limits = limits;
        self.batch_max = batch_max;
        self.inline_bytes_max = inline_bytes_max;
    }

    /// Whether a body of so many bytes is decoded elsewhere.
    pub(super) fn takes(&self, body_bytes: usize) -> bool {
        body_bytes > self.inline_bytes_max
    }

    /// Begins to decode a body, for the tools and prompts of `plan`.
    ///
    /// # Errors
    /// Too many wait. With the id for the refusal.
    pub(super) fn begin(
        &self,
        request: Undecoded,
        plan: &Arc<Plan>,
    ) -> Result<JobId, (QueueFull, Option<OwnedId>)> {
        let (decode, decoded) = (self.decoder(plan), Arc::clone(&self.decoded));
        let request = Arc::new(request);
        let refused = Arc::clone(&request);
        let of_anyone = (WorkKind::Decode, HolderKey::ANONYMOUS);
        let begun = self.offload.submit(of_anyone, move |wake| {
            let message = catch_unwind(AssertUnwindSafe(|| decode(request.body()))).ok();
            let is_refused = matches!(message, Some(Err(_)));
            decoded.push(Decoded {
                id: is_refused.then(|| request.id()).flatten(),
                exchange: request.exchange,
                head: request.head.clone(),
                held_bytes: request.bytes.capacity(),
                message,
            });
            wake();
        });
        begun.map_err(|full| (full, refused.id()))
    }

    /// The decoder of a body for any thread, for the tools and prompts of `plan`.
    pub(super) fn decoder(
        &self,
        plan: &Arc<Plan>,
    ) -> impl Fn(&[u8]) -> Result<Box<LargeMessage>, DecodeError> + Send + use<> {
        let (limits, batch_max, plan) = (self.limits, self.batch_max, Arc::clone(plan));
        move |body| LargeMessage::decode(body, limits, &plan, batch_max).map(Box::new)
    }

    /// Cancels the decoding of a body whose client is gone; returns whether it had not begun.
    pub(super) fn cancel(&self, id: JobId) -> bool {
        self.offload.withdraw(WorkKind::Decode, id)
    }

    /// The next request with a decoded body.
    pub(super) fn poll(&self) -> Option<Decoded> {
        self.decoded.pop()
    }

    /// Whether there is one.
    pub(super) fn has_decoded(&self) -> bool {
        !self.decoded.is_empty()
    }

    /// Frees a handled message, away from the shard.
    pub(super) fn free(&self, message: Box<LargeMessage>) {
        self.offload.drop_elsewhere(message);
    }
}
