//! Connections that another process takes over.

use super::buffers::{ConnectionBuffers, HttpWork, WaitingRequest, Work};
use super::http::{Connection, Phase};
use super::reply::{Reply, StartTime};
use super::source::Source;
use crate::handover::rows::OpenStreamRow;
use crate::mcp::StreamOwner;
use crate::profile::Binding;
use corelane_io::ring::Hangup;
use corelane_protocol::binding::accept::Accept;
use corelane_protocol::framing::http1::Method;

/// Whether another process can take a connection over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// It stays: it has a request, is closing, or has a state that cannot be written down.
    Stays,
    /// It is between two requests.
    Idle,
    /// It is the stream of this owner, and everything was sent.
    Stream(StreamOwner),
}

impl Connection {
    /// Whether another process can take it over, if nothing is under way on its descriptor.
    pub(crate) fn leaving(&self) -> Leaving {
        let is_plain = self.source.binding() == Binding::Http && !self.source.is_tls();
        let is_open = !self.is_read_closed && self.hangup == Hangup::None;
        if !is_plain || !is_open || self.is_sending() {
            return Leaving::Stays;
        }
        match (self.phase, self.buffers.as_deref()) {
            (Phase::Idle, None) => Leaving::Idle,
            (Phase::Idle, Some(buffers)) if buffers.channel().is_none() && buffers.is_spent() => {
                Leaving::Idle
            }
            (Phase::Streaming, Some(buffers)) => match buffers.silent_stream() {
                Some(owner) if owner.stays_open() => Leaving::Stream(owner),
                _ => Leaving::Stays,
            },
            _ => Leaving::Stays,
        }
    }

    /// Whether it has a request that may take any time.
    pub(crate) fn waits_for_answer(&self) -> bool {
        match self.phase {
            Phase::Waiting | Phase::Padding | Phase::DecodingMessage => true,
            Phase::Streaming => {
                let waiting = self.buffers.as_deref().and_then(ConnectionBuffers::waiting);
                let owner = waiting.and_then(|waiting| waiting.stream);
                !owner.is_some_and(StreamOwner::stays_open)
            }
            _ => self.has_channel(),
        }
    }

    /// The head of its open stream, without its owner.
    pub(crate) fn stream_head(&self) -> Option<(&Reply, bool, u32)> {
        let waiting = self.buffers.as_deref()?.waiting()?;
        Some((&waiting.reply, waiting.is_post, waiting.expires_s))
    }

    /// A connection of an earlier process between two requests, the last of which had this number.
    pub(crate) fn taken(source: Source, sequence: u32) -> Connection {
        Connection {
            sequence,
            ..Connection::from(source)
        }
    }

    /// The stream on it, whose head an earlier process sent, belongs to `owner`
    /// here; `shard` is the shard of the connection.
    pub(crate) fn take_stream(
        &mut self,
        row: &OpenStreamRow,
        owner: StreamOwner,
        (shard, now_us): (u16, u64),
    ) {
        let home = match owner {
            StreamOwner::Session(of) => Some(of.session.home).filter(|home| *home != shard),
            StreamOwner::Listen(_) | StreamOwner::Calls(_) => None,
        };
        let reply = Reply {
            keep_alive: row.keep_alive,
            method: match row.is_post {
                true => Method::Post,
                false => Method::Get,
            },
            is_tls: false,
            version_minor: row.version_minor.min(1),
            accept: Accept {
                json: row.is_post,
                event_stream: true,
            },
            // The fields for the page were in the head.
            page: None,
            started: StartTime::of(now_us),
        };
        self.phase = Phase::Streaming;
        let waiting = WaitingRequest {
            reply,
            is_post: row.is_post,
            call: None,
            decoding: None,
            home,
            stream: Some(owner),
            batch: None,
            expires_s: row.expires_s,
        };
        self.buffers = Some(Box::new(ConnectionBuffers {
            work: Work::Http(HttpWork {
                waiting: Some(waiting),
                ..HttpWork::default()
            }),
            ..ConnectionBuffers::default()
        }));
    }
}

impl ConnectionBuffers {
    /// The owner of a stream with nothing that waits to be sent or read.
    fn silent_stream(&self) -> Option<StreamOwner> {
        let waiting = self.waiting()?;
        let is_silent = self.input.is_none()
            && self.output.is_none()
            && self.changes.is_empty()
            && waiting.call.is_none()
            && waiting.decoding.is_none()
            && waiting.batch.is_none();
        waiting.stream.filter(|_| is_silent)
    }
}
