//! JSON Schema of a tool's arguments: compiled once, checked on the decoder's own tape.
//!
//! `jsonschema` validates any representation of JSON that implements its traits. Implementing
//! them for [`Value`] saves building a `serde_json::Value` for each call.

use std::borrow::Cow;

use corelane_protocol::binding::refusal::clip;
use corelane_protocol::jsonrpc::{Array, ArrayIter, Kind, Object, ObjectIter, Value};
use jsonschema::JsonType;
use jsonschema::json::{self, Json, JsonNumber, Node, NodeIdentity};

use super::schema_bounds;

/// A compiled input schema.
#[derive(Debug)]
pub(crate) struct InputSchema {
    validator: jsonschema::Validator<Tape>,
}

/// What makes a schema unusable.
#[derive(Debug, thiserror::Error)]
pub enum SchemaDefect {
    /// The root is not an object schema (MCP server/tools: `inputSchema` has `type: object`).
    #[error("must have \"type\": \"object\" at its root")]
    RootType,
    /// The schema is larger than a bound.
    #[error("exceeds the limit of {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much of it may be.
        limit: u64,
    },
    /// The schema is invalid in its dialect, or refers to another document.
    #[error("does not compile: {0}")]
    Invalid(String),
}

/// Compiles the schema `text` for values of `serde_json`. Nothing is fetched, and patterns are
/// linear, as with [`InputSchema::compile`].
pub(crate) fn compile(text: &str) -> Result<jsonschema::Validator, SchemaDefect> {
    let invalid = |error: String| SchemaDefect::Invalid(error);
    let schema = serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?;
    schema_bounds::check(text.len(), &schema)?;
    jsonschema::options()
        .with_pattern_options(jsonschema::PatternOptions::regex())
        .build(&schema)
        .map_err(|error| invalid(error.to_string()))
}

/// Faults named in one answer to a client; the rest is left out.
const FAULTS_NAMED_MAX: usize = 5;

impl InputSchema {
    /// Compiles `schema`. Nothing is fetched: a reference to another document is an error.
    /// Patterns run on an engine that is linear in the length of the text.
    pub(crate) fn compile(schema: &serde_json::Value) -> Result<InputSchema, SchemaDefect> {
        if schema.get("type").and_then(|kind| kind.as_str()) != Some("object") {
            return Err(SchemaDefect::RootType);
        }
        let validator = jsonschema::options_for::<Tape>()
            .with_pattern_options(jsonschema::PatternOptions::regex())
            .build(schema)
            .map_err(|error| SchemaDefect::Invalid(error.to_string()))?;
        Ok(InputSchema { validator })
    }

    /// Whether `arguments` fit the schema.
    pub(crate) fn is_valid(&self, arguments: Value<'_>) -> bool {
        self.validator.is_valid(TapeNode::Value(arguments))
    }

    /// Why `arguments` do not fit, in words for the model.
    pub(crate) fn faults(&self, arguments: Value<'_>) -> String {
        let mut faults = self
            .validator
            .iter_errors(TapeNode::Value(arguments))
            // Masked: the client knows what it sent, and it may be long or secret.
            .map(|error| match error.instance_path().as_str() {
                "" => error.masked().to_string(),
                path => format!("{}: {}", clip(path), error.masked()),
            });
        let mut text = String::from("invalid arguments: ");
        for (at, fault) in faults.by_ref().take(FAULTS_NAMED_MAX).enumerate() {
            if at > 0 {
                text.push_str("; ");
            }
            text.push_str(clip_fault(&fault));
        }
        if faults.next().is_some() {
            text.push_str("; and more");
        }
        text
    }
}

/// Bytes of one fault: names of properties that should not be there come from the client.
const FAULT_BYTES_MAX: usize = 512;

fn clip_fault(fault: &str) -> &str {
    let end = (0..=fault.len().min(FAULT_BYTES_MAX))
        .rev()
        .find(|end| fault.is_char_boundary(*end));
    &fault[..end.unwrap_or(0)]
}

