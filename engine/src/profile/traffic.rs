//! Knobs of what arrives and leaves: one connection, one HTTP request, one JSON message.
//!
//! These are the bounds that keep one peer from costing more than its share.

use serde::{Deserialize, Serialize};

use super::ProfileError;
use super::check::{DAY_MS, Section};

/// `[connection]`: deadlines and byte bounds of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Connection {
    /// Milliseconds from the first byte of a head to its last, 100 to 86,400,000; default 10,000:
    /// slow networks pass, a drip of bytes that only holds the connection does not.
    pub head_timeout_ms: u64,
    /// Milliseconds from the end of a head to the end of its body, 100 to 86,400,000; default
    /// 30,000: the largest body at 4.5 Mbit/s.
    pub body_timeout_ms: u64,
    /// Milliseconds a connection may lie idle between requests, 1000 to 86,400,000; default
    /// 600,000: above the idle limit of usual proxies, so that they close first and never reuse
    /// a connection the server is closing.
    pub idle_timeout_ms: u64,
    /// Milliseconds between requests after which a connection counts as quiet, 0 to 3,600,000;
    /// default 1000. One that makes its next request sooner has a receive kept armed: 600 bytes of
    /// kernel memory more, 4 % less CPU time a request. 0 keeps none armed.
    pub quiet_after_ms: u64,
    /// Milliseconds in which a peer that has unsent output must take its share of it (see
    /// `write_bytes_per_second_min`) or be given up, 100 to 86,400,000; default 30,000.
    pub write_timeout_ms: u64,
    /// Bytes a second that a peer must take of its output, on average over `write_timeout_ms`, 0
    /// to 1 GiB; default 1024: the slowest mobile network takes several times as many, and a
    /// megabyte is held for a quarter of an hour at most. With 0 one byte each time is enough.
    pub write_bytes_per_second_min: usize,
    /// Milliseconds a closed connection still reads what is under way, 0 to 60,000; default 1000:
    /// closing with unread bytes resets the connection and may destroy the answer (RFC 9112 9.6).
    pub linger_timeout_ms: u64,
    /// Bytes read and thrown away while lingering, 0 to 16 MiB; default 65,536.
    pub linger_bytes_max: usize,
    /// Bytes of unsent output past which nothing more is read and no further request is served, 4
    /// KiB to 1 GiB; default 1 MiB: a peer that does not read costs at most this and one answer.
    /// The answers of a batch (see `json.batch_max`) may have twice as many: past that, each
    /// further one is the error -32603.
    pub output_bytes_max: usize,
    /// Bytes of memory for the unsent output of all connections of a shard, 1 MiB to 2 GiB, and at
    /// least twice `output_bytes_max`; default 256 MiB: some 250 peers that read nothing. Past it
    /// requests are refused with 503, and connections are closed that have taken too little for a
    /// second, the longest stalled first.
    pub output_bytes_per_shard_max: usize,
    /// Bytes of pipelined requests kept behind the one being answered, 1 KiB to 16 MiB; default
    /// 64 KiB. Past it nothing more is read.
    pub pipelined_bytes_max: usize,
    /// Bytes of partial and pipelined requests of all connections of a shard, 1 MiB to 2 GiB, and
    /// at least twice `http.body_bytes_max`; default 1 GiB. The request that passes it is refused
    /// with 503: without it, slots times body limit is what peers can make a shard hold.
    pub input_bytes_max: usize,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            head_timeout_ms: 10_000,
            body_timeout_ms: 30_000,
            idle_timeout_ms: 600_000,
            quiet_after_ms: 1000,
            write_timeout_ms: 30_000,
            write_bytes_per_second_min: 1024,
            linger_timeout_ms: 1000,
            linger_bytes_max: 65_536,
            output_bytes_max: 1 << 20,
            output_bytes_per_shard_max: 256 << 20,
            pipelined_bytes_max: 64 << 10,
            input_bytes_max: 1 << 30,
        }
    }
}

