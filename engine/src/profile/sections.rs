//! Knobs of the work itself: calls, sessions, streams, tasks, lanes, the offload pool, the catalog.

use corelane_io::lanes::LaneLimits;

use super::knobs::{DAY_MS, knobs, within};

knobs! {
    /// Calls whose handler did not return at once.
    #[derive(Copy, Eq)]
    Calls as "calls" {
        /// Pending calls of a shard. Past it a call is refused as overloaded before its handler
        /// starts. A client, which is a principal or else the address of an anonymous peer, may
        /// have eight times as many as are free: a ninth is left to others, or an eighteenth if it
        /// is anonymous, because addresses are looked up once half of the places are taken.
        in_flight_max: usize = 16_384, within(1..=1_000_000), live;
        /// Pending calls of one session: ten of the largest batches, and more than one client waits
        /// for. Tasks that run are among them.
        per_session_max: usize = 1000, within(1..=1_000_000), live;
        /// Bytes of the arguments of the pending calls of a shard, at least twice
        /// `http.body_bytes_max`. They count with their size as JSON in memory, which is more than
        /// on the wire. Past it a call is refused as overloaded before its handler starts; a client
        /// has a share as of `in_flight_max`. The bodies of requests on their way to other shards
        /// have as many bytes, apart from these.
        bytes_max: usize = 256 << 20, within(1 << 20..=1 << 31), live;
        /// Milliseconds until a call is cancelled: longer than clients wait (60 s is usual), so
        /// that the client decides.
        timeout_ms: u64 = 300_000, within(100..=DAY_MS), next;
        /// Milliseconds after which a call counts as slow: the head of its answer is sent then,
        /// with status 200, and a comment or a space every `streams.keep_alive_ms` until its result
        /// is there. Usual proxies cut a silent connection after 30 to 60 s.
        slow_after_ms: u64 = 10_000, within(100..=DAY_MS), next;
        /// Events (progress, log) of one call waiting to be sent. Past it the handler waits for its
        /// client.
        events_queued_max: usize = 64, within(1..=65_536), next;
        /// Milliseconds a modern client may take to answer an elicitation or another request of a
        /// handler: a person fills in a form. Nothing is held meanwhile; the state that the client
        /// brings back expires.
        answer_timeout_ms: u64 = 600_000, within(1000..=DAY_MS), next;
    }
}

knobs! {
    /// Calls of one tool, and the refusal of one that keeps failing. A shard counts for itself.
    #[derive(Copy, Eq)]
    Tools as "tools" {
        /// Pending calls of one tool on a shard, unless the tool has a limit of its own; default
        /// half of `calls.in_flight_max`, so that a tool that hangs leaves places to the others. At
        /// most `calls.in_flight_max`. Past it a call is refused as overloaded before its handler
        /// starts. A client has a share as of `calls.in_flight_max`.
        in_flight_max: Option<usize> = None, within(1..=1_000_000), live;
        /// Failures of a tool in a row after which its calls are refused as overloaded: a failure
        /// is a panic, a timeout, or an error that is not meant for the client. A hundred are no
        /// accident. 0 never refuses.
        failures_max: u32 = 100, within(0..=1_000_000), live;
        /// Milliseconds until one call of such a tool is let through to see whether it works again;
        /// if so, all are. A backend that restarts is back in some seconds.
        open_ms: u64 = 5000, within(100..=DAY_MS), live;
    }
}

impl Tools {
    /// Pending calls of one tool on a shard with `calls`.
    pub(crate) fn in_flight_max(&self, calls: &Calls) -> usize {
        self.in_flight_max
            .unwrap_or(calls.in_flight_max.div_ceil(2))
    }
}

knobs! {
    /// Sessions of the legacy era (MCP up to 2025-11-25).
    #[derive(Copy, Eq)]
    Sessions as "sessions" {
        /// Sessions of a shard: 100 MiB at 1 KiB each. Past it the least recently used one with
        /// nothing in flight is evicted. A client has a share as of `calls.in_flight_max`; past
        /// that, one of its own is evicted.
        per_shard_max: usize = 100_000, within(1..=10_000_000), live;
        /// Sessions of one principal on a shard: a person's clients take tens, and no one takes
        /// more than 1 % of the shard from the others. Past it the principal's own least recently
        /// used one with nothing in flight is evicted; more than `per_shard_max` has no effect. See
        /// `server.principal_header`; an anonymous client has the share of its address only.
        per_principal_max: usize = 1000, within(1..=10_000_000), live;
        /// Milliseconds without a request or open stream until a session expires: clients come back
        /// after a pause, and get 404 afterwards.
        idle_timeout_ms: u64 = 1_800_000, within(1000..=DAY_MS), live;
        /// Seconds after its handshake for which a session that a shard does not have is made again
        /// from its id: one that was idle or evicted, and, if `server.state_key_files` are the
        /// same, one of a process that ended. The id, of 70 characters then, carries the sealed
        /// handshake. The log level, subscriptions, kept events and tasks do not come back; a
        /// session that had any of the first two and ended here gets 404, as does one that its
        /// client ended. 86,400 is a day; 0, the default, answers every such id with 404.
        id_max_age_s: u64 = 0, within(0..=2_592_000), live;
        /// Ended sessions that a shard remembers, so that their ids bring nothing back: 64 bytes
        /// each. Past it the oldest one is forgotten.
        ended_max: usize = 65_536, within(1..=10_000_000), live;
        /// Resources a session may subscribe to.
        subscriptions_max: usize = 64, within(0..=10_000), live;
    }
}

