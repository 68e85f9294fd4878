//! A server in front of other MCP servers: what clients see of them, and what they see of clients.

#[path = "gateway/changes.rs"]
mod changes;
#[path = "gateway/credentials.rs"]
mod credentials;
#[path = "gateway/exchanged.rs"]
mod exchanged;
#[path = "gateway/faults.rs"]
mod faults;
#[path = "gateway/features.rs"]
mod features;
#[path = "gateway/health.rs"]
mod health;
#[path = "gateway/inspected.rs"]
mod inspected;
#[path = "gateway/launched.rs"]
mod launched;
#[path = "gateway/legacy.rs"]
mod legacy;
#[path = "gateway/links.rs"]
mod links;
#[path = "gateway/lists.rs"]
mod lists;
#[path = "gateway/namespaced.rs"]
mod namespaced;
#[path = "gateway/page.rs"]
mod page;
#[path = "gateway/parked.rs"]
mod parked;
#[path = "gateway/pins.rs"]
mod pins;
#[path = "gateway/programs.rs"]
mod programs;
#[path = "gateway/question_lines.rs"]
mod question_lines;
#[path = "gateway/question_owners.rs"]
mod question_owners;
#[path = "gateway/question_table.rs"]
mod question_table;
#[path = "gateway/questions.rs"]
mod questions;
#[path = "gateway/races.rs"]
mod races;
#[path = "gateway/real.rs"]
mod real;
#[path = "gateway/relayed.rs"]
mod relayed;
#[path = "gateway/reloads.rs"]
mod reloads;
#[path = "gateway/replicas.rs"]
mod replicas;
#[path = "gateway/secured.rs"]
mod secured;
#[path = "gateway/session_streams.rs"]
mod session_streams;
#[path = "gateway/sse.rs"]
mod sse;
#[path = "gateway/task_client.rs"]
mod task_client;
#[path = "gateway/task_table.rs"]
mod task_table;
#[path = "gateway/task_upstream.rs"]
mod task_upstream;
#[path = "gateway/tasks.rs"]
mod tasks;
#[path = "gateway/updates.rs"]
mod updates;

use std::fs;
use std::path::Path;

use corelane_tests::mock_upstream::MockUpstream;
use corelane_tests::{Connection, Request, Server, Setup, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A result without content.
pub(crate) const EMPTY: &str = r#"{"content":[],"resultType":"complete"}"#;

/// The same, as a modern client gets it.
pub(crate) fn empty() -> Value {
    json!({ "content": [], "resultType": "complete" })
}

/// A server in front of upstreams.
pub(crate) struct Gateway {
    server: Server,
    directory: TempDir,
}

impl Gateway {
    /// A server in front of the upstreams of these sections.
    pub(crate) fn start(sections: &str) -> Gateway {
        Gateway::start_with(sections, Setup::shards(1))
    }

    /// The same, started in another way.
    pub(crate) fn start_with(sections: &str, setup: Setup) -> Gateway {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().join("corelane.toml");
        write(&path, sections);
        let path = path.to_str().expect("a path of text");
        Gateway {
            server: setup.arguments(&["--config", path]).start(),
            directory,
        }
    }

    /// One in front of a mock, once it lists the tools of the mock under the name `up`.
    pub(crate) fn before(mock: &MockUpstream) -> Gateway {
        let gateway = Gateway::start(&mock.section("up"));
        gateway.wait_for("up_call");
        gateway
    }

    /// Replaces the sections of its file, which it reads with the next reload.
    pub(crate) fn write(&self, sections: &str) {
        let next = self.directory.path().join("next");
        write(&next, sections);
        fs::rename(next, self.directory.path().join("corelane.toml")).expect("it is there");
    }

    /// Waits until a tool is listed.
    pub(crate) fn wait_for(&self, name: &str) {
        let mut connection = self.connect();
        wait_until("the tool is listed", || {
            names(&mut connection)
                .contains(&name.to_owned())
                .then_some(())
        });
    }

    pub(crate) fn connect(&self) -> Connection {
        self.server.connect()
    }
}

fn write(path: &Path, sections: &str) {
    fs::write(path, format!("[auth]\nmode = \"none\"\n{sections}")).expect("there is space");
}

/// The tools that a client sees, by name.
pub(crate) fn tools(connection: &mut Connection) -> Vec<Value> {
    let listed = connection.exchange(&Request::modern("list", "tools/list", json!({})));
    let tools = listed.answer()["result"]["tools"].clone();
    tools.as_array().cloned().expect("a list of tools")
}

fn names(connection: &mut Connection) -> Vec<String> {
    let tools = tools(connection);
    let names = tools.iter().filter_map(|tool| tool["name"].as_str());
    names.map(str::to_owned).collect()
}
