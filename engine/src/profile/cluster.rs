//! Knobs of a node of a cluster.

use std::path::PathBuf;

use super::check;
use super::error::ProfileError;
use super::knobs::{anything, knobs, within};
use super::sections::Sessions;
use super::server::Server;

/// Most servers of NATS.
const SERVERS_MAX: usize = 16;
/// Longest name of a cluster, in bytes.
const NAME_BYTES_MAX: usize = 32;

knobs! {
    /// A node of a cluster, whose sessions outlive it with their log levels and subscriptions.
    #[derive(Eq)]
    Cluster as "cluster" {
        /// The name of the cluster, 1 to 32 letters, digits, "-" and "_"; default none: the process
        /// is no node. It needs `servers` or `file`, `server.state_key_files`,
        /// `sessions.id_max_age_s`, and the feature `cluster`, which the binary has. `corelane
        /// cluster init` makes its buckets.
        name: Option<String> = None, anything(), restart;
        /// The number of this node. No two processes of a cluster have the same at once: the second
        /// one does not start. The ids of its sessions begin with it, in four hexadecimal digits.
        node: u32 = 1, within(1..=4_095), restart;
        /// URLs of NATS servers of one cluster, 2.12 or newer with JetStream, such as
        /// "nats://10.0.0.5:4222" or "tls://nats.example.com:4222"; at most 16.
        servers: Vec<String> = Vec::new(), anything(), restart;
        /// The file of a node without others, in place of `servers`: log levels, subscriptions and
        /// ends of its sessions are restored from it after a crash; default none. Its folder must
        /// exist, and only one process at a time may use it.
        file: Option<PathBuf> = None, anything(), restart;
        /// Bytes of that file. Half of them may be current records, which are in memory as well.
        /// Sessions beyond that have no record, as if there were no file.
        file_bytes_max: u64 = 256 << 20, within(1 << 20..=1 << 31), restart;
        /// A file with the seed of an NKey, by which the servers know the node; default none.
        nkey_file: Option<PathBuf> = None, anything(), restart;
        /// A file with certificates of authorities, in PEM, for servers with TLS, which is required
        /// then; default those of the system.
        ca_file: Option<PathBuf> = None, anything(), restart;
        /// Milliseconds that a start waits for the cluster. After that the node serves alone, and
        /// joins when it can.
        join_timeout_ms: u64 = 5_000, within(0..=60_000), restart;
    }
}

impl Cluster {
    /// A node has all that it needs of these sections.
    pub(super) fn check_needs(
        &self,
        server: &Server,
        sessions: &Sessions,
    ) -> Result<(), ProfileError> {
        let servers = &self.servers;
        check::count("cluster.servers entries", servers.len(), SERVERS_MAX)?;
        // A secret in the profile would be shown with it, and here as well.
        let secret = servers.iter().find_map(|it| Some(it.rsplit_once('@')?.1));
        if let Some(rest) = secret {
            let expected = "a URL without user information: use cluster.nkey_file";
            check::text("cluster.servers", &format!("***@{rest}"), false, expected)?;
        }
        let Some(name) = &self.name else {
            return Ok(());
        };
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let is_name = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_fit);
        let expected = "1 to 32 letters, digits, \"-\" and \"_\"";
        check::text("cluster.name", name, is_name, expected)?;
        let needs = [
            (
                servers.is_empty() == self.file.is_some(),
                "a node of a profile with either cluster.servers or cluster.file",
            ),
            (
                !server.state_key_files.is_empty(),
                "a node of a profile with server.state_key_files: all nodes need the same keys",
            ),
            (
                sessions.id_max_age_s > 0,
                "a node of a profile with sessions.id_max_age_s above 0",
            ),
            (
                !server.stdio,
                "no node of a profile with server.stdio: its only session ends with it",
            ),
        ];
        needs
            .into_iter()
            .try_for_each(|(holds, expected)| check::text("cluster.name", name, holds, expected))
    }
}
