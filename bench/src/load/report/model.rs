//! The types of a report, which are its documented schema.

use crate::environment::Environment;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of the schema that this build writes.
pub const SCHEMA_VERSION: u32 = 2;
/// The oldest version of the schema that this build reads.
pub const SCHEMA_VERSION_MIN: u32 = 1;

/// One run of `corelane-load`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Version of this schema; 2.
    pub schema_version: u32,
    /// Machine and build of the load generator.
    pub environment: Environment,
    /// Tuning profile of the server, if `--server-profile` named it.
    pub server_profile: Option<String>,
    /// The command line without the program's name.
    pub arguments: Vec<String>,
    /// The server's address.
    pub url: String,
    /// Revision of MCP that was spoken.
    pub revision: String,
    /// Whether Ctrl-C ended the run early.
    pub interrupted: bool,
    /// Why the figures must not be used; empty if they may be.
    pub invalid: Vec<String>,
    /// The first error lines.
    pub error_samples: Vec<String>,
    /// The result of the command.
    pub outcome: Outcome,
}

/// The result of a run, by command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Outcome {
    /// `call`: throughput and latency.
    Call(CallReport),
    /// `soak`: connections held at once.
    #[serde(alias = "hold")]
    Soak(SoakReport),
    /// `fanout`: one change broadcast to many streams.
    #[serde(alias = "fan")]
    Fanout(FanoutReport),
    /// `sweep`: the rate at which latency breaks.
    Sweep(SweepReport),
}

impl Outcome {
    /// All that went wrong: failed requests, lost connections, streams that a change did not reach
    /// or reached twice, and a sweep in which no rate kept the limit.
    pub fn failures(&self) -> u64 {
        match self {
            Outcome::Call(call) => call.counts.errors.total(),
            Outcome::Soak(soak) => soak.errors.total() + soak.lost,
            Outcome::Fanout(fanout) => {
                let rounds = fanout.rounds.iter();
                let failed: u64 = rounds.map(|round| round.lost + round.duplicates).sum();
                fanout.errors.total() + failed
            }
            Outcome::Sweep(sweep) => u64::from(sweep.capacity_per_s == 0.0),
        }
    }

    /// The times for `--hgrm`.
    pub fn latency(&self) -> Option<&Distribution> {
        Some(match self {
            Outcome::Call(call) => &call.latency,
            Outcome::Soak(soak) => match &soak.active {
                Some(active) => &active.latency,
                None => &soak.connect,
            },
            Outcome::Fanout(fanout) => &fanout.delay,
            Outcome::Sweep(sweep) => &sweep.steps.last()?.latency,
        })
    }
}

/// Throughput and latency of calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CallReport {
    /// The requested load.
    pub load: Load,
    /// Seconds that were measured, without the warm-up.
    pub measured_s: f64,
    /// Requests by outcome.
    pub counts: Counts,
    /// Correct answers per second.
    pub answers_per_s: f64,
    /// From the intended send time to the whole answer. In a closed loop the intended send time is
    /// the time of sending, so a stall of the server delays requests without a trace.
    pub latency: Distribution,
    /// From the time of sending to the whole answer.
    pub service: Distribution,
    /// How late the generator itself was: from the time a request was due and had a connection to
    /// the time it was sent. Only in an open loop.
    pub schedule_slip: Option<Distribution>,
    /// Each kind of request of the mix.
    pub methods: Vec<MethodReport>,
    /// Each second that was measured; kept records lack it.
    #[serde(default)]
    pub timeline: Vec<Second>,
    /// The load generator's own use of the machine.
    pub generator: ProcessUse,
    /// The server's use of the machine, if its process was found on this machine.
    pub server: Option<ProcessUse>,
}

/// The requested load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Load {
    /// When requests are sent.
    pub pace: Pace,
    /// Connections open at once.
    pub connections: u32,
    /// Requests in flight on each connection, at most.
    pub in_flight: u32,
    /// Threads of the generator, each with a ring of its own.
    pub threads: u32,
    /// Seconds of load before measuring began.
    pub warmup_s: f64,
}

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "loop", rename_all = "snake_case")]
pub enum Pace {
    /// Each connection sends again when it was answered.
    Closed,
    /// Requests are due at fixed times, however slow the server is; the two rates are equal unless
    /// the rate is a ramp.
    Open {
        /// Requests per second at the start.
        from_per_s: f64,
        /// Requests per second at the end.
        to_per_s: f64,
    },
}

