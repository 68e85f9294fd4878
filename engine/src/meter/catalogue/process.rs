//! The families of the process and its host.

use super::family::{ProcessFact, Source, families};

// In the order of the exposition; the last one is about the exposition itself.
families! {
    Gauge "corelane_build_info" by ["version", "semconv"] =
        (Source::Process(ProcessFact::BuildInfo)),
        "The build, with the value 1.";
    Gauge "corelane_condition" by ["condition"] = (Source::Process(ProcessFact::Conditions)),
        "Whether the server is in a condition that an operator should know of.";
    Counter "corelane_log_lines_dropped" = (Source::Process(ProcessFact::LogLinesDropped)),
        "Records of the log that were dropped because standard error is read too slowly.";
    Counter "corelane_spans" by ["outcome"] = (Source::Process(ProcessFact::Spans)),
        "Spans of requests that the collector took, did not take, or that found the queue full.";
    Counter "corelane_metrics_pages_torn" = (Source::Process(ProcessFact::PagesTorn)),
        "Times that a scrape used an older copy of a shard's counters.";
    Gauge "corelane_scrape_duration_seconds" in "seconds" =
        (Source::Process(ProcessFact::ScrapeTime)),
        "Time that the last scrape took.";
    Gauge "corelane_kernel_tcp_bytes" in "bytes" = (Source::Process(ProcessFact::KernelTcpBytes)),
        "Memory of TCP sockets in the network namespace.";
    Gauge "corelane_cgroup_memory_bytes" in "bytes" =
        (Source::Process(ProcessFact::CgroupMemoryBytes)),
        "Memory of the control group.";
    Gauge "corelane_cgroup_memory_limit_bytes" in "bytes" =
        (Source::Process(ProcessFact::CgroupMemoryLimitBytes)),
        "Limit on the memory of the control group, if there is one.";
    Counter "corelane_cgroup_throttled_seconds" in "seconds" =
        (Source::Process(ProcessFact::CgroupThrottledTime)),
        "Time that the CPU quota of the control group stopped its processes.";
    Counter "process_cpu_seconds" in "seconds" = (Source::Process(ProcessFact::CpuTime)),
        "CPU time of the process, of user and kernel.";
    Gauge "process_resident_memory_bytes" in "bytes" =
        (Source::Process(ProcessFact::ResidentBytes)),
        "Resident memory.";
    Gauge "process_virtual_memory_bytes" in "bytes" = (Source::Process(ProcessFact::VirtualBytes)),
        "Virtual memory.";
    Gauge "process_open_fds" = (Source::Process(ProcessFact::OpenFiles)),
        "Open files; sockets of a ring are none.";
    Gauge "process_max_fds" = (Source::Process(ProcessFact::OpenFilesMax)), "Limit on open files.";
    Gauge "process_start_time_seconds" in "seconds" = (Source::Process(ProcessFact::StartTime)),
        "Start of the process, in seconds since 1970.";
    Gauge "process_threads" = (Source::Process(ProcessFact::Threads)), "Threads.";
    Counter "corelane_metrics_overflow" by ["reason"] = (Source::Process(ProcessFact::Overflows)),
        "Operations counted without their labels, and scrapes that were cut at their limit.";
}
