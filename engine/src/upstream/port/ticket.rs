//! The ticket of a call at an upstream.

use corelane_protocol::mcp::client_request::ClientRequest;

use super::{Command, RelayTicket};

impl RelayTicket {
    /// Takes the requests of the upstream that were not sent to the client yet, with their keys.
    pub(crate) fn unsent_questions(&self) -> Vec<(String, ClientRequest)> {
        let relay = self.port.find(self.key);
        relay.map_or_else(Vec::new, |mut relay| relay.unsent_questions())
    }

    /// Answers the request of the upstream with this key, with this member of a response.
    pub(crate) fn answer(&self, key: &str, member: &str) {
        let relay = self.port.find(self.key);
        if relay.is_some_and(|mut relay| relay.answer_question(key, member)) {
            self.port.respond(self.key);
        }
    }
}

impl Drop for RelayTicket {
    fn drop(&mut self) {
        let is_open = self
            .port
            .find(self.key)
            .is_some_and(|relay| !relay.is_answered());
        if is_open {
            let mut commands = self.port.commands.borrow_mut();
            commands.push_back(Command::Cancel(self.key));
        }
    }
}