knobs! {
    /// Streams of server-sent events.
    #[derive(Copy, Eq)]
    Streams as "streams" {
        /// Milliseconds between comments on a silent stream: usual proxies cut a silent connection
        /// after 30 to 60 s.
        keep_alive_ms: u64 = 15_000, within(1000..=3_600_000), next;
        /// Open streams of one session: a client needs one, and more only while it reconnects.
        per_session_max: usize = 8, within(1..=1024), live;
        /// Bytes of events that a shard keeps for clients that lose a stream: the last minute of
        /// some thousand busy calls. 0 keeps none, so that no stream can be resumed. A client has a
        /// share as of `calls.in_flight_max`; past that, events of its own are dropped first.
        kept_bytes_max: usize = 64 << 20, within(0..=1 << 31), live;
        /// Bytes of them for one session: no session crowds out the others. At most
        /// `kept_bytes_max`; no more than `connection.output_bytes_max` counts, because a resumed
        /// stream sends them at once.
        kept_bytes_per_session_max: usize = 1 << 20, within(0..=1 << 30), live;
        /// Events kept of one stream: for a client that is further behind, a new request is faster
        /// than a resumed stream.
        kept_events_per_stream_max: usize = 1024, within(0..=1_000_000), live;
        /// Streams of one session whose events are kept: those of calls that run side by side, and
        /// of those just answered.
        kept_per_session_max: usize = 64, within(0..=65_536), live;
    }
}

knobs! {
    /// Tasks: requests whose results are fetched later.
    #[derive(Copy, Eq)]
    Tasks as "tasks" {
        /// Tasks of a shard. Past it the one that ended first is evicted; while all are running,
        /// another one is refused. A client has a share as of `calls.in_flight_max`; past that, one
        /// of its own is evicted.
        per_shard_max: usize = 10_000, within(1..=1_000_000), live;
        /// Tasks of one session or principal, at most `per_shard_max`: no client takes the places
        /// of all others.
        per_owner_max: usize = 1000, within(1..=1_000_000), live;
        /// Milliseconds that a task is kept if its client names no time, counted from its creation:
        /// a result outlives a pause of its client. A handler that runs longer is stopped.
        ttl_default_ms: u64 = 3_600_000, within(1000..=DAY_MS), next;
        /// Milliseconds that a task is kept at most, for any request of its client.
        ttl_max_ms: u64 = DAY_MS, within(1000..=DAY_MS), next;
        /// Milliseconds between two fetches of a task's state that the server recommends to
        /// clients.
        poll_interval_ms: u64 = 1000, within(10..=60_000), live;
        /// Bytes of one result, and of any other single value of a task: as many as a request may
        /// have. A larger result fails its task.
        result_bytes_max: usize = 16 << 20, within(1 << 10..=1 << 30), live;
        /// Bytes of all tasks of a shard together, at least `result_bytes_max`. Past it finished
        /// tasks are evicted. A client has a share as of `calls.in_flight_max`; past that, its own
        /// are evicted first.
        bytes_max: usize = 256 << 20, within(1 << 20..=1 << 31), live;
        /// Tasks that one `subscriptions/listen` may name: those that a client follows at once. A
        /// longer list is refused.
        per_listen_max: usize = 64, within(0..=1024), live;
    }
}

knobs! {
    /// Messages each queue between two shards can hold. There is one queue for each ordered pair of
    /// shards and tier; a full one refuses its sender.
    #[derive(Copy, Eq)]
    Lanes as "lanes" {
        /// Messages that steer a shard (drain, new catalog): a handful at a time.
        control: usize = 64, within(1..=65_536), restart;
        /// Answers to forwarded requests, no fewer than `request`, because each accepted request
        /// comes back as one reply.
        reply: usize = 4096, within(1..=65_536), restart;
        /// Requests forwarded to a session's home shard.
        request: usize = 4096, within(1..=65_536), restart;
        /// Notifications to many: fewer than requests, because they coalesce.
        bulk: usize = 1024, within(1..=65_536), restart;
    }
}

impl Lanes {
    /// The limits of the queues.
    pub(crate) fn limits(&self) -> LaneLimits {
        LaneLimits {
            control_messages_max: self.control,
            reply_messages_max: self.reply,
            request_messages_max: self.request,
            bulk_messages_max: self.bulk,
        }
    }
}

knobs! {
    /// The thread pool that blocking handlers move their work to. Looking up files has threads and
    /// a queue of its own, so that handlers cannot delay it.
    #[derive(Copy, Eq)]
    Offload as "offload" {
        /// Threads for handlers; default one for each core in use, and at least 2, so that one
        /// blocked handler does not block all.
        threads: Option<usize> = None, within(1..=1024), restart;
        /// Pieces of work of one kind waiting for a thread. Past it a handler's offload is refused.
        /// A client has a share as of `calls.in_flight_max`, and clients take turns.
        queue_max: usize = 1024, within(1..=1_000_000), restart;
    }
}

impl Offload {
    /// Threads of the pool beside `cores` cores in use.
    #[must_use]
    pub fn threads_for(&self, cores: usize) -> usize {
        self.threads.unwrap_or(cores.max(2))
    }
}

knobs! {
    /// The list pages of tools, resources and prompts.
    #[derive(Copy, Eq)]
    Catalog as "catalog" {
        /// Entries of a page: some 30 KiB with usual schemas. A catalog that fits one page has no
        /// cursor, which suits clients that ignore cursors.
        page_entries_max: usize = 50, within(1..=10_000), restart;
        /// Bytes of a file that is served as a resource. A longer one is listed with its size, and
        /// reading it is refused. A read holds the file once as it is and once or more in its
        /// answer. For directories of the command line: a program gives a limit with each.
        file_bytes_max: u64 = 4 << 20, within(1024..=256 << 20), restart;
    }
}
