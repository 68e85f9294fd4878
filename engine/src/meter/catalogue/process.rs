//! The families of the process and its host.

use super::family::FamilyType::{Counter as Total, Gauge};
use super::family::{Family, ProcessFact, process};

/// In the order of the exposition; the last one is about the exposition itself.
pub(super) static FAMILIES: &[Family] = &[
    process(
        "corelane_build_info",
        Gauge,
        "The build, with the value 1.",
        ProcessFact::BuildInfo,
    )
    .by(&["version", "semconv"]),
    process(
        "corelane_condition",
        Gauge,
        "Whether the server is in a condition that an operator should know of.",
        ProcessFact::Conditions,
    )
    .by(&["condition"]),
    process(
        "corelane_log_lines_dropped",
        Total,
        "Records of the log that were dropped because standard error is read too slowly.",
        ProcessFact::LogLinesDropped,
    ),
    process(
        "corelane_spans",
        Total,
        "Spans of requests that the collector took, did not take, or that found the queue full.",
        ProcessFact::Spans,
    )
    .by(&["outcome"]),
    process(
        "corelane_metrics_pages_torn",
        Total,
        "Times that a scrape used an older copy of a shard's counters.",
        ProcessFact::PagesTorn,
    ),
    process(
        "corelane_scrape_duration_seconds",
        Gauge,
        "Time that the last scrape took.",
        ProcessFact::ScrapeTime,
    )
    .of("seconds"),
    process(
        "corelane_kernel_tcp_bytes",
        Gauge,
        "Memory of TCP sockets in the network namespace.",
        ProcessFact::KernelTcpBytes,
    )
    .of("bytes"),
    process(
        "corelane_cgroup_memory_bytes",
        Gauge,
        "Memory of the control group.",
        ProcessFact::CgroupMemoryBytes,
    )
    .of("bytes"),
    process(
        "corelane_cgroup_memory_limit_bytes",
        Gauge,
        "Limit on the memory of the control group, if there is one.",
        ProcessFact::CgroupMemoryLimitBytes,
    )
    .of("bytes"),
    process(
        "corelane_cgroup_throttled_seconds",
        Total,
        "Time that the CPU quota of the control group stopped its processes.",
        ProcessFact::CgroupThrottledTime,
    )
    .of("seconds"),
    process(
        "process_cpu_seconds",
        Total,
        "CPU time of the process, of user and kernel.",
        ProcessFact::CpuTime,
    )
    .of("seconds"),
    process(
        "process_resident_memory_bytes",
        Gauge,
        "Resident memory.",
        ProcessFact::ResidentBytes,
    )
    .of("bytes"),
    process(
        "process_virtual_memory_bytes",
        Gauge,
        "Virtual memory.",
        ProcessFact::VirtualBytes,
    )
    .of("bytes"),
    process(
        "process_open_fds",
        Gauge,
        "Open files; sockets of a ring are none.",
        ProcessFact::OpenFiles,
    ),
    process(
        "process_max_fds",
        Gauge,
        "Limit on open files.",
        ProcessFact::OpenFilesMax,
    ),
    process(
        "process_start_time_seconds",
        Gauge,
        "Start of the process, in seconds since 1970.",
        ProcessFact::StartTime,
    )
    .of("seconds"),
    process("process_threads", Gauge, "Threads.", ProcessFact::Threads),
    process(
        "corelane_metrics_overflow",
        Total,
        "Operations counted without their labels, and scrapes that were cut at their limit.",
        ProcessFact::Overflows,
    )
    .by(&["reason"]),
];
