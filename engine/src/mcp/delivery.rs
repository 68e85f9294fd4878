//! Parts of answers that are ready to be sent, each with its place.

use corelane_protocol::binding::refusal::Category;

use super::event_store::EventId;
use super::exchange::{Exchange, StreamOwner};

/// A part of an answer that was not given at once.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// Where it belongs.
    pub(crate) exchange: Exchange,
    /// The part.
    pub(crate) part: Part,
}

impl Delivery {
    /// A message that is an answer.
    pub(crate) fn answer(exchange: Exchange, body: Vec<u8>) -> Delivery {
        let refused = None;
        let part = Part::Final { refused, body };
        Delivery { exchange, part }
    }
}

/// A part of an answer.
#[derive(Debug)]
pub(crate) enum Part {
    /// A message of a stream: one before the final one, or the final one of a stream that is kept.
    Event {
        /// Its id, if it is kept so that the stream can be resumed.
        id: Option<EventId>,
        /// The message; an empty one primes the client to resume.
        message: Vec<u8>,
    },
    /// A notification of a change. Equal ones have the same meaning, so a client that reads slowly
    /// gets the last of them only.
    Change {
        /// As of [`Part::Event`].
        id: Option<EventId>,
        /// The message.
        message: Vec<u8>,
    },
    /// One of several responses. After the last comes [`Part::Accepted`], or [`Part::Unanswered`]
    /// if the call that ended last gets no answer.
    Response(Vec<u8>),
    /// The final message, or the only one.
    Final {
        /// The category, if it is a refusal.
        refused: Option<Category>,
        /// The message.
        body: Vec<u8>,
    },
    /// Accepted: there is no message.
    Accepted,
    /// The request gets no answer: its client cancelled it, or its session is over.
    Unanswered,
    /// Done: there is no message.
    Done,
    /// The stream is open.
    StreamOpen(StreamOwner),
    /// The stream ends here.
    StreamEnd,
    /// The stream ends here for now: its client reconnects for the rest.
    StreamPause {
        /// After how many milliseconds.
        retry_ms: u64,
    },
}

impl Part {
    /// A message that is not kept.
    pub(crate) fn message(message: Vec<u8>) -> Part {
        Part::Event { id: None, message }
    }
}
