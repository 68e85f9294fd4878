//! The server that the host is examined for.

use std::net::SocketAddr;

use corelane::profile::CoreRole;
use corelane::profile::cores::CoreList;
use corelane::profile::descriptors::TABLE_ENTRIES_MAX;
use corelane::{Profile, Result, Server};

use super::host::Host;

/// Connections of a server if neither its profile nor the command line names a number.
const CONNECTIONS_ASSUMED: u64 = 10_000;

/// A server that is going to run on the host.
pub(crate) struct Plan {
    pub(crate) profile: Profile,
    /// The core of each shard; at least one.
    pub(crate) cores: Vec<usize>,
    /// Connections that the server is to hold.
    pub(crate) connections: u64,
    /// Places that the file table of each shard needs: those of the profile, or its share of the
    /// connections and 15 % more, because the kernel spreads them unevenly.
    pub(crate) connections_per_shard: u64,
    /// The error of a shard that was started to see whether it starts.
    pub(crate) start_error: Option<String>,
}

impl Plan {
    /// A server of this profile with so many connections. Without a number they are those of
    /// `ring.descriptors`, or else 10,000.
    pub(crate) fn new(profile: Profile, connections: Option<u64>, host: &Host) -> Plan {
        let allowed = allowed_cores(host);
        let is_for_shards = |core: &usize| profile.role_of(*core) == CoreRole::Shard;
        let mut for_shards: Vec<usize> = allowed.iter().copied().filter(is_for_shards).collect();
        if for_shards.is_empty() {
            // Such a server does not start, as the attempt to start it finds out.
            for_shards = allowed;
        }
        let used = profile.server.cores.as_ref();
        let used = used.map_or(&for_shards[..], CoreList::as_slice);
        // As the engine counts them: no more than a quota has whole cores, unless cores are named.
        let quota = quota_percent(host).filter(|_| profile.server.cores.is_none());
        let whole = quota.map_or(usize::MAX, |percent| (percent as usize / 100).max(1));
        let shards = match profile.server.stdio {
            true => 1,
            false => profile.server.shards.unwrap_or(used.len().min(whole)),
        };
        let cores: Vec<usize> = used.iter().copied().cycle().take(shards).collect();
        let table = |core: &usize| profile.for_core(*core).ring.descriptors.map(u64::from);
        let tables: Option<Vec<u64>> = cores.iter().map(table).collect();
        let (connections, places) = match (connections, tables) {
            (None, Some(tables)) => (tables.iter().sum(), tables.iter().max().copied()),
            (connections, _) => (connections.unwrap_or(CONNECTIONS_ASSUMED), None),
        };
        let each = || places_for(connections, shards as u64);
        Plan {
            connections,
            connections_per_shard: places.unwrap_or_else(each),
            start_error: None,
            profile,
            cores,
        }
    }

    /// Starts one shard of the server at a free port of loopback and ends it, and keeps the error.
    pub(crate) fn try_start(mut self) -> Plan {
        let mut profile = self.profile.clone();
        profile.server.stdio = false;
        profile.server.shards = Some(1);
        profile.server.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
        profile.server.drain_timeout_ms = 0;
        profile.connection.linger_timeout_ms = 0;
        let start = || -> Result<()> {
            let server = Server::new("corelane-check", env!("CARGO_PKG_VERSION"));
            server.start(profile)?.drain().map(drop)
        };
        self.start_error = start().err().map(|error| error.to_string());
        self
    }

    /// How many shards there are.
    pub(crate) fn shards(&self) -> u64 {
        self.cores.len() as u64
    }
}

/// The places that the file table of each shard needs, see [`Plan::connections_per_shard`].
fn places_for(connections: u64, shards: u64) -> u64 {
    connections.div_ceil(shards) * 100 / 85 + 1
}

/// The fewest shards whose largest file tables hold so many connections.
pub(crate) fn shards_for(connections: u64) -> u64 {
    let each = u64::from(TABLE_ENTRIES_MAX - 1) * 85 / 100;
    connections.div_ceil(each)
}

/// The cores that the process may run on; the first one if the host does not name them.
pub(crate) fn allowed_cores(host: &Host) -> Vec<usize> {
    let ranges = host.status().and_then(|status| status.cpus_allowed_list);
    let ranges = ranges.unwrap_or_else(|| vec![(0, 0)]).into_iter();
    let cores = ranges.flat_map(|(first, last)| first as usize..=last as usize);
    cores.collect()
}

/// The cores' worth of CPU time of the control groups, in hundredths; nothing without a quota.
pub(super) fn quota_percent(host: &Host) -> Option<u64> {
    let first_version = host.group_texts("cpu", "cpu.cfs_quota_us").into_iter();
    let first_version = first_version.zip(host.group_texts("cpu", "cpu.cfs_period_us"));
    let texts = host.group_texts("", "cpu.max").into_iter();
    let quotas = texts.filter_map(|text| text.split_once(' '));
    let quotas = quotas.chain(first_version).filter_map(|(quota, period)| {
        // Without a quota, `max` or -1.
        let quota = quota.parse::<u64>().ok()?;
        (quota * 100).checked_div(period.parse().ok()?)
    });
    quotas.min()
}

/// The cores of a list in the form of sysfs, such as `0-3,8`; none if it is empty.
pub(crate) fn cores_of(text: &str) -> Vec<usize> {
    let list = text.parse::<CoreList>();
    list.map_or_else(|_| Vec::new(), |list| list.as_slice().to_vec())
}

/// The list of these cores as `--cores` takes it.
pub(crate) fn list_of(cores: &[usize]) -> String {
    let plain: Vec<String> = cores.iter().map(usize::to_string).collect();
    let list = plain.join(",").parse::<CoreList>();
    list.map_or_else(|_| plain.join(","), |list| list.to_string())
}