/// Requests and connections by outcome, while measuring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Requests sent, handshakes of sessions left out.
    pub sent: u64,
    /// Requests with a correct answer.
    pub answered: u64,
    /// Answers that say the tool failed (`isError`), where the mix allows it; they are among the
    /// answered.
    pub tool_errors: u64,
    /// Requests given up on purpose, as the mix says.
    pub aborted: u64,
    /// Connections opened.
    pub connected: u64,
    /// Sessions opened.
    pub sessions_opened: u64,
    /// Sessions ended with DELETE.
    pub sessions_deleted: u64,
    /// Sessions left without DELETE, as the mix says.
    pub sessions_abandoned: u64,
    /// Everything that went wrong.
    pub errors: Errors,
}

/// Failures by kind; each failed request is counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Errors {
    /// Answered with a tool result with `isError`, where the mix does not allow it. Version 1 of
    /// the schema lacks it.
    #[serde(default)]
    pub tool_error: u64,
    /// Answered with a JSON-RPC error.
    pub protocol: u64,
    /// Answered with an HTTP status of 400 or above, or with bytes that are no HTTP answer.
    pub http: u64,
    /// Answered with a wrong answer: another id or type of id, a result
    /// of the wrong shape, another echo.
    pub wrong_answer: u64,
    /// Not answered within the time allowed.
    pub timeout: u64,
    /// In flight when the server closed or reset the connection.
    pub reset: u64,
    /// Connections that could not be made, and handshakes of sessions that failed.
    pub connect: u64,
    /// Due in an open loop, and never sent because no connection was free in time.
    pub unsent: u64,
}

impl Errors {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.tool_error
            + self.protocol
            + self.http
            + self.wrong_answer
            + self.timeout
            + self.reset
            + self.connect
            + self.unsent
    }
}

/// One kind of request of a mix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MethodReport {
    /// The method, with the tool's name behind it if it calls one.
    pub name: String,
    /// Requests with a correct answer.
    pub answered: u64,
    /// Failed requests.
    pub failed: u64,
    /// From the intended send time to the whole answer.
    pub latency: Distribution,
}

/// One second of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Second {
    /// Seconds since measuring began, at the end of this one.
    pub at_s: f64,
    /// Correct answers per second.
    pub answers_per_s: f64,
    /// Failures in it.
    pub errors: u64,
    /// Median latency; 0 if nothing was answered.
    pub p50_ns: u64,
    /// 99th percentile of latency; 0 if nothing was answered.
    pub p99_ns: u64,
    /// Highest latency; 0 if nothing was answered.
    pub max_ns: u64,
}

/// A distribution of times; all are 0 if `count` is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Distribution {
    /// How many times were recorded.
    pub count: u64,
    /// The lowest.
    pub min_ns: u64,
    /// The mean.
    pub mean_ns: f64,
    /// The median.
    pub p50_ns: u64,
    /// The 90th percentile.
    pub p90_ns: u64,
    /// The 99th percentile.
    pub p99_ns: u64,
    /// The 99.9th percentile.
    pub p999_ns: u64,
    /// The 99.99th percentile.
    pub p9999_ns: u64,
    /// The highest.
    pub max_ns: u64,
    /// Points of the curve, ascending, for plots and for `--hgrm`; kept records lack it.
    #[serde(default)]
    pub curve: Vec<CurvePoint>,
}

/// One point of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CurvePoint {
    /// Percentile, 0 to 100.
    pub percentile: f64,
    /// The time at or below which that many are.
    pub time_ns: u64,
    /// How many are at or below that time.
    pub count: u64,
}

/// CPU time and memory of a process while measuring.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProcessUse {
    /// Its number.
    pub pid: u32,
    /// CPU time of all its threads, in seconds.
    pub cpu_s: f64,
    /// CPU time for each request answered, in microseconds; 0 if none was.
    pub cpu_us_per_answer: f64,
    /// CPU time of its busiest thread, in percent of the time measured.
    pub busiest_thread_percent: f64,
    /// Resident memory at the end.
    pub rss_bytes: u64,
}

