//! A server behind a proxy that names the principal. Here curl acts as the proxy:
//!
//! ```text
//! cargo run --release --example principal
//! curl -sS http://127.0.0.1:8080/mcp -H 'X-Forwarded-User: ann' -H 'X-Tenant: blue' \
//!   -H 'Content-Type: application/json' -H 'MCP-Protocol-Version: 2026-07-28' \
//!   -H 'Mcp-Method: tools/call' -H 'Mcp-Name: who_am_i' \
//!   -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"who_am_i",
//!     "arguments":{},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",
//!     "io.modelcontextprotocol/clientCapabilities":{}}}}'
//! ```

use std::process::ExitCode;

use corelane::{Call, CallError, Server, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

fn main() -> ExitCode {
    Server::new("principal", "1.0.0")
        .with_exposed_header("x-tenant")
        .with_tool(Tool::new(
            "who_am_i",
            "Names the principal and the tenant.",
            who_am_i,
        ))
        .run_from_args_with(|profile| {
            // Every client that reaches this port is believed: let only the proxy reach it.
            profile.server.principal_header = Some("x-forwarded-user".to_owned());
        })
}

async fn who_am_i(call: &Call, _: Nothing) -> Result<String, CallError> {
    let principal = call.principal();
    let name = principal
        .ok_or_else(|| CallError::new("the request has no principal: send X-Forwarded-User"))?;
    let tenant = call.header("x-tenant");
    Ok(format!(
        "{name} of {}",
        tenant.as_deref().unwrap_or("no tenant")
    ))
}
