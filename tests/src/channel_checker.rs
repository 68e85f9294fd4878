//! Checks each message that arrives on a channel against the official schema of its revision.

use std::collections::HashMap;

use serde_json::Value;

use crate::request::VERSION_KEY;
use crate::wire_schema::{Revision, check_schema};

/// Key of the subscription in the `_meta` of a message of a listen stream.
const SUBSCRIPTION_KEY: &str = "io.modelcontextprotocol/subscriptionId";

/// The knowledge of one channel that the choice of a schema needs.
#[derive(Debug, Default)]
pub(crate) struct ChannelChecker {
    /// Method and revision of requests without an answer, by their ids.
    requests: HashMap<String, (String, Revision)>,
    /// The revision of the session, once there is one.
    session: Option<Revision>,
}

impl ChannelChecker {
    /// The client sends a message.
    pub(crate) fn sent(&mut self, message: &Value) {
        if let (Some(method), Some(id)) = (message["method"].as_str(), message.get("id")) {
            let revision = message["params"]["_meta"][VERSION_KEY].as_str();
            let revision = revision.and_then(Revision::named).or(self.session);
            let revision = revision.unwrap_or(Revision::November2025);
            let request = (method.to_owned(), revision);
            self.requests.insert(id.to_string(), request);
        }
    }

    /// The client receives a message.
    ///
    /// # Panics
    /// If it does not fit the schema.
    pub(crate) fn received(&mut self, message: &Value) {
        let is_answer = message.get("method").is_none();
        let id = message.get("id").filter(|_| is_answer);
        let request = id.and_then(|id| self.requests.remove(&id.to_string()));
        let method = request.as_ref().map(|(method, _)| &**method);
        if method == Some("initialize") {
            let agreed = message["result"]["protocolVersion"].as_str();
            self.session = agreed.and_then(Revision::named).or(self.session);
        }
        let meta = &message["params"]["_meta"];
        let revision = match &request {
            Some((method, revision)) if method != "initialize" => Some(*revision),
            None if meta.get(SUBSCRIPTION_KEY).is_some() => None,
            _ => self.session,
        };
        let revision = revision.unwrap_or(Revision::July2026);
        if let Err(misfit) = check_schema(message, revision, method) {
            panic!("{misfit}");
        }
    }
}
