//! A server that is upgraded while clients of each kind use it.

use std::path::PathBuf;
use std::process::{Command, Output};

use corelane_tests::{
    Connection, EventStream, Request, Server, Session, Setup, binary, wait_until,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The resource that clients have subscribed to.
pub(crate) const URI: &str = "test://watched-resource";

/// A server whose present process is found by its control socket.
pub(crate) struct Upgraded {
    pub(crate) server: Server,
    _folder: TempDir,
    pub(crate) socket: PathBuf,
}

impl Upgraded {
    pub(crate) fn start(setup: Setup) -> Upgraded {
        let folder = tempfile::tempdir().expect("a directory");
        let socket = folder.path().join("control.sock");
        let path = socket.to_str().expect("a path of text").to_owned();
        Upgraded {
            server: setup.arguments(&["--control-socket", &path]).start(),
            _folder: folder,
            socket,
        }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.args(arguments).arg("--socket").arg(&self.socket);
        command.output().expect("the program")
    }

    pub(crate) fn upgrade(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let output = self.run(&[&["upgrade", "--json"], arguments].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let value = serde_json::from_str(&text);
        (
            output.status.code(),
            value.unwrap_or_else(|error| panic!("{error}: {output:?}")),
        )
    }

    /// Upgrades, which works.
    pub(crate) fn upgrade_well(&self) -> Value {
        let (code, answer) = self.upgrade(&[]);
        let log = self.server.log();
        assert_eq!(code, Some(0), "{answer}\n{log}");
        assert_eq!(answer["sessions"]["lost"], 0, "{answer}");
        assert_eq!(answer["connections"]["refused"], 0, "{answer}");
        answer
    }

    /// The number of the process that serves.
    pub(crate) fn pid(&self) -> i32 {
        let pid = wait_until("the state of the server", || {
            let output = self.run(&["status", "--json"]);
            let status: Value = serde_json::from_slice(&output.stdout).ok()?;
            status["pid"].as_i64()
        });
        pid as i32
    }

    pub(crate) fn is_first_process(&self) -> bool {
        self.pid() == self.server.process_id() as i32
    }
}

impl Drop for Upgraded {
    fn drop(&mut self) {
        // Processes after the first one are no children of this one.
        let output = self.run(&["status", "--json"]);
        let status: Option<Value> = serde_json::from_slice(&output.stdout).ok();
        let pid = status.and_then(|it| it["pid"].as_i64());
        if let Some(pid) = pid.and_then(|pid| Pid::from_raw(pid as i32)) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// A client of each kind, whose state is known.
pub(crate) struct Clients {
    pub(crate) session: Session,
    connection: Connection,
    /// Its GET stream.
    pub(crate) stream: EventStream,
    /// A modern stream.
    pub(crate) listener: EventStream,
    pub(crate) unused: Connection,
}

impl Clients {
    pub(crate) fn connect(server: &Server) -> Clients {
        let mut connection = server.connect();
        let session = Session::open(&mut connection);
        let level = session.request(2, "logging/setLevel", json!({ "level": "error" }));
        assert_eq!(connection.exchange(&level).answer()["result"], json!({}));
        let subscribe = session.request(3, "resources/subscribe", json!({ "uri": URI }));
        assert_eq!(
            connection.exchange(&subscribe).answer()["result"],
            json!({})
        );
        let mut other = server.connect();
        other.send(&session.stream());
        let stream = EventStream::begin(other);
        let wanted = json!({ "toolsListChanged": true, "resourceSubscriptions": [URI] });
        let params = json!({ "notifications": wanted });
        let mut other = server.connect();
        other.send(&Request::modern("a", "subscriptions/listen", params));
        let mut listener = EventStream::begin(other);
        let first = listener.next_message();
        assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
        Clients {
            session,
            connection,
            stream,
            listener,
            unused: server.connect(),
        }
    }

    /// Both streams hear of one change of the resource, and the session of nothing below its level.
    pub(crate) fn check(&mut self) {
        self.call("test_trigger_resource_change");
        for stream in [&mut self.stream, &mut self.listener] {
            let message = stream.next_message();
            assert_eq!(message["params"]["uri"], URI, "{message}");
        }
        self.call("test_tool_with_logging");
    }

    pub(crate) fn call(&mut self, tool: &str) {
        let call = self.session.call(tool, json!({}));
        let call = call.field("Accept", "application/json, text/event-stream");
        let answer = self.connection.exchange(&call);
        assert_eq!(answer.status(), 200, "{answer:?}");
        let text = answer.text();
        assert!(text.contains("content"), "{text}");
        assert!(!text.contains("notifications/message"), "{text}");
    }
}
