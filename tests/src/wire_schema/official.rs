//! The source of the schemas: the pinned conformance suite, which carries them in its bundle.

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::conformance::{home, node};

/// A revision of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Revision {
    /// 2024-11-05.
    November2024,
    /// 2025-03-26.
    March2025,
    /// 2025-06-18.
    June2025,
    /// 2025-11-25.
    November2025,
    /// 2026-07-28.
    July2026,
}

impl Revision {
    /// Every revision, the oldest first.
    pub const ALL: [Revision; 5] = [
        Revision::November2024,
        Revision::March2025,
        Revision::June2025,
        Revision::November2025,
        Revision::July2026,
    ];

    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Revision::November2024 => "2024-11-05",
            Revision::March2025 => "2025-03-26",
            Revision::June2025 => "2025-06-18",
            Revision::November2025 => "2025-11-25",
            Revision::July2026 => "2026-07-28",
        }
    }

    /// The revision of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Revision> {
        Revision::ALL
            .into_iter()
            .find(|revision| revision.name() == name)
    }

    /// The key of the definitions in its schema.
    fn definitions_key(self) -> &'static str {
        match self {
            Revision::November2024 | Revision::March2025 | Revision::June2025 => "definitions",
            Revision::November2025 | Revision::July2026 => "$defs",
        }
    }
}

/// The definitions that were compiled. Messages are many and definitions few.
type Compiled = HashMap<(Revision, &'static str), Option<Arc<Validator>>>;

/// The validator of one definition of a revision; none if its schema has none of this name.
///
/// # Panics
/// If the schemas are not installed or a schema is invalid.
pub(super) fn validator(revision: Revision, definition: &'static str) -> Option<Arc<Validator>> {
    static COMPILED: OnceLock<Mutex<Compiled>> = OnceLock::new();
    let compiled = COMPILED.get_or_init(Mutex::default);
    // A test that fails elsewhere leaves the map whole.
    let mut compiled = compiled.lock().unwrap_or_else(PoisonError::into_inner);
    let entry = compiled.entry((revision, definition));
    entry
        .or_insert_with(|| compile(revision, definition))
        .clone()
}

fn compile(revision: Revision, definition: &str) -> Option<Arc<Validator>> {
    let key = revision.definitions_key();
    let schema = &schemas()[revision.name()];
    schema[key].get(definition)?;
    let part = json!({
        "$schema": schema["$schema"],
        "$ref": format!("#/{key}/{definition}"),
        key: schema[key],
    });
    // Formats are only annotations since draft 2019-09, unless they are switched on.
    let options = jsonschema::options().should_validate_formats(true);
    let built = options.build(&part);
    let validator =
        built.unwrap_or_else(|error| panic!("{definition} of {}: {error}", revision.name()));
    Some(Arc::new(validator))
}

/// The schemas by the names of their revisions.
fn schemas() -> &'static Map<String, Value> {
    static SCHEMAS: OnceLock<Map<String, Value>> = OnceLock::new();
    SCHEMAS.get_or_init(|| {
        let mut schemas = extract();
        for name in ["2025-06-18", "2025-11-25"] {
            correct_numbers(&mut schemas[name]);
        }
        let oldest = oldest_of(&schemas["2025-03-26"]);
        schemas.insert(Revision::November2024.name().to_owned(), oldest);
        schemas
    })
}

/// The schemas in the suite.
///
/// # Panics
/// If the suite is not installed or has none: without schemas no test is conclusive.
fn extract() -> Map<String, Value> {
    let script = home().join("official-schemas.mjs");
    let run = Command::new(node())
        .arg(script)
        .stdin(Stdio::null())
        .output();
    let output = run.unwrap_or_else(|error| {
        let node = node();
        let node = node.display();
        panic!("cannot run {node}, {error}: run npm ci in tests/conformance")
    });
    assert!(
        output.status.success(),
        "no official schemas: run npm ci in tests/conformance\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("the script writes a JSON object")
}

/// Makes the bounds of numbers numbers. The specification made them integers by mistake and has
/// corrected that since the suite took its copy; the suite does the same with its copy.
fn correct_numbers(schema: &mut Value) {
    for key in ["definitions", "$defs"] {
        let Some(definition) = schema
            .get_mut(key)
            .and_then(|key| key.get_mut("NumberSchema"))
        else {
            continue;
        };
        for bound in ["minimum", "maximum", "default"] {
            definition["properties"][bound]["type"] = json!("number");
        }
    }
}

/// The schema of 2024-11-05, made from the schema of 2025-03-26, because the suite begins there.
///
/// 2025-03-26 added optional members, which the older schema allows, and two things that it
/// forbids: audio content, and batches. Without these the two accept the same, except for an
/// optional member of the later one that has another type in the older.
fn oldest_of(next: &Value) -> Value {
    let mut oldest = next.clone();
    for absent in [
        "AudioContent",
        "JSONRPCBatchRequest",
        "JSONRPCBatchResponse",
    ] {
        remove_references(&mut oldest, &format!("#/definitions/{absent}"));
        if let Some(definitions) = oldest["definitions"].as_object_mut() {
            definitions.remove(absent);
        }
    }
    oldest
}

/// Removes the elements of arrays that only refer to `target`.
fn remove_references(value: &mut Value, target: &str) {
    match value {
        Value::Array(elements) => {
            elements.retain(|element| element["$ref"] != target);
            for element in elements {
                remove_references(element, target);
            }
        }
        Value::Object(members) => {
            for (_, member) in members {
                remove_references(member, target);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Revision, schemas, validator};

    #[test]
    fn every_revision_has_a_schema_of_its_draft() {
        for revision in Revision::ALL {
            let schema = &schemas()[revision.name()];
            let draft = match revision.definitions_key() {
                "definitions" => "http://json-schema.org/draft-07/schema#",
                _ => "https://json-schema.org/draft/2020-12/schema",
            };
            assert_eq!(schema["$schema"], draft, "{revision:?}");
            assert_eq!(Revision::named(revision.name()), Some(revision));
            assert!(validator(revision, "CallToolResult").is_some());
            assert!(validator(revision, "NoSuchResult").is_none());
        }
        assert_eq!(Revision::named("1900-01-01"), None);
    }

    #[test]
    fn the_oldest_revision_has_no_audio() {
        let content = json!({ "type": "audio", "data": "AA==", "mimeType": "audio/wav" });
        let result = json!({ "content": [content] });
        for revision in Revision::ALL {
            let validator = validator(revision, "CallToolResult").expect("every one has tools");
            let mut result = result.clone();
            if revision == Revision::July2026 {
                result["resultType"] = json!("complete");
            }
            let fits = revision != Revision::November2024;
            assert_eq!(validator.is_valid(&result), fits, "{revision:?}");
        }
        assert!(validator(Revision::November2024, "JSONRPCBatchResponse").is_none());
        assert!(validator(Revision::March2025, "JSONRPCBatchResponse").is_some());
    }

    #[test]
    fn bounds_of_numbers_are_numbers() {
        let number = json!({ "type": "number", "minimum": 0.5, "default": 0.75, "maximum": 1 });
        for revision in [
            Revision::June2025,
            Revision::November2025,
            Revision::July2026,
        ] {
            let validator = validator(revision, "NumberSchema").expect("all have elicitation");
            assert!(validator.is_valid(&number), "{revision:?}");
        }
    }
}
