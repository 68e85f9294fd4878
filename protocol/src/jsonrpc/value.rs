//! Values of a decoded document.
//!
//! The parser leaves a tape: one node for each value and member name, in the order of the text,
//! where an array or object says how many nodes it spans. A [`Value`] is the slice of the tape that
//! is exactly that value, so walking costs no allocation and copying a value costs two words.
//!
//! Invariant: the first node of the slice says where it ends, and every number is finite. It lacks
//! mutation, and random access by index: a value is read front to back.

pub(super) mod duplicate;

use super::encode::{write_float, write_integer, write_string, write_unsigned};
use simd_json::{Node, StaticNode};
use std::fmt;

/// The kind of a value. The notation separates integers from floats: `1.0` and `1e0` are floats,
/// and so are integers beyond `i64` and `u64`, if the parser accepts them at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number without fraction and exponent.
    Integer,
    /// A number with a fraction or an exponent.
    Float,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Kind::Null => "null",
            Kind::Bool => "a boolean",
            Kind::Integer => "an integer",
            Kind::Float => "a fraction",
            Kind::String => "a string",
            Kind::Array => "an array",
            Kind::Object => "an object",
        })
    }
}

/// One value of a decoded document; valid until the document is dropped.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    nodes: &'a [Node<'a>],
}

impl Value<'static> {
    /// An object without members, used for absent arguments.
    pub const EMPTY_OBJECT: Value<'static> = Value {
        nodes: &[Node::Object { len: 0, count: 0 }],
    };
}