impl Connection {
    /// Bytes that a peer must take of its output within `write_timeout_ms`.
    pub(crate) fn written_bytes_min(&self) -> usize {
        let bytes = self.write_bytes_per_second_min as u64 * self.write_timeout_ms / 1000;
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    pub(super) fn check(&self) -> Result<(), ProfileError> {
        let section = Section::named("connection");
        section.range("head_timeout_ms", self.head_timeout_ms, 100..=DAY_MS)?;
        section.range("body_timeout_ms", self.body_timeout_ms, 100..=DAY_MS)?;
        section.range("idle_timeout_ms", self.idle_timeout_ms, 1000..=DAY_MS)?;
        section.range("quiet_after_ms", self.quiet_after_ms, 0..=3_600_000)?;
        section.range("write_timeout_ms", self.write_timeout_ms, 100..=DAY_MS)?;
        section.range("linger_timeout_ms", self.linger_timeout_ms, 0..=60_000)?;
        section.range("linger_bytes_max", self.linger_bytes_max, 0..=16 << 20)?;
        section.range("output_bytes_max", self.output_bytes_max, 4096..=1 << 30)?;
        section.range(
            "write_bytes_per_second_min",
            self.write_bytes_per_second_min,
            0..=1 << 30,
        )?;
        section.range(
            "output_bytes_per_shard_max",
            self.output_bytes_per_shard_max,
            1 << 20..=1 << 31,
        )?;
        section.at_most(
            ("output_bytes_max", self.output_bytes_max.saturating_mul(2)),
            (
                "connection.output_bytes_per_shard_max",
                self.output_bytes_per_shard_max,
            ),
        )?;
        section.range(
            "pipelined_bytes_max",
            self.pipelined_bytes_max,
            1024..=16 << 20,
        )?;
        section.range("input_bytes_max", self.input_bytes_max, 1 << 20..=1 << 31)
    }
}

/// `[http]`: bounds on one HTTP request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Bytes of a request's head, 1 KiB to 1 MiB; default 16 KiB, twice what common servers
    /// allow, for tokens and `Mcp-Param` headers. Past it the answer is 431.
    pub head_bytes_max: usize,
    /// Header fields of a request, 8 to 64 (what the parser takes); default 64. Past it the answer
    /// is 431.
    pub headers_max: usize,
    /// Bytes of a request's target, 16 bytes to 64 KiB; default 2 KiB. Past it the answer is 414.
    pub target_bytes_max: usize,
    /// Bytes of a request's body, 1 KiB to 1 GiB; default 16 MiB: a resource of 12 MiB in base64.
    /// Past it the answer is 413.
    pub body_bytes_max: usize,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            head_bytes_max: 16 << 10,
            headers_max: 64,
            target_bytes_max: 2 << 10,
            body_bytes_max: 16 << 20,
        }
    }
}

impl Http {
    pub(super) fn check(&self) -> Result<(), ProfileError> {
        let section = Section::named("http");
        section.range("head_bytes_max", self.head_bytes_max, 1024..=1 << 20)?;
        section.range("headers_max", self.headers_max, 8..=64)?;
        section.range("target_bytes_max", self.target_bytes_max, 16..=64 << 10)?;
        section.range("body_bytes_max", self.body_bytes_max, 1024..=1 << 30)?;
        // The target is part of the head: a larger bound could never be reached.
        section.at_most(
            ("target_bytes_max", self.target_bytes_max),
            ("http.head_bytes_max", self.head_bytes_max),
        )
    }
}

/// `[json]`: bounds on one JSON message, whatever carried it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Json {
    /// Levels of arrays and objects, 8 to 256 (what the decoder takes); default 128: no tool
    /// needs more, and whoever walks the message recursively needs some bound.
    pub depth_max: usize,
    /// Values in a message, 64 to 100,000,000; default 1,000,000: two bytes on the wire
    /// make a value, which takes many times that while the message is decoded.
    pub nodes_max: usize,
    /// Bytes of a request's id, 20 (any 64-bit number) to 4096; default 256. Ids are kept as long
    /// as their calls.
    pub id_bytes_max: usize,
    /// Bytes of a message that is decoded within a turn of its shard, 1024 to 16,777,216; default
    /// 65,536, which take a millisecond at most. A longer one is decoded by the offload pool, and
    /// other messages pass it.
    pub inline_bytes_max: usize,
    /// Bytes of a method name, 64 to 1024; default 128: those of the specification stay below 48.
    pub method_bytes_max: usize,
    /// Messages in a batch, 1 to 10,000; default 100. Only clients of 2025-03-26 send batches, and
    /// all of one are handled in one turn. The bytes of their answers are bounded by
    /// `connection.output_bytes_max`.
    pub batch_max: usize,
}

impl Default for Json {
    fn default() -> Self {
        Self {
            depth_max: 128,
            nodes_max: 1_000_000,
            id_bytes_max: 256,
            inline_bytes_max: 65_536,
            method_bytes_max: 128,
            batch_max: 100,
        }
    }
}

impl Json {
    pub(super) fn check(&self) -> Result<(), ProfileError> {
        let section = Section::named("json");
        section.range("depth_max", self.depth_max, 8..=256)?;
        section.range("nodes_max", self.nodes_max, 64..=100_000_000)?;
        section.range("id_bytes_max", self.id_bytes_max, 20..=4096)?;
        section.range("inline_bytes_max", self.inline_bytes_max, 1024..=16 << 20)?;
        section.range("method_bytes_max", self.method_bytes_max, 64..=1024)?;
        section.range("batch_max", self.batch_max, 1..=10_000)
    }
}
