//! Knobs of the work itself: calls, sessions, streams, lanes, the offload pool, the catalog.

use serde::{Deserialize, Serialize};

use super::ProfileError;
use super::check::{DAY_MS, Section};

/// `[calls]`: calls whose handler did not answer at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Calls {
    /// Pending calls of a shard, 1 to 1,000,000; default 16,384. Past it a call is refused as
    /// overloaded before its handler starts. A client, which is a principal or else the address of
    /// an anonymous peer, may have eight times as many as are free: a ninth is left to others.
    pub in_flight_max: usize,
    /// Pending calls of one session, 1 to 1,000,000; default 1000: ten of the largest batches, and
    /// more than one client waits for. Tasks that run are among them.
    pub per_session_max: usize,
    /// Bytes of the arguments of the pending calls of a shard, 1 MiB to 2 GiB and at least twice
    /// `http.body_bytes_max`; default 256 MiB. They count as what they take as JSON in memory,
    /// which is more than on the wire. Past it a call is refused as overloaded before its handler
    /// starts; a client has a share as of `in_flight_max`. The bodies of requests on their way to
    /// other shards have as many bytes, apart from these.
    pub bytes_max: usize,
    /// Milliseconds until a call is cancelled, 100 to 86,400,000; default 300,000: longer than
    /// clients wait (60 s is usual), so that the client decides.
    pub timeout_ms: u64,
    /// Milliseconds after which a call counts as slow, 100 to 86,400,000; default 10,000: the head
    /// of its answer is sent then, with status 200, and a comment or a space every
    /// `streams.keep_alive_ms` until its result is there. Usual proxies cut a silent connection
    /// after 30 to 60 s.
    pub slow_after_ms: u64,
    /// Events (progress, log) of one call waiting to be sent, 1 to 65,536; default 64. Past it
    /// the handler waits for its client.
    pub events_queued_max: usize,
    /// Milliseconds a modern client may take to answer what a handler asks, 1000 to 86,400,000;
    /// default 600,000: a person fills in a form. Nothing is held meanwhile; the state that the
    /// client brings back expires.
    pub answer_timeout_ms: u64,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            in_flight_max: 16_384,
            per_session_max: 1000,
            bytes_max: 256 << 20,
            timeout_ms: 300_000,
            slow_after_ms: 10_000,
            events_queued_max: 64,
            answer_timeout_ms: 600_000,
        }
    }
}

impl Calls {
    pub(super) fn check(&self) -> Result<(), ProfileError> {
        let section = Section::named("calls");
        section.range("in_flight_max", self.in_flight_max, 1..=1_000_000)?;
        section.range("per_session_max", self.per_session_max, 1..=1_000_000)?;
        section.range("bytes_max", self.bytes_max, 1 << 20..=1 << 31)?;
        section.range("timeout_ms", self.timeout_ms, 100..=DAY_MS)?;
        section.range("slow_after_ms", self.slow_after_ms, 100..=DAY_MS)?;
        section.range("events_queued_max", self.events_queued_max, 1..=65_536)?;
        section.range("answer_timeout_ms", self.answer_timeout_ms, 1000..=DAY_MS)
    }
}

/// `[sessions]`: sessions of the legacy era (MCP up to 2025-11-25).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sessions {
    /// Sessions of a shard, 1 to 10,000,000; default 100,000: 100 MiB at 1 KiB each. Past it
    /// the least recently used one with nothing in flight goes. A client has a share as of
    /// `calls.in_flight_max`; past that, one of its own goes.
    pub per_shard_max: usize,
    /// Sessions of one principal on a shard, 1 to 10,000,000; default 1000: a person's clients
    /// take tens, and no one takes more than 1 % of the shard from the others. Past it the
    /// principal's own least recently used one with nothing in flight goes; more than
    /// `per_shard_max` has no effect. See `server.principal_header`; an anonymous client has the
    /// share of its address only.
    pub per_principal_max: usize,
    /// Milliseconds without a request or open stream until a session expires, 1000 to
    /// 86,400,000; default 1,800,000: clients come back after a pause, and get 404 afterwards.
    pub idle_timeout_ms: u64,
    /// Resources a session may subscribe to, 0 to 10,000; default 64.
    pub subscriptions_max: usize,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            per_shard_max: 100_000,
            per_principal_max: 1000,
            idle_timeout_ms: 1_800_000,
            subscriptions_max: 64,
        }
    }
}

impl Sessions {
    pub(super) fn check(&self) -> Result<(), ProfileError> {
        let section = Section::named("sessions");
        section.range("per_shard_max", self.per_shard_max, 1..=10_000_000)?;
        section.range("per_principal_max", self.per_principal_max, 1..=10_000_000)?;
        section.range("idle_timeout_ms", self.idle_timeout_ms, 1000..=DAY_MS)?;
        section.range("subscriptions_max", self.subscriptions_max, 0..=10_000)
    }
}

