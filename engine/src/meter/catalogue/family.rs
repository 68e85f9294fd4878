//! Families of metrics, and where their values come from.

use corelane_protocol::mcp::revision::Revision;

use crate::meter::counters::Counter;

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyType {
    /// Only rises while the process lives.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts durations by upper bounds, in seconds.
    Histogram,
}

impl FamilyType {
    /// Its name in the formats.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            FamilyType::Counter => "counter",
            FamilyType::Gauge => "gauge",
            FamilyType::Histogram => "histogram",
        }
    }
}

/// A family of metrics.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its name; samples of counters end in `_total` besides.
    pub name: &'static str,
    /// Its type.
    pub kind: FamilyType,
    /// Its unit, such as "seconds", which its name ends in; empty without one.
    pub unit: &'static str,
    /// Its description.
    pub help: &'static str,
    /// The names of its labels, without those of all shards.
    pub labels: &'static [&'static str],
    pub(crate) source: Source,
}

/// Where the values of a family come from.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(any(test, feature = "metrics")),
    expect(dead_code, reason = "only the exposition reads them")
)]
pub(crate) enum Source {
    /// Counters of each shard, with the value of the only label if there is one.
    Counters(&'static [(Counter, &'static str)]),
    /// A histogram of each shard.
    OfShard(ShardHistogram),
    /// A histogram of all shards together.
    Merged(ShardHistogram),
    /// The durations of operations by their labels.
    Operations,
    /// The lives of sessions by their revision.
    Sessions,
    /// The durations of HTTP requests by their labels.
    Http,
    /// A fact about a shard that the shard does not count itself.
    Shard(ShardFact),
    /// A fact about the process or its host.
    Process(ProcessFact),
}

/// A histogram on the page of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(any(test, feature = "metrics")),
    expect(dead_code, reason = "only the exposition reads all of them")
)]
pub(crate) enum ShardHistogram {
    Queue,
    Handler,
    Turn,
    Delay,
    Stream,
    Session(Revision),
}

/// A fact about a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShardFact {
    Up,
    Stalled,
    Stalls,
    Restarts,
    PageAge,
    CpuTime,
}

/// A fact about the process or its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProcessFact {
    BuildInfo,
    CpuTime,
    ResidentBytes,
    VirtualBytes,
    OpenFiles,
    OpenFilesMax,
    StartTime,
    Threads,
    KernelTcpBytes,
    CgroupMemoryBytes,
    CgroupMemoryLimitBytes,
    CgroupThrottledTime,
    LogLinesDropped,
    Conditions,
    Overflows,
    PagesTorn,
    ScrapeTime,
    Spans,
    #[cfg(any(test, feature = "metrics"))]
    SpansSent,
    #[cfg(any(test, feature = "metrics"))]
    SpansFailed,
    #[cfg(any(test, feature = "metrics"))]
    SpansDropped,
}

/// Declares the families of a module as `FAMILIES`: type, name, `in` a unit, `by` labels. Their
/// values follow: counters, with that of the only label if there is one, or another source.
macro_rules! families {
    (@labels) => { &[] };
    (@labels $labels:tt) => { &$labels };
    (@source [$($counter:ident $($value:literal)?),+ $(,)?]) => {
        Source::Counters(&[$((
            $crate::meter::counters::Counter::$counter,
            concat!($($value)?),
        )),+])
    };
    (@source ($source:expr)) => { $source };
    ($($kind:ident $name:literal $(in $unit:literal)? $(by $labels:tt)? = $source:tt,
       $help:literal;)*) => {
        pub(super) static FAMILIES: &[$crate::meter::catalogue::Family] = &[$(
            $crate::meter::catalogue::Family {
                name: $name,
                kind: $crate::meter::catalogue::FamilyType::$kind,
                unit: concat!($($unit)?),
                help: $help,
                labels: families!(@labels $($labels)?),
                source: families!(@source $source),
            }
        ),*];
    };
}

pub(super) use families;
