//! Values to the types of handlers, through serde.
//!
//! Strings are borrowed from the document. Conversions are those of serde_json: integers fit every
//! numeric type they are in range of, floats too; fractions fit floats only; a struct may come as an
//! array; an enum is a string or an object of one member; map keys may be read as numbers and
//! booleans.
//!
//! Invariant: an error names the path of the member it is about and has a bounded length, because it
//! quotes the peer and goes back to it. It lacks serde_json's private types `RawValue` and
//! arbitrary-precision `Number`.

use super::value::{ArrayIter, ObjectIter, Value};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor, value::BorrowedStrDeserializer,
};
use serde::forward_to_deserialize_any;
use simd_json::{Node, StaticNode};
use std::fmt::{self, Display, Write};

mod key;

use key::KeyDeserializer;

/// How much of a message serde wrote is kept, in bytes.
const MESSAGE_BYTES_MAX: usize = 512;
/// How long a path may grow, in bytes; outer parts beyond it are left out.
const PATH_BYTES_MAX: usize = 256;

/// Why a value does not fit a type. The peer's fault; for params the code is
/// [`super::INVALID_PARAMS`].
#[derive(Debug)]
pub struct DeserializeError {
    details: Box<Details>,
}

#[derive(Debug)]
struct Details {
    path: String,
    path_full: bool,
    message: String,
}

impl DeserializeError {
    /// Where in the value it is, as `arguments.rows[3].name`; empty for the value itself, at most
    /// 256 bytes: of a longer path only the innermost parts are kept.
    pub fn path(&self) -> &str {
        &self.details.path
    }

    /// What is wrong there, at most 512 bytes.
    pub fn message(&self) -> &str {
        &self.details.message
    }

    /// Puts a part in front of the path, unless the path is full; then it stays as it is, so that
    /// what it says is a true ending.
    #[cold]
    fn within(mut self, part: fmt::Arguments<'_>, part_bytes: usize) -> DeserializeError {
        let details = &mut *self.details;
        details.path_full |= details.path.len() + part_bytes >= PATH_BYTES_MAX;
        if !details.path_full {
            let inner = std::mem::take(&mut details.path);
            let dot = if inner.is_empty() || inner.starts_with('[') {
                ""
            } else {
                "."
            };
            details.path = format!("{part}{dot}{inner}");
        }
        self
    }

    fn within_member(self, name: &str) -> DeserializeError {
        self.within(format_args!("{name}"), name.len())
    }

    fn within_element(self, index: usize) -> DeserializeError {
        // Brackets and the digits of the largest index.
        self.within(format_args!("[{index}]"), 22)
    }
}

impl Display for DeserializeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path() {
            "" => formatter.write_str(self.message()),
            path => write!(formatter, "{path}: {}", self.message()),
        }
    }
}

impl std::error::Error for DeserializeError {}

impl serde::de::Error for DeserializeError {
    #[cold]
    fn custom<T: Display>(message: T) -> DeserializeError {
        let mut bounded = Bounded(String::new());
        // An error only says that the bound was reached; what was written before it stays.
        let _ = write!(bounded, "{message}");
        DeserializeError {
            details: Box::new(Details {
                path: String::new(),
                path_full: false,
                message: bounded.0,
            }),
        }
    }
}

/// Takes text up to [`MESSAGE_BYTES_MAX`] and cuts it there between two characters.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MESSAGE_BYTES_MAX - self.0.len();
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        let cut = (0..=room).rev().find(|cut| text.is_char_boundary(*cut));
        self.0.push_str(&text[..cut.unwrap_or(0)]);
        Err(fmt::Error)
    }
}

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = DeserializeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        match self.node() {
            Node::String(text) => visitor.visit_borrowed_str(text),
            Node::Static(StaticNode::Null) => visitor.visit_unit(),
            Node::Static(StaticNode::Bool(truth)) => visitor.visit_bool(truth),
            Node::Static(StaticNode::I64(number)) => visitor.visit_i64(number),
            Node::Static(StaticNode::U64(number)) => visitor.visit_u64(number),
            Node::Static(StaticNode::F64(number)) => visitor.visit_f64(number),
            Node::Array { .. } => visit_array(self, visitor),
            Node::Object { .. } => visit_object(self, visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        if self.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        if let Some(text) = self.as_str() {
            return visitor.visit_enum(Variant {
                name: text,
                content: None,
            });
        }
        let mut members = self
            .as_object()
            .ok_or_else(|| DeserializeError::invalid_type(unexpected(self), &"string or object"))?
            .iter();
        match (members.next(), members.next()) {
            (Some((name, content)), None) => visitor.visit_enum(Variant {
                name,
                content: Some(content),
            }),
            _ => Err(DeserializeError::invalid_value(
                Unexpected::Map,
                &"object with a single member",
            )),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(
        self,
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier
    }
}

impl<'de> IntoDeserializer<'de, DeserializeError> for Value<'de> {
    type Deserializer = Value<'de>;

    fn into_deserializer(self) -> Value<'de> {
        self
    }
}

