//! Probes of network cards: their queues, interrupts and memory node against the shards.

use super::cores::nodes;
use super::finding::{Fault, probes};
use super::host::Host;
use super::plan::{Plan, list_of};

/// Fewer interrupts of a card since the host started show no distribution.
const INTERRUPTS_MIN: u64 = 10_000;

probes! {
    queues: "one core receives the packets for all shards; where the card has more queues, \
        ethtool -L is better";
    send_queues: "shards that share a queue wait for its lock";
    interrupts: "the shard on that core answers later than the others; irqbalance undoes this \
        unless it is stopped";
    card_node: "each packet crosses the link between the nodes";
}

/// The faults of the network cards that are in use: those with a device, which lo and bridges lack.
fn of_cards(host: &Host, fault: impl Fn(&str) -> Option<Fault>) -> Option<Vec<Fault>> {
    let states = host.matching("sys/class/net/*/operstate")?.into_iter();
    let cards = states.filter(|(card, state)| {
        let device = format!("sys/class/net/{card}/device");
        *state != "down" && host.text(&device).is_some()
    });
    Some(cards.filter_map(|(card, _)| fault(card)).collect())
}

fn queues(host: &Host, plan: &Plan) -> Option<Vec<Fault>> {
    of_cards(host, |card| {
        let pattern = format!("sys/class/net/{card}/queues/rx-*/rps_cpus");
        let queues = host.numbered(&pattern)?;
        let is_steered = queues.iter().any(|(_, mask)| !is_empty(mask));
        let (count, shards) = (queues.len() as u64, plan.shards());
        let mask = mask_of(&plan.cores);
        (count < shards && !is_steered).then(|| {
            Fault::run(
                format!("receive queues of {card}: {count} for {shards} shards, without RPS"),
                format!("for file in /{pattern}; do echo {mask} >\"$file\"; done"),
            )
        })
    })
}

fn send_queues(host: &Host, plan: &Plan) -> Option<Vec<Fault>> {
    of_cards(host, |card| {
        let folder = format!("sys/class/net/{card}/queues/tx-");
        let queues = host.numbered(&format!("{folder}*/xps_cpus"))?;
        let is_assigned = queues.iter().any(|(_, mask)| !is_empty(mask));
        let commands = queues.iter().enumerate().map(|(at, (queue, _))| {
            let cores = plan.cores.iter().skip(at).step_by(queues.len());
            let mask = mask_of(&cores.copied().collect::<Vec<_>>());
            format!("echo {mask} >/{folder}{queue}/xps_cpus")
        });
        let commands: Vec<String> = commands.collect();
        (queues.len() > 1 && plan.shards() > 1 && !is_assigned).then(|| {
            let found = format!("no send queue of {card} is assigned to cores (XPS)");
            Fault::run(found, commands.join("; "))
        })
    })
}

/// The interrupts of a card, each with its number and how often the core of each column served it:
/// those of its device, or those with the name of the card or of its virtual device.
fn interrupts_of(host: &Host, card: &str, columns: usize) -> Vec<(usize, Vec<u64>)> {
    let text = host.text("proc/interrupts").unwrap_or_default();
    let of_device = host.numbered(&format!("sys/class/net/{card}/device/msi_irqs/*"));
    let of_device = of_device.unwrap_or_default();
    let device = host.text(&format!("sys/class/net/{card}/device"));
    let device = device.and_then(|target| target.rsplit('/').next());
    let lines = text.lines().filter_map(|line| {
        let (number, rest) = line.split_once(':')?;
        let number = number.trim().parse().ok()?;
        let owner = rest.split_whitespace().last()?.split('-').next();
        let is_its = of_device.iter().any(|it| it.0 == number);
        let counts = rest.split_whitespace().take(columns);
        let counts = counts.map_while(|word| word.parse().ok()).collect();
        (is_its || owner == Some(card) || owner == device).then_some((number, counts))
    });
    lines.collect()
}

fn interrupts(host: &Host, plan: &Plan) -> Option<Vec<Fault>> {
    let head = host.text("proc/interrupts")?.lines().next()?;
    let columns: Vec<&str> = head.split_whitespace().collect();
    of_cards(host, |card| {
        let interrupts = interrupts_of(host, card, columns.len());
        let count = |core: usize| -> u64 {
            let name = format!("CPU{core}");
            let column = columns.iter().position(|it| **it == name);
            let counts = interrupts.iter().filter_map(|it| it.1.get(column?));
            counts.sum()
        };
        let total: u64 = interrupts.iter().flat_map(|(_, counts)| counts).sum();
        let (most, busiest) = plan.cores.iter().map(|it| (count(*it), *it)).max()?;
        // More than twice the average of the other shards' cores.
        let is_uneven = most * (plan.shards() - 1) > 2 * (total - most);
        (total >= INTERRUPTS_MIN && is_uneven).then(|| {
            let pairs = interrupts.iter().zip(plan.cores.iter().cycle());
            let commands = pairs.map(|((number, _), core)| {
                format!("echo {core} >/proc/irq/{number}/smp_affinity_list")
            });
            let commands: Vec<String> = commands.collect();
            let percent = most * 100 / total;
            let found = format!("core {busiest} serves {percent} % of the interrupts of {card}");
            Fault::run(found, commands.join("; "))
        })
    })
}

fn card_node(host: &Host, plan: &Plan) -> Option<Vec<Fault>> {
    let nodes = nodes(host)?;
    of_cards(host, |card| {
        // -1, for a card of no node, is no number here.
        let node = host.number(&format!("sys/class/net/{card}/device/numa_node"))?;
        let (_, cores) = nodes.iter().find(|it| it.0 as u64 == node)?;
        let is_near = plan.cores.iter().any(|core| cores.contains(core));
        (!is_near).then(|| {
            let found = format!("{card} is on the memory node {node}, and no shard is");
            Fault::change(found, format!("--cores {}", list_of(cores)))
        })
    })
}

/// Whether a mask in the form of sysfs, such as `00000000,0000000f`, has no core.
fn is_empty(mask: &str) -> bool {
    mask.chars().all(|c| matches!(c, '0' | ','))
}

/// The mask of these cores: words of 32 bits in hexadecimal, the highest first.
fn mask_of(cores: &[usize]) -> String {
    let highest = cores.iter().max().copied().unwrap_or_default();
    let mut words = vec![0u32; highest / 32 + 1];
    for core in cores {
        words[core / 32] |= 1 << (core % 32);
    }
    let words = words.iter().rev().map(|word| format!("{word:08x}"));
    words.collect::<Vec<String>>().join(",")
}
