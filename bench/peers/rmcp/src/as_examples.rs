//! rmcp as its README and its examples show it: the macros without arguments, a factory that makes
//! a fresh handler, the service nested in an axum router.
//!
//! The factory runs once per session, or per request where there is no session. The table of tools
//! with their schemas is made by the code that the macro writes, each time it is looked at: once
//! per call, twice where the revision has headers to check against a tool's schema.
//!
//! Left out in favour of rmcp: the second table that the `counter` example keeps in its handler and
//! never reads.

use axum::Router;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::transport::streamable_http_server::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::{ServerHandler, tool, tool_handler, tool_router};

use crate::Mode;
use crate::tools::{Add, Echo};

struct Tools;

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

#[tool_handler(name = "rmcp-as-examples", version = "0.1.0")]
impl ServerHandler for Tools {}

/// The server of `mode`.
pub fn router(mode: Mode) -> Router {
    let service = StreamableHttpService::new(
        || Ok(Tools),
        LocalSessionManager::default().into(),
        mode.settings(),
    );
    Router::new().nest_service("/mcp", service)
}
