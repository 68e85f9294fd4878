//! The settings of a connection, as its parts read them.

use std::sync::Arc;
use std::time::Duration;

use corelane_protocol::mcp::era_probe::EraChoice;
use serde_json::Value;

use crate::auth::Auth;
use crate::cache::CachePolicy;
use crate::limits::{CALLS_MAX, TIMEOUT, TIMEOUT_MAX};
use crate::questions::Questions;

/// A message of the server's log.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LogMessage {
    /// One of the eight syslog levels, in lower case.
    pub level: String,
    /// The part of the server that it comes from.
    pub logger: Option<String>,
    /// Any JSON.
    pub data: Value,
}

pub(crate) type LogHandler = Arc<dyn Fn(LogMessage) + Send + Sync>;

/// A part of the traffic of a client, as it was on the wire, for diagnosis.
#[derive(Clone, Copy, Debug)]
pub enum Traffic<'a> {
    /// The head of a request or a response of HTTP. The values of fields that the caller set, of
    /// credentials and sessions are `***`, and so is the query of the URL.
    Head(&'a str),
    /// A message to the server.
    Sent(&'a [u8]),
    /// A message of the server.
    Received(&'a [u8]),
}

pub(crate) type TrafficHandler = Arc<dyn Fn(Traffic<'_>) + Send + Sync>;

/// The settings.
#[derive(Clone)]
pub(crate) struct Settings {
    pub name: String,
    pub version: String,
    pub era: EraChoice,
    pub timeout: Duration,
    pub max_timeout: Duration,
    pub questions: Questions,
    pub on_log: Option<LogHandler>,
    pub log_level: String,
    pub fields: Vec<(String, String)>,
    pub auth: Option<Arc<dyn Auth>>,
    pub on_traffic: Option<TrafficHandler>,
    pub cache: CachePolicy,
    pub calls_max: usize,
    pub refuses_excess: bool,
}

impl Settings {
    /// Shows a part of the traffic to the handler for it.
    pub(crate) fn show(&self, traffic: Traffic<'_>) {
        if let Some(handler) = &self.on_traffic {
            handler(traffic);
        }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            era: EraChoice::Auto,
            timeout: TIMEOUT,
            max_timeout: TIMEOUT_MAX,
            questions: Questions::default(),
            on_log: None,
            log_level: "info".to_owned(),
            fields: Vec::new(),
            auth: None,
            on_traffic: None,
            cache: CachePolicy::default(),
            calls_max: CALLS_MAX,
            refuses_excess: false,
        }
    }
}
