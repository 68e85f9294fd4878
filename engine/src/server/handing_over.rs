//! The parts of a running server that take over from another process or hand over to one.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::ServerAccess;
use super::error::{Error, Result};
use super::handle::ServerHandle;
use super::running::RunningServer;
use super::state_keys::OwnKey;
use super::upgrade::Upgrader;
use super::upstreams::UpstreamThread;
use crate::handover::rows::SocketRow;
use crate::shard::ShardControl;

/// Between two looks at upstreams that are being read.
const UPSTREAMS_INTERVAL: Duration = Duration::from_millis(20);

impl RunningServer {
    /// The upgrades of a server with these addresses and this key.
    ///
    /// # Errors
    /// The process has too many descriptors.
    pub(super) fn upgrader(
        &mut self,
        addresses: Vec<String>,
        of_server: (ServerHandle, OwnKey),
    ) -> Result<Arc<Upgrader>> {
        let upgrader = Upgrader::new(
            (self.shards.clone(), self.reloader.clone()),
            addresses,
            of_server,
            self.single_writer(),
            self.events(),
        );
        if let Some(metrics) = &self.metrics {
            let socket = metrics.socket().try_clone_to_owned();
            let socket = socket.map_err(|error| Error::HandOver(error.to_string()))?;
            upgrader.add_socket(SocketRow::Metrics, socket);
        }
        self.upgrader = Some(Arc::clone(&upgrader));
        Ok(upgrader)
    }

    /// The part of the server that only one process may have.
    fn single_writer(&self) -> Option<&'static str> {
        let access = self.access.as_ref();
        match access.and_then(ServerAccess::quotas) {
            _ if self.audit.is_some() => Some("an audit log"),
            _ if self.cluster.is_some() => Some("a node number of a cluster"),
            Some(_) => Some("a file of quotas"),
            None => None,
        }
    }

    /// Waits until each upstream was read or has failed, at most so long: clients of the process
    /// before know their entries.
    pub(super) fn wait_for_upstreams(&self, time: Duration) {
        let until = Instant::now() + time;
        let is_loading = || {
            let requests = self.upstreams.as_ref().map(UpstreamThread::requests);
            let rows = requests.and_then(|it| it.inspect()).unwrap_or_default();
            rows.iter().any(|row| row["state"] == "loading")
        };
        while is_loading() && Instant::now() < until {
            thread::sleep(UPSTREAMS_INTERVAL);
        }
    }

    /// The controls of its shards.
    pub(super) fn shard_controls(&self) -> &[Arc<ShardControl>] {
        &self.shards
    }

    /// Whether this process removes the files of its sockets when it ends.
    pub(super) fn own_socket_files(&mut self, owns: bool) {
        for file in &mut self.socket_files {
            file.set_of_other(!owns);
        }
    }

    /// Leaves the sockets to the process that serves in the place of this one. Commands that wait
    /// for an answer get it.
    pub(super) fn retire(&mut self) {
        tracing::info!("another process serves; this one ends with the connections that it has");
        self.own_socket_files(false);
        if let Some(admin) = &mut self.admin {
            admin.retire();
        }
        self.metrics = None;
    }
}
