//! Faults of values that fit no alternative.

use schemars::JsonSchema;

use super::check_faults;
use crate::handler::type_schema;

#[derive(JsonSchema)]
#[schemars(tag = "kind", rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema matters")]
enum Shape {
    Circle { radius: f64 },
    Rect { width: f64, height: f64 },
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema matters")]
enum Colour {
    /// Like blood.
    Red,
    Green,
    Blue,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema matters")]
struct Arguments {
    shape: Option<Shape>,
    shapes: Option<Vec<Shape>>,
    colour: Option<Colour>,
    text: Option<Text>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema matters")]
enum Text {
    Short { short: String },
    Long { long: String },
}

#[track_caller]
fn check(arguments: &str, expected: &str) {
    let schema = type_schema::of_arguments::<Arguments>().accepted;
    let schema = serde_json::to_string(&schema).expect("a schema");
    check_faults(&schema, arguments, expected);
}

#[test]
fn the_values_of_a_tag_are_named() {
    let wrong = r#"value is not one of "circle" or "rect""#;
    check(
        r#"{"shape":{"kind":"line","radius":1}}"#,
        &format!("/shape/kind: {wrong}"),
    );
    check(
        r#"{"shapes":[{"kind":"circle","radius":1},{"kind":1}]}"#,
        &format!("/shapes/1/kind: {wrong}"),
    );
    let colours = r#"/colour: value is not one of "green", "blue" or "red""#;
    check(r#"{"colour":"pink"}"#, colours);
}

#[test]
fn the_fault_of_the_alternative_that_was_meant_is_named() {
    check(
        r#"{"shape":{"kind":"rect","width":1}}"#,
        r#"/shape: "height" is a required property"#,
    );
    check(
        r#"{"shape":{"kind":"rect","width":1,"height":"2"}}"#,
        r#"/shape/height: value is not of type "number""#,
    );
    check(
        r#"{"shape":{"radius":1}}"#,
        r#"/shape: "kind" is a required property"#,
    );
}

#[test]
fn alternatives_without_a_sign_of_the_meant_one_are_not_guessed() {
    let anything =
        r"/text: value is not valid under any of the schemas listed in the 'anyOf' keyword";
    check(r#"{"text":{"long":7}}"#, anything);
    check(r#"{"text":7}"#, anything);
}
