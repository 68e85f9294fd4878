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

pub(super) const fn counters(
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    counters: &'static [(Counter, &'static str)],
) -> Family {
    Family {
        name,
        kind: FamilyType::Counter,
        unit: "",
        help,
        labels,
        source: Source::Counters(counters),
    }
}

pub(super) const fn counter(
    name: &'static str,
    help: &'static str,
    counter: &'static [(Counter, &'static str)],
) -> Family {
    counters(name, help, &[], counter)
}

pub(super) const fn level(
    name: &'static str,
    help: &'static str,
    counter: &'static [(Counter, &'static str)],
) -> Family {
    Family {
        kind: FamilyType::Gauge,
        ..counters(name, help, &[], counter)
    }
}

pub(super) const fn levels(
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    of: &'static [(Counter, &'static str)],
) -> Family {
    Family {
        kind: FamilyType::Gauge,
        ..counters(name, help, labels, of)
    }
}

pub(super) const fn seconds(name: &'static str, help: &'static str, source: Source) -> Family {
    Family {
        name,
        kind: FamilyType::Histogram,
        unit: "seconds",
        help,
        labels: &[],
        source,
    }
}

pub(super) const fn shard(
    name: &'static str,
    kind: FamilyType,
    help: &'static str,
    fact: ShardFact,
) -> Family {
    Family {
        name,
        kind,
        unit: "",
        help,
        labels: &[],
        source: Source::Shard(fact),
    }
}

pub(super) const fn process(
    name: &'static str,
    kind: FamilyType,
    help: &'static str,
    fact: ProcessFact,
) -> Family {
    Family {
        name,
        kind,
        unit: "",
        help,
        labels: &[],
        source: Source::Process(fact),
    }
}

impl Family {
    pub(super) const fn of(self, unit: &'static str) -> Family {
        Family { unit, ..self }
    }

    pub(super) const fn by(self, labels: &'static [&'static str]) -> Family {
        Family { labels, ..self }
    }
}
