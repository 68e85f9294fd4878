//! The decoder's tape as a representation of JSON that `jsonschema` validates.
//!
//! Invariant: each operation of a validator on a value costs a [`Budget`], for time as for copied
//! bytes. Once it is spent, each value hides: it has its type and no content, so that validation
//! ends soon, with a meaningless result.

use std::borrow::Cow;
use std::cell::Cell;

use corelane_protocol::jsonrpc::{Array, ArrayIter, Kind, Object, ObjectIter, Value};
use jsonschema::JsonType;
use jsonschema::json::{self, Json, JsonNumber, Node, NodeIdentity, cmp, unique};

/// Bytes that are copied or searched in the time of one unit of work.
const BYTES_PER_UNIT: usize = 64;
/// Names that are compared in the time of one unit of work.
const NAMES_PER_UNIT: usize = 16;

/// Work that may still be done on a value. One unit is about one look at a part of it, some tens of
/// nanoseconds.
#[derive(Debug)]
pub(super) struct Budget(Cell<u64>);

impl Budget {
    pub(super) fn new(units: u64) -> Budget {
        Budget(Cell::new(units))
    }

    /// The units that are left. Results that were found with none left are meaningless.
    pub(super) fn left(&self) -> u64 {
        self.0.get()
    }

    /// Spends a unit and the work on `bytes`, if that much is left; otherwise all of it.
    fn spend(&self, bytes: usize) -> Option<()> {
        let units = 1 + (bytes / BYTES_PER_UNIT) as u64;
        let left = self.0.get().checked_sub(units);
        self.0.set(left.unwrap_or(0));
        left.map(|_| ())
    }

    fn spend_on_names(&self, names: usize) -> Option<()> {
        self.spend(names / NAMES_PER_UNIT * BYTES_PER_UNIT)
    }
}

/// See above.
#[derive(Debug)]
pub(super) enum Tape {}

/// A value on the tape, or the name of a property when names themselves are validated.
#[derive(Debug, Clone, Copy)]
pub(super) enum TapeNode<'a> {
    Value(Value<'a>, Place<'a>),
    Name(&'a str),
}

/// Where a value stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    budget: &'a Budget,
    /// Bytes of the path from the root: each error copies it.
    path_bytes: usize,
}

impl<'a> Place<'a> {
    /// The place of a member or an element; `segment_bytes` of the path lead there.
    fn below(self, segment_bytes: usize) -> Place<'a> {
        Place {
            path_bytes: self.path_bytes + 1 + segment_bytes,
            ..self
        }
    }
}

impl Json for Tape {
    type Node<'a> = TapeNode<'a>;
    type PreparedKey = String;
    type StringBuffer = ();

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>(_buffer: &mut (), string: &str, f: impl FnOnce(TapeNode<'_>) -> T) -> T {
        f(TapeNode::Name(string))
    }
}

impl<'a> TapeNode<'a> {
    /// The root of a document, with the budget for all of it.
    pub(super) fn root(value: Value<'a>, budget: &'a Budget) -> TapeNode<'a> {
        let path_bytes = 0;
        TapeNode::Value(value, Place { budget, path_bytes })
    }

    /// A copy to compare with others; null once the budget is spent.
    fn copy(self) -> serde_json::Value {
        match self {
            TapeNode::Value(value, place) => match place.budget.spend(value.owned_bytes()) {
                Some(()) => value.to_serde(),
                None => serde_json::Value::Null,
            },
            TapeNode::Name(name) => name.into(),
        }
    }

    /// The value, unless the budget is spent.
    fn value(self) -> Option<(Value<'a>, Place<'a>)> {
        match self {
            TapeNode::Value(value, place) => {
                place.budget.spend(place.path_bytes)?;
                Some((value, place))
            }
            TapeNode::Name(_) => None,
        }
    }
}

