//! Probes of TCP: queues of connections, ports, memory, connection tracking.

use std::collections::BTreeSet;

use super::finding::{Fault, at_least, exactly, only_if, probes};
use super::host::Host;
use super::plan::Plan;

/// The fewest local ports, those of the kernel's default range.
const PORTS_MIN: u64 = 28_232;
/// The first and last local port of `tuning/host/sysctl.conf`.
const PORTS: (u64, u64) = (1024, 65_535);

probes! {
    backlog: "it caps server.backlog, and a restart brings all clients back at once";
    syn_backlog: "the handshakes of such a burst are queued before the backlog";
    syn_cookies: "without cookies a handshake past the queue is dropped, and its client waits a \
        second";
    ports: "they bound the connections to one upstream server, and those of a load generator";
    listen_port: "an outgoing connection can take the port while the server restarts";
    tcp_memory: "with one unread segment for each connection the kernel starts to drop data; the \
        values are pages";
    slow_start: "connections that are mostly idle begin each answer with a small window";
    conntrack: "past it new connections are dropped without an answer; a rule with notrack for \
        the port of the server does as well";
}

fn backlog(host: &Host, plan: &Plan) -> Option<Vec<Fault>> {
    let backlog = plan.profile.server.backlog.into();
    at_least(host, "net.core.somaxconn", backlog, "server.backlog is")
}

fn syn_backlog(host: &Host, plan: &Plan) -> Option<Vec<Fault>> {
    let (name, backlog) = ("net.ipv4.tcp_max_syn_backlog", plan.profile.server.backlog);
    at_least(host, name, backlog.into(), "server.backlog is")
}

fn syn_cookies(host: &Host, _: &Plan) -> Option<Vec<Fault>> {
    exactly(host, "net.ipv4.tcp_syncookies", 1)
}

fn port_range(host: &Host) -> Option<(u64, u64)> {
    let range = host.numbers("proc/sys/net/ipv4/ip_local_port_range")?;
    Some((*range.first()?, *range.get(1)?))
}

fn ports(host: &Host, _: &Plan) -> Option<Vec<Fault>> {
    let (first, last) = port_range(host)?;
    only_if(last + 1 < first + PORTS_MIN, || {
        let name = "net.ipv4.ip_local_port_range";
        let found = format!("{name} has the ports {first} to {last}");
        Fault::sysctl(found, name, format!("{} {}", PORTS.0, PORTS.1))
    })
}

fn listen_port(host: &Host, plan: &Plan) -> Option<Vec<Fault>> {
    let (first, last) = port_range(host)?;
    let reserved = host.text("proc/sys/net/ipv4/ip_local_reserved_ports")?;
    let is_reserved = |port: u64| {
        reserved.split(',').any(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let range = first.trim().parse().ok().zip(last.trim().parse().ok());
            range.is_some_and(|(first, last)| (first..=last).contains(&port))
        })
    };
    let addresses = plan.profile.server.listen.iter();
    let ports = addresses.filter_map(|it| Some(u64::from(it.socket_addr()?.port())));
    let local: BTreeSet<u64> = ports
        .filter(|&port| (first..=last).contains(&port) && !is_reserved(port))
        .collect();
    // The setting is replaced as a whole: one command keeps the ports it has and adds all.
    only_if(!local.is_empty(), || {
        let added: Vec<String> = local.iter().map(u64::to_string).collect();
        let kept = reserved
            .split(',')
            .map(str::trim)
            .filter(|it| !it.is_empty());
        let all = kept.map(str::to_owned).chain(added.iter().cloned());
        let all = all.collect::<Vec<_>>().join(",");
        let (ports, are) = match &added[..] {
            [port] => (format!("port {port}"), "is"),
            _ => (format!("ports {}", added.join(", ")), "are"),
        };
        let found = format!("the {ports} {are} among the local ports {first} to {last}");
        Fault::sysctl(found, "net.ipv4.ip_local_reserved_ports", all)
    })
}

fn tcp_memory(host: &Host, plan: &Plan) -> Option<Vec<Fault>> {
    let name = "net.ipv4.tcp_mem";
    let pages = host.numbers("proc/sys/net/ipv4/tcp_mem")?;
    let (most, each) = (*pages.get(2)?, plan.connections);
    only_if(most < 2 * each, || {
        let found = format!("{name} ends at {most} pages for {each} connections");
        Fault::sysctl(found, name, format!("{each} {} {}", each * 3 / 2, 2 * each))
    })
}

fn slow_start(host: &Host, _: &Plan) -> Option<Vec<Fault>> {
    exactly(host, "net.ipv4.tcp_slow_start_after_idle", 0)
}

fn conntrack(host: &Host, plan: &Plan) -> Option<Vec<Fault>> {
    let needed = plan.connections + plan.connections / 5;
    let name = "net.netfilter.nf_conntrack_max";
    // Absent while nothing tracks connections.
    at_least(host, name, needed, "the connections need").or(Some(Vec::new()))
}
