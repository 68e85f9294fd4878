//! Knobs of the process as a whole: its address, access to it, its log.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use corelane_protocol::framing::http1::is_field_name;
use corelane_protocol::request_state::KEYS_MAX;
use serde::{Deserialize, Serialize};

use super::check;
use super::cores::CoreList;
use super::error::ProfileError;
use super::knobs::{Value, anything, knobs, within};
use super::listen::{self, LISTENERS_MAX, ListenAddress};
use super::probe::Probe;
use crate::guard::origin::OriginPolicy;

/// Most shards of a process. Lanes are one per pair of shards, so memory grows with the square.
pub const SHARDS_MAX: usize = 256;

/// Most entries of `allowed_hosts` and of `allowed_origins`; a check walks the list.
pub const ALLOWED_MAX: usize = 64;

/// Longest entry of `allowed_hosts` and `allowed_origins`, in bytes: a scheme, a name of 255, a
/// port.
pub const ALLOWED_BYTES_MAX: usize = 300;

/// Most paths of the endpoint; each request for another path walks the list.
pub const ENDPOINTS_MAX: usize = 8;

/// Longest endpoint path, in bytes.
pub const ENDPOINT_BYTES_MAX: usize = 256;

/// Longest name of a header in a profile, in bytes: twice the longest that proxies use.
pub const HEADER_NAME_BYTES_MAX: usize = 64;

