//! Corelane: a thread-per-core server engine for the Model Context Protocol.
//!
//! ```no_run
//! use corelane::{Profile, Server, tool};
//!
//! /// Adds two numbers.
//! #[tool]
//! async fn add(a: f64, b: f64) -> f64 {
//!     a + b
//! }
//!
//! fn main() -> corelane::Result<()> {
//!     Server::new("calculator", "1.0.0").with_tool(add()).run(Profile::from_args()?)
//! }
//! ```
//!
//! [`macro@tool`] makes a tool of a function and [`macro@prompt`] a prompt; [`Tool::new`] and
//! [`Prompt::new`] make them of closures, which may capture what they need.
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
//!   timers on one thread of its own and runs what it spawns; a wake-up from there wakes the shard
//!   at once, even one that sleeps.
//! - What a handler spawns outlives a call that is cancelled. When the server has drained, such
//!   tasks are dropped without being waited for.
//! - `tokio::task::spawn_local` and `block_in_place` need a thread of the runtime: they do not work
//!   in a handler. [`Call::offload`] is for blocking work.
//! - A server that is started inside of a multi-thread runtime, such as that of `#[tokio::main]`,
//!   uses that one: so a program chooses the number of its threads.
//! - Values of [`Server::with_shard_state`] are made in the same context.
//!
//! # Architecture
//!
//! ```text
//!            shard 0 (core 0)          shard 1 (core 1)          shard N-1
//! clients -> listener (SO_REUSEPORT)   listener                  listener
//!            socket ring (io_uring)    socket ring               socket ring
//!            executor (glommio)        executor                  executor
//!            connections, sessions     connections, sessions     ...
//!                  \____ lanes: bounded lock-free queues, four tiers ____/
//!                                 offload pool: blocking work
//! ```
//!
//! A shard shares nothing that is ever written: its state is `Rc` and `Cell`, and what it wants
//! of another shard it says through a lane. The way of a request:
//!
//! ```text
//! kernel -> completion -> slot (generation checked) -> provided buffer
//!   framing finds one whole message in place; only a partial one is copied
//!   decode -> classify (era, headers, session) -> a request, or a refusal with status and code
//!   catalog lookup by name, arguments checked against the schema
//!   handler polled once in place: ready -> answered now; waiting -> a task of the executor
//!   encode into the connection's output; one submission sends everything at the end of the turn
//! ```
//!
//! The rooms, from the top floor down; imports point down only, and a test checks that.
//!
//! | room | what is in it |
//! |---|---|
//! | `arguments` | the command line of a program that is a server |
//! | `server` | the builder; starts and drains shards; nothing per request |
//! | `shard` | one core: its loop, its connections' completions, deliveries, the drain |
//! | `connection` | drives one HTTP connection: bytes in, bytes out, no socket |
//! | `mcp` | what messages mean: dispatch, sessions, streams, subscriptions, questions, tasks |
//! | `catalog` | what exists: tools, resources, prompts, their encoded lists; one copy a shard |
//! | `files` | files of a directory as bytes: opened safely, read, listed, watched |
//! | `handler` | what a tool's author sees, and how a handler is run |
//! | `transport` | listeners |
//! | `guard`, [`profile`], [`meter`] | who may; tuning; counters |
//! | `corelane-io`, a crate | the mechanism of one core: ring, executor, lanes, buffers |
//!
//! # What never happens
//!
//! 1. No lock and no shared atomic stands between reading a request and queueing its answer on
//!    the shard that owns it.
//! 2. No queue, buffer, map or recursion is unbounded; each bound is in the [`Profile`] or named
//!    beside it.
//! 3. Bytes from a peer never panic the process; a panicking handler ends its own call.
//! 4. No answer reaches a slot whose generation changed, and no request is executed twice behind
//!    its author's back: a handler that asks a modern client runs again from its start with the
//!    answer, and [`Call::once`] guards what must not happen again.
//! 5. An idle connection owns a slot and nothing else.
//! 6. Nothing accepted is silently lost: it is answered, refused with a reason, or cancelled by
//!    its sender.
//! 7. No handler knows transport, era or shard.

#[cfg(feature = "cli")]
mod arguments;
mod catalog;
mod connection;
mod files;
pub mod guard;
mod handler;
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

#[cfg(feature = "cli")]
pub use arguments::ServeArguments;
pub use catalog::CatalogError;
pub use catalog::pending_updates::ChangeError;
pub use catalog::prompt::{Prompt, PromptDefect};
pub use catalog::resource::{Resource, ResourceDefect, ResourceTemplate};
pub use catalog::tool::{Tool, ToolDefect};
pub use corelane_macros::{prompt, tool};
pub use corelane_protocol::mcp::about::{Annotations, Icon, Role};
pub use corelane_protocol::mcp::capability::ClientCapability;
pub use corelane_protocol::mcp::content::{Content, ResourceContents};
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
pub use profile::Profile;
pub use server::{Error, Result, RunningServer, Server, ServerHandle, StateKeyError};

/// The crate whose `JsonSchema` the arguments of tools derive.
pub use schemars;

/// What [`tool`] and [`prompt`] write names these, so that nobody else has to depend on them.
#[doc(hidden)]
pub mod expansion {
    pub use schemars;
    pub use serde;
}