/// `[streams]`: streams of server-sent events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Streams {
    /// Milliseconds between comments on a silent stream, 1000 to 3,600,000; default 15,000: usual
    /// proxies cut a silent connection after 30 to 60 s.
    pub keep_alive_ms: u64,
    /// Open streams of one session, 1 to 1024; default 8: a client needs one, and more only while
    /// it reconnects.
    pub per_session_max: usize,
    /// Bytes of events that a shard keeps for clients that lose a stream, 0 to 2 GiB; default
    /// 64 MiB: the last minute of some thousand talkative calls. 0 keeps none, so that no stream
    /// can be resumed.
    pub kept_bytes_max: usize,
    /// Bytes of them for one session, 0 to 1 GiB; default 1 MiB: no session crowds out the others.
    /// At most `kept_bytes_max`; no more than `connection.output_bytes_max` counts, as what a
    /// client comes back for is sent at once.
    pub kept_bytes_per_session_max: usize,
    /// Events kept of one stream, 0 to 1,000,000; default 1024: a client that is further behind
    /// asks afresh sooner than it catches up.
    pub kept_events_per_stream_max: usize,
    /// Streams of one session whose events are kept, 0 to 65,536; default 64: those of calls that
    /// run side by side, and of those just answered.
    pub kept_per_session_max: usize,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            keep_alive_ms: 15_000,
            per_session_max: 8,
            kept_bytes_max: 64 << 20,
            kept_bytes_per_session_max: 1 << 20,
            kept_events_per_stream_max: 1024,
            kept_per_session_max: 64,
        }
    }
}

impl Streams {
    pub(super) fn check(&self) -> Result<(), ProfileError> {
        let section = Section::named("streams");
        section.range("keep_alive_ms", self.keep_alive_ms, 1000..=3_600_000)?;
        section.range("per_session_max", self.per_session_max, 1..=1024)?;
        section.range("kept_bytes_max", self.kept_bytes_max, 0..=1 << 31)?;
        section.range(
            "kept_bytes_per_session_max",
            self.kept_bytes_per_session_max,
            0..=1 << 30,
        )?;
        section.range(
            "kept_events_per_stream_max",
            self.kept_events_per_stream_max,
            0..=1_000_000,
        )?;
        section.range(
            "kept_per_session_max",
            self.kept_per_session_max,
            0..=65_536,
        )?;
        section.at_most(
            (
                "kept_bytes_per_session_max",
                self.kept_bytes_per_session_max,
            ),
            ("streams.kept_bytes_max", self.kept_bytes_max),
        )
    }
}

/// `[lanes]`: messages each queue between two shards can hold, 1 to 65,536 for every tier.
///
/// There is one queue for each ordered pair of shards and tier; a full one refuses its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lanes {
    /// Messages that steer a shard (drain, new catalog); default 64: a handful at a time.
    pub control: usize,
    /// Answers to forwarded requests; default 4096, no fewer than `request`, because each
    /// accepted request comes back as one reply.
    pub reply: usize,
    /// Requests forwarded to a session's home shard; default 4096.
    pub request: usize,
    /// Notifications to many; default 1024, because they coalesce.
    pub bulk: usize,
}

impl Default for Lanes {
    fn default() -> Self {
        Self {
            control: 64,
            reply: 4096,
            request: 4096,
            bulk: 1024,
        }
    }
}

impl Lanes {
    pub(super) fn check(&self) -> Result<(), ProfileError> {
        let section = Section::named("lanes");
        section.range("control", self.control, 1..=65_536)?;
        section.range("reply", self.reply, 1..=65_536)?;
        section.range("request", self.request, 1..=65_536)?;
        section.range("bulk", self.bulk, 1..=65_536)?;
        section.at_most(("request", self.request), ("lanes.reply", self.reply))
    }
}

/// `[offload]`: the thread pool that blocking handlers move their work to. Looking up files has
/// threads and a queue of its own, so that handlers cannot delay it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Offload {
    /// Threads for handlers, 1 to 1024; default one for each core in use, and at least 2, so that
    /// one blocked handler does not block all. [`Offload::threads_for`] resolves it.
    pub threads: Option<usize>,
    /// Pieces of work of one kind waiting for a thread, 1 to 1,000,000; default 1024. Past it a
    /// handler's offload is refused.
    pub queue_max: usize,
}

impl Default for Offload {
    fn default() -> Self {
        Self {
            threads: None,
            queue_max: 1024,
        }
    }
}

impl Offload {
    /// Threads of the pool beside `cores` cores in use.
    #[must_use]
    pub fn threads_for(&self, cores: usize) -> usize {
        self.threads.unwrap_or(cores.max(2))
    }

    pub(super) fn check(&self) -> Result<(), ProfileError> {
        let section = Section::named("offload");
        if let Some(threads) = self.threads {
            section.range("threads", threads, 1..=1024)?;
        }
        section.range("queue_max", self.queue_max, 1..=1_000_000)
    }
}

/// `[catalog]`: the list pages of tools, resources and prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Catalog {
    /// Entries of a page, 1 to 10,000; default 50: some 30 KiB with usual schemas. A catalog that
    /// fits one page has no cursor, which suits clients that ignore cursors.
    pub page_entries_max: usize,
}

impl Default for Catalog {
    fn default() -> Self {
        Self {
            page_entries_max: 50,
        }
    }
}

impl Catalog {
    pub(super) fn check(&self) -> Result<(), ProfileError> {
        Section::named("catalog").range("page_entries_max", self.page_entries_max, 1..=10_000)
    }
}
