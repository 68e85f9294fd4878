//! Probes of the limits on open files, locked memory and memory.

use corelane::profile::descriptors::{HEADROOM, RINGS_MAX, TABLE_ENTRIES_MAX, table_entries_under};
use procfs::{FromBufRead, Meminfo};

use super::finding::{Fault, at_least, counted, only_if, probes};
use super::host::Host;
use super::plan::{Plan, shards_for};

/// See capabilities(7).
const CAP_IPC_LOCK: u32 = 14;
/// Kernel memory of one idle accepted TCP socket with a poll armed, in bytes: 3,840 and 256 by
/// measurement on Linux 6.18.
const SOCKET_BYTES: u64 = 4096;
/// The most that `vm.swappiness` should be, in percent.
const SWAPPINESS_MAX: u64 = 10;

probes! {
    open_files: "it bounds the connections of each shard; under systemd, set LimitNOFILE of the \
        unit instead";
    open_files_ceiling: "no process may have a higher limit on open files";
    host_files: "every socket is an open file of the host";
    locked_memory: "the rings of the shards are locked memory, and the server does not start \
        without; under systemd, set LimitMEMLOCK of the unit instead";
    memory: "past its limit the kernel ends the process, and all connections with it";
    swap: "a buffer that was swapped out stalls the whole shard that reads it";
    huge_pages: "calls are faster, but a process with few connections takes more memory";
}

/// The limit on open files with which each shard holds its connections, in as many rings as it may
/// have.
fn open_files_needed(plan: &Plan) -> u64 {
    plan.connections_per_shard.div_ceil(u64::from(RINGS_MAX)) + HEADROOM
}

/// The sockets that the limit on open files leaves each ring: the server raises it to the hard one.
fn ring_sockets(host: &Host) -> Option<u32> {
    let (_, hard) = host.limits("Max open files")?;
    Some(table_entries_under(hard))
}

fn open_files(host: &Host, plan: &Plan) -> Option<Vec<Fault>> {
    let (_, hard) = host.limits("Max open files")?;
    let needed = open_files_needed(plan);
    let shards = counted(plan.shards(), "shard");
    let connections = counted(plan.connections, "connection");
    if plan.connections_per_shard > u64::from(TABLE_ENTRIES_MAX) {
        let fitting = shards_for(plan.connections);
        let found = format!(
            "{connections} are too many for {shards}, each of which holds {TABLE_ENTRIES_MAX} at \
             most (ring.descriptors)"
        );
        let change = format!("--shards {fitting}, or shards = {fitting} under [server]");
        return Some(vec![Fault::change(found, change)]);
    }
    if needed > hard {
        let found = format!(
            "the hard limit on open files is {hard}, and {shards} with {connections} are to have \
             {needed}"
        );
        return Some(vec![raise_limit(found, "nofile", needed)]);
    }
    let tables = plan.cores.iter();
    let tables = tables.map(|core| plan.profile.for_core(*core).ring.descriptors);
    let set = tables.flatten().min();
    let table = set.or(ring_sockets(host))?;
    only_if(u64::from(table) < plan.connections_per_shard, || {
        let source = match set {
            Some(table) => format!("ring.descriptors = {table}"),
            None => format!("{table} per shard, by the hard limit on open files of {hard},"),
        };
        let found = format!("{source} is too low for {connections}");
        let change = format!("descriptors = {} under [ring]", plan.connections_per_shard);
        Fault::change(found, change)
    })
}

/// A file for pam_limits(8), which does not count root among all users.
fn raise_limit(found: String, limit: &str, value: u64) -> Fault {
    let file = format!("/etc/security/limits.d/91-corelane-{limit}.conf");
    let command = format!("printf '%s - {limit} {value}\\n' '*' root >{file}");
    Fault::run(found, command)
}

fn open_files_ceiling(host: &Host, plan: &Plan) -> Option<Vec<Fault>> {
    at_least(
        host,
        "fs.nr_open",
        open_files_needed(plan),
        "open files of each shard are",
    )
}

fn host_files(host: &Host, plan: &Plan) -> Option<Vec<Fault>> {
    let open = host.number("proc/sys/fs/file-nr")?;
    let needed = open + plan.connections + plan.connections / 10;
    at_least(host, "fs.file-max", needed, "open files will be")
}

pub(super) fn locked_memory(host: &Host, plan: &Plan) -> Option<Vec<Fault>> {
    let (limit, _) = host.limits("Max locked memory")?;
    let needed = plan.profile.locked_bytes(&plan.cores, ring_sockets(host)?) as u64;
    let is_bounded = !host.has_capability(CAP_IPC_LOCK);
    only_if(is_bounded && needed > limit, || {
        let (limit, needed) = (limit / 1024, needed.div_ceil(1024));
        let shards = counted(plan.shards(), "shard");
        let found =
            format!("the limit on locked memory is {limit} KiB, and {shards} lock {needed} KiB");
        raise_limit(found, "memlock", needed)
    })
}

fn memory(host: &Host, plan: &Plan) -> Option<Vec<Fault>> {
    let of_machine = meminfo(host)?.mem_total;
    let of_groups = [("", "memory.max"), ("memory", "memory.limit_in_bytes")];
    let of_groups = of_groups.iter().flat_map(|(controller, file)| {
        let texts = host.group_texts(controller, file);
        texts.into_iter().filter_map(|text| text.parse().ok())
    });
    let limit: u64 = of_groups.fold(of_machine, u64::min);
    let each = u32::try_from(plan.connections_per_shard).unwrap_or(u32::MAX);
    let of_server = plan.profile.memory_bytes_max(&plan.cores, each);
    let of_sockets = plan.connections * SOCKET_BYTES;
    only_if(of_server + of_sockets > limit, || {
        let mib = [of_server, of_sockets, limit].map(|bytes| bytes.div_ceil(1 << 20));
        let [server, sockets, limit] = mib;
        let found =
            format!("clients can take {server} MiB and their sockets {sockets} MiB of {limit} MiB");
        Fault::change(
            found,
            "lower connection.input_bytes_max, connection.output_bytes_per_shard_max, \
             calls.bytes_max, tasks.bytes_max, streams.kept_bytes_max or the number of shards, set \
             overload.memory_bytes_max to what each shard may hold, or raise the limit \
             (memory.max)",
        )
    })
}

fn meminfo(host: &Host) -> Option<Meminfo> {
    Meminfo::from_buf_read(host.text("proc/meminfo")?.as_bytes()).ok()
}

fn swap(host: &Host, _: &Plan) -> Option<Vec<Fault>> {
    let (name, percent) = ("vm.swappiness", host.number("proc/sys/vm/swappiness")?);
    let has_swap = meminfo(host)?.swap_total > 0;
    only_if(has_swap && percent > SWAPPINESS_MAX, || {
        let found = format!("{name} is {percent} on a host with swap");
        Fault::sysctl(found, name, SWAPPINESS_MAX)
    })
}

fn huge_pages(host: &Host, _: &Plan) -> Option<Vec<Fault>> {
    let file = "/sys/kernel/mm/transparent_hugepage/enabled";
    let is_always = host.text(&file[1..])?.contains("[always]");
    only_if(is_always, || {
        let found = "transparent huge pages are on for all memory";
        Fault::run(found, format!("echo madvise >{file}")).noted()
    })
}
