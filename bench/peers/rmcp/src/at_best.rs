//! rmcp at its best: the fastest that its settings and its interface allow.
//!
//! One handler with one table of tools is made at the start and shared by all sessions and
//! requests; streams carry neither keep-alive nor priming events, because a call that is answered
//! at once needs neither; the service is the router's only route, so that no path is rewritten. The
//! binary sets the allocator. The checks that guard a server stay on, `Host` among them.

use std::sync::Arc;

use axum::Router;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::transport::streamable_http_server::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::{ServerHandler, tool, tool_handler, tool_router};

use crate::Mode;
use crate::tools::{Add, Echo};

struct Tools {
    router: ToolRouter<Self>,
}

#[tool_router]
impl Tools {
    #[tool(description = "Sends the message back.")]
    fn echo(&self, Parameters(Echo { message }): Parameters<Echo>) -> String {
        message
    }

    #[tool(description = "Adds two numbers.")]
    fn add(&self, Parameters(Add { a, b }): Parameters<Add>) -> String {
        (a + b).to_string()
    }
}

#[tool_handler(router = self.router, name = "rmcp-at-best", version = "0.1.0")]
impl ServerHandler for Tools {}

/// The server of `mode`.
pub fn router(mode: Mode) -> Router {
    let shared = Arc::new(Tools {
        router: Tools::tool_router(),
    });
    let mut sessions = LocalSessionManager::default();
    sessions.session_config.sse_retry = None;
    let settings = mode
        .settings()
        .with_sse_keep_alive(None)
        .with_sse_retry(None);
    let service =
        StreamableHttpService::new(move || Ok(Arc::clone(&shared)), sessions.into(), settings);
    Router::new().route_service("/mcp", service)
}
