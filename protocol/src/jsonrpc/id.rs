//! Request ids: integers and strings, never anything else.
//!
//! Invariant: an id keeps its JSON type, so `1` and `"1"` are different ids, and equal ids hash
//! alike whether borrowed or owned. It lacks `null`, fractions and exponents: MCP allows an id to
//! be a string or an integer only (MCP 2025-11-25 basic).

use super::value::Value;
use std::hash::{Hash, Hasher};

/// A request id borrowed from a decoded message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Id<'a> {
    /// An integer of the range of `i64`.
    Integer(i64),
    /// An integer above `i64::MAX`. Smaller integers are always [`Id::Integer`], or equal ids would
    /// differ. `Id::from(u64)` chooses.
    Unsigned(u64),
    /// A string, unescaped; possibly empty.
    String(&'a str),
}

impl<'a> Id<'a> {
    /// The id that `value` is: `None` unless it is a string or an integer.
    pub fn read(value: Value<'a>) -> Option<Id<'a>> {
        match value.as_str() {
            Some(text) => Some(Id::String(text)),
            None => value
                .as_i64()
                .map(Id::Integer)
                .or_else(|| value.as_u64().map(Id::from)),
        }
    }
}

impl From<i64> for Id<'_> {
    fn from(number: i64) -> Self {
        Id::Integer(number)
    }
}

impl From<u64> for Id<'_> {
    fn from(number: u64) -> Self {
        i64::try_from(number).map_or(Id::Unsigned(number), Id::Integer)
    }
}

impl<'a> From<&'a str> for Id<'a> {
    fn from(text: &'a str) -> Self {
        Id::String(text)
    }
}

/// A request id that outlives its message: 24 bytes, and one allocation if it is a string.
#[derive(Clone, Debug)]
pub enum OwnedId {
    /// An integer of the range of `i64`.
    Integer(i64),
    /// An integer above `i64::MAX`.
    Unsigned(u64),
    /// A string.
    String(Box<str>),
}

const _: () = assert!(size_of::<OwnedId>() == 24);

impl OwnedId {
    /// The same id, borrowed.
    pub fn as_id(&self) -> Id<'_> {
        match self {
            OwnedId::Integer(number) => Id::Integer(*number),
            OwnedId::Unsigned(number) => Id::Unsigned(*number),
            OwnedId::String(text) => Id::String(text),
        }
    }
}

impl From<Id<'_>> for OwnedId {
    fn from(id: Id<'_>) -> Self {
        match id {
            Id::Integer(number) => OwnedId::Integer(number),
            Id::Unsigned(number) => OwnedId::Unsigned(number),
            Id::String(text) => OwnedId::String(text.into()),
        }
    }
}

impl PartialEq for OwnedId {
    fn eq(&self, other: &OwnedId) -> bool {
        self.as_id() == other.as_id()
    }
}

impl Eq for OwnedId {}

impl Hash for OwnedId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_id().hash(state);
    }
}

impl PartialEq<Id<'_>> for OwnedId {
    fn eq(&self, other: &Id<'_>) -> bool {
        self.as_id() == *other
    }
}

impl PartialEq<OwnedId> for Id<'_> {
    fn eq(&self, other: &OwnedId) -> bool {
        *self == other.as_id()
    }
}

#[cfg(test)]
mod tests {
    use super::{Id, OwnedId};
    use std::hash::{BuildHasher, RandomState};

    #[test]
    fn keeps_the_json_type_and_compares_borrowed_with_owned() {
        let ids = [
            Id::from(1i64),
            Id::from(-1i64),
            Id::from(i64::MIN),
            Id::from(i64::MAX as u64 + 1),
            Id::from(u64::MAX),
            Id::from("1"),
            Id::from("-1"),
            Id::from(""),
        ];
        let hasher = RandomState::new();
        for (left_index, left) in ids.iter().enumerate() {
            for (right_index, right) in ids.iter().enumerate() {
                let owned = OwnedId::from(*right);
                let same = left_index == right_index;
                assert_eq!(left == right, same, "{left:?} {right:?}");
                assert_eq!(*left == owned, same, "{left:?} {owned:?}");
                assert_eq!(owned == *left, same, "{owned:?} {left:?}");
                let left_owned = OwnedId::from(*left);
                assert_eq!(left_owned == owned, same, "{left_owned:?} {owned:?}");
                assert_eq!(owned.as_id(), *right);
                assert_eq!(hasher.hash_one(&owned), hasher.hash_one(right));
            }
        }
    }

    #[test]
    fn gives_an_unsigned_number_one_form_only() {
        assert_eq!(Id::from(7u64), Id::Integer(7));
        assert_eq!(Id::from(i64::MAX as u64), Id::Integer(i64::MAX));
        assert_eq!(
            Id::from(i64::MAX as u64 + 1),
            Id::Unsigned(i64::MAX as u64 + 1)
        );
    }
}