knobs! {
    /// The process as a whole.
    Server as "server" {
        /// One address, or a list of at most 16: loopback, because a server without authentication
        /// must not be reachable by accident (MCP 2025-11-25 basic/transports). HOST:PORT or
        /// "http://HOST:PORT" is HTTP, "ws://HOST:PORT" is WebSocket, "tcp://HOST:PORT" and
        /// "unix:///PATH" have one message on each line, "http+unix:///PATH" is HTTP on a Unix
        /// socket. "https", "wss" and "tcps" are the same with TLS; "@NAME" in place of a path is
        /// an abstract name. A name such as "localhost"
        /// stands for its first address. Port 0 takes a free one. `[::]` is all addresses of IPv6
        /// and of IPv4.
        #[serde(with = "listen")]
        listen: Vec<ListenAddress> =
            vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)).into()], anything(), restart;
        /// Whether the parent of the process is served on standard input and output instead, and
        /// nothing is listened on. There is one shard then, which is pinned to a core only if
        /// `cores` is set: a machine runs many such processes.
        stdio: bool = false, anything(), restart;
        /// Path of the MCP endpoint, as in the specification's examples, or a list of up to 8 paths
        /// that all lead to it. A slash at the end and a query make no difference.
        endpoint: Paths = Paths::One("/mcp".to_owned()), anything(), live;
        /// Whether such a slash and a query are refused as another path. Clients and proxies add
        /// and strip the slash, and some put a key into the query.
        exact_endpoint: bool = false, anything(), live;
        /// Path of the streams of HTTP+SSE, the transport of revision 2024-11-05, for clients that
        /// have no other, such as "/sse"; default none: it is deprecated. Messages are posted to
        /// "messages" beside it, such as "/messages". `lines.in_flight_max` bounds the requests of
        /// one stream.
        sse_endpoint: Option<String> = None, anything(), live;
        /// Whether GET answers probes of supervisors and load balancers, for any `Host`, with the
        /// state of the shard: /live (/liveness, /healthz), /ready (/readiness) and /health.
        probes: bool = true, anything(), live;
        /// Number of shards; default one for each core in use, and without `cores` no more than the
        /// CPU quota of the control group has whole cores: past it all shards stop until the next
        /// period. More shards than cores share them in turn, which adds file tables (capacity for
        /// connections), not speed.
        shards: Option<usize> = None, within(1..=SHARDS_MAX as u64), restart;
        /// Cores to use, as "0-3,6" or [0, 1]; default all that the process may run on.
        cores: Option<CoreList> = None, anything(), restart;
        /// Whether each shard is pinned to its core: "yes", "no" or "auto". A pinned shard waits
        /// while another process has its core, even if other cores are idle. So "auto" pins to the
        /// cores of `cores` and `[[core]]`, or else to cores that no other Corelane process of the
        /// host has. It pins nothing if there are too few of those, or a CPU quota is below the
        /// affinity mask, or other processes are out of sight, as in a container with the mask of
        /// the host; `executor.spin_us` has no effect then.
        pin: Pin = Pin::Auto, anything(), restart;
        /// Whether a proxy in front terminates TLS. Otherwise an address that is neither loopback
        /// nor a Unix socket must have TLS itself: access tokens would cross the network in clear.
        behind_tls_proxy: bool = false, anything(), live;
        /// Whether everyone may use such an address. Otherwise it needs `access_file`, or TLS with
        /// certificates that clients must present.
        public_without_auth: bool = false, anything(), live;
        /// Names accepted in `Host`, "name" (any port) or "name:port", at most 64, beside the
        /// address that is listened on; default none, for loopback and Unix sockets only: loopback
        /// has its own names. Most proxies pass on the name that clients use.
        allowed_hosts: Vec<String> = Vec::new(), anything(), live;
        /// Web origins accepted in `Origin`, "scheme://name" or "scheme://name:port", at most 64;
        /// default none: only pages of the server's own origin may call it. Their browsers get the
        /// answers to preflights and the headers of CORS.
        allowed_origins: Vec<String> = Vec::new(), anything(), live;
        /// Whether pages of these origins may call with cookies: for a proxy in front that
        /// authenticates by cookie. Without it browsers hide the answers to such calls.
        allow_credentials: bool = false, anything(), live;
        /// Seconds for which a browser keeps the answer to a preflight: the longest that Chromium
        /// does. A shorter time makes a removed origin lose its access sooner.
        preflight_max_age_s: u32 = 7200, within(0..=86_400), live;
        /// Header in which the proxy in front names the principal, such as "x-forwarded-user" or
        /// "x-auth-request-user"; default none: every client is anonymous. Only for a server behind
        /// a proxy that sets the header and removes it from the requests of clients: otherwise a
        /// client could claim any name.
        principal_header: Option<String> = None, anything(), live;
        /// The file of access control: who may use the server, and what of it. Default none: then
        /// everybody who reaches it may use all of it. It needs the feature `auth`, which the
        /// binary has.
        access_file: Option<PathBuf> = None, anything(), restart;
        /// Networks of proxies that begin each connection with a header of the PROXY protocol,
        /// version 1 or 2, such as "10.0.0.5" or "10.0.0.0/8", at most 64; default none. From them
        /// the header is required, and the client that it names stands for the peer where clients
        /// have shares; from others it is refused. It needs Linux 6.7; each accept then costs a
        /// look-up of its address.
        proxy_protocol_from: Vec<String> = Vec::new(), anything(), restart;
        /// Networks of proxies whose `X-Forwarded-For` names the client, at most 64; default none.
        /// The client is the rightmost address that is in none of them. It stands for the peer
        /// where anonymous clients have shares. The header of others is ignored.
        forwarded_from: Vec<String> = Vec::new(), anything(), restart;
        /// Milliseconds from the signal to the drain, in which everything is served and /ready is
        /// answered with 503: longer than a load balancer takes to notice, such as 5,000 behind
        /// Kubernetes or HAProxy. 0 drains at once.
        drain_notice_ms: u64 = 0, within(0..=600_000), live;
        /// Milliseconds that calls in flight get to finish at shutdown: below the 30 s after which
        /// supervisors such as systemd or Kubernetes kill.
        drain_timeout_ms: u64 = 10_000, within(0..=600_000), live;
        /// Files with a key each, 32 bytes in base64, at most 8: the first seals the request states
        /// of modern clients and the ids of sessions (`sessions.id_max_age_s`), all of them open
        /// these. A relative path starts at the working directory of the process, not at the
        /// profile. Processes behind one address need the same keys, or one refuses the states of
        /// another. To change a key, put the new one last everywhere, then first everywhere, and
        /// drop the old one after `calls.answer_timeout_ms` and `sessions.id_max_age_s`. Default
        /// none: a random key that ends with the process.
        state_key_files: Vec<PathBuf> = Vec::new(), anything(), next;
        /// Connections the kernel completes ahead of accept(2): the value of net.core.somaxconn
        /// since Linux 5.4, which also caps it.
        backlog: u32 = 4096, within(1..=65_535), restart;
    }
}

/// Whether shards are pinned to their cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pin {
    /// If no other process is likely to use these cores.
    Auto,
    /// Always.
    Yes,
    /// Never: the kernel moves the shards.
    No,
}

impl Value for Pin {}

/// A path, or a list of paths.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged, expecting = "expected a path or a list of paths")]
pub enum Paths {
    /// The only one.
    One(String),
    /// Several; the first one is shown.
    Several(Vec<String>),
}