impl<'a> Value<'a> {
    /// The value that is the whole tape of a successful parse.
    pub(super) fn from_tape(nodes: &'a [Node<'a>]) -> Value<'a> {
        assert!(!nodes.is_empty(), "a parsed text has at least one node");
        let (value, rest) = split_value(nodes);
        debug_assert!(rest.is_empty(), "a tape holds exactly one value");
        value
    }

    /// A number that no other value of the document has, for as long as the document lives.
    pub fn address(&self) -> usize {
        self.nodes.as_ptr().addr()
    }

    /// The kind of the value.
    pub fn kind(&self) -> Kind {
        match self.node() {
            Node::String(_) => Kind::String,
            Node::Object { .. } => Kind::Object,
            Node::Array { .. } => Kind::Array,
            Node::Static(StaticNode::Null) => Kind::Null,
            Node::Static(StaticNode::Bool(_)) => Kind::Bool,
            Node::Static(StaticNode::F64(_)) => Kind::Float,
            Node::Static(StaticNode::I64(_) | StaticNode::U64(_)) => Kind::Integer,
        }
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        self.kind() == Kind::Null
    }

    /// The string, unescaped, if it is one.
    pub fn as_str(&self) -> Option<&'a str> {
        match self.node() {
            Node::String(text) => Some(text),
            _ => None,
        }
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self.node() {
            Node::Static(StaticNode::Bool(truth)) => Some(truth),
            _ => None,
        }
    }

    /// The integer, if it is one and within `i64`. `1.0` is none.
    pub fn as_i64(&self) -> Option<i64> {
        match self.node() {
            Node::Static(StaticNode::I64(number)) => Some(number),
            Node::Static(StaticNode::U64(number)) => i64::try_from(number).ok(),
            _ => None,
        }
    }

    /// The integer, if it is one and within `u64`. `1.0` is none.
    pub fn as_u64(&self) -> Option<u64> {
        match self.node() {
            Node::Static(StaticNode::I64(number)) => u64::try_from(number).ok(),
            Node::Static(StaticNode::U64(number)) => Some(number),
            _ => None,
        }
    }

    /// The number, if it is one, rounded to the nearest `f64` if it is an integer beyond 2^53.
    pub fn as_f64(&self) -> Option<f64> {
        match self.node() {
            Node::Static(StaticNode::I64(number)) => Some(number as f64),
            Node::Static(StaticNode::U64(number)) => Some(number as f64),
            Node::Static(StaticNode::F64(number)) => Some(number),
            _ => None,
        }
    }

    /// The members, if it is an object.
    pub fn as_object(&self) -> Option<Object<'a>> {
        match self.node() {
            Node::Object { len, .. } => Some(Object {
                len,
                nodes: &self.nodes[1..],
            }),
            _ => None,
        }
    }

    /// The elements, if it is an array.
    pub fn as_array(&self) -> Option<Array<'a>> {
        match self.node() {
            Node::Array { len, .. } => Some(Array {
                len,
                nodes: &self.nodes[1..],
            }),
            _ => None,
        }
    }

    /// Appends the value as compact JSON. Numbers read back equal, member order and duplicates
    /// stay, notation does not: `1e2` becomes `100.0`.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self.node() {
            Node::String(text) => write_string(out, text),
            Node::Static(scalar) => write_scalar(out, scalar),
            Node::Object { .. } => {
                let mut separator = b'{';
                for (name, value) in self.as_object().into_iter().flatten() {
                    out.push(separator);
                    separator = b',';
                    write_string(out, name);
                    out.push(b':');
                    value.write_json(out);
                }
                out.extend_from_slice(if separator == b'{' { b"{}" } else { b"}" });
            }
            Node::Array { .. } => {
                let mut separator = b'[';
                for value in self.as_array().into_iter().flatten() {
                    out.push(separator);
                    separator = b',';
                    value.write_json(out);
                }
                out.extend_from_slice(if separator == b'[' { b"[]" } else { b"]" });
            }
        }
    }

    /// The number of values in it, itself and the names of members included.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// About how many bytes [`Value::to_serde`] would take, names and texts included; one pass over
    /// the nodes. Most types that arguments are read into take less.
    pub fn owned_bytes(&self) -> usize {
        let bytes_of = |node: &Node<'_>| match node {
            Node::String(text) => text.len(),
            Node::Object { len, .. } => len.div_ceil(MAP_LEAF_MEMBERS_MIN) * MAP_LEAF_BYTES,
            Node::Array { .. } | Node::Static(_) => 0,
        };
        self.nodes.len() * size_of::<serde_json::Value>()
            + self.nodes.iter().map(bytes_of).sum::<usize>()
    }

    /// Copies the value into serde_json's own type. Of duplicate members the last one stays.
    pub fn to_serde(&self) -> serde_json::Value {
        // Built by hand: serde_json's own `Deserialize` reads an object whose first member has the
        // private name of `RawValue` as embedded JSON, and a peer can send that name.
        match self.node() {
            Node::String(text) => text.into(),
            Node::Static(StaticNode::Null) => serde_json::Value::Null,
            Node::Static(StaticNode::Bool(truth)) => truth.into(),
            Node::Static(StaticNode::I64(number)) => number.into(),
            Node::Static(StaticNode::U64(number)) => number.into(),
            Node::Static(StaticNode::F64(number)) => number.into(),
            Node::Object { .. } => self.object_to_serde(),
            Node::Array { .. } => self.array_to_serde(),
        }
    }

    // Apart from `to_serde` and with plain loops, to keep the stack of one level small.
    fn object_to_serde(self) -> serde_json::Value {
        let mut map = serde_json::Map::new();
        for (name, value) in self.as_object().into_iter().flatten() {
            map.insert(name.to_owned(), value.to_serde());
        }
        serde_json::Value::Object(map)
    }

    fn array_to_serde(self) -> serde_json::Value {
        let elements = self
            .as_array()
            .map_or(ArrayIter::empty(), |array| array.iter());
        let mut list = Vec::with_capacity(elements.len());
        for value in elements {
            list.push(value.to_serde());
        }
        serde_json::Value::Array(list)
    }

    pub(super) fn node(&self) -> Node<'a> {
        self.nodes[0]
    }
}

fn write_scalar(out: &mut Vec<u8>, scalar: StaticNode) {
    match scalar {
        StaticNode::Null => out.extend_from_slice(b"null"),
        StaticNode::Bool(true) => out.extend_from_slice(b"true"),
        StaticNode::Bool(false) => out.extend_from_slice(b"false"),
        StaticNode::I64(number) => write_integer(out, number),
        StaticNode::U64(number) => write_unsigned(out, number),
        StaticNode::F64(number) => write_float(out, number),
    }
}

