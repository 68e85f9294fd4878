//! Values to the types of handlers, through serde.
//!
//! Strings are borrowed from the document. Conversions are those of serde_json: integers fit every
//! numeric type they are in range of, floats too; fractions fit floats only; a struct may come as
//! an array; an enum is a string or an object of one member; map keys may be read as numbers and
//! booleans. One differs: `20.0` is an integer, as JSON Schema has it (2020-12 core, 4.2.3),
//! because clients follow the schema that they were given.
//!
//! Invariant: nothing is read past the value, and an error names the path of the member it is
//! about. It lacks serde_json's private types `RawValue` and arbitrary-precision `Number`.

use super::value::{ArrayIter, ObjectIter, Value};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor, value::BorrowedStrDeserializer,
};
use serde::forward_to_deserialize_any;
use simd_json::{Node, StaticNode};

mod error;
mod key;

pub use error::DeserializeError;
use key::KeyDeserializer;

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = DeserializeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        match self.node() {
            Node::String(text) => visitor.visit_borrowed_str(text),
            Node::Static(StaticNode::Null) => visitor.visit_unit(),
            Node::Static(StaticNode::Bool(truth)) => visitor.visit_bool(truth),
            Node::Static(StaticNode::I64(number)) => visitor.visit_i64(number),
            Node::Static(StaticNode::U64(number)) => visitor.visit_u64(number),
            Node::Static(StaticNode::F64(number)) => visit_float(number, visitor),
            Node::Array { .. } => visit_array(self, visitor),
            Node::Object { .. } => visit_object(self, visitor),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        match self.node() {
            Node::Static(StaticNode::F64(number)) => visitor.visit_f64(number),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        self.deserialize_f64(visitor)
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
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier
    }
}

impl<'de> IntoDeserializer<'de, DeserializeError> for Value<'de> {
    type Deserializer = Value<'de>;

    fn into_deserializer(self) -> Value<'de> {
        self
    }
}

/// Visits a float without a fraction as an integer, if that has 64 bits at most. This also holds
/// while the type is unknown: serde buffers the fields of flattened and untagged types.
fn visit_float<'de, V: Visitor<'de>>(
    number: f64,
    visitor: V,
) -> Result<V::Value, DeserializeError> {
    // 2 to the power of 63 and 64, which `f64` has exactly; the integers end just below them.
    const I64_END: f64 = 9_223_372_036_854_775_808.0;
    const U64_END: f64 = 18_446_744_073_709_551_616.0;
    if number.fract() != 0.0 {
        visitor.visit_f64(number)
    } else if (-I64_END..I64_END).contains(&number) {
        visitor.visit_i64(number as i64)
    } else if (I64_END..U64_END).contains(&number) {
        visitor.visit_u64(number as u64)
    } else {
        visitor.visit_f64(number)
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
    /// The content, or the error of a variant that needs content of that form.
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