impl Value for Paths {}

impl Paths {
    /// All of them.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        match self {
            Paths::One(path) => std::slice::from_ref(path),
            Paths::Several(paths) => paths,
        }
    }
}

impl Server {
    fn is_probe(&self, path: &str) -> bool {
        self.probes && Probe::of_path(path).is_some()
    }

    /// Checks the texts against the needs of their keys.
    pub(super) fn check_texts(&self) -> Result<(), ProfileError> {
        check::count("server.listen entries", self.listen.len(), LISTENERS_MAX)?;
        if let Some(fault) = listen::fault(&self.listen) {
            return Err(ProfileError::Listen { fault });
        }
        let endpoints = self.endpoint.as_slice();
        check::count("server.endpoint entries", endpoints.len(), ENDPOINTS_MAX)?;
        let expected = "a path of 1 to 256 visible ASCII characters that starts with / and has no \
                        ? or #";
        for endpoint in endpoints {
            check::text("server.endpoint", endpoint, is_path(endpoint), expected)?;
        }
        if let Some(path) = &self.sse_endpoint {
            check::text("server.sse_endpoint", path, is_path(path), expected)?;
            let messages = messages_path(path);
            let is_taken = |path| endpoints.contains(path) || self.is_probe(path);
            let is_free = *path != messages && !is_taken(path) && !is_taken(&messages);
            let expected = "a path that, like \"messages\" beside it, is no other of these two, \
                            no path of server.endpoint and none of a probe";
            check::text("server.sse_endpoint", path, is_free, expected)?;
        }
        for endpoint in endpoints {
            let expected = "a path other than those of probes (server.probes)";
            check::text(
                "server.endpoint",
                endpoint,
                !self.is_probe(endpoint),
                expected,
            )?;
        }
        check::text(
            "server.endpoint",
            "[]",
            !endpoints.is_empty(),
            "at least one path",
        )?;
        check_list("server.allowed_hosts", &self.allowed_hosts)?;
        check_list("server.allowed_origins", &self.allowed_origins)?;
        check_list("server.proxy_protocol_from", &self.proxy_protocol_from)?;
        check_list("server.forwarded_from", &self.forwarded_from)?;
        OriginPolicy::new(None, &self.allowed_hosts, &self.allowed_origins)?;
        if let Some(name) = &self.principal_header {
            let holds = name.len() <= HEADER_NAME_BYTES_MAX && is_field_name(name);
            let expected = "a header name: 1 to 64 letters, digits and !#$%&'*+-.^_`|~";
            check::text("server.principal_header", name, holds, expected)?;
        }
        let keys = self.state_key_files.len();
        check::count("server.state_key_files entries", keys, KEYS_MAX)
    }
}

/// The path that messages of HTTP+SSE are posted to, beside that of the streams.
pub(crate) fn messages_path(stream: &str) -> String {
    let folder = stream.rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{folder}/messages")
}

/// Bounds the list and its entries.
fn check_list(key: &str, entries: &[String]) -> Result<(), ProfileError> {
    check::count(&format!("{key} entries"), entries.len(), ALLOWED_MAX)?;
    entries.iter().try_for_each(|entry| {
        let holds = (1..=ALLOWED_BYTES_MAX).contains(&entry.len());
        check::text(key, entry, holds, "a text of 1 to 300 bytes")
    })
}

fn is_path(endpoint: &str) -> bool {
    endpoint.len() <= ENDPOINT_BYTES_MAX
        && endpoint.starts_with('/')
        && endpoint
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'))
}

knobs! {
    /// The log of the process, on standard error.
    #[derive(Copy, Eq)]
    Log as "log" {
        /// The least severe level that is written: by default starts, stops, refusals in sum,
        /// nothing per request.
        level: LogLevel = LogLevel::Info, anything(), live;
        /// Form of a line.
        format: LogFormat = LogFormat::Auto, anything(), restart;
        /// One request in so many has a line of the target `corelane::access`, with its method,
        /// tool, outcome and times, and nothing of its content; 1 is each request, 0 none. It needs
        /// the feature `metrics`, which the binary has.
        access_one_in: u64 = 0, within(0..=1_000_000), restart;
    }
}

impl Value for LogLevel {}
impl Value for LogFormat {}

/// How severe an entry of the log must be to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing is written.
    Off,
    /// Faults of the engine or its host.
    Error,
    /// Events that need an operator's attention.
    Warn,
    /// The life of the process.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}
