//! A server in front of other MCP servers: what clients see of them, and what they see of clients.

#[path = "gateway/changes.rs"]
mod changes;
#[path = "gateway/faults.rs"]
mod faults;
#[path = "gateway/features.rs"]
mod features;
#[path = "gateway/health.rs"]
mod health;
#[path = "gateway/launched.rs"]
mod launched;
#[path = "gateway/legacy.rs"]
mod legacy;
#[path = "gateway/links.rs"]
mod links;
#[path = "gateway/lists.rs"]
mod lists;
#[path = "gateway/programs.rs"]
mod programs;
#[path = "gateway/races.rs"]
mod races;
#[path = "gateway/real.rs"]
mod real;
#[path = "gateway/relayed.rs"]
mod relayed;
#[path = "gateway/replicas.rs"]
mod replicas;
#[path = "gateway/secured.rs"]
mod secured;
#[path = "gateway/sse.rs"]
mod sse;
#[path = "gateway/updates.rs"]
mod updates;

use std::fs;

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
    _directory: TempDir,
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
        fs::write(&path, format!("[auth]\nmode = \"none\"\n{sections}")).expect("there is space");
        let path = path.to_str().expect("a path of text");
        Gateway {
            server: setup.arguments(&["--config", path]).start(),
            _directory: directory,
        }
    }

    /// One in front of a mock, once it lists the tools of the mock under the name `up`.
    pub(crate) fn before(mock: &MockUpstream) -> Gateway {
        let gateway = Gateway::start(&mock.section("up"));
        gateway.wait_for("up_call");
        gateway
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
