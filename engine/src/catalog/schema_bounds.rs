//! Bounds on the schemas of a server, checked when it starts.
//!
//! A schema decides how much work one message is: patterns run on an engine that is linear in the
//! length of the text, and everything else is done once for each pair of a subschema and a value it
//! applies to. A reference makes its target apply once more, so that twenty definitions of two
//! references each are a million subschemas in one place. The bound therefore counts the schema
//! with its references expanded. A reference to an enclosing schema counts once, because it applies
//! to a part of the value, and values have bounds of their own.

use std::collections::HashMap;

use corelane_protocol::mcp::schema_member::SchemaMember;
use serde_json::Value;

use super::schema_defect::SchemaDefect;

/// Bytes of the text of a schema.
pub(crate) const SCHEMA_BYTES_MAX: usize = 256 * 1024;
/// Arrays and objects within each other.
pub(crate) const SCHEMA_DEPTH_MAX: usize = 64;
/// Objects and booleans: every subschema is one of them.
pub(crate) const SUBSCHEMAS_MAX: usize = 4096;
/// The same, with references written out.
pub(crate) const SUBSCHEMAS_APPLIED_MAX: u64 = 65_536;

/// Whether a schema with a text of `text_bytes` bytes is small enough.
pub(crate) fn check(text_bytes: usize, schema: &Value) -> Result<(), SchemaDefect> {
    let exceeds = |what, limit| Err(SchemaDefect::TooLarge { what, limit });
    if text_bytes > SCHEMA_BYTES_MAX {
        return exceeds("bytes", SCHEMA_BYTES_MAX as u64);
    }
    let mut subschemas = 0;
    if !is_within(schema, SCHEMA_DEPTH_MAX, &mut subschemas) {
        return exceeds("levels", SCHEMA_DEPTH_MAX as u64);
    }
    if subschemas > SUBSCHEMAS_MAX {
        return exceeds("subschemas", SUBSCHEMAS_MAX as u64);
    }
    let mut applied = Applied {
        root: schema,
        known: HashMap::new(),
    };
    if applied.count(schema) > SUBSCHEMAS_APPLIED_MAX {
        return exceeds(
            "subschemas with its references followed",
            SUBSCHEMAS_APPLIED_MAX,
        );
    }
    Ok(())
}

/// Whether `value` has at most `levels` levels; counts its objects and booleans.
fn is_within(value: &Value, levels: usize, subschemas: &mut usize) -> bool {
    let (Value::Array(_) | Value::Object(_)) = value else {
        *subschemas += usize::from(value.is_boolean());
        return true;
    };
    if levels == 0 {
        return false;
    }
    let mut within = |part| is_within(part, levels - 1, subschemas);
    match value {
        Value::Array(elements) => elements.iter().all(within),
        Value::Object(members) => {
            let is_within = members.values().all(&mut within);
            *subschemas += 1;
            is_within
        }
        _ => true,
    }
}

/// Counts subschemas with references followed, each object once: its count is kept.
struct Applied<'a> {
    root: &'a Value,
    /// By the address of the object; 1 while it is being counted.
    known: HashMap<*const Value, u64>,
}

impl Applied<'_> {
    /// The recursion enters each object once, so its depth is at most the number of objects,
    /// [`SUBSCHEMAS_MAX`], and the arrays between them.
    fn count(&mut self, value: &Value) -> u64 {
        match value {
            Value::Bool(_) => 1,
            Value::Array(elements) => elements
                .iter()
                .fold(0, |sum, element| self.count(element).saturating_add(sum)),
            Value::Object(members) => {
                let address = std::ptr::from_ref(value);
                if let Some(known) = self.known.get(&address) {
                    return *known;
                }
                self.known.insert(address, 1);
                let mut sum: u64 = 1;
                for (name, member) in members {
                    sum = sum.saturating_add(self.count_member(name, member));
                }
                self.known.insert(address, sum);
                sum
            }
            _ => 0,
        }
    }

    /// The count of the member `name` of a schema. An object that is not a schema counts as one, as
    /// it does without references.
    fn count_member(&mut self, name: &str, member: &Value) -> u64 {
        match (SchemaMember::of(name), member) {
            // Definitions apply only where something refers to them.
            _ if matches!(name, "$defs" | "definitions") => 0,
            _ if name == "$ref" => self.count_target(member),
            (SchemaMember::SchemasByName, Value::Object(schemas)) => schemas
                .values()
                .fold(1, |sum, schema| self.count(schema).saturating_add(sum)),
            (SchemaMember::Data, _) => count_data(member),
            _ => self.count(member),
        }
    }

    /// References by anchor or to a named part are rare, and count as nothing: the compilation of
    /// the schema checks their targets.
    fn count_target(&mut self, reference: &Value) -> u64 {
        let root = self.root;
        let target = reference
            .as_str()
            .and_then(|text| text.strip_prefix('#'))
            .and_then(|pointer| root.pointer(pointer));
        target.map_or(0, |target| self.count(target))
    }
}

