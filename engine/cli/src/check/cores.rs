//! Probes of the cores of the shards: quota, siblings, nodes, isolation, clock frequency.

use std::collections::BTreeSet;

use super::finding::{Fault, counted, exactly, only_if, probes};
use super::host::Host;
use super::plan::{Plan, allowed_cores, cores_of, list_of, quota_percent};

probes! {
    cpuset: "the server does not start with cores that it may not use";
    quota: "the shards use up the quota together and then all stop until the period ends";
    smt: "two shards on one physical core slow each other down";
    numa: "memory of the other node is slower; run one process for each node";
    numa_balancing: "the kernel unmaps pages to see where they are used, and pinned shards do \
        not move";
    isolation: "isolated cores run nothing else and are not in use";
    governor: "a core that is clocked down after a pause answers the next call late";
}

fn cpuset(host: &Host, plan: &Plan) -> Option<Vec<Fault>> {
    host.status()?;
    let allowed = allowed_cores(host);
    let tuned = plan.profile.core.iter().map(|core| core.id);
    let used: BTreeSet<usize> = plan.cores.iter().copied().chain(tuned).collect();
    let missing = used.into_iter().filter(|core| !allowed.contains(core));
    let missing: Vec<_> = missing.collect();
    only_if(!missing.is_empty(), || {
        let list = list_of(&missing);
        Fault::change(
            format!("the profile uses the cores {list}, which this process may not run on"),
            format!("choose among {}, or widen the cpuset", list_of(&allowed)),
        )
    })
}

fn quota(host: &Host, plan: &Plan) -> Option<Vec<Fault>> {
    host.text("proc/self/cgroup")?;
    let percent = quota_percent(host).unwrap_or(u64::MAX);
    let shards = plan.shards();
    only_if(percent < shards.saturating_mul(100), || {
        let (whole, hundredths) = (percent / 100, percent % 100);
        let fitting = whole.max(1);
        let fewer = format!("--shards {fitting}, or shards = {fitting} under [server], or ");
        let fewer = if fitting < shards {
            fewer
        } else {
            String::new()
        };
        Fault::change(
            format!(
                "the CPU quota is {whole}.{hundredths:02} cores for {}",
                counted(shards, "shard")
            ),
            format!("{fewer}a higher quota"),
        )
    })
}

fn smt(host: &Host, plan: &Plan) -> Option<Vec<Fault>> {
    let siblings = host.numbered("sys/devices/system/cpu/cpu*/topology/thread_siblings_list")?;
    let used: BTreeSet<usize> = plan.cores.iter().copied().collect();
    let siblings_of = |core: usize| siblings.iter().find(|it| it.0 == core).map(|it| it.1);
    let mut taken = BTreeSet::new();
    let mut is_first = |core: usize| siblings_of(core).is_none_or(|text| taken.insert(text));
    let (first, second): (Vec<usize>, Vec<usize>) = used.iter().partition(|it| is_first(**it));
    only_if(!second.is_empty(), || {
        let (shards, cores) = (plan.shards(), first.len());
        let found = format!("physical cores under {shards} shards: {cores}");
        Fault::change(found, format!("--cores {}", list_of(&first)))
    })
}

/// Each node of the host with its cores; nothing if the kernel shows none.
pub(super) fn nodes(host: &Host) -> Option<Vec<(usize, Vec<usize>)>> {
    let nodes = host.numbered("sys/devices/system/node/node*/cpulist")?;
    let nodes = nodes.into_iter().map(|(node, text)| (node, cores_of(text)));
    Some(nodes.collect())
}

fn numa(host: &Host, plan: &Plan) -> Option<Vec<Fault>> {
    let mut used = nodes(host)?;
    for (_, cores) in &mut used {
        cores.retain(|core| plan.cores.contains(core));
    }
    used.retain(|(_, cores)| !cores.is_empty());
    only_if(used.len() > 1, || {
        let names: Vec<String> = used.iter().map(|(node, _)| node.to_string()).collect();
        let lists: Vec<String> = used.iter().map(|(_, it)| list_of(it)).collect();
        let found = format!("the shards are on the memory nodes {}", names.join(", "));
        let lists = lists.join(" and, in another process, --cores ");
        Fault::change(found, format!("--cores {lists}"))
    })
}

fn numa_balancing(host: &Host, _: &Plan) -> Option<Vec<Fault>> {
    match nodes(host)?.len() {
        0 | 1 => Some(Vec::new()),
        // Absent in kernels without it.
        _ => exactly(host, "kernel.numa_balancing", 0).or(Some(Vec::new())),
    }
}

fn isolation(host: &Host, plan: &Plan) -> Option<Vec<Fault>> {
    let isolated = cores_of(host.text("sys/devices/system/cpu/isolated")?);
    let is_used = isolated.iter().any(|core| plan.cores.contains(core));
    only_if(!isolated.is_empty() && !is_used, || {
        let list = list_of(&isolated);
        Fault::change(
            format!("the cores {list} are isolated, and no shard is on them"),
            format!("start the server with taskset -c {list} and --cores {list}"),
        )
    })
}

fn governor(host: &Host, plan: &Plan) -> Option<Vec<Fault>> {
    // Virtual machines have none: the hypervisor decides.
    let files = "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor";
    let governors = host.numbered(&files[1..]).unwrap_or_default();
    let mut used = governors.iter().filter(|it| plan.cores.contains(&it.0));
    let slow = used.find(|(_, governor)| *governor != "performance");
    let fault = slow.map(|(core, governor)| {
        let found = format!("the frequency governor of core {core} is {governor}");
        let command = format!("for file in {files}; do echo performance >\"$file\"; done");
        Fault::run(found, command)
    });
    Some(fault.into_iter().collect())
}
