//! Answers to forms: the defaults of a flat schema, and whether values fit it (MCP
//! client/elicitation, "Requested Schema").
//!
//! It knows the keywords of that restricted schema alone, and fetches nothing.

use serde_json::{Map, Value};

/// Why values do not fit a form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FormFault {
    #[error("the values are not an object")]
    NoObject,
    #[error("field \"{0}\" is missing")]
    Missing(String),
    #[error("field \"{0}\" is not in the form")]
    Unknown(String),
    #[error("field \"{field}\" does not fit {keyword}")]
    Unfit {
        field: String,
        keyword: &'static str,
    },
}

/// `values`, with the defaults of the schema for fields that are left out.
pub(crate) fn with_defaults(schema: &Value, values: Value) -> Value {
    let Value::Object(mut values) = values else {
        return values;
    };
    for (field, property) in properties(schema) {
        if let Some(default) = property.get("default")
            && !values.contains_key(field)
        {
            values.insert(field.clone(), default.clone());
        }
    }
    Value::Object(values)
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten()
}

/// Checks that `values` fit the schema.
pub(crate) fn check(schema: &Value, values: &Value) -> Result<(), FormFault> {
    let values = values.as_object().ok_or(FormFault::NoObject)?;
    let required = schema.get("required").and_then(Value::as_array);
    for field in required.into_iter().flatten().filter_map(Value::as_str) {
        if !values.contains_key(field) {
            return Err(FormFault::Missing(field.to_owned()));
        }
    }
    let empty = Map::new();
    let properties = schema
        .get("properties")
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    for (field, value) in values {
        let property = properties.get(field);
        let property = property.ok_or_else(|| FormFault::Unknown(field.clone()))?;
        if let Some(keyword) = unfit_keyword(property, value) {
            let field = field.clone();
            return Err(FormFault::Unfit { field, keyword });
        }
    }
    Ok(())
}

/// The first keyword of a property that its value does not fit.
fn unfit_keyword(property: &Value, value: &Value) -> Option<&'static str> {
    let has_type = match property.get("type").and_then(Value::as_str) {
        Some("string") => value.is_string(),
        Some("integer") => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("array") => value.is_array(),
        _ => true,
    };
    if !has_type {
        return Some("type");
    }
    if !is_choice(property, value) {
        return Some("its choices");
    }
    let length = match value {
        Value::String(text) => Some(text.chars().count()),
        Value::Array(items) => Some(items.len()),
        _ => None,
    };
    let size = length.map_or(value.as_f64(), |length| Some(length as f64));
    let names = match value {
        Value::String(_) => ["minLength", "maxLength"],
        Value::Array(_) => ["minItems", "maxItems"],
        _ => ["minimum", "maximum"],
    };
    let bound = |name| property.get(name).and_then(Value::as_f64);
    if let (Some(size), Some(least)) = (size, bound(names[0]))
        && size < least
    {
        return Some(names[0]);
    }
    if let (Some(size), Some(most)) = (size, bound(names[1]))
        && size > most
    {
        return Some(names[1]);
    }
    let items = property.get("items")?;
    let values = value.as_array()?;
    values.iter().find_map(|value| unfit_keyword(items, value))
}

/// Whether a value is among the choices of a property, if it has choices.
fn is_choice(property: &Value, value: &Value) -> bool {
    if let Some(choices) = property.get("enum").and_then(Value::as_array) {
        return choices.contains(value);
    }
    let titled = property.get("oneOf").or(property.get("anyOf"));
    let Some(choices) = titled.and_then(Value::as_array) else {
        return true;
    };
    choices
        .iter()
        .any(|choice| choice.get("const") == Some(value))
}

#[cfg(test)]
mod tests {
    use super::{FormFault, check, with_defaults};
    use serde_json::json;

    #[test]
    fn defaults_of_five_types_fill_the_fields_that_are_left_out() {
        let schema = json!({"type": "object", "properties": {
            "name": {"type": "string", "default": "John Doe"},
            "age": {"type": "integer", "default": 30},
            "score": {"type": "number", "default": 95.5},
            "status": {"type": "string", "enum": ["active", "inactive"], "default": "active"},
            "verified": {"type": "boolean", "default": true},
            "note": {"type": "string"}}});
        let filled = with_defaults(&schema, json!({"age": 7}));
        let expected = json!({"age": 7, "name": "John Doe", "score": 95.5, "status": "active",
            "verified": true});
        assert_eq!(filled, expected);
        assert_eq!(check(&schema, &filled), Ok(()));
    }

    #[test]
    fn values_fit_every_keyword_or_the_first_that_they_do_not_is_named() {
        for (property, value, keyword) in [
            (json!({"type": "string"}), json!("a"), None),
            (json!({"type": "string"}), json!(1), Some("type")),
            (json!({"type": "integer"}), json!(1.0), None),
            (json!({"type": "integer"}), json!(1.5), Some("type")),
            (json!({"type": "boolean"}), json!("true"), Some("type")),
            (
                json!({"type": "string", "minLength": 2}),
                json!("\u{e9}"),
                Some("minLength"),
            ),
            (
                json!({"type": "string", "maxLength": 2}),
                json!("\u{e9}\u{e9}"),
                None,
            ),
            (
                json!({"type": "number", "minimum": 0}),
                json!(-1),
                Some("minimum"),
            ),
            (
                json!({"type": "number", "maximum": 5}),
                json!(5.5),
                Some("maximum"),
            ),
            (json!({"enum": ["a", "b"]}), json!("c"), Some("its choices")),
            (
                json!({"oneOf": [{"const": "a", "title": "A"}]}),
                json!("a"),
                None,
            ),
            (
                json!({"oneOf": [{"const": "a", "title": "A"}]}),
                json!("A"),
                Some("its choices"),
            ),
            (
                json!({"type": "array", "items": {"enum": ["a"]}}),
                json!(["a", "b"]),
                Some("its choices"),
            ),
            (
                json!({"type": "array", "maxItems": 1}),
                json!(["a", "b"]),
                Some("maxItems"),
            ),
            (
                json!({"type": "array", "items": {"anyOf": [{"const": "a"}]}}),
                json!(["a"]),
                None,
            ),
        ] {
            let schema = json!({"properties": {"x": property}});
            let found = check(&schema, &json!({"x": value}));
            let field = "x".to_owned();
            let expected = keyword.map(|keyword| FormFault::Unfit { field, keyword });
            assert_eq!(found.err(), expected, "{property} {value}");
        }
    }

    #[test]
    fn required_fields_are_there_and_others_are_not() {
        let schema = json!({"properties": {"x": {}}, "required": ["x"]});
        assert_eq!(
            check(&schema, &json!({})),
            Err(FormFault::Missing("x".into()))
        );
        let unknown = json!({"x": 1, "y": 2});
        assert_eq!(
            check(&schema, &unknown),
            Err(FormFault::Unknown("y".into()))
        );
        assert_eq!(check(&schema, &json!([])), Err(FormFault::NoObject));
    }
}
