//! One header field of a request, of which there may be several lines.

use memchr::memchr;

/// A header field that should occur at most once. Values are trimmed of optional white space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Field<'a> {
    /// No such field.
    #[default]
    Absent,
    /// One field, with its value, which may be empty.
    Once(&'a [u8]),
    /// Several such fields whose values differ; several at all of those that frame the message,
    /// name its host, prove who sends it or name its trace.
    /// [`RequestHead::headers`](super::RequestHead::headers) has them, in order. Where the field is
    /// a list (`Accept`) that is legal and means the lists joined; elsewhere it is an error.
    Repeated,
}

/// The one value that all elements of a comma-separated list have; none if they differ. A value
/// without a comma is a list of one.
///
/// Lines of the same name mean their values joined with commas (RFC 9110 5.3), and some clients
/// and proxies send a field twice in either form.
#[inline]
pub fn sole_element(list: &[u8]) -> Option<&[u8]> {
    if memchr(b',', list).is_none() {
        return Some(list);
    }
    let mut elements = list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let first = elements.next()?;
    elements.all(|element| element == first).then_some(first)
}

impl<'a> Field<'a> {
    /// The value of a field that occurred once.
    #[inline]
    pub fn value(self) -> Option<&'a [u8]> {
        match self {
            Self::Once(value) => Some(value),
            Self::Absent | Self::Repeated => None,
        }
    }

    /// Adds a line of a field that must not be repeated, even with the same value.
    #[inline]
    pub(super) fn add_only(&mut self, value: &'a [u8]) {
        *self = match self {
            Self::Absent => Self::Once(value),
            Self::Once(_) | Self::Repeated => Self::Repeated,
        };
    }

    /// Adds a line of any other field: equal values are one value.
    #[inline]
    pub(super) fn add(&mut self, value: &'a [u8]) {
        *self = match self {
            Self::Absent => Self::Once(value),
            Self::Once(known) if *known == value => return,
            Self::Once(_) | Self::Repeated => Self::Repeated,
        };
    }

    /// Adds a line of a field whose values have no comma: `a, a` is two lines of `a`. A line that
    /// is too short for two usable values and a comma is not searched for a comma.
    #[inline]
    pub(super) fn add_single(&mut self, value: &'a [u8], list_bytes_min: usize) {
        let sole = match value.len() < list_bytes_min {
            true => Some(value),
            false => sole_element(value),
        };
        match sole {
            Some(value) => self.add(value),
            None => *self = Self::Repeated,
        }
    }
}
