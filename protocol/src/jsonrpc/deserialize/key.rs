//! Member names as map keys.
//!
//! JSON names are strings; maps in Rust are keyed by numbers, booleans and enums too. As serde_json
//! does, a name is parsed as the type of the key.
//!
//! Invariant: a name that does not parse is offered as a string, so the error names the expected
//! type. It lacks floats as keys: they are a trap in any map.

use super::error::DeserializeError;
use serde::de::{Deserializer, Visitor, value::BorrowedStrDeserializer};
use serde::forward_to_deserialize_any;

/// Reads one member name.
pub(super) struct KeyDeserializer<'de> {
    name: &'de str,
}

impl<'de> KeyDeserializer<'de> {
    /// A deserializer of this name.
    pub(super) fn new(name: &'de str) -> KeyDeserializer<'de> {
        KeyDeserializer { name }
    }
}

/// Reads a name as a number or boolean if it has the form of JSON: no sign `+`, no leading zeros.
macro_rules! deserialize_parsed {
    ($($method:ident => $visit:ident: $type:ty,)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
            match self.name.parse::<$type>() {
                Ok(key) if key.to_string() == self.name => visitor.$visit(key),
                _ => visitor.visit_borrowed_str(self.name),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for KeyDeserializer<'de> {
    type Error = DeserializeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        visitor.visit_borrowed_str(self.name)
    }

    deserialize_parsed! {
        deserialize_bool => visit_bool: bool,
        deserialize_i8 => visit_i8: i8,
        deserialize_i16 => visit_i16: i16,
        deserialize_i32 => visit_i32: i32,
        deserialize_i64 => visit_i64: i64,
        deserialize_i128 => visit_i128: i128,
        deserialize_u8 => visit_u8: u8,
        deserialize_u16 => visit_u16: u16,
        deserialize_u32 => visit_u32: u32,
        deserialize_u64 => visit_u64: u64,
        deserialize_u128 => visit_u128: u128,
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        visitor.visit_some(self)
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
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        BorrowedStrDeserializer::new(self.name).deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}