/// Members that a leaf of a B-tree map of several leaves has at least.
const MAP_LEAF_MEMBERS_MIN: usize = 5;
/// Bytes of a leaf: eleven names and values, however few of them are used.
const MAP_LEAF_BYTES: usize = 11 * (size_of::<String>() + size_of::<serde_json::Value>()) + 16;

/// Splits the first value off a run of nodes.
fn split_value<'a>(nodes: &'a [Node<'a>]) -> (Value<'a>, &'a [Node<'a>]) {
    let (value, rest) = nodes.split_at(span(&nodes[0]));
    (Value { nodes: value }, rest)
}

/// The number of nodes of the value that starts with `first`.
fn span(first: &Node<'_>) -> usize {
    match first {
        Node::Object { count, .. } | Node::Array { count, .. } => count + 1,
        Node::String(_) | Node::Static(_) => 1,
    }
}

/// The members of an object, in the order of the text, duplicates included.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    len: usize,
    nodes: &'a [Node<'a>],
}

impl<'a> Object<'a> {
    /// The number of members, duplicates included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of the member of that name. In a message it is the only one.
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.iter()
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value)
    }

    /// The value of a member that may be left out. Null is absence: many serializers write an
    /// absent member as null, and the official Python SDK reads it so.
    pub fn optional(&self, name: &str) -> Option<Value<'a>> {
        self.get(name).filter(|value| !value.is_null())
    }

    /// All members in order.
    pub fn iter(&self) -> ObjectIter<'a> {
        ObjectIter {
            left: self.len,
            nodes: self.nodes,
        }
    }
}

impl<'a> IntoIterator for Object<'a> {
    type Item = (&'a str, Value<'a>);
    type IntoIter = ObjectIter<'a>;

    fn into_iter(self) -> ObjectIter<'a> {
        self.iter()
    }
}

/// Iterates over the members of an [`Object`].
#[derive(Clone, Debug)]
pub struct ObjectIter<'a> {
    left: usize,
    nodes: &'a [Node<'a>],
}

impl<'a> Iterator for ObjectIter<'a> {
    type Item = (&'a str, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let [Node::String(name), value, ..] = self.nodes else {
            debug_assert!(self.nodes.is_empty(), "a member is a name and a value");
            return None;
        };
        let (member, rest) = self.nodes.split_at(1 + span(value));
        self.nodes = rest;
        self.left -= 1;
        Some((
            name,
            Value {
                nodes: &member[1..],
            },
        ))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for ObjectIter<'_> {}

/// The elements of an array.
#[derive(Clone, Copy, Debug)]
pub struct Array<'a> {
    len: usize,
    nodes: &'a [Node<'a>],
}

impl<'a> Array<'a> {
    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All elements in order.
    pub fn iter(&self) -> ArrayIter<'a> {
        ArrayIter {
            left: self.len,
            nodes: self.nodes,
        }
    }
}

impl<'a> IntoIterator for Array<'a> {
    type Item = Value<'a>;
    type IntoIter = ArrayIter<'a>;

    fn into_iter(self) -> ArrayIter<'a> {
        self.iter()
    }
}

/// Iterates over the elements of an [`Array`].
#[derive(Clone, Debug)]
pub struct ArrayIter<'a> {
    left: usize,
    nodes: &'a [Node<'a>],
}

impl<'a> ArrayIter<'a> {
    /// An iterator without elements.
    pub(super) fn empty() -> ArrayIter<'a> {
        ArrayIter {
            left: 0,
            nodes: &[],
        }
    }
}

impl<'a> Iterator for ArrayIter<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        if self.nodes.is_empty() {
            return None;
        }
        let (value, rest) = split_value(self.nodes);
        self.nodes = rest;
        self.left -= 1;
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for ArrayIter<'_> {}
