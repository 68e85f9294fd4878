//! Knobs of the process as a whole: where it listens, who may speak to it, what it logs.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use corelane_protocol::framing::http1::is_field_name;
use corelane_protocol::request_state::KEYS_MAX;
use serde::{Deserialize, Serialize};

use super::check::Section;
use super::{CoreList, ProfileError};

/// Most shards of a process. Lanes are one per pair of shards, so memory grows with the square.
pub const SHARDS_MAX: usize = 256;

/// Most entries of `allowed_hosts` and of `allowed_origins`; a check walks the list.
pub const ALLOWED_MAX: usize = 64;

/// Longest entry of `allowed_hosts` and `allowed_origins`, in bytes: a scheme, a name of 255, a
/// port.
pub const ALLOWED_BYTES_MAX: usize = 300;

/// Longest endpoint path, in bytes.
pub const ENDPOINT_BYTES_MAX: usize = 256;

/// Longest name of a header in a profile, in bytes: twice the longest that proxies use.
pub const HEADER_NAME_BYTES_MAX: usize = 64;

/// `[server]`: the process as a whole.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address and port; default 127.0.0.1:8080, because a server without authentication must
    /// not be reachable by accident (MCP 2025-11-25 basic/transports). Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Path of the MCP endpoint, 1 to 256 bytes; default "/mcp", as the specification's examples.
    pub endpoint: String,
    /// Number of shards, 1 to 256; default one for each core in use. More shards than cores share
    /// them in turn, which adds file tables (capacity for connections), not speed.
    pub shards: Option<usize>,
    /// Cores to use, as "0-3,6" or [0, 1]; default all that the process may run on.
    pub cores: Option<CoreList>,
    /// Names accepted in `Host`, "name" (any port) or "name:port", at most 64, beside the address
    /// that is listened on; default none: on loopback its own names only, elsewhere `Host` is not
    /// checked. A proxy passes the name on that its clients use, unless it is told otherwise.
    pub allowed_hosts: Vec<String>,
    /// Web origins accepted in `Origin`, "scheme://name" or "scheme://name:port", at most 64;
    /// default none: only pages of the server's own origin may call it.
    pub allowed_origins: Vec<String>,
    /// Header in which the proxy in front says who asks, such as "x-forwarded-user" or
    /// "x-auth-request-user", 1 to 64 bytes; default none: everybody is anonymous. Only for a
    /// server that is reached through a proxy alone, one that sets the header and takes it out of
    /// what clients send: anybody else could claim to be anybody.
    pub principal_header: Option<String>,
    /// Milliseconds that calls in flight get to finish at shutdown, 0 to 600,000; default 10,000,
    /// below the 30 s after which supervisors such as systemd or Kubernetes kill.
    pub drain_timeout_ms: u64,
    /// Files with a key each, 32 bytes in base64, at most 8: the first seals the state of questions
    /// to modern clients, all of them open it. Processes behind one address need the same, or the
    /// answer to one's question is refused by another; to change a key, put the fresh one first
    /// everywhere and drop the old one after `calls.answer_timeout_ms`. Default none: a random key
    /// that ends with the process.
    pub state_key_files: Vec<PathBuf>,
    /// Connections the kernel completes ahead of accept(2), 1 to 65,535; default 4096, the value
    /// of net.core.somaxconn since Linux 5.4, which also caps it.
    pub backlog: u32,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            endpoint: "/mcp".to_owned(),
            shards: None,
            cores: None,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            principal_header: None,
            drain_timeout_ms: 10_000,
            state_key_files: Vec::new(),
            backlog: 4096,
        }
    }
}

impl Server {
    pub(super) fn check(&self) -> Result<(), ProfileError> {
        let section = Section::named("server");
        section.text(
            "endpoint",
            &self.endpoint,
            is_path(&self.endpoint),
            "a path of 1 to 256 visible ASCII characters that starts with / and has no ? or #",
        )?;
        if let Some(shards) = self.shards {
            section.range("shards", shards, 1..=SHARDS_MAX as u64)?;
        }
        check_list(&section, "allowed_hosts", &self.allowed_hosts)?;
        check_list(&section, "allowed_origins", &self.allowed_origins)?;
        if let Some(name) = &self.principal_header {
            let holds = name.len() <= HEADER_NAME_BYTES_MAX && is_field_name(name);
            let expected = "a header name: 1 to 64 letters, digits and !#$%&'*+-.^_`|~";
            section.text("principal_header", name, holds, expected)?;
        }
        let keys = self.state_key_files.len();
        section.range("state_key_files entries", keys, 0..=KEYS_MAX as u64)?;
        section.range("drain_timeout_ms", self.drain_timeout_ms, 0..=600_000)?;
        section.range("backlog", self.backlog, 1..=65_535)
    }
}

/// Bounds the list and its entries. What an entry means is the guard's to judge.
fn check_list(section: &Section, knob: &str, entries: &[String]) -> Result<(), ProfileError> {
    let entries_knob = format!("{knob} entries");
    section.range(&entries_knob, entries.len(), 0..=ALLOWED_MAX as u64)?;
    for entry in entries {
        let holds = (1..=ALLOWED_BYTES_MAX).contains(&entry.len());
        section.text(knob, entry, holds, "a text of 1 to 300 bytes")?;
    }
    Ok(())
}

fn is_path(endpoint: &str) -> bool {
    endpoint.len() <= ENDPOINT_BYTES_MAX
        && endpoint.starts_with('/')
        && endpoint
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'))
}

/// `[log]`: what the process writes about itself to standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least severe level that is written; default "info": starts, stops, refusals in sum,
    /// nothing per request.
    pub level: LogLevel,
    /// Form of a line; default "auto".
    pub format: LogFormat,
}

/// How severe an entry of the log must be to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing is written.
    Off,
    /// Faults of the engine or its host.
    Error,
    /// What an operator should look at.
    Warn,
    /// The life of the process.
    #[default]
    Info,
    /// Single connections and sessions.
    Debug,
    /// Single messages; for one client at a time.
    Trace,
}

impl LogLevel {
    /// The level as the profile and log filters spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Form of a line of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}
