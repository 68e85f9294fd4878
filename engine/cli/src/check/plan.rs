//! The server that the host is examined for.

use corelane::profile::cores::{CoreList, place};
use corelane::{Profile, Result, Server};

use super::host::Host;

/// Connections of a server whose profile and command line name no number.
const CONNECTIONS_ASSUMED: u64 = 10_000;

/// A server that is going to run on the host.
pub(crate) struct Plan {
    pub(crate) profile: Profile,
    /// The core of each shard; at least one.
    pub(crate) cores: Vec<usize>,
    /// Connections that the server is to hold.
    pub(crate) connections: u64,
    /// The error of a shard that was started to see whether it starts.
    pub(crate) start_error: Option<String>,
}

impl Plan {
    /// A server of this profile with so many connections. Without a number they are those of
    /// `ring.descriptors`, or else 10,000.
    pub(crate) fn new(profile: Profile, connections: Option<u64>, host: &Host) -> Plan {
        let cores = match (&profile.server.cores, profile.server.stdio) {
            (Some(cores), false) => place(cores, profile.server.shards),
            (Some(cores), true) => place(cores, Some(1)),
            (None, is_stdio) => {
                let allowed = allowed_cores(host);
                let shards = profile.server.shards.unwrap_or(allowed.len());
                let shards = if is_stdio { 1 } else { shards };
                allowed.iter().copied().cycle().take(shards).collect()
            }
        };
        let of_profile = cores
            .iter()
            .map(|&core| profile.for_core(core).ring.descriptors);
        let of_profile: Option<u64> = of_profile.map(|it| it.map(u64::from)).sum();
        Plan {
            connections: connections.or(of_profile).unwrap_or(CONNECTIONS_ASSUMED),
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
        profile.server.listen = ([127, 0, 0, 1], 0).into();
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

    /// Places that the file table of each shard needs. The kernel spreads connections unevenly, so
    /// the fullest table has some 15 % more than its share.
    pub(crate) fn connections_per_shard(&self) -> u64 {
        self.connections.div_ceil(self.shards()) * 100 / 85 + 1
    }
}

/// The cores that the process may run on; the first one if the host does not name them.
pub(crate) fn allowed_cores(host: &Host) -> Vec<usize> {
    let ranges = host.status().and_then(|status| status.cpus_allowed_list);
    let ranges = ranges.unwrap_or_else(|| vec![(0, 0)]).into_iter();
    ranges
        .flat_map(|(first, last)| first as usize..=last as usize)
        .collect()
}

/// The cores of a list in the form of sysfs, such as `0-3,8`; none if it is empty.
pub(crate) fn cores_of(text: &str) -> Vec<usize> {
    let list = text.parse::<CoreList>();
    list.map_or_else(|_| Vec::new(), |list| list.as_slice().to_vec())
}

/// The list of these cores as `--cores` takes it.
pub(crate) fn list_of(cores: &[usize]) -> String {
    let plain: Vec<String> = cores.iter().map(usize::to_string).collect();
    let plain = plain.join(",");
    plain
        .parse::<CoreList>()
        .map_or(plain, |list| list.to_string())
}
