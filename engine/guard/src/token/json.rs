//! A bounded reader of JSON from strangers: headers, claims and key sets.
//!
//! Two parsers that disagree about a member that an object has twice would disagree about the
//! identity, so such an object is refused (RFC 8725 2.4, RFC 7515 4). Depth and members have
//! limits, and strings must be UTF-8 without lone surrogates.
//!
//! It deliberately lacks numbers beyond `f64`, which claims have no use for.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The bounds of a document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Most levels of objects and arrays.
    pub(super) depth_max: usize,
    /// Most members of one object.
    pub(super) members_max: usize,
}

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A finite number.
    Number(f64),
    /// A string.
    Text(Box<str>),
    /// An array.
    Array(Vec<Json>),
    /// An object; its members have different names.
    Object(Vec<(Box<str>, Json)>),
}

impl Json {
    /// Reads an object. None if the bytes are no object, or exceed a bound, or if a member is
    /// repeated.
    pub(super) fn object(bytes: &[u8], bounds: Bounds) -> Option<Json> {
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let depth_left = bounds.depth_max;
        let json = Reader { bounds, depth_left }
            .deserialize(&mut deserializer)
            .ok()?;
        deserializer.end().ok()?;
        matches!(json, Json::Object(_)).then_some(json)
    }

    /// The member with this name, if this is an object that has it.
    pub(super) fn member(&self, name: &str) -> Option<&Json> {
        let Json::Object(members) = self else {
            return None;
        };
        members
            .iter()
            .find(|(own, _)| **own == *name)
            .map(|(_, value)| value)
    }

    /// The text, if this is one.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The member with this name, if it is a text.
    pub(super) fn text_of(&self, name: &str) -> Option<&str> {
        self.member(name)?.text()
    }
}

#[derive(Clone, Copy)]
struct Reader {
    bounds: Bounds,
    depth_left: usize,
}

impl Reader {
    fn inner<E: Error>(self) -> Result<Reader, E> {
        let depth_left = self.depth_left.checked_sub(1);
        let depth_left = depth_left.ok_or_else(|| E::custom("too deep"))?;
        Ok(Reader { depth_left, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Reader {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Json, A::Error> {
        let inner = self.inner()?;
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(inner)? {
            array.push(element);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let inner = self.inner()?;
        let mut object: Vec<(Box<str>, Json)> = Vec::new();
        while let Some(name) = members.next_key::<Box<str>>()? {
            let is_repeated = object.iter().any(|(other, _)| *other == name);
            if is_repeated || object.len() >= self.bounds.members_max {
                return Err(A::Error::custom("repeated or too many"));
            }
            object.push((name, members.next_value_seed(inner)?));
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::{Bounds, Json};

    const BOUNDS: Bounds = Bounds {
        depth_max: 3,
        members_max: 2,
    };

    #[test]
    fn reads_documents_within_the_bounds() {
        let json = Json::object(br#" {"a":[{"b":1.5}],"c":"\u00e4"} "#, BOUNDS).expect("valid");
        assert_eq!(json.text_of("c"), Some("\u{e4}"));
        let inner = Json::Object(vec![("b".into(), Json::Number(1.5))]);
        assert_eq!(json.member("a"), Some(&Json::Array(vec![inner])));
    }

    #[test]
    fn refuses_documents_beyond_them() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
        for text in [
            &b""[..],
            b"[]",
            b"1",
            b"{} {}",
            b"{}x",
            br#"{"a":1,"a":1}"#,
            br#"{"a":1,"\u0061":1}"#,
            br#"{"a":{"b":1,"b":2}}"#,
            br#"{"a":1,"b":2,"c":3}"#,
            br#"{"a":[[[]]]}"#,
            br#"{"a":1e400}"#,
            br#"{"a":"\ud800"}"#,
            b"{\"a\":\"\xff\"}",
            b"{\"a\":\"\n\"}",
            b"{\"a\":NaN}",
            b"{\"a\":1,}",
            deep.as_bytes(),
        ] {
            let shown = String::from_utf8_lossy(&text[..text.len().min(40)]);
            assert_eq!(Json::object(text, BOUNDS), None, "{shown}");
        }
        assert!(Json::object(br#"{"a":[[]],"b":{}}"#, BOUNDS).is_some());
    }
}
