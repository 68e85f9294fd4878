//! The schemas that forms may have: an object of strings, numbers, booleans and enums, without
//! nesting (MCP client/elicitation, "Requested Schema").
//!
//! Checked here, so that an author learns of a field that no client could show.

use corelane_protocol::mcp::revision::Revision;
use serde_json::{Map, Value};

use super::error::CallError;

/// A field that a form does not have in the revisions before `since`.
#[derive(Debug, Clone)]
pub(super) struct NewField {
    name: String,
    since: Revision,
}

/// Checks the schema of a form. Returns the field that the newest revision is needed for, if the
/// first one with forms does not have it.
///
/// # Errors
/// [`CallError`] names the field that no revision has.
pub(super) fn check(schema: &Value) -> Result<Option<NewField>, CallError> {
    let fields = match (&schema["type"], &schema["properties"]) {
        (Value::String(kind), Value::Object(fields)) if kind == "object" => fields,
        _ => return Err(CallError::internal("a form is an object with properties")),
    };
    let mut newest = None;
    for (name, field) in fields {
        let Some(since) = first_revision_with(field) else {
            return Err(CallError::internal(format!(
                "field {name:?} of a form has a type that forms lack: use strings, numbers, \
                 booleans, enums, and lists of enums"
            )));
        };
        if since > Revision::V2025_06_18 {
            let name = name.clone();
            newest = Some(NewField { name, since });
        }
    }
    Ok(newest)
}

impl NewField {
    /// Checks that a client of `revision` can show the field.
    ///
    /// # Errors
    /// [`CallError`] names the field and both revisions.
    pub(super) fn check(&self, revision: Revision) -> Result<(), CallError> {
        if revision >= self.since {
            return Ok(());
        }
        let (name, since, revision) = (&self.name, self.since.as_str(), revision.as_str());
        Err(CallError::internal(format!(
            "field {name:?} of a form needs revision {since}, and the client has {revision}: \
             lists of enums and enums with titles are new there"
        )))
    }
}

/// The oldest revision in which a form may have the field.
fn first_revision_with(field: &Value) -> Option<Revision> {
    let field = field.as_object()?;
    match field.get("type")?.as_str()? {
        "string" if field.contains_key("oneOf") => {
            is_titled_enum(field, "oneOf").then_some(Revision::V2025_11_25)
        }
        "string" | "number" | "integer" | "boolean" => Some(Revision::V2025_06_18),
        "array" => {
            let items = field.get("items")?.as_object()?;
            let is_enum = items.contains_key("enum") && items.get("type")? == "string";
            (is_enum || is_titled_enum(items, "anyOf")).then_some(Revision::V2025_11_25)
        }
        _ => None,
    }
}

/// Whether `keyword` lists texts, each with a title or without.
fn is_titled_enum(schema: &Map<String, Value>, keyword: &str) -> bool {
    let choices = schema.get(keyword).and_then(Value::as_array);
    choices.is_some_and(|choices| choices.iter().all(|choice| choice["const"].is_string()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use schemars::JsonSchema;
    use serde_json::json;

    use super::*;
    use crate::handler::{Elicitation, type_schema};

    #[derive(JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
    #[expect(dead_code, reason = "only its schema matters")]
    enum Colour {
        /// Like blood.
        Red,
        /// Like the sky.
        Blue,
        Other,
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema matters")]
    struct Every {
        text: String,
        letter: char,
        count: u8,
        big: Option<i64>,
        share: f32,
        sure: bool,
        colour: Colour,
        maybe: Option<Colour>,
        #[serde(default)]
        more: Option<String>,
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema matters")]
    struct With<T> {
        first: String,
        second: T,
    }

    fn text_of(error: CallError) -> String {
        error.to_string()
    }

    #[test]
    fn every_client_with_forms_has_strings_numbers_booleans_and_enums() {
        let schema = type_schema::of_form::<Every>();
        assert!(check(schema.as_value()).unwrap().is_none(), "{schema:?}");
        let colour = &schema.as_value()["properties"]["colour"];
        assert_eq!(colour["type"], "string");
        assert_eq!(colour["enum"].as_array().map(Vec::len), Some(3), "{colour}");
    }

    #[test]
    fn a_field_that_forms_lack_is_named() {
        fn check<T: JsonSchema>() {
            let refused = Elicitation::form::<With<T>>("m").expect_err("it is no field");
            let text = text_of(refused);
            assert!(text.contains("field \"second\""), "{text}");
        }
        check::<With<u8>>();
        check::<Option<With<u8>>>();
        check::<Vec<u8>>();
        check::<Vec<String>>();
        check::<(u8, u8)>();
        check::<std::collections::BTreeMap<String, String>>();
        check::<serde_json::Value>();
        check::<()>();
        for own in [
            json!({"type": "object", "properties": {"second": {"$ref": "#"}}}),
            json!({"type": "object", "properties": {"second": {"type": ["string", "null"]}}}),
            json!({"type": "object", "properties": {"second": {"anyOf": [{"type": "string"}]}}}),
        ] {
            let refused = Elicitation::form_of("m", &own).expect_err("it is no field");
            assert!(text_of(refused).contains("field \"second\""));
        }
        for own in [
            json!({}),
            json!({"type": "string"}),
            json!({"type": "object"}),
        ] {
            let refused = Elicitation::form_of("m", &own).expect_err("it is no form");
            assert_eq!(
                text_of(refused),
                "a form is an object with properties (-32603)"
            );
        }
    }

    #[test]
    fn lists_of_enums_and_titles_need_the_revision_that_has_them() {
        let titles = json!([{"const": "a", "title": "A"}, {"const": "b", "title": "B"}]);
        let field = |field: Value| json!({"type": "object", "properties": {"f": field}});
        let schemas = [
            type_schema::of_form::<With<Vec<Colour>>>().to_value(),
            type_schema::of_form::<With<BTreeSet<Colour>>>().to_value(),
            type_schema::of_form::<With<Option<Vec<Colour>>>>().to_value(),
            field(json!({"type": "string", "oneOf": titles})),
            field(json!({"type": "array", "items": {"anyOf": titles}})),
        ];
        for schema in schemas {
            let new = check(&schema).unwrap().expect("it is new");
            assert!(new.check(Revision::V2026_07_28).is_ok());
            assert!(new.check(Revision::V2025_11_25).is_ok());
            let text = text_of(new.check(Revision::V2025_06_18).expect_err("it is newer"));
            assert!(text.contains("needs revision 2025-11-25"), "{text}");
        }
    }
}
