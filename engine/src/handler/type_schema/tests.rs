//! Schemas of `schemars`, before and after.

use std::collections::HashMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::{of_arguments, of_form, of_output};
use crate::handler::Elicited;

#[expect(dead_code, reason = "only the schema is looked at")]
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Color {
    Red,
    Green,
}

#[expect(dead_code, reason = "only the schema is looked at")]
#[derive(JsonSchema)]
struct Inner {
    count: Option<u16>,
}

#[expect(dead_code, reason = "only the schema is looked at")]
#[derive(JsonSchema)]
struct Arguments {
    /// A byte.
    byte: u8,
    #[schemars(range(max = 3))]
    few: u8,
    #[schemars(range(max = 1000))]
    more_than_a_byte: u8,
    word: u32,
    long: i64,
    float: f64,
    address: IpAddr,
    /// A name.
    name: Option<String>,
    #[serde(default)]
    again: Option<i8>,
    color: Option<Color>,
    /// Nested.
    inner: Option<Inner>,
    list: Vec<Option<u8>>,
    map: HashMap<String, f32>,
}

/// The schema of a property of arguments, as clients are listed.
fn property(name: &str) -> Value {
    let schema = of_arguments::<Arguments>().listed;
    schema.as_value()["properties"][name].clone()
}

#[test]
fn integers_have_bounds_instead_of_formats_and_floats_have_neither() {
    for (name, expected) in [
        (
            "byte",
            json!({"description": "A byte.", "type": "integer", "minimum": 0, "maximum": 255}),
        ),
        (
            "few",
            json!({"type": "integer", "minimum": 0, "maximum": 3}),
        ),
        (
            "more_than_a_byte",
            json!({"type": "integer", "minimum": 0, "maximum": 255}),
        ),
        (
            "word",
            json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
        ),
        (
            "long",
            json!({"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX}),
        ),
        ("float", json!({"type": "number"})),
        ("address", json!({"type": "string"})),
    ] {
        assert_eq!(property(name), expected, "{name}");
    }
}

#[test]
fn an_optional_argument_is_an_optional_plain_type() {
    for (name, expected) in [
        ("name", json!({"description": "A name.", "type": "string"})),
        (
            "again",
            json!({"type": "integer", "minimum": -128, "maximum": 127}),
        ),
        ("color", json!({"$ref": "#/$defs/Color"})),
        (
            "inner",
            json!({"description": "Nested.", "$ref": "#/$defs/Inner"}),
        ),
    ] {
        assert_eq!(property(name), expected, "{name}");
    }
    let items = &property("list")["items"];
    assert_eq!(
        items["type"],
        json!(["integer", "null"]),
        "a value, not absence"
    );
    let schema = of_arguments::<Arguments>();
    let inner = &schema.listed.as_value()["$defs"]["Inner"]["properties"]["count"];
    assert_eq!(inner["type"], "integer");
    let accepted = &schema.accepted.as_value()["properties"]["name"]["type"];
    assert_eq!(*accepted, json!(["string", "null"]));
}

#[test]
fn an_object_always_names_its_properties() {
    #[derive(JsonSchema)]
    struct Nothing {}
    let schema = of_arguments::<Nothing>().listed;
    assert_eq!(schema.as_value()["properties"], json!({}));
    assert_eq!(schema.as_value()["type"], "object");
    assert_eq!(property("map")["properties"], json!({}));
    assert_eq!(
        property("map")["additionalProperties"],
        json!({"type": "number"})
    );
}

#[test]
fn the_schema_of_output_keeps_null_and_loses_foreign_formats() {
    #[derive(Serialize, JsonSchema)]
    struct Written {
        sum: f64,
        note: Option<String>,
    }
    let schema = of_output::<Written>();
    let expected = json!({"sum": {"type": "number"}, "note": {"type": ["string", "null"]}});
    assert_eq!(schema.as_value()["properties"], expected);
}

#[test]
fn a_form_has_the_members_of_forms() {
    #[expect(dead_code, reason = "only the schema is looked at")]
    #[derive(JsonSchema)]
    struct Form {
        age: Option<u8>,
        score: f32,
        color: Option<Color>,
        #[schemars(email)]
        mail: String,
        address: IpAddr,
    }
    let schema = of_form::<Form>();
    let expected = json!({
        "age": {"type": "integer", "minimum": 0, "maximum": 255},
        "score": {"type": "number"},
        "color": {"type": "string", "enum": ["red", "green"]},
        "mail": {"type": "string", "format": "email"},
        "address": {"type": "string"},
    });
    assert_eq!(schema.as_value()["properties"], expected);
}

#[test]
fn a_form_is_read_as_arguments_are() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Form {
        age: u8,
        note: Option<String>,
    }
    let read = |content: Value| {
        let content = content.as_object().cloned().unwrap_or_default();
        Elicited::Accepted(content).into_form::<Form>()
    };
    let expected = Form {
        age: 20,
        note: None,
    };
    assert_eq!(read(json!({"age": 20.0, "note": null})).unwrap(), expected);
    let fault = read(json!({"age": 300})).unwrap_err();
    assert!(fault.to_string().starts_with("age: "), "{fault}");
}
