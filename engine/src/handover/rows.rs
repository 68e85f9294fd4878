//! What moves: sockets, sessions and connections, as they are written.
//!
//! Numbers of shards and of addresses are those of the old process. Texts are the ones of the
//! protocol, so that a change of a type inside of a release changes no row.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Most bytes of the texts of a row that a client chooses: escaped, each of them takes six at most.
pub(crate) const TEXT_BYTES_MAX: usize = 16 * 1024;

/// A listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "socket", rename_all = "snake_case")]
pub(crate) enum SocketRow {
    /// One of a shard, for the address with this number.
    Listener { address: usize, shard: u16 },
    /// That of metrics.
    Metrics,
    /// The control socket.
    Control,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SessionRow {
    /// Its id without its seal.
    pub(crate) id: String,
    pub(crate) revision: String,
    /// The bits of [`ClientCapabilities`].
    ///
    /// [`ClientCapabilities`]: corelane_protocol::mcp::capability::ClientCapabilities
    pub(crate) capabilities: u8,
    /// The bits of [`ListKinds`](corelane_protocol::mcp::subscription::ListKinds).
    pub(crate) lists: u8,
    pub(crate) level: String,
    pub(crate) principal: Option<String>,
    /// The number of its holder in the old process.
    pub(crate) holder: u64,
    pub(crate) age_ms: u64,
    /// Whether an earlier row has the session, and this one further subscriptions.
    #[serde(default)]
    pub(crate) is_more: bool,
    /// URIs of resources.
    #[serde(default)]
    pub(crate) subscriptions: Vec<String>,
    /// Its open streams that have begun.
    #[serde(default)]
    pub(crate) streams: Vec<StreamRow>,
    /// The last stream that it lost.
    #[serde(default)]
    pub(crate) lost_stream: Option<u64>,
}

/// A session that is not made again from its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EndedRow {
    /// Its id without its seal.
    pub(crate) id: String,
    /// When its id is too old, in unix seconds.
    pub(crate) until_s: u64,
}

/// A stream of a session with events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StreamRow {
    pub(crate) stream: u64,
    /// The sequence of its next event.
    pub(crate) next: u64,
    /// Where it is open, as its connection has it.
    pub(crate) at: Option<String>,
}

/// A connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ConnectionRow {
    /// The number of its address.
    pub(crate) listener: usize,
    pub(crate) shard: u16,
    /// The number of its last request.
    pub(crate) sequence: u32,
    /// Its client, if a header of its proxy has named it.
    pub(crate) client: Option<IpAddr>,
    /// Its open stream.
    pub(crate) stream: Option<OpenStreamRow>,
}

/// The open stream of a connection, whose head was sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct OpenStreamRow {
    pub(crate) version_minor: u8,
    pub(crate) keep_alive: bool,
    pub(crate) is_post: bool,
    /// When its credential expires, in unix seconds; 0 without an end.
    pub(crate) expires_s: u32,
    pub(crate) of: StreamOfRow,
}

/// The owner of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StreamOfRow {
    /// A session, by its id, and the place of the stream, by which the row of the session names it
    /// once it has events.
    Session { id: String, at: String },
    /// A subscription.
    Listen {
        /// The id of its request.
        id: IdRow,
        lists: u8,
        uris: Vec<String>,
        /// The number of its holder in the old process.
        holder: u64,
    },
}

/// The id of a request, with its type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IdRow {
    Integer(i64),
    Unsigned(u64),
    Text(String),
}
