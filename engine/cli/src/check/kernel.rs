//! Probes of the kernel: its version, io_uring, clock, and the time it takes from the server.

use procfs::KernelVersion;

use super::finding::{Fault, only_if, probes};
use super::host::Host;
use super::limits::locked_memory;
use super::plan::Plan;

/// The first kernel with all that the rings need.
const KERNEL_MIN: (u8, u8) = (6, 1);
/// See capabilities(7).
const CAP_SYS_ADMIN: u32 = 21;
/// See proc_pid_status(5): system calls are filtered.
const SECCOMP_FILTER: u32 = 2;
/// Clocks that are read by a system call and an access to a device.
const SLOW_CLOCKS: &[&str] = &["acpi_pm", "hpet", "jiffies", "pit"];
/// Share of the time since the start of the machine that the hypervisor may have taken, in percent.
const STEAL_PERCENT_MAX: u64 = 2;

probes! {
    kernel: "older kernels lack operations of the rings";
    io_uring: "without io_uring the server does not start";
    seccomp: "container runtimes block io_uring by default, and the server does not start";
    start: "a shard was started to see whether the server starts here";
    clock: "every turn of a shard reads the clock, and a slow clock costs a microsecond or more";
    steal: "a shard whose core is taken away answers late";
    mitigations: "they make system calls slower; a shard makes one for each turn, so they cost \
        little";
}

fn kernel(host: &Host, _: &Plan) -> Option<Vec<Fault>> {
    let text = host.text("proc/sys/kernel/osrelease")?;
    let version = KernelVersion::from_str(text).ok()?;
    let (major, minor) = KERNEL_MIN;
    only_if((version.major, version.minor) < KERNEL_MIN, || {
        let found = format!("the kernel is Linux {text}");
        Fault::change(found, format!("boot Linux {major}.{minor} or newer"))
    })
}

/// See the documentation of the kernel, admin-guide/sysctl/kernel.
fn io_uring(host: &Host, _: &Plan) -> Option<Vec<Fault>> {
    let status = host.status()?;
    let group = host.number("proc/sys/kernel/io_uring_group");
    let mut groups = status.groups.iter().chain([&status.egid]);
    let is_allowed = match host.number("proc/sys/kernel/io_uring_disabled") {
        // Kernels before 6.6 do not have the setting.
        None | Some(0) => true,
        Some(1) if host.has_capability(CAP_SYS_ADMIN) => true,
        Some(1) => groups.any(|id| Some(u64::from(*id)) == group),
        Some(_) => false,
    };
    let name = "kernel.io_uring_disabled";
    only_if(!is_allowed, || {
        let found = format!("{name} forbids io_uring to this account");
        Fault::sysctl(found, name, 0)
    })
}

fn is_blocked(host: &Host, plan: &Plan) -> Option<bool> {
    let is_filtered = host.status()?.seccomp? == SECCOMP_FILTER;
    let error = plan.start_error.as_deref().unwrap_or_default();
    let is_refused = ["os error 1)", "Operation not permitted"];
    Some(is_filtered && is_refused.iter().any(|text| error.contains(text)))
}

fn seccomp(host: &Host, plan: &Plan) -> Option<Vec<Fault>> {
    only_if(is_blocked(host, plan)?, || {
        Fault::change(
            "a seccomp filter refuses io_uring",
            "allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile of \
             the container (docker run --security-opt seccomp=FILE)",
        )
    })
}

fn start(host: &Host, plan: &Plan) -> Option<Vec<Fault>> {
    let is_blocked = is_blocked(host, plan).unwrap_or_default();
    // The error is of the one shard that was started; the finding has the sum of all.
    let lacks_memory = locked_memory(host, plan).is_some_and(|faults| !faults.is_empty());
    let is_explained = |error: &str| is_blocked || lacks_memory && error.contains("RLIMIT_MEMLOCK");
    let error = plan.start_error.as_deref();
    let error = error.filter(|error| !is_explained(error));
    let faults = error.map(|error| Fault::change(error, "the message has the remedy"));
    Some(faults.into_iter().collect())
}

fn clock(host: &Host, _: &Plan) -> Option<Vec<Fault>> {
    let folder = "/sys/devices/system/clocksource/clocksource0";
    let clock_of = |file| host.text(&format!("{folder}/{file}")[1..]);
    let clock = clock_of("current_clocksource")?;
    let mut others = clock_of("available_clocksource")?.split_whitespace();
    let fast = others.find(|other| !SLOW_CLOCKS.contains(other));
    only_if(SLOW_CLOCKS.contains(&clock), || {
        let (found, fast) = (
            format!("the clock source is {clock}"),
            fast.unwrap_or("tsc"),
        );
        Fault::run(found, format!("echo {fast} >{folder}/current_clocksource"))
    })
}

/// See proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal.
fn steal(host: &Host, _: &Plan) -> Option<Vec<Fault>> {
    let line = host.text("proc/stat")?.lines().next()?;
    let times = line.split_whitespace().skip(1);
    let times: Vec<u64> = times.map_while(|it| it.parse().ok()).collect();
    let (steal, total) = (*times.get(7)?, times.iter().take(8).sum::<u64>().max(1));
    only_if(steal * 100 > total * STEAL_PERCENT_MAX, || {
        let percent = steal * 100 / total;
        Fault::change(
            format!("the hypervisor has taken {percent} % of the CPU time since the start"),
            "give the virtual machine cores of its own",
        )
    })
}

fn mitigations(host: &Host, _: &Plan) -> Option<Vec<Fault>> {
    let known = host.matching("sys/devices/system/cpu/vulnerabilities/*")?;
    let active = known.iter().filter(|it| it.1.starts_with("Mitigation"));
    let active: Vec<_> = active.map(|(name, _)| *name).collect();
    only_if(!active.is_empty(), || {
        let found = format!("the kernel has mitigations for {}", active.join(", "));
        Fault::change(found, "keep them").noted()
    })
}