/// Connections held at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SoakReport {
    /// `idle`, `session` or `listen`.
    pub kind: String,
    /// Connections requested.
    pub asked: u64,
    /// Connections that were made, answered and held at the end.
    pub held: u64,
    /// Connections that the server closed or that broke while they were held.
    pub lost: u64,
    /// Seconds it took to make them, pauses for reading memory left out.
    pub ramp_s: f64,
    /// Connections made and answered per second of that.
    pub connections_per_s: f64,
    /// Failures by kind.
    pub errors: Errors,
    /// From the start of connecting to the whole first answer.
    pub connect: Distribution,
    /// Memory at each step.
    pub steps: Vec<SoakStep>,
    /// The cost of each connection; absent without two steps.
    pub slope: Option<Slope>,
    /// The calls made while all were held, with `--active`.
    pub active: Option<ActiveReport>,
    /// The load generator's own use of the machine.
    pub generator: ProcessUse,
    /// The server's use of the machine, if its process was found on this machine.
    pub server: Option<ProcessUse>,
}

/// Memory while so many connections are held.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SoakStep {
    /// Connections held.
    pub held: u64,
    /// Seconds since the start.
    pub at_s: f64,
    /// Resident memory of the server (smaps_rollup); 0 if its process was not found.
    pub server_rss_bytes: u64,
    /// Memory of the server that is its alone (smaps_rollup); 0 if its process was not found.
    pub server_private_bytes: u64,
    /// CPU time of the server so far, in seconds; 0 if its process was not found.
    pub server_cpu_s: f64,
    /// Slab of the whole machine: both ends of each connection if the server is on it.
    pub slab_bytes: u64,
}

/// Least squares of memory over connections held.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Slope {
    /// Resident memory of the server for each connection.
    pub rss_bytes_per_connection: f64,
    /// Memory that is the server's alone for each connection.
    pub private_bytes_per_connection: f64,
    /// Slab of the whole machine for each connection.
    pub slab_bytes_per_connection: f64,
}

/// The calls made while connections were held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ActiveReport {
    /// Calls due per second.
    pub rate_per_s: f64,
    /// Seconds of it.
    pub measured_s: f64,
    /// Calls with a correct answer.
    pub answered: u64,
    /// Failures by kind.
    pub errors: Errors,
    /// From the intended send time to the whole answer.
    pub latency: Distribution,
    /// How late the generator itself was; older records lack it.
    pub schedule_slip: Option<Distribution>,
}

/// One change broadcast to many streams.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FanoutReport {
    /// Streams that were open.
    pub streams: u64,
    /// The notification that was waited for.
    pub notification: String,
    /// Each change.
    pub rounds: Vec<FanoutRound>,
    /// From the trigger being sent to its arrival on a stream, of all streams and rounds.
    pub delay: Distribution,
    /// Failures while opening.
    pub errors: Errors,
    /// The load generator's own use of the machine since all streams were open. Records from before
    /// December 2026 have the opening in both.
    pub generator: ProcessUse,
    /// The server's use of the machine since then, if its process was found on this machine.
    pub server: Option<ProcessUse>,
}

/// One change.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FanoutRound {
    /// Streams that got it.
    pub delivered: u64,
    /// Streams that did not get it in the time allowed.
    pub lost: u64,
    /// Times a stream got it again.
    pub duplicates: u64,
    /// From the trigger being sent to half of the streams having it.
    pub p50_ns: u64,
    /// From the trigger being sent to 99 % of the streams having it.
    pub p99_ns: u64,
    /// From the trigger being sent to the last stream having it.
    pub last_ns: u64,
}

/// The rate at which latency breaks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SweepReport {
    /// The latency that may not be passed.
    pub p99_limit_ns: u64,
    /// The highest rate that kept it, in requests per second; 0 if none did.
    pub capacity_per_s: f64,
    /// Each rate that was tried, in that order.
    pub steps: Vec<SweepStep>,
}

/// One rate that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SweepStep {
    /// Requests due per second.
    pub rate_per_s: f64,
    /// Correct answers per second.
    pub answers_per_s: f64,
    /// From the intended send time to the whole answer.
    pub latency: Distribution,
    /// Failures by kind.
    pub errors: Errors,
    /// Why this rate is too high; nothing if it is not.
    pub broke: Option<String>,
}
