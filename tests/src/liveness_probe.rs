//! A well-behaved client: it must be served while others misbehave.

use serde_json::{Value, json};

use crate::connection::Connection;
use crate::request::Request;
use crate::server::Server;
use crate::session::Session;

/// A connection in the middle of a session.
#[derive(Debug)]
pub struct LivenessProbe<'s> {
    server: &'s Server,
    connection: Connection,
    session: Session,
    calls: u64,
}

impl<'s> LivenessProbe<'s> {
    /// Opens the connection and the session.
    #[must_use]
    pub fn of(server: &'s Server) -> LivenessProbe<'s> {
        let mut connection = server.connect();
        let session = Session::open(&mut connection);
        LivenessProbe {
            server,
            connection,
            session,
            calls: 0,
        }
    }

    /// Calls a tool in both eras on the one connection and compares the answers.
    ///
    /// # Panics
    /// If the process has ended or an answer is wrong; `after` names the preceding event.
    pub fn check(&mut self, after: &str) {
        self.server.assert_alive();
        self.calls += 1;
        let message = format!("probe call {}", self.calls);
        let params = json!({ "name": "echo", "arguments": { "message": message } });
        for request in [
            self.session
                .request(self.calls, "tools/call", params.clone()),
            Request::modern(self.calls, "tools/call", params),
        ] {
            let response = self.connection.exchange(&request);
            assert_eq!(response.status(), 200, "after {after}: {response:?}");
            let answer = response.json();
            assert_eq!(answer["id"], self.calls, "after {after}: {answer}");
            assert_eq!(
                answer["result"]["content"][0]["text"], message,
                "after {after}: {answer}"
            );
            assert_ne!(
                answer["result"]["isError"],
                Value::Bool(true),
                "after {after}: {answer}"
            );
        }
    }
}