/// The decoder's tape as a representation of JSON.
#[derive(Debug)]
enum Tape {}

/// A value on the tape, or the name of a property when names themselves are validated.
#[derive(Debug, Clone, Copy)]
enum TapeNode<'a> {
    Value(Value<'a>),
    Name(&'a str),
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
    fn value(self) -> Option<Value<'a>> {
        match self {
            TapeNode::Value(value) => Some(value),
            TapeNode::Name(_) => None,
        }
    }
}

impl<'a> Node<'a, Tape> for TapeNode<'a> {
    type Object = TapeObject<'a>;
    type Array = TapeArray<'a>;
    type Number = TapeNumber<'a>;

    fn as_object(&self) -> Option<TapeObject<'a>> {
        self.value()?.as_object().map(TapeObject)
    }

    fn as_array(&self) -> Option<TapeArray<'a>> {
        self.value()?.as_array().map(TapeArray)
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        match self {
            TapeNode::Value(value) => value.as_str().map(Cow::Borrowed),
            TapeNode::Name(name) => Some(Cow::Borrowed(name)),
        }
    }

    fn as_number(&self) -> Option<TapeNumber<'a>> {
        let is_number = |value: &Value<'_>| matches!(value.kind(), Kind::Integer | Kind::Float);
        self.value().filter(is_number).map(TapeNumber)
    }

    fn as_boolean(&self) -> Option<bool> {
        self.value()?.as_bool()
    }

    fn is_null(&self) -> bool {
        self.value().is_some_and(|value| value.is_null())
    }

    fn is_string(&self) -> bool {
        self.json_type() == JsonType::String
    }

    fn json_type(&self) -> JsonType {
        match self {
            TapeNode::Name(_) => JsonType::String,
            TapeNode::Value(value) => match value.kind() {
                Kind::Null => JsonType::Null,
                Kind::Bool => JsonType::Boolean,
                Kind::Integer | Kind::Float => JsonType::Number,
                Kind::String => JsonType::String,
                Kind::Array => JsonType::Array,
                Kind::Object => JsonType::Object,
            },
        }
    }

    fn to_value(&self) -> Cow<'a, serde_json::Value> {
        Cow::Owned(match self {
            TapeNode::Value(value) => value.to_serde(),
            TapeNode::Name(name) => serde_json::Value::from(*name),
        })
    }

    fn identity(&self) -> Option<NodeIdentity> {
        // A name lives on its own; only values can be part of a cycle of references.
        self.value().map(|value| NodeIdentity::new(value.address()))
    }
}

#[derive(Debug, Clone, Copy)]
struct TapeObject<'a>(Object<'a>);

impl<'a> json::Object<'a, Tape> for TapeObject<'a> {
    type Node = TapeNode<'a>;
    type MemberName = &'a str;
    type MembersIter = std::iter::Map<ObjectIter<'a>, fn((&'a str, Value<'a>)) -> Member<'a>>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, key: &String) -> Option<TapeNode<'a>> {
        self.0.get(key).map(TapeNode::Value)
    }

    fn members(&self) -> Self::MembersIter {
        self.0
            .iter()
            .map(|(name, value)| (name, TapeNode::Value(value)))
    }
}

type Member<'a> = (&'a str, TapeNode<'a>);

#[derive(Debug, Clone, Copy)]
struct TapeArray<'a>(Array<'a>);

impl<'a> json::Array<'a, Tape> for TapeArray<'a> {
    type Node = TapeNode<'a>;
    type ElementsIter = std::iter::Map<ArrayIter<'a>, fn(Value<'a>) -> TapeNode<'a>>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn elements(&self) -> Self::ElementsIter {
        self.0.iter().map(TapeNode::Value)
    }
}

#[derive(Debug, Clone, Copy)]
struct TapeNumber<'a>(Value<'a>);

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

#[cfg(test)]
mod tests;
