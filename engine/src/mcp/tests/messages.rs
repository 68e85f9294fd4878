//! Messages of clients and answers of servers, as values to send and to compare with.

use serde_json::{Value, json};

/// A request.
pub(crate) fn request(id: impl Into<Value>, method: &str, params: Value) -> String {
    let id = id.into();
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}

/// A notification.
pub(crate) fn notification(method: &str, params: Value) -> String {
    json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string()
}

/// A handshake of a client without capabilities.
pub(crate) fn initialize(version: &str) -> String {
    let params = json!({
        "protocolVersion": version,
        "capabilities": {},
        "clientInfo": {"name": "n", "version": "1"},
    });
    request(1, "initialize", params)
}

/// The modern `_meta` of a client without capabilities.
pub(crate) fn claim() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

/// A legacy answer.
pub(crate) fn result(id: impl Into<Value>, result: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "result": result})
}

/// A modern answer: `members` and the stamp of the server.
pub(crate) fn with_trailer(id: impl Into<Value>, mut members: Value) -> Value {
    members["resultType"] = json!("complete");
    members["_meta"] = json!({"io.modelcontextprotocol/serverInfo": {
        "name": "harness", "version": "1",
    }});
    result(id, members)
}

/// An error with any text; `id` is left out of one without.
pub(crate) fn error(id: impl Into<Value>, code: i64) -> Value {
    let error = json!({"code": code, "message": "*"});
    match id.into() {
        Value::Null => json!({"jsonrpc": "2.0", "error": error}),
        id => json!({"jsonrpc": "2.0", "id": id, "error": error}),
    }
}

/// The result of a tool that returned `text`.
pub(crate) fn text(text: &str) -> Value {
    json!({"content": [{"type": "text", "text": text}]})
}

/// The result of a tool that failed with `text`.
pub(crate) fn failure(text: &str) -> Value {
    json!({"content": [{"type": "text", "text": text}], "isError": true})
}

/// A progress notification for the token `p`.
pub(crate) fn progress(progress: f64) -> Value {
    json!({
        "jsonrpc": "2.0",
        "method": "notifications/progress",
        "params": {"progressToken": "p", "progress": progress},
    })
}
