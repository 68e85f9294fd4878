//! Knobs of input and output: one connection, one HTTP request, one JSON message.
//!
//! These bounds keep one peer from costing more than its share.

use corelane_protocol::jsonrpc::JsonLimits;
use corelane_protocol::limits::HttpLimits;

use super::knobs::{DAY_MS, knobs, within};

knobs! {
    /// Deadlines and byte bounds of one connection.
    #[derive(Copy, Eq)]
    Connection as "connection" {
        /// Milliseconds from the first byte of a head to its last: slow networks pass, a drip of
        /// bytes that only holds the connection does not.
        head_timeout_ms: u64 = 10_000, within(100..=DAY_MS), next;
        /// Milliseconds from the end of a head to the end of its body: the largest body at 4.5
        /// Mbit/s.
        body_timeout_ms: u64 = 30_000, within(100..=DAY_MS), next;
        /// Milliseconds a connection may lie idle between requests: above the idle limit of usual
        /// proxies, so that they close first and never reuse a connection the server is closing.
        idle_timeout_ms: u64 = 600_000, within(1000..=DAY_MS), next;
        /// Milliseconds between requests after which a connection counts as quiet. One that makes
        /// its next request sooner has a receive kept armed: 600 bytes of kernel memory more, 4 %
        /// less CPU time a request. 0 keeps none armed.
        quiet_after_ms: u64 = 1000, within(0..=3_600_000), next;
        /// Milliseconds in which a peer that has unsent output must take its share of it (see
        /// `write_bytes_per_second_min`) or be given up. The kernel ends a connection whose peer
        /// acknowledges nothing for as long, because its host has gone.
        write_timeout_ms: u64 = 30_000, within(100..=DAY_MS), restart;
        /// Bytes a second that a peer must take of its output, on average over `write_timeout_ms`:
        /// the slowest mobile network takes several times as many, and a megabyte is held for a
        /// quarter of an hour at most. With 0 one byte each time is enough.
        write_bytes_per_second_min: usize = 1024, within(0..=1 << 30), live;
        /// Milliseconds that a closed connection still reads: closing with unread bytes resets the
        /// connection and may destroy the answer (RFC 9112 9.6).
        linger_timeout_ms: u64 = 1000, within(0..=60_000), next;
        /// Bytes read and thrown away while lingering.
        linger_bytes_max: usize = 65_536, within(0..=16 << 20), live;
        /// Bytes of unsent output past which nothing more is read and no further request is served:
        /// a peer that does not read costs at most this and one answer. The answers of a batch (see
        /// `json.batch_max`) may have twice as many: past that, each further one is the error
        /// -32603.
        output_bytes_max: usize = 1 << 20, within(4096..=1 << 30), live;
        /// Bytes of memory for the unsent output of all connections of a shard, at least twice
        /// `output_bytes_max`: some 250 peers that read nothing. Past it requests are refused with
        /// 503, and connections are closed that have taken too little for a second, the longest
        /// stalled first.
        output_bytes_per_shard_max: usize = 256 << 20, within(1 << 20..=1 << 31), live;
        /// Bytes of pipelined requests kept behind the one being answered. Past it nothing more is
        /// read.
        pipelined_bytes_max: usize = 64 << 10, within(1024..=16 << 20), live;
        /// Bytes of memory for partial and pipelined requests of all connections of a shard, at
        /// least twice `http.body_bytes_max`. From seven eighths of it on, requests that have been
        /// arriving for a second or more are refused with 503, the longest first, until a quarter
        /// is free; the request that passes it is refused at once. Without it, peers could make a
        /// shard hold slots times body limit.
        input_bytes_max: usize = 1 << 30, within(1 << 20..=1 << 31), live;
    }
}

impl Connection {
    /// Bytes that a peer must take of its output within `write_timeout_ms`.
    pub(crate) fn written_bytes_min(&self) -> usize {
        let bytes = self.write_bytes_per_second_min as u64 * self.write_timeout_ms / 1000;
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }
}