/// The objects and booleans of `data`, in which no name is a keyword. It is as deep as
/// [`SCHEMA_DEPTH_MAX`] at most.
fn count_data(data: &Value) -> u64 {
    match data {
        Value::Bool(_) => 1,
        Value::Array(elements) => elements.iter().map(count_data).sum(),
        Value::Object(members) => members.values().map(count_data).sum::<u64>() + 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn result(schema: &Value, expected: Option<&str>) {
        let text_bytes = schema.to_string().len();
        let refusal = check(text_bytes, schema).err().map(|it| it.to_string());
        assert_eq!(refusal.as_deref(), expected);
    }

    fn nested(levels: usize) -> Value {
        (1..levels).fold(json!({}), |inner, _| json!({ "not": inner }))
    }

    /// Definitions of which each refers to the next twice.
    fn doubling(definitions: usize) -> Value {
        let mut schema = json!({"type": "object", "$ref": "#/$defs/0", "$defs": {}});
        for at in 0..definitions {
            let next = json!({"$ref": format!("#/$defs/{}", at + 1)});
            schema["$defs"][at.to_string()] = json!({"allOf": [next, next]});
        }
        schema["$defs"][definitions.to_string()] = json!({"type": "object"});
        schema
    }

    #[test]
    fn a_schema_at_a_bound_passes_and_one_past_it_does_not() {
        result(&nested(SCHEMA_DEPTH_MAX), None);
        let deep = nested(SCHEMA_DEPTH_MAX + 1);
        result(&deep, Some("exceeds the limit of 64 levels"));
        let wide = |count| json!({ "anyOf": vec![true; count] });
        result(&wide(SUBSCHEMAS_MAX - 1), None);
        let text = "exceeds the limit of 4096 subschemas";
        result(&wide(SUBSCHEMAS_MAX), Some(text));
        let long = |bytes: usize| json!({"title": "x".repeat(bytes - r#"{"title":""}"#.len())});
        result(&long(SCHEMA_BYTES_MAX), None);
        let text = "exceeds the limit of 262144 bytes";
        result(&long(SCHEMA_BYTES_MAX + 1), Some(text));
    }

    #[test]
    fn references_count_as_their_targets() {
        result(&doubling(10), None);
        let text = "exceeds the limit of 65536 subschemas with its references followed";
        result(&doubling(20), Some(text));
        result(&doubling(200), Some(text));
    }

    #[test]
    fn names_of_properties_are_no_keywords() {
        let text = "exceeds the limit of 65536 subschemas with its references followed";
        for by_name in ["properties", "patternProperties", "dependentSchemas"] {
            for name in ["$defs", "definitions", "$ref", "const", "default", "a"] {
                let mut schema = doubling(20);
                let reference = schema["$ref"].take();
                schema[by_name] = json!({name: {"$ref": reference}});
                result(&schema, Some(text));
            }
        }
    }

    #[test]
    fn names_within_data_are_no_keywords() {
        let mut schema = doubling(20);
        schema["default"] = json!({"$ref": schema["$ref"].take()});
        result(&schema, None);
        let mut schema = json!({"$defs": {"a": {"const": {"definitions": vec![true; 1024]}}}});
        schema["allOf"] = json!(vec![json!({"$ref": "#/$defs/a"}); 63]);
        result(&schema, None);
        schema["allOf"] = json!(vec![json!({"$ref": "#/$defs/a"}); 64]);
        let text = "exceeds the limit of 65536 subschemas with its references followed";
        result(&schema, Some(text));
    }

    #[test]
    fn a_schema_may_refer_to_itself() {
        let tree = json!({
            "type": "object",
            "properties": {
                "left": {"$ref": "#"},
                "right": {"$ref": "#/properties/left"},
                "next": {"$ref": "#/$defs/none"},
            },
        });
        result(&tree, None);
    }
}
