//! Nodes of a cluster as processes, with one NATS server.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use corelane_tests::{NatsServer, Server, Setup, binary, wait_until, write_secret};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A cluster without nodes, whose buckets are there.
pub(crate) struct TestCluster {
    folder: TempDir,
    pub(crate) nats: NatsServer,
}

impl TestCluster {
    pub(crate) fn start() -> TestCluster {
        let cluster = TestCluster {
            folder: TempDir::new().expect("a folder"),
            nats: NatsServer::start(),
        };
        write_key(&cluster.path("key"));
        let profile = cluster.path("init.toml");
        std::fs::write(&profile, cluster.profile(1)).expect("a file");
        let (status, text) = run(&[
            "cluster",
            "init",
            "--replicas",
            "1",
            "--profile",
            profile.to_str().expect("a path"),
        ]);
        assert!(
            status.success() && text.contains("KV_cl_test_sess"),
            "{text}"
        );
        cluster
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The profile of a node.
    pub(crate) fn profile(&self, node: u16) -> String {
        let (key, socket) = (self.path("key"), self.path(&format!("{node}.sock")));
        let url = self.nats.url();
        format!(
            "[server]\nstate_key_files = [{key:?}]\n[sessions]\nid_max_age_s = 3600\n\
             [admin]\nsocket = {socket:?}\n\
             [cluster]\nname = \"test\"\nnode = {node}\nservers = [{url:?}]\n"
        )
    }

    /// A node that is to be started.
    pub(crate) fn setup(&self, node: u16) -> Setup {
        // Another number of shards on each node: homes differ.
        Setup::shards(1 + usize::from(node % 2)).profile(&self.profile(node))
    }

    /// A node that has joined.
    pub(crate) fn join(&self, node: u16, setup: Setup) -> Server {
        let server = setup.start();
        self.wait_for(node, "the node to join", |status| {
            status["stage"] == "alive"
        });
        server
    }

    /// The cluster as a node sees it.
    pub(crate) fn status(&self, node: u16) -> Value {
        status_at(&self.path(&format!("{node}.sock")))
    }

    /// Waits until a node sees the cluster so.
    pub(crate) fn wait_for(&self, node: u16, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        wait_until(what, || Some(self.status(node)).filter(&holds))
    }

    /// Waits until all changes that a node has made are in the store.
    pub(crate) fn wait_for_writes(&self, node: u16, sessions: u64) {
        self.wait_for(node, "the changes in the store", |status| {
            let entries = |table: &str| status["tables"][table]["entries"].as_u64();
            let is_idle = |table: &&str| entries(table) == Some(0);
            (&status["sessions"], &status["sessions_unwritten"]) == (&json!(sessions), &json!(0))
                && ["dirty", "lane", "writes", "unread"].iter().all(is_idle)
        });
    }
}

/// Writes a state key: 32 bytes of 1, as `openssl rand -base64 32` writes them.
pub(crate) fn write_key(path: &Path) {
    write_secret(path, &("AQEB".repeat(10) + "AQE=\n"));
}

/// The cluster as the node with this control socket sees it.
pub(crate) fn status_at(socket: &Path) -> Value {
    let socket = socket.to_str().expect("a path");
    let (_, text) = run(&["cluster", "status", "--json", "--socket", socket]);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

pub(crate) fn run(arguments: &[&str]) -> (ExitStatus, String) {
    let output = Command::new(binary()).args(arguments).output();
    let output = output.expect("the binary runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status, String::from_utf8_lossy(&text).into_owned())
}
