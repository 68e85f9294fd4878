//! The output schema of a tool, in the form of each era.
//!
//! Modern revisions accept a schema of any root. Legacy revisions accept only objects: a schema of
//! another root is sent there as the schema of an object with the one member `result`, and the
//! content is wrapped in the same way.

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use super::era::Era;
use super::schema_member::SchemaMember;

/// The place of an author's schema within the schema that wraps it.
const WRAPPED_AT: &str = "#/properties/result";

/// A tool's output schema.
#[derive(Debug, Clone)]
pub struct OutputSchema {
    text: Box<RawValue>,
    wrapped: Option<Box<RawValue>>,
}

/// Why a schema cannot be sent to clients.
#[derive(Debug, thiserror::Error)]
pub enum OutputSchemaError {
    /// The text is not JSON.
    #[error("is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The text is not an object.
    #[error("must be a JSON object")]
    Root,
}

impl OutputSchema {
    /// The schema with the text `text`, which modern clients get byte for byte.
    ///
    /// # Errors
    /// [`OutputSchemaError`] when it is no JSON object.
    pub fn new(text: Box<RawValue>) -> Result<OutputSchema, OutputSchemaError> {
        let mut schema: Value = serde_json::from_str(text.get())?;
        let members = schema.as_object_mut().ok_or(OutputSchemaError::Root)?;
        let has_object_root = members.get("type").is_some_and(|kind| kind == "object");
        let wrapped = match has_object_root {
            true => None,
            false => Some(to_raw_value(&wrap(std::mem::take(members)))?),
        };
        Ok(OutputSchema { text, wrapped })
    }

    /// The text as the author wrote it.
    pub fn text(&self) -> &str {
        self.text.get()
    }

    /// The text as clients of an era get it.
    pub fn text_for(&self, era: Era) -> &str {
        match (era, &self.wrapped) {
            (Era::Legacy, Some(wrapped)) => wrapped.get(),
            _ => self.text.get(),
        }
    }

    /// Whether legacy clients get the schema, and content that fits it, as the member `result` of
    /// an object.
    pub fn is_wrapped(&self) -> bool {
        self.wrapped.is_some()
    }
}

/// The schema of an object whose member `result` fits `schema`.
fn wrap(mut schema: Map<String, Value>) -> Value {
    let dialect = schema.shift_remove("$schema");
    // A schema with a name of its own is the document that its references are relative to.
    if !schema.contains_key("$id") {
        move_references(&mut schema);
    }
    let mut wrapper = json!({
        "type": "object",
        "properties": { "result": schema },
        "required": ["result"],
    });
    if let Some(dialect) = dialect {
        wrapper["$schema"] = dialect;
    }
    wrapper
}

/// Makes references to the document's root references to the new place of the schema. The recursion
/// is as deep as the schema, which the parser of its text bounds.
fn move_references(members: &mut Map<String, Value>) {
    for (name, value) in members {
        match (SchemaMember::of(name), value) {
            (_, Value::String(target)) if name == "$ref" => {
                if target == "#" || target.starts_with("#/") {
                    target.replace_range(..1, WRAPPED_AT);
                }
            }
            (SchemaMember::SchemasByName, Value::Object(schemas)) => {
                schemas.values_mut().for_each(move_references_within);
            }
            (SchemaMember::Data, _) => {}
            (_, other) => move_references_within(other),
        }
    }
}

fn move_references_within(value: &mut Value) {
    match value {
        Value::Object(members) if !members.contains_key("$id") => move_references(members),
        Value::Array(elements) => elements.iter_mut().for_each(move_references_within),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<Value>) {
        let schema = OutputSchema::new(RawValue::from_string(text.to_owned()).unwrap()).unwrap();
        assert_eq!(schema.text_for(Era::Modern), text);
        assert_eq!(schema.is_wrapped(), expected.is_some());
        let legacy = schema.text_for(Era::Legacy);
        match expected {
            None => assert_eq!(legacy, text),
            Some(expected) => {
                assert_eq!(serde_json::from_str::<Value>(legacy).unwrap(), expected);
            }
        }
    }

    fn wrapper(inner: Value) -> Value {
        json!({"type": "object", "properties": {"result": inner}, "required": ["result"]})
    }

    #[test]
    fn a_schema_of_objects_is_the_same_for_both_eras() {
        check(r#"{ "type" : "object",  "x": 1 }"#, None);
    }

    #[test]
    fn another_schema_is_wrapped_for_legacy_clients() {
        check("{}", Some(wrapper(json!({}))));
        let mut expected = wrapper(json!({"type": "array"}));
        expected["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
        let dialect = r#""$schema":"https://json-schema.org/draft/2020-12/schema""#;
        check(&format!(r#"{{{dialect},"type":"array"}}"#), Some(expected));
    }

    #[test]
    fn references_keep_their_targets() {
        check(
            concat!(
                r##"{"anyOf":[{"$ref":"#/$defs/a"},{"$ref":"#"},{"$ref":"#anchor"},"##,
                r##"{"const":{"$ref":"#/$defs/a"}},{"$id":"x","$ref":"#/y"}],"##,
                r##""$defs":{"a":{"type":"string"}}}"##
            ),
            Some(wrapper(json!({
                "anyOf": [
                    {"$ref": "#/properties/result/$defs/a"},
                    {"$ref": "#/properties/result"},
                    {"$ref": "#anchor"},
                    {"const": {"$ref": "#/$defs/a"}},
                    {"$id": "x", "$ref": "#/y"},
                ],
                "$defs": {"a": {"type": "string"}},
            }))),
        );
        for by_name in [
            "properties",
            "patternProperties",
            "$defs",
            "dependentSchemas",
        ] {
            for name in [
                "default",
                "const",
                "enum",
                "examples",
                "$ref",
                "$id",
                "properties",
            ] {
                let holding = |target: &str| json!({by_name: {name: {"$ref": target}}});
                let moved = holding("#/properties/result/$defs/a");
                check(&holding("#/$defs/a").to_string(), Some(wrapper(moved)));
            }
        }
        let named = json!({"$id": "urn:a", "$ref": "#/$defs/a", "$defs": {"a": {}}});
        check(&named.to_string(), Some(wrapper(named.clone())));
    }

    #[test]
    fn values_that_are_not_objects_are_refused() {
        for text in ["true", "[]", "null", "1"] {
            let raw = RawValue::from_string(text.to_owned()).unwrap();
            let error = OutputSchema::new(raw).unwrap_err();
            assert!(matches!(error, OutputSchemaError::Root), "{text}");
        }
    }
}
