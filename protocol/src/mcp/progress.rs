//! Progress of a call (`notifications/progress`).

use crate::jsonrpc::{Id, encode};

/// Writes a whole `notifications/progress`.
///
/// The token has the shape of a JSON-RPC id, string or integer, and keeps its JSON type. That
/// `progress` strictly increases is the sender's duty (MCP 2025-11-25 basic/utilities/progress).
pub fn write_notification(
    out: &mut Vec<u8>,
    token: Id<'_>,
    progress: f64,
    total: Option<f64>,
    message: Option<&str>,
) {
    encode::begin_notification(out, "notifications/progress");
    out.extend_from_slice(br#"{"progressToken":"#);
    encode::write_id(out, token);
    out.extend_from_slice(br#","progress":"#);
    encode::write_float(out, progress);
    if let Some(total) = total {
        out.extend_from_slice(br#","total":"#);
        encode::write_float(out, total);
    }
    if let Some(message) = message {
        out.extend_from_slice(br#","message":"#);
        encode::write_string(out, message);
    }
    out.push(b'}');
    encode::end(out);
}
