//! Messages to bytes, appended to an output buffer.
//!
//! Invariant: the output is valid JSON on one line (RFC 8259): every control character is escaped,
//! so the line framing of stdio holds for any string. An `id` is never `null`: MCP's schema has no
//! null id. It lacks pretty printing and a buffer of its own; callers bring the connection's
//! buffer, which already has capacity in most cases.
//!
//! A message with a body of the caller's is written in three steps: a `begin_` function, the value,
//! then [`end`].

mod object;
mod scalar;

use super::id::Id;

pub use object::{ObjectWriter, write_json_line};
pub use scalar::{write_float, write_integer, write_string, write_unsigned};

/// Appends `{"jsonrpc":"2.0","id":..,"result":`. The result follows, then [`end`].
pub fn begin_result(out: &mut Vec<u8>, id: Id<'_>) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    write_id(out, id);
    out.extend_from_slice(br#","result":"#);
}

/// Appends `{"jsonrpc":"2.0","id":..,"method":..,"params":`. The params follow, then [`end`].
pub fn begin_request(out: &mut Vec<u8>, id: Id<'_>, method: &str) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    write_id(out, id);
    out.extend_from_slice(br#","method":"#);
    write_string(out, method);
    out.extend_from_slice(br#","params":"#);
}

/// Appends `{"jsonrpc":"2.0","method":..,"params":`. The params follow, then [`end`].
pub fn begin_notification(out: &mut Vec<u8>, method: &str) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0","method":"#);
    write_string(out, method);
    out.extend_from_slice(br#","params":"#);
}

/// Ends a message that a `begin_` function began.
pub fn end(out: &mut Vec<u8>) {
    out.push(b'}');
}

/// Appends a whole error response with an error object that is valid JSON on one line.
pub fn write_error_object(out: &mut Vec<u8>, id: Id<'_>, error: &[u8]) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    write_id(out, id);
    out.extend_from_slice(br#","error":"#);
    out.extend_from_slice(error);
    end(out);
}

/// Appends a whole error response without `data`. Without `id` the member is left out.
pub fn write_error(out: &mut Vec<u8>, id: Option<Id<'_>>, code: i64, message: &str) {
    begin_error(out, id, code, message);
    out.extend_from_slice(b"}}");
}

/// Appends a whole error response; `data` appends the value of the member `data`.
pub fn write_error_with_data(
    out: &mut Vec<u8>,
    id: Option<Id<'_>>,
    code: i64,
    message: &str,
    data: impl FnOnce(&mut Vec<u8>),
) {
    begin_error(out, id, code, message);
    out.extend_from_slice(br#","data":"#);
    data(out);
    out.extend_from_slice(b"}}");
}

fn begin_error(out: &mut Vec<u8>, id: Option<Id<'_>>, code: i64, message: &str) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0","#);
    if let Some(id) = id {
        out.extend_from_slice(br#""id":"#);
        write_id(out, id);
        out.push(b',');
    }
    out.extend_from_slice(br#""error":{"code":"#);
    write_integer(out, code);
    out.extend_from_slice(br#","message":"#);
    write_string(out, message);
}

/// Appends an id with its JSON type.
pub fn write_id(out: &mut Vec<u8>, id: Id<'_>) {
    match id {
        Id::Integer(number) => write_integer(out, number),
        Id::Unsigned(number) => write_unsigned(out, number),
        Id::String(text) => write_string(out, text),
    }
}

#[cfg(test)]
mod tests;
