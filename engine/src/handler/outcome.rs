//! The outcome of a handler: an answer or an error, perhaps later.

use std::future::Future;
use std::pin::Pin;

use corelane_gateway::relay::RelayedPart;
use corelane_protocol::mcp::completion::Completion;
use corelane_protocol::mcp::prompts::PromptResult;
use corelane_protocol::mcp::resources::ResourcePart;
use corelane_protocol::mcp::revision::Revision;
use corelane_protocol::mcp::tools::ToolResult;

use super::error::CallError;

/// The outcome of a handler.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Of a tool.
    Tool(ToolResult),
    /// Of a prompt.
    Prompt(PromptResult),
    /// Of a resource.
    Contents(Vec<ResourcePart>),
    /// Of a completer.
    Completion(Completion),
    /// Of an upstream, as it came.
    Relayed(RelayedPart),
}

impl Answer {
    /// Removes the members of the answer that `revision` does not have.
    pub(crate) fn downgrade_to(&mut self, revision: Revision) {
        match self {
            Answer::Tool(result) => result.downgrade_to(revision),
            Answer::Prompt(result) => result.downgrade_to(revision),
            Answer::Relayed(part) => part.downgrade_to(revision),
            // These are the same in every revision.
            Answer::Contents(_) | Answer::Completion(_) => {}
        }
    }
}

/// How a handler ended.
pub(crate) type Outcome = Result<Answer, CallError>;

/// A handler that waits for something.
pub(crate) type Waiting = Pin<Box<dyn Future<Output = Outcome>>>;
