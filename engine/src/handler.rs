//! What a tool's author sees: a call, its arguments, a result, and nothing of the wire.
//!
//! A handler never learns which transport, era or shard it serves. Whatever it reports goes
//! through [`Call`]; whatever it returns is encoded by whoever dispatched it.

pub(crate) mod call;
pub(crate) mod error;
pub(crate) mod mailbox;
pub(crate) mod offload;
pub(crate) mod output;
pub(crate) mod runner;

pub use crate::io::executor::sleep;
pub use call::Call;
pub use error::ToolError;
pub use output::{IntoToolResult, Structured};
