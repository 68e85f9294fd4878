//! The cursor among the parameters of a list.

use corelane_protocol::jsonrpc::Value;

/// The text for a client with an unknown cursor.
pub(super) const NO_SUCH_CURSOR: &str = "no such cursor: list again without one";

/// The cursor that the parameters of a list have, if any.
///
/// # Errors
/// A text for the client when the cursor is not a string.
pub(super) fn cursor_of<'a>(params: Option<Value<'a>>) -> Result<Option<&'a str>, &'static str> {
    let members = params.and_then(|params| params.as_object());
    let cursor = members.and_then(|members| members.optional("cursor"));
    let text = cursor.map(|cursor| cursor.as_str().ok_or("params.cursor must be a string"));
    text.transpose()
}
