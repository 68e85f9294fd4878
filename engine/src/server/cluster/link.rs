//! The bus and the store of a node: NATS, or a file if it is the only node.

use corelane_cluster::id::Process;
use corelane_cluster::vocabulary::{Expect, Key, Op, ReadFrom};
use corelane_nats::{Bus, BusEvent};
use serde_json::{Value, json};

use super::file::FileLink;
use crate::profile::Profile;

/// The bus and the store of a node.
#[derive(Debug)]
pub(super) enum Link {
    Nats(Box<Bus>),
    File(FileLink),
}

impl Link {
    /// Begins to connect, or opens the file.
    ///
    /// # Errors
    /// The settings cannot be used, or the file.
    pub(super) async fn start(profile: &Profile) -> Result<Link, String> {
        let profile = &profile.cluster;
        if let Some(path) = &profile.file {
            let file = FileLink::open(path, profile.file_bytes_max);
            return file
                .map(Link::File)
                .map_err(|fault| format!("cluster.file = {}: {fault}", path.display()));
        }
        let settings = corelane_nats::Settings {
            cluster: profile.name.clone().unwrap_or_default(),
            servers: profile.servers.clone(),
            nkey_file: profile.nkey_file.clone(),
            ca_file: profile.ca_file.clone(),
        };
        let bus = Bus::start(&settings, profile.node as u16).await;
        bus.map(|bus| Link::Nats(Box::new(bus)))
            .map_err(|error| error.to_string())
    }

    /// Its name in the log.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Link::Nats(_) => "NATS",
            Link::File(_) => "cluster.file",
        }
    }

    /// The next event. Dropping the future loses none.
    pub(super) async fn next(&mut self) -> BusEvent {
        match self {
            Link::Nats(bus) => bus.next().await,
            Link::File(file) => match file.next() {
                Some(event) => event,
                None => std::future::pending().await,
            },
        }
    }

    /// Takes the messages for this process alone from now on.
    pub(super) async fn listen_for(&mut self, process: Process) -> Result<(), String> {
        match self {
            Link::Nats(bus) => {
                let listening = bus.listen_for(process).await;
                listening.map_err(|error| error.to_string())
            }
            Link::File(_) => Ok(()),
        }
    }

    /// Sends a message to all processes, this one included.
    pub(super) fn publish(&mut self, message: Vec<u8>) {
        match self {
            Link::Nats(bus) => bus.publish(message),
            Link::File(file) => file.echo(message),
        }
    }

    /// The same for changed resources of a partition.
    pub(super) fn publish_update(&mut self, partition: u16, message: Vec<u8>) {
        // The shards of a node without others have it already.
        if let Link::Nats(bus) = self {
            bus.publish_update(partition, message);
        }
    }

    /// Sends a message to one process.
    pub(super) fn send(&mut self, to: Process, message: Vec<u8>) {
        if let Link::Nats(bus) = self {
            bus.send(to, message);
        }
    }

    /// Begins a write, with a time to live in seconds, 0 for none. Its result is an event.
    pub(super) fn put(&mut self, op: Op, key: Key, limits: (Expect, u64), value: Vec<u8>) {
        match self {
            Link::Nats(bus) => bus.put(op, key, limits, value),
            Link::File(file) => file.put(op, key, limits, value),
        }
    }

    /// Begins a read. Its result is an event.
    pub(super) fn read(&mut self, op: Op, key: Key, from: ReadFrom) {
        match self {
            Link::Nats(bus) => bus.read(op, key, from),
            Link::File(file) => file.read(op, key),
        }
    }

    /// Makes the connection anew, if it is one.
    pub(super) async fn reconnect(&self) {
        if let Link::Nats(bus) = self {
            bus.reconnect().await;
        }
    }

    /// Waits until all has left.
    pub(super) async fn flush(&self) {
        if let Link::Nats(bus) = self {
            bus.flush().await;
        }
    }

    /// Messages that were not sent so far.
    pub(super) fn dropped(&self) -> u64 {
        match self {
            Link::Nats(bus) => bus.dropped(),
            Link::File(_) => 0,
        }
    }

    /// The server, or the file.
    pub(super) fn server(&self) -> Option<Value> {
        match self {
            Link::Nats(bus) => bus.server().map(
                |(name, host, version)| json!({ "name": name, "host": host, "version": version }),
            ),
            Link::File(file) => Some(file.status()),
        }
    }
}