impl<'a> Node<'a, Tape> for TapeNode<'a> {
    type Object = TapeObject<'a>;
    type Array = TapeArray<'a>;
    type Number = TapeNumber<'a>;

    fn as_object(&self) -> Option<TapeObject<'a>> {
        let (value, place) = self.value()?;
        value.as_object().map(|object| TapeObject(object, place))
    }

    fn as_array(&self) -> Option<TapeArray<'a>> {
        let (value, place) = self.value()?;
        value.as_array().map(|array| TapeArray(array, place))
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        match self {
            TapeNode::Value(value, place) => {
                let text = value.as_str()?;
                place.budget.spend(place.path_bytes + text.len())?;
                Some(Cow::Borrowed(text))
            }
            TapeNode::Name(name) => Some(Cow::Borrowed(name)),
        }
    }

    fn as_number(&self) -> Option<TapeNumber<'a>> {
        let is_number = |value: &Value<'_>| matches!(value.kind(), Kind::Integer | Kind::Float);
        let value = self.value().map(|(value, _)| value);
        value.filter(is_number).map(TapeNumber)
    }

    fn as_boolean(&self) -> Option<bool> {
        self.value()?.0.as_bool()
    }

    fn is_null(&self) -> bool {
        self.value().is_some_and(|(value, _)| value.is_null())
    }

    fn is_string(&self) -> bool {
        self.json_type() == JsonType::String
    }

    fn json_type(&self) -> JsonType {
        match self {
            TapeNode::Name(_) => JsonType::String,
            TapeNode::Value(value, _) => match value.kind() {
                Kind::Null => JsonType::Null,
                Kind::Bool => JsonType::Boolean,
                Kind::Integer | Kind::Float => JsonType::Number,
                Kind::String => JsonType::String,
                Kind::Array => JsonType::Array,
                Kind::Object => JsonType::Object,
            },
        }
    }

    fn equals_value(&self, expected: &serde_json::Value) -> bool {
        cmp::equal(&self.copy(), expected)
    }

    /// The value that an error keeps: none, because errors are reported without it. Some of them
    /// report the number of elements of an array.
    fn to_value(&self) -> Cow<'a, serde_json::Value> {
        let (elements, place) = match self {
            TapeNode::Value(value, place) => match value.as_array() {
                Some(array) => (array.len(), place),
                None => return Cow::Owned(serde_json::Value::Null),
            },
            TapeNode::Name(_) => return Cow::Owned(serde_json::Value::Null),
        };
        let copied_bytes = elements * size_of::<serde_json::Value>();
        Cow::Owned(match place.budget.spend(copied_bytes) {
            Some(()) => vec![serde_json::Value::Null; elements].into(),
            None => serde_json::Value::Null,
        })
    }

    fn identity(&self) -> Option<NodeIdentity> {
        // A name lives on its own; only values can be part of a cycle of references.
        match self {
            TapeNode::Value(value, _) => Some(NodeIdentity::new(value.address())),
            TapeNode::Name(_) => None,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct TapeObject<'a>(Object<'a>, Place<'a>);

impl<'a> json::Object<'a, Tape> for TapeObject<'a> {
    type Node = TapeNode<'a>;
    type MemberName = &'a str;
    type MembersIter = TapeMembers<'a>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, key: &String) -> Option<TapeNode<'a>> {
        self.1.budget.spend_on_names(self.0.len())?;
        let value = self.0.get(key)?;
        Some(TapeNode::Value(value, self.1.below(key.len())))
    }

    fn members(&self) -> Self::MembersIter {
        TapeMembers(self.0.iter(), self.1)
    }
}

/// The members of an object in order.
pub(super) struct TapeMembers<'a>(ObjectIter<'a>, Place<'a>);

impl<'a> Iterator for TapeMembers<'a> {
    type Item = (&'a str, TapeNode<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.0.next()?;
        // Unexpected names are copied for the error that lists them.
        self.1.budget.spend(name.len())?;
        Some((name, TapeNode::Value(value, self.1.below(name.len()))))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, self.0.size_hint().1)
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct TapeArray<'a>(Array<'a>, Place<'a>);

impl<'a> json::Array<'a, Tape> for TapeArray<'a> {
    type Node = TapeNode<'a>;
    type ElementsIter = TapeElements<'a>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn elements(&self) -> Self::ElementsIter {
        TapeElements(self.0.iter(), self.1)
    }

    fn is_unique(&self) -> bool {
        let copies: Vec<_> = self.elements().map(TapeNode::copy).collect();
        unique::is_unique(&copies)
    }
}

/// The elements of an array in order.
pub(super) struct TapeElements<'a>(ArrayIter<'a>, Place<'a>);

impl<'a> Iterator for TapeElements<'a> {
    type Item = TapeNode<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        const INDEX_BYTES: usize = 7;
        let value = self.0.next()?;
        self.1.budget.spend(0)?;
        Some(TapeNode::Value(value, self.1.below(INDEX_BYTES)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, self.0.size_hint().1)
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct TapeNumber<'a>(Value<'a>);

impl JsonNumber for TapeNumber<'_> {
    fn as_u64(&self) -> Option<u64> {
        self.0.as_u64()
    }

    fn as_i64(&self) -> Option<i64> {
        self.0.as_i64()
    }

    fn as_f64(&self) -> Option<f64> {
        self.0.as_f64()
    }

    fn as_str(&self) -> Cow<'_, str> {
        let mut text = Vec::new();
        self.0.write_json(&mut text);
        Cow::Owned(String::from_utf8_lossy(&text).into_owned())
    }

    fn to_number(&self) -> Cow<'_, serde_json::Number> {
        Cow::Owned(match self.0.to_serde() {
            serde_json::Value::Number(number) => number,
            _ => serde_json::Number::from(0),
        })
    }

    fn is_integer(&self) -> bool {
        self.0.as_i64().is_some()
            || self.0.as_u64().is_some()
            || self.0.as_f64().is_some_and(|number| number.fract() == 0.0)
    }
}
