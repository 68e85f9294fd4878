//! The cursor among the parameters of a list.

use corelane_protocol::jsonrpc::Value;
use corelane_protocol::mcp::method::Method;

use super::questions::Questions;

/// The text for a client with an unknown cursor.
pub(super) const NO_SUCH_CURSOR: &str = "no such cursor: list again without one";

/// The cursors of a list that differs between principals: the number of an entry, sealed for one
/// principal and one list, so that no number of a hidden entry can be read or guessed.
pub(super) struct SealedCursor<'a> {
    pub(super) questions: &'a Questions,
    pub(super) principal: Option<&'a str>,
    pub(super) method: Method,
}

impl SealedCursor<'_> {
    /// The text for the entry with this number. It never expires.
    pub(super) fn seal(&self, number: u64) -> String {
        let contents = number.to_be_bytes();
        self.questions
            .seal((self.principal, self.method), &contents)
    }

    /// The number of the entry; none if the text was not made here for this principal and list.
    pub(super) fn open(&self, text: &str) -> Option<u64> {
        let contents = self.questions.open((self.principal, self.method), text)?;
        contents.try_into().ok().map(u64::from_be_bytes)
    }
}

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
