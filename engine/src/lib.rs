//! Corelane: a thread-per-core server engine for the Model Context Protocol.
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use corelane::{Server, tool};
//!
//! /// Adds two numbers.
//! #[tool]
//! async fn add(a: f64, b: f64) -> f64 {
//!     a + b
//! }
//!
//! fn main() -> ExitCode {
//!     Server::new("calculator", "1.0.0").with_tool(add()).run_from_args()
//! }
//! ```
//!
//! [`macro@tool`] makes a tool of a function and [`macro@prompt`] a prompt; [`Tool::new`] and
//! [`Prompt::new`] make them of closures, which may capture values.
//!
//! A handler is an async function of a [`Call`] and of its arguments. It runs on the shard that
//! owns the call, need not be `Send`, and never learns which era of the protocol its client
//! speaks. Work that blocks or computes for long goes through [`Call::offload`].
//!
//! # Tokio inside handlers
//!
//! With the feature `tokio`, which is on by default, handlers run in the context of a tokio
//! runtime: reqwest, sqlx, `tokio::time` and `tokio::spawn` work in them as they do anywhere.
//!
//! - A handler still runs on its shard and need not be `Send`. The runtime drives its sockets and
//!   timers on one thread of its own and runs the tasks that it spawns; a wake-up from there wakes
//!   the shard at once, even one that sleeps.
//! - Spawned tasks outlive a cancelled call. When the server has drained, they are dropped without
//!   a wait.
//! - `tokio::task::spawn_local` and `block_in_place` need a thread of the runtime: they do not work
//!   in a handler. [`Call::offload`] is for blocking work.
//! - A server that is started inside of a multi-thread runtime, such as that of `#[tokio::main]`,
//!   uses that one: so a program chooses the number of its threads.
//! - Values of [`Server::with_shard_state`] are made in the same context.
//!
//! # Architecture
//!
//! A server is divided into shards: one thread for each core, with its own listener, io_uring,
//! executor, connections, sessions and copy of the catalog. Shards share no memory that is written;
//! they exchange messages through bounded queues, the lanes. A request goes this way:
//!
//! ```text
//! kernel -> completion -> slot (generation checked) -> provided buffer
//!   framing finds one whole message in place; only a partial message is copied
//!   decode -> admission (era, headers, session) -> a request, or a refusal with status and code
//!   catalog lookup by name, arguments checked against the schema
//!   handler polled once in place: ready -> answered now; pending -> a task of the executor
//!   encode into the connection's output; one submission sends everything at the end of the turn
//! ```
//!
//! The modules from the top layer down. Imports point down only, and a test checks that.
//!
//! | module | contents |
//! |---|---|
//! | `arguments` | the command line of a program that is a server |
//! | `server` | the builder; starts and drains shards; no work for single requests |
//! | `shard` | one core: its loop, completions, deliveries, the drain |
//! | `connection` | drives one connection, of HTTP or of lines: bytes in, bytes out, no socket |
//! | `mcp` | the meaning of messages: sessions, calls, streams, subscriptions, tasks |
//! | `catalog` | tools, resources, prompts and their encoded lists; one copy for each shard |
//! | `files` | files of a directory as bytes: opened safely, read, listed, watched |
//! | `handler` | the interface for tool authors, and the execution of handlers |
//! | `transport` | listeners; standard input and output |
//! | `live` | the settings that a reload gives to the shards |
//! | [`profile`], [`meter`], [`log`], [`audit`] | tuning; counters; logs; the audit log |
//! | `breaker` | whether a tool or an upstream that keeps failing gets calls |
//! | [`guard`], a crate | access checks |
//! | `corelane-io`, a crate | the mechanism of one core: ring, executor, lanes, buffers |
//!
//! `docs/architecture.md` in the repository has the invariants and says where new code goes.

mod access;
#[cfg(feature = "cli")]
mod arguments;
pub mod audit;
mod breaker;
mod catalog;
#[cfg_attr(
    not(feature = "cluster"),
    expect(dead_code, reason = "there is no thread of a cluster")
)]
mod cluster;
mod connection;
mod files;
pub mod guard {
    //! Access checks: the parts of the crate `corelane-guard` that settings name.
    #[cfg(feature = "tls")]
    pub(crate) use corelane_guard::looks;
    #[cfg(feature = "auth")]
    pub use corelane_guard::pins;
    #[cfg(feature = "auth")]
    pub(crate) use corelane_guard::{access, credential, finding, token};
    #[cfg(all(test, feature = "auth"))]
    pub(crate) use corelane_guard::{api_key, proxies};
    pub use corelane_guard::{audit, bits, identity, network, origin, policy, principal};
    pub(crate) use corelane_guard::{forwarded, hidden, holder, limit, lookalike, peer};
    pub(crate) use corelane_guard::{refusal, shares, subject};
}
mod handler;
mod handover;
mod live;
pub mod log;
mod mcp;
#[cfg(feature = "measure")]
#[doc(hidden)]
pub mod measure;
pub mod meter;
pub mod profile;
mod server;
mod shard;
mod transport;
mod upstream;

#[cfg(feature = "cli")]
pub use arguments::{ServeArguments, exit_code};
pub use catalog::CatalogError;
pub use catalog::pending_updates::ChangeError;
pub use catalog::prompt::{Prompt, PromptDefect};
pub use catalog::resource::{Resource, ResourceDefect, ResourceTemplate};
pub use catalog::tool::{Tool, ToolDefect};
/// The configuration of upstreams: other MCP servers whose tools a server offers.
pub use corelane_gateway as gateway;
pub use corelane_macros::{prompt, tool};
pub use corelane_protocol::mcp::about::{Annotations, Icon, Role};
pub use corelane_protocol::mcp::capability::ClientCapability;
pub use corelane_protocol::mcp::content::{Content, ResourceContents};
pub use corelane_protocol::mcp::lifecycle::Feature;
pub use corelane_protocol::mcp::logging::LogLevel;
pub use corelane_protocol::mcp::prompts::{PromptArgument, PromptMessage, PromptResult};
pub use corelane_protocol::mcp::resources::ResourcePart;
pub use corelane_protocol::mcp::tasks::TaskSupport;
pub use corelane_protocol::mcp::tools::{ToolAnnotations, ToolResult};
pub use files::{DirectoryLimits, FilesError};
pub use handler::{
    Call, CallError, Cancellation, CompleteRequest, EXPOSED_HEADERS_MAX, Elicitation, Elicited,
    ExposedHeaderError, HandlerError, IntoContents, IntoPromptResult, IntoToolResult,
    ONCE_BYTES_MAX, Progress, ProgressFuture, ReadRequest, Root, Sampled, Sampling, Structured,
    Suggestions, sleep,
};
pub use profile::{ListenAddress, ListenAddressError, Profile};
pub use server::UpstreamError;
pub use server::{
    Error, Result, RunningServer, Server, ServerHandle, StateKeyError, check_state_keys,
};
pub use server::{ReloadError, ReloadReport, UpstreamChange, UpstreamChangeKind};
pub use server::{Reply, TestClient, TestClientError, TestResult};

/// The crate whose `JsonSchema` the arguments of tools derive.
pub use schemars;

/// The crates that the code written by [`tool`] and [`prompt`] uses, so that programs need no
/// dependency on them.
#[doc(hidden)]
pub mod expansion {
    pub use schemars;
    pub use serde;
}

/// The examples of the documents compile.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../README.md")]
    mod readme {}
    #[doc = include_str!("../../docs/writing-tools.md")]
    mod writing_tools {}
}
