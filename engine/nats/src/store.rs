//! Reads and writes of the store, each an operation of the core.
//!
//! A write is a publication that is conditional on the last sequence of its subject: the client's
//! own functions for buckets take no time to live with a condition.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::{
    NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MARKER_REASON, NATS_MESSAGE_TTL,
};
use async_nats::jetstream::Context;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{DirectGetErrorKind, LastRawMessageErrorKind};
use corelane_cluster::vocabulary::{Expect, Key, PutResult, ReadFrom, ReadResult};

use crate::schema::{conf_of, sessions_of};

/// An answer of the store is waited for so long. The core goes on without it sooner.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(1);
/// The header of markers that clients for buckets write.
const OPERATION: &str = "KV-Operation";

/// The store of one cluster.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    context: Context,
    cluster: String,
}

impl Store {
    pub(crate) fn new(context: Context, cluster: &str) -> Store {
        Store {
            context,
            cluster: cluster.to_owned(),
        }
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// The stream of a key, and its subject there.
    fn place_of(&self, key: Key) -> (String, String) {
        let (stream, rest) = match key {
            Key::Generation => (sessions_of(&self.cluster), "gen".to_owned()),
            Key::Session(generation, session) => {
                let rest = format!("{generation:016x}.{session:032x}");
                (sessions_of(&self.cluster), rest)
            }
            Key::Node(node) => (conf_of(&self.cluster), format!("n.{node}")),
            Key::Level => (conf_of(&self.cluster), "level".to_owned()),
        };
        let bucket = stream.trim_start_matches("KV_");
        let subject = format!("$KV.{bucket}.{rest}");
        (stream, subject)
    }

    pub(crate) async fn put(
        &self,
        key: Key,
        (expect, ttl_s): (Expect, u64),
        value: Vec<u8>,
    ) -> PutResult {
        let (_, subject) = self.place_of(key);
        let mut headers = HeaderMap::new();
        let last = match expect {
            Expect::Absent => Some(0),
            Expect::Revision(revision) => Some(revision),
            Expect::Anything => None,
        };
        if let Some(last) = last {
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, last.to_string());
        }
        if ttl_s > 0 {
            headers.insert(NATS_MESSAGE_TTL, ttl_s.to_string());
        }
        let sent = self
            .context
            .publish_with_headers(subject, headers, value.into());
        let acknowledged = match sent.await {
            Ok(acknowledgement) => acknowledgement.await,
            // It did not leave, or it is in the queue of the client.
            Err(error) => Err(error),
        };
        match acknowledged {
            Ok(written) => PutResult::Written(written.sequence),
            Err(error) => put_failed(&error),
        }
    }

    pub(crate) async fn read(&self, key: Key, from: ReadFrom) -> ReadResult {
        let read = self.read_now(key, from);
        let read = tokio::time::timeout(ANSWER_MAX, read).await;
        read.unwrap_or(ReadResult::Failed)
    }

    async fn read_now(&self, key: Key, from: ReadFrom) -> ReadResult {
        let (stream, subject) = self.place_of(key);
        let Ok(stream) = self.context.get_stream_no_info(stream).await else {
            return ReadResult::Failed;
        };
        match from {
            ReadFrom::Leader => match stream.get_last_raw_message_by_subject(&subject).await {
                Ok(message) => found(message),
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {
                    ReadResult::Absent
                }
                Err(_) => ReadResult::Failed,
            },
            ReadFrom::Any => match stream.direct_get_last_for_subject(subject).await {
                Ok(message) => found(message),
                Err(error) if error.kind() == DirectGetErrorKind::NotFound => ReadResult::Absent,
                Err(_) => ReadResult::Failed,
            },
        }
    }
}

/// A value, or a marker in its place.
fn found(message: StreamMessage) -> ReadResult {
    let headers = &message.headers;
    let is_marker = headers.get(NATS_MARKER_REASON).is_some() || headers.get(OPERATION).is_some();
    match is_marker {
        true => ReadResult::Marker(message.sequence),
        false => ReadResult::Found(message.sequence, message.payload.to_vec()),
    }
}

/// The result of a write that was not acknowledged. Only an answer of the server proves that
/// nothing was written.
fn put_failed(error: &PublishError) -> PutResult {
    use std::error::Error as _;
    match error.kind() {
        PublishErrorKind::WrongLastSequence | PublishErrorKind::WrongLastMessageId => {
            PutResult::Conflict
        }
        // Not sent, or no server takes it now.
        PublishErrorKind::StreamNotFound
        | PublishErrorKind::MaxAckPending
        | PublishErrorKind::MaxPayloadExceeded => PutResult::Refused,
        PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => PutResult::Unknown,
        PublishErrorKind::Other => {
            let source = error.source();
            let is_answer = source.is_some_and(|it| it.is::<async_nats::jetstream::Error>());
            match is_answer {
                true => PutResult::Refused,
                false => PutResult::Unknown,
            }
        }
    }
}
