//! The claims that the headers of a transport make about a message.

use crate::framing::http1::{Field, RequestHead};

/// The headers that came with a message. They decide nothing: admission checks that they agree with
/// the message.
#[derive(Debug, Clone, Copy)]
pub struct Claims<'a>(Option<&'a RequestHead<'a>>);

impl<'a> Claims<'a> {
    /// A message of a transport without headers, such as stdio.
    pub const NONE: Claims<'static> = Claims(None);

    /// The headers of an HTTP request.
    pub fn of_head(head: &'a RequestHead<'a>) -> Claims<'a> {
        Claims(Some(head))
    }

    /// Whether there are headers at all.
    pub fn are_made(self) -> bool {
        self.0.is_some()
    }

    /// The head of the request, if there is one.
    pub(super) fn head(self) -> Option<&'a RequestHead<'a>> {
        self.0
    }

    /// The value of the header `traceparent`. Only one such field names a parent (W3C Trace Context
    /// 3.2): several are as malformed as an empty one.
    pub fn trace_parent(self) -> Option<&'a [u8]> {
        match self.0?.trace_parent {
            Field::Absent => None,
            Field::Once(value) => Some(value),
            Field::Repeated => Some(b""),
        }
    }

    /// Every header field, by name and value.
    pub fn fields(self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.0.into_iter().flat_map(RequestHead::headers)
    }
}