knobs! {
    /// Bounds on one HTTP request.
    #[derive(Copy, Eq)]
    Http as "http" {
        /// Bytes of a request's head: twice the limit of common servers, for tokens and `Mcp-Param`
        /// headers. Past it the answer is 431.
        head_bytes_max: usize = HttpLimits::DEFAULT.head_bytes_max, within(1024..=1 << 20), live;
        /// Header fields of a request, at most the parser's limit. Past it the answer is 431.
        headers_max: usize = HttpLimits::DEFAULT.headers_max, within(8..=64), live;
        /// Bytes of a request's target. Past it the answer is 414.
        target_bytes_max: usize = HttpLimits::DEFAULT.target_bytes_max, within(16..=64 << 10), live;
        /// Bytes of a request's body: a resource of 12 MiB in base64. Past it the answer is 413.
        body_bytes_max: usize = HttpLimits::DEFAULT.body_bytes_max, within(1024..=1 << 30), live;
    }
}

impl Http {
    /// The limits of the framing.
    pub(crate) fn limits(&self) -> HttpLimits {
        HttpLimits {
            head_bytes_max: self.head_bytes_max,
            headers_max: self.headers_max,
            target_bytes_max: self.target_bytes_max,
            body_bytes_max: self.body_bytes_max,
        }
    }
}

knobs! {
    /// Connections with one message on each line, such as standard input and output.
    #[derive(Copy, Eq)]
    Lines as "lines" {
        /// Bytes of one message, as of an HTTP body. A longer one is skipped and answered with an
        /// error, and the connection goes on.
        message_bytes_max: usize = 16 << 20, within(1024..=1 << 30), live;
        /// Requests of one connection without an answer, as of a session. Open
        /// `subscriptions/listen` requests are among them. Past it a request is refused as
        /// overloaded.
        in_flight_max: usize = 1000, within(1..=1_000_000), live;
        /// Milliseconds from accepting a connection to its first message: a client sends that at
        /// once, a scanner of ports never. Standard input has no such limit.
        first_message_timeout_ms: u64 = 30_000, within(100..=DAY_MS), next;
        /// Milliseconds a connection may lie idle, with no request in flight: as long as possible,
        /// because its session ends with it, while the kernel notices a peer that has vanished. The
        /// rest of a message that has begun must arrive within `connection.body_timeout_ms`.
        /// Standard input has no such limits.
        idle_timeout_ms: u64 = DAY_MS, within(1000..=DAY_MS), next;
    }
}

knobs! {
    /// WebSocket connections.
    #[derive(Copy, Eq)]
    WebSocket as "websocket" {
        /// Bytes of one message, as of an HTTP body. A longer one closes the connection with the
        /// code 1009.
        message_bytes_max: usize = 16 << 20, within(1024..=1 << 30), live;
        /// Requests of one connection without an answer, as of `lines.in_flight_max`.
        in_flight_max: usize = 1000, within(1..=1_000_000), live;
        /// Milliseconds without a byte in either direction after which the server sends a ping:
        /// usual proxies cut a silent connection after 30 to 60 s.
        ping_interval_ms: u64 = 25_000, within(1000..=DAY_MS), next;
        /// Milliseconds after a ping in which the client must send something, such as the pong. A
        /// client that does not is gone, and its connection is closed.
        pong_timeout_ms: u64 = 20_000, within(100..=DAY_MS), next;
    }
}

knobs! {
    /// Bounds on one JSON message, from any transport.
    #[derive(Copy, Eq)]
    Json as "json" {
        /// Levels of arrays and objects, at most the decoder's limit: no tool needs more, and
        /// recursive code needs a bound.
        depth_max: usize = JsonLimits::DEFAULT.depth_max, within(8..=256), live;
        /// Values in a message: two bytes on the wire make a value, which takes many times that
        /// while the message is decoded.
        nodes_max: usize = JsonLimits::DEFAULT.nodes_max, within(64..=100_000_000), live;
        /// Bytes of a request's id, at least any 64-bit number. Ids are kept as long as their
        /// calls.
        id_bytes_max: usize = JsonLimits::DEFAULT.id_bytes_max, within(20..=4096), live;
        /// Bytes of a message that is decoded within a turn of its shard: they take a millisecond
        /// at most. A longer one is decoded by the offload pool, and other messages overtake it;
        /// those that follow it on the same channel wait for it.
        inline_bytes_max: usize = 65_536, within(1024..=16 << 20), live;
        /// Bytes of a method name: those of the specification stay below 48.
        method_bytes_max: usize = JsonLimits::DEFAULT.method_bytes_max, within(64..=1024), live;
        /// Messages in a batch. Only clients of 2025-03-26 send batches, and all of one are handled
        /// in one turn. The bytes of their answers are bounded by `connection.output_bytes_max`.
        batch_max: usize = 100, within(1..=10_000), live;
    }
}
