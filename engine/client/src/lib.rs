//! A client of MCP servers, on tokio: either era of the protocol, over HTTP, lines and processes.
//!
//! [`connect`] opens a connection, finds the era of the server, and returns a [`Client`], whose
//! methods are the same in both eras: requests of the server to its client (elicitation, sampling,
//! roots) go to one handler, changes come through one [`Changes`].
//!
//! ```no_run
//! use corelane_client::{Error, connect, json};
//!
//! # async fn run() -> Result<(), Error> {
//! let client = connect("https://example.com/mcp").await?;
//! for tool in client.tools().await? {
//!     println!("{}", tool.name);
//! }
//! let sum: u64 = client.call("add", json!({"a": 1, "b": 2})).await?.parse()?;
//! # Ok(())
//! # }
//! ```
//!
//! | module | contents |
//! |---|---|
//! | `builder`, `settings`, `target` | settings of a client; addresses of servers |
//! | `client`, `call`, `lists`, `types` | the methods; one call; lists with all pages; results |
//! | `handshake` | the probe of the era, sessions |
//! | `shared`, `rounds` | one request from its text to its result; rounds of input |
//! | `questions`, `form` | requests of the server; answers to forms |
//! | `tasks` | calls that have their results fetched later |
//! | `cache` | results that are fresh |
//! | `listen` | changes of lists and resources |
//! | `wire`, `http`, `lines` | the transports |
//! | `memory` | servers in this process |
//! | `auth` | credentials over HTTP |
//! | `message`, `error` | JSON-RPC; errors |
//!
//! Invariant: everything that waits or is kept has a named limit, and a server cannot make the
//! client fetch a schema, follow a redirection or open a page.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(feature = "http"),
    expect(
        dead_code,
        unused_variables,
        reason = "sessions and fields are of HTTP alone"
    )
)]

mod auth;
mod builder;
mod cache;
mod call;
mod change;
mod client;
mod error;
mod form;
mod handshake;
#[cfg(feature = "http")]
mod http;
mod limits;
mod lines;
mod listen;
mod lists;
#[cfg(feature = "memory")]
mod memory;
mod message;
mod progress;
mod questions;
mod rounds;
mod settings;
mod shared;
mod target;
mod tasks;
mod types;
mod wire;

pub use auth::{Auth, AuthError, AuthFuture, Challenge};
#[cfg(feature = "oauth")]
pub use auth::{ClientCredentials, Interactive};
pub use builder::Builder;
pub use cache::CachePolicy;
pub use call::Call;
pub use change::Change;
pub use client::{Client, connect};
pub use corelane_protocol::mcp::era_probe::EraChoice as Era;
pub use corelane_protocol::mcp::revision::Revision;
pub use error::{Clock, Error, JsonRpcError};
pub use listen::{Changes, Filter};
pub use progress::Progress;
pub use questions::{Elicit, ElicitAnswer, ElicitMode, Root, Sample, SampleRefusal};
pub use serde_json::json;
pub use settings::{LogMessage, Traffic};
pub use target::{IntoTarget, Target};
pub use tasks::{Task, TaskState, TaskStatus};
pub use types::{
    CallResult, Completion, Content, Prompt, PromptInfo, PromptMessage, PromptResult, RawResult,
    ReadResult, Reference, Resource, ResourceContents, ResourceTemplate, ServerInfo, Template,
    Tool,
};
