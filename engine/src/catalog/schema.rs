//! JSON Schemas of what goes into a tool and comes out: compiled once, checked on the decoder's
//! own tape.
//!
//! `jsonschema` validates any representation of JSON that implements its traits. Implementing
//! them for [`Value`] saves building a `serde_json::Value` for each call.

use std::borrow::Cow;
use std::cell::Cell;

use corelane_protocol::binding::refusal::clip;
use corelane_protocol::jsonrpc::{Array, ArrayIter, Kind, Object, ObjectIter, Value};
use jsonschema::JsonType;
use jsonschema::json::{self, Json, JsonNumber, Node, NodeIdentity};

use super::schema_bounds;

/// A compiled schema of a tool's arguments or of its structured content.
#[derive(Debug)]
pub(crate) struct CompiledSchema {
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

/// Faults named in one answer to a client; the rest is left out.
const FAULTS_NAMED_MAX: usize = 5;

impl CompiledSchema {
    /// Compiles the schema of a tool's arguments.
    pub(crate) fn of_input(schema: &serde_json::Value) -> Result<CompiledSchema, SchemaDefect> {
        if schema.get("type").and_then(|kind| kind.as_str()) != Some("object") {
            return Err(SchemaDefect::RootType);
        }
        CompiledSchema::compile(schema)
    }

    /// Compiles the schema `text` of a tool's structured content, if it is within bounds.
    pub(crate) fn of_output(text: &str) -> Result<CompiledSchema, SchemaDefect> {
        let schema = serde_json::from_str(text);
        let schema = schema.map_err(|error| SchemaDefect::Invalid(error.to_string()))?;
        schema_bounds::check(text.len(), &schema)?;
        CompiledSchema::compile(&schema)
    }

    /// Nothing is fetched: a reference to another document is an error. Patterns run on an engine
    /// that is linear in the length of the text.
    fn compile(schema: &serde_json::Value) -> Result<CompiledSchema, SchemaDefect> {
        let validator = jsonschema::options_for::<Tape>()
            .with_pattern_options(jsonschema::PatternOptions::regex())
            .build(schema)
            .map_err(|error| SchemaDefect::Invalid(error.to_string()))?;
        Ok(CompiledSchema { validator })
    }

    /// Whether `value` fits the schema.
    pub(crate) fn is_valid(&self, value: Value<'_>) -> bool {
        // What a subschema said of a value is remembered: no more than each pair is looked at.
        let steps = Steps::new(u32::MAX);
        self.validator.is_valid(TapeNode::Value(value, &steps))
    }

    /// Where the rule stands in the schema that `value` breaks first, in words for the operator:
    /// a place in the value would name members of it.
    pub(crate) fn broken_rule(&self, value: Value<'_>) -> String {
        let steps = Steps::new(FAULT_STEPS_MAX);
        match self.validator.validate(TapeNode::Value(value, &steps)) {
            Err(error) if steps.get() > 0 => format!("{:?}", error.schema_path().as_str()),
            _ => "some rule".to_owned(),
        }
    }

    /// Why `arguments` do not fit, in words for the model.
    pub(crate) fn faults(&self, arguments: Value<'_>) -> String {
        let steps = Steps::new(FAULT_STEPS_MAX);
        let mut faults = self
            .validator
            .iter_errors(TapeNode::Value(arguments, &steps))
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
        if steps.get() == 0 {
            // What was found last is of a value that hid itself.
            return String::from("invalid arguments: too large to say what does not fit");
        }
        text
    }
}

/// Looks at values that finding faults may take. Each alternative of a schema is tried for its
/// faults, and nothing is remembered: a schema that refers to itself in two alternatives takes
/// twice as long for each level of a value, and how many levels there are is up to the client.
const FAULT_STEPS_MAX: u32 = 65_536;

/// Looks at values that are left.
type Steps = Cell<u32>;

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
    Value(Value<'a>, &'a Steps),
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
    /// The value, unless there were too many looks already: it hides then, so that no validator
    /// goes on into its parts.
    fn value(self) -> Option<(Value<'a>, &'a Steps)> {
        match self {
            TapeNode::Value(value, steps) => {
                steps.set(steps.get().checked_sub(1)?);
                Some((value, steps))
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
        let (value, steps) = self.value()?;
        value.as_object().map(|object| TapeObject(object, steps))
    }

    fn as_array(&self) -> Option<TapeArray<'a>> {
        let (value, steps) = self.value()?;
        value.as_array().map(|array| TapeArray(array, steps))
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        match self {
            TapeNode::Value(value, _) => value.as_str().map(Cow::Borrowed),
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

    fn to_value(&self) -> Cow<'a, serde_json::Value> {
        Cow::Owned(match self {
            TapeNode::Value(value, _) => value.to_serde(),
            TapeNode::Name(name) => serde_json::Value::from(*name),
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
struct TapeObject<'a>(Object<'a>, &'a Steps);

impl<'a> json::Object<'a, Tape> for TapeObject<'a> {
    type Node = TapeNode<'a>;
    type MemberName = &'a str;
    type MembersIter = TapeMembers<'a>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, key: &String) -> Option<TapeNode<'a>> {
        let value = self.0.get(key)?;
        Some(TapeNode::Value(value, self.1))
    }

    fn members(&self) -> Self::MembersIter {
        TapeMembers(self.0.iter(), self.1)
    }
}

/// The members of an object in order.
struct TapeMembers<'a>(ObjectIter<'a>, &'a Steps);

impl<'a> Iterator for TapeMembers<'a> {
    type Item = (&'a str, TapeNode<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.0.next()?;
        Some((name, TapeNode::Value(value, self.1)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

#[derive(Debug, Clone, Copy)]
struct TapeArray<'a>(Array<'a>, &'a Steps);

impl<'a> json::Array<'a, Tape> for TapeArray<'a> {
    type Node = TapeNode<'a>;
    type ElementsIter = TapeElements<'a>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn elements(&self) -> Self::ElementsIter {
        TapeElements(self.0.iter(), self.1)
    }
}

/// The elements of an array in order.
struct TapeElements<'a>(ArrayIter<'a>, &'a Steps);

impl<'a> Iterator for TapeElements<'a> {
    type Item = TapeNode<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let value = self.0.next()?;
        Some(TapeNode::Value(value, self.1))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for TapeElements<'_> {}

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
