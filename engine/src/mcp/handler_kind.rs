//! The kinds of requests that run a handler.

use corelane_protocol::mcp::method::Method;
use corelane_protocol::request_state::Binding;

/// The kind of a request that runs a handler; it decides the form of the answer and of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandlerKind {
    /// `tools/call`.
    Tool,
    /// `prompts/get`.
    Prompt,
    /// `resources/read`.
    Resource,
    /// `completion/complete`.
    Completion,
    /// A request about a task of an upstream. No handler of this server runs for it.
    Task,
}

impl HandlerKind {
    /// The kind of a method that runs a handler.
    pub(super) fn by(method: Method) -> HandlerKind {
        match method {
            Method::PromptsGet => HandlerKind::Prompt,
            Method::ResourcesRead => HandlerKind::Resource,
            Method::Complete => HandlerKind::Completion,
            _ => HandlerKind::Tool,
        }
    }

    /// The method, as in sealed states and for upstreams.
    pub(super) fn method(self) -> &'static str {
        match self {
            HandlerKind::Tool => Method::ToolsCall.name(),
            HandlerKind::Prompt => Method::PromptsGet.name(),
            HandlerKind::Resource => Method::ResourcesRead.name(),
            HandlerKind::Completion => Method::Complete.name(),
            HandlerKind::Task => Method::TasksGet.name(),
        }
    }

    /// The binding of a state for `principal`.
    pub(super) fn binding(self, principal: Option<&str>, params_digest: [u8; 32]) -> Binding<'_> {
        Binding {
            principal,
            method: self.method(),
            params_digest,
        }
    }
}