fn unexpected(value: Value<'_>) -> Unexpected<'_> {
    match value.node() {
        Node::String(text) => Unexpected::Str(text),
        Node::Static(StaticNode::Null) => Unexpected::Unit,
        Node::Static(StaticNode::Bool(truth)) => Unexpected::Bool(truth),
        Node::Static(StaticNode::I64(number)) => Unexpected::Signed(number),
        Node::Static(StaticNode::U64(number)) => Unexpected::Unsigned(number),
        Node::Static(StaticNode::F64(number)) => Unexpected::Float(number),
        Node::Array { .. } => Unexpected::Seq,
        Node::Object { .. } => Unexpected::Map,
    }
}

fn visit_array<'de, V: Visitor<'de>>(
    value: Value<'de>,
    visitor: V,
) -> Result<V::Value, DeserializeError> {
    let elements = value
        .as_array()
        .map_or(ArrayIter::empty(), |array| array.iter());
    let len = elements.len();
    let mut elements = Elements { elements, next: 0 };
    let visited = visitor.visit_seq(&mut elements)?;
    match elements.elements.len() {
        0 => Ok(visited),
        _ => Err(DeserializeError::invalid_length(
            len,
            &"fewer elements in array",
        )),
    }
}

struct Elements<'de> {
    elements: ArrayIter<'de>,
    next: usize,
}

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = DeserializeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DeserializeError> {
        let Some(element) = self.elements.next() else {
            return Ok(None);
        };
        let index = self.next;
        self.next += 1;
        seed.deserialize(element)
            .map(Some)
            .map_err(|error| error.within_element(index))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.elements.len())
    }
}

fn visit_object<'de, V: Visitor<'de>>(
    value: Value<'de>,
    visitor: V,
) -> Result<V::Value, DeserializeError> {
    let object = value.as_object().expect("the caller saw an object");
    let mut members = Members {
        members: object.iter(),
        pending: None,
    };
    let visited = visitor.visit_map(&mut members)?;
    match members.members.len() {
        0 => Ok(visited),
        _ => Err(DeserializeError::invalid_length(
            object.len(),
            &"fewer elements in map",
        )),
    }
}

struct Members<'de> {
    members: ObjectIter<'de>,
    pending: Option<(&'de str, Value<'de>)>,
}

impl<'de> MapAccess<'de> for Members<'de> {
    type Error = DeserializeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DeserializeError> {
        self.pending = self.members.next();
        match self.pending {
            Some((name, _)) => seed.deserialize(KeyDeserializer::new(name)).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, DeserializeError> {
        let (name, value) = self
            .pending
            .take()
            .ok_or_else(|| DeserializeError::custom("value read before its member name"))?;
        seed.deserialize(value)
            .map_err(|error| error.within_member(name))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.members.len())
    }
}

/// A variant by name, with its content if it came as an object of one member.
struct Variant<'de> {
    name: &'de str,
    content: Option<Value<'de>>,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = DeserializeError;
    type Variant = Content<'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Content<'de>), DeserializeError> {
        let variant = seed.deserialize(BorrowedStrDeserializer::new(self.name))?;
        Ok((
            variant,
            Content {
                name: self.name,
                value: self.content,
            },
        ))
    }
}

struct Content<'de> {
    name: &'de str,
    value: Option<Value<'de>>,
}

impl<'de> Content<'de> {
    /// The content, or the error that a variant of that form cannot do without it.
    fn required(&self, form: &'static str) -> Result<Value<'de>, DeserializeError> {
        self.value
            .ok_or_else(|| DeserializeError::invalid_type(Unexpected::UnitVariant, &form))
    }
}

impl<'de> VariantAccess<'de> for Content<'de> {
    type Error = DeserializeError;

    fn unit_variant(self) -> Result<(), DeserializeError> {
        match self.value {
            Some(value) => serde::Deserialize::deserialize(value)
                .map_err(|error: DeserializeError| error.within_member(self.name)),
            None => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, DeserializeError> {
        seed.deserialize(self.required("newtype variant")?)
            .map_err(|error| error.within_member(self.name))
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        self.required("tuple variant")?
            .deserialize_any(visitor)
            .map_err(|error| error.within_member(self.name))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        self.required("struct variant")?
            .deserialize_any(visitor)
            .map_err(|error| error.within_member(self.name))
    }
}

#[cfg(test)]
mod tests;
