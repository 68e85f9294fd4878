//! Validation on the decoder's tape agrees with validation of `serde_json` values.
//!
//! Each schema stands for the property `v`, and is tried with every instance there is: its own
//! ones and those of all other schemas.

use corelane_protocol::jsonrpc::{Decoder, JsonLimits};
use serde_json::Value;

use super::{CompiledSchema, FAULT_WORK_MAX, FAULTS_NAMED_MAX};

mod alternatives;
mod types;

/// Schemas of the property `v`.
const SCHEMAS: &[&str] = &[
    "true",
    "false",
    "{}",
    r#"{"type":"null"}"#,
    r#"{"type":"boolean"}"#,
    r#"{"type":"integer"}"#,
    r#"{"type":"number"}"#,
    r#"{"type":"string"}"#,
    r#"{"type":"array"}"#,
    r#"{"type":"object"}"#,
    r#"{"type":["integer","null"]}"#,
    r#"{"type":["string","number"]}"#,
    r#"{"const":1}"#,
    r#"{"const":1.0}"#,
    r#"{"const":-0.0}"#,
    r#"{"const":"1"}"#,
    r#"{"const":null}"#,
    r#"{"const":[1,{"a":2}]}"#,
    r#"{"const":{"a":1,"b":[2.0]}}"#,
    r#"{"const":18446744073709551615}"#,
    r#"{"const":18446744073709551616}"#,
    r#"{"const":9007199254740993}"#,
    r#"{"enum":[1,"a",null,[],{}]}"#,
    r#"{"enum":["red","green"]}"#,
    r#"{"enum":[0,false]}"#,
    r#"{"minimum":1}"#,
    r#"{"maximum":1.5}"#,
    r#"{"exclusiveMinimum":0,"exclusiveMaximum":10}"#,
    r#"{"minimum":9223372036854775807}"#,
    r#"{"maximum":-9223372036854775808}"#,
    r#"{"minimum":18446744073709551615}"#,
    r#"{"exclusiveMaximum":9007199254740993}"#,
    r#"{"multipleOf":2}"#,
    r#"{"multipleOf":0.1}"#,
    r#"{"multipleOf":1e300}"#,
    r#"{"minLength":2,"maxLength":3}"#,
    r#"{"pattern":"^a+$"}"#,
    r#"{"pattern":"\\d"}"#,
    r#"{"format":"date-time"}"#,
    r#"{"minItems":1,"maxItems":2}"#,
    r#"{"uniqueItems":true}"#,
    r#"{"items":{"type":"integer"}}"#,
    r#"{"prefixItems":[{"type":"integer"},{"type":"string"}],"items":false}"#,
    r#"{"contains":{"const":1},"maxContains":1}"#,
    r#"{"unevaluatedItems":false,"prefixItems":[true]}"#,
    r#"{"required":["a"]}"#,
    r#"{"minProperties":1,"maxProperties":1}"#,
    r#"{"properties":{"a":{"type":"integer"}},"additionalProperties":false}"#,
    r#"{"additionalProperties":{"type":"integer"}}"#,
    r#"{"patternProperties":{"^x":{"type":"string"}},"additionalProperties":false}"#,
    r#"{"propertyNames":{"pattern":"^[a-z]$"}}"#,
    r#"{"propertyNames":{"maxLength":1}}"#,
    r#"{"propertyNames":{"enum":["a","b"]}}"#,
    r#"{"propertyNames":{"const":"a"}}"#,
    r#"{"propertyNames":{"type":"string"}}"#,
    r#"{"propertyNames":{"not":{"type":"number"}}}"#,
    r#"{"propertyNames":false}"#,
    r#"{"dependentRequired":{"a":["b"]}}"#,
    r#"{"dependentSchemas":{"a":{"required":["b"]}}}"#,
    r#"{"unevaluatedProperties":false,"properties":{"a":true}}"#,
    r#"{"anyOf":[{"type":"string"},{"minimum":5}]}"#,
    r#"{"oneOf":[{"type":"integer"},{"minimum":2}]}"#,
    r#"{"allOf":[{"type":"integer"},{"minimum":2}]}"#,
    r#"{"not":{"type":"string"}}"#,
    r#"{"if":{"type":"string"},"then":{"minLength":2},"else":{"type":"number"}}"#,
    r#"{"if":{"properties":{"a":{"const":1}}},"then":{"required":["b"]}}"#,
    r##"{"$ref":"#/$defs/positive"}"##,
    r##"{"$ref":"#/$defs/tree"}"##,
    r##"{"type":"array","items":{"$ref":"#/$defs/positive"}}"##,
];

/// Values of the property `v`.
const INSTANCES: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "0.0",
    "-0.0",
    "1",
    "1.0",
    "1e0",
    "10e-1",
    "1.5",
    "-1",
    "2",
    "2.0",
    "3",
    "9.3",
    "10",
    "0.3",
    "1e300",
    "1e-300",
    "1.7976931348623157e308",
    "9007199254740992",
    "9007199254740993",
    "9007199254740993.0",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775809",
    "123456789012345678901234567890",
    r#""""#,
    r#""a""#,
    r#""aa""#,
    r#""1""#,
    r#""red""#,
    r#""\u00e9\ud83d\ude00x""#,
    r#""\ud83d\ude00""#,
    r#""aaaa\n""#,
    r#""2025-11-25T00:00:00Z""#,
    "[]",
    "[1]",
    "[1.0]",
    "[1,1]",
    "[1,1.0]",
    "[1,true]",
    "[0,false]",
    r#"[1,"1"]"#,
    r#"[1,"a"]"#,
    r#"[1,"a",2]"#,
    "[[1],[1.0]]",
    r#"[{"a":1,"b":2},{"b":2,"a":1}]"#,
    r#"[{"a":1},{"a":2}]"#,
    r#"[1,{"a":2}]"#,
    "[18446744073709551615,18446744073709551616]",
    "[9007199254740992,9007199254740993]",
    "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,1]",
    r#"["a","b","c","d","e","f","g","h","i","j","k","l","m","n","o","p","a"]"#,
    "{}",
    r#"{"a":1}"#,
    r#"{"a":1.0,"b":[2]}"#,
    r#"{"b":[2.0],"a":1}"#,
    r#"{"a":"1"}"#,
    r#"{"a":2,"b":1}"#,
    r#"{"b":1}"#,
    r#"{"ab":1}"#,
    r#"{"":1}"#,
    r#"{"\u00e9":1}"#,
    r#"{"xa":"s"}"#,
    r#"{"xa":1}"#,
    r#"{"children":[{"children":[]},{"children":[{"children":[]}]}]}"#,
    r#"{"children":[{"children":[1]}]}"#,
];

/// A whole schema with `schema` for the property `v`.
fn around(schema: &str) -> Value {
    let text = format!(
        r##"{{"type":"object","properties":{{"v":{schema}}},"$defs":{{
            "positive":{{"type":"integer","exclusiveMinimum":0}},
            "tree":{{"type":"object","required":["children"],"properties":{{
                "children":{{"type":"array","items":{{"$ref":"#/$defs/tree"}}}}}}}}}}}}"##
    );
    serde_json::from_str(&text).expect("the tables hold JSON")
}

/// The same schema for both representations.
struct Pair {
    tape: CompiledSchema,
    value: jsonschema::Validator,
}

impl Pair {
    fn new(schema: &Value) -> Pair {
        Pair {
            tape: CompiledSchema::of_input(schema).expect("the tables hold usable schemas"),
            value: jsonschema::options()
                .with_pattern_options(jsonschema::PatternOptions::regex())
                .build(schema)
                .expect("the tables hold usable schemas"),
        }
    }

    /// Checks that both give the same result for `arguments`; returns whether they fit.
    #[track_caller]
    fn check(&self, arguments: &str) -> bool {
        let value: Value = serde_json::from_str(arguments).expect("the tables hold JSON");
        let mut decoder = Decoder::new(JsonLimits::default());
        let decoded = decoder.decode(arguments.as_bytes()).expect("the same JSON");
        let is_valid = self.value.is_valid(&value);
        assert_eq!(self.tape.is_valid(decoded.root()), is_valid, "{arguments}");
        if let Some(error) = self.value.iter_errors(&value).next() {
            let (text, path) = (self.tape.faults(decoded.root()), error.instance_path());
            assert!(text.contains(path.as_str()), "{arguments}: {text}");
        }
        is_valid
    }
}

#[test]
fn the_tape_is_judged_as_the_value_is() {
    let mut judgements = [0, 0];
    for schema in SCHEMAS {
        println!("{schema}");
        let pair = Pair::new(&around(schema));
        for instance in INSTANCES {
            let is_valid = pair.check(&format!(r#"{{"v":{instance}}}"#));
            judgements[usize::from(is_valid)] += 1;
        }
    }
    // Both results occur often, or the tables would show little.
    assert!(
        judgements.iter().all(|count| *count > 1000),
        "{judgements:?}"
    );
}

#[test]
fn the_root_and_its_names_are_judged_too() {
    let pair = Pair::new(&serde_json::json!({
        "type": "object",
        "required": ["a"],
        "maxProperties": 2,
        "propertyNames": {"maxLength": 1},
    }));
    for (arguments, is_valid) in [
        (r#"{"a":1}"#, true),
        (r#"{"a":1,"b":{"long":1}}"#, true),
        ("{}", false),
        (r#"{"a":1,"b":1,"c":1}"#, false),
        (r#"{"a":1,"bb":1}"#, false),
    ] {
        assert_eq!(pair.check(arguments), is_valid, "{arguments}");
    }
}

#[test]
fn faults_name_the_place_and_are_bounded() {
    let schema = serde_json::json!({
        "type": "object",
        "properties": {"list": {"items": {"type": "integer"}}},
    });
    let pair = Pair::new(&schema);
    for (count, has_more) in [
        (1, false),
        (FAULTS_NAMED_MAX, false),
        (FAULTS_NAMED_MAX + 1, true),
    ] {
        let arguments = format!(r#"{{"list":[{}]}}"#, vec![r#""x""#; count].join(","));
        let mut decoder = Decoder::new(JsonLimits::default());
        let decoded = decoder.decode(arguments.as_bytes()).expect("JSON");
        let text = pair.tape.faults(decoded.root());
        assert!(text.starts_with("invalid arguments: /list/0: "), "{text}");
        let named = text.matches("/list/").count();
        assert_eq!(named, count.min(FAULTS_NAMED_MAX), "{text}");
        assert_eq!(text.ends_with("; and more"), has_more, "{text}");
    }
}

/// Schemas that look at each part of a value twice as often as at the part around it.
const DOUBLING: &[&str] = &[
    r##"{"type":"object","properties":{"x":{"allOf":[{"$ref":"#"},{"$ref":"#"}]}}}"##,
    r##"{"type":"object","properties":{"x":{"anyOf":[{"$ref":"#"},{"$ref":"#"}]}}}"##,
    r##"{"type":"object","properties":{"x":{"oneOf":[{"$ref":"#"},{"$ref":"#"}]}}}"##,
    r##"{"type":"object","properties":{"x":{"not":{"allOf":[{"$ref":"#"},{"$ref":"#"}]}}}}"##,
    r##"{"type":"object","properties":{"x":{"anyOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/b"}]}},
        "$defs":{
            "a":{"required":["x"],"properties":{"x":{"$ref":"#/properties/x"},"y":{"const":1}}},
            "b":{"required":["x"],"properties":{"x":{"$ref":"#/properties/x"},"y":{"const":2}}}
        }}"##,
];

#[test]
fn a_deep_value_does_not_take_for_ever() {
    const DEPTH: usize = 100;
    for schema in DOUBLING {
        println!("{schema}");
        let schema = serde_json::from_str(schema).expect("the tables hold JSON");
        let schema = CompiledSchema::of_input(&schema).expect("the tables hold usable schemas");
        let results = ["{}", "1", r#"{"y":1}"#].map(|leaf| {
            let text = format!("{}{leaf}{}", r#"{"x":"#.repeat(DEPTH), "}".repeat(DEPTH));
            let mut decoder = Decoder::new(JsonLimits::default());
            let decoded = decoder.decode(text.as_bytes()).expect("it is JSON");
            let is_valid = schema.is_valid(decoded.root());
            if !is_valid {
                let faults = schema.faults(decoded.root());
                assert!(faults.starts_with("invalid arguments: "), "{faults}");
                assert!(!schema.broken_rule(decoded.root()).is_empty());
            }
            is_valid
        });
        assert!(results.contains(&false), "nothing took its time");
    }
}

/// Checks that `arguments` do not fit `schema`, and the reported faults.
#[track_caller]
fn check_faults(schema: &str, arguments: &str, expected: &str) {
    let schema = serde_json::from_str(schema).expect("the tables hold JSON");
    let schema = CompiledSchema::of_input(&schema).expect("the tables hold usable schemas");
    let mut decoder = Decoder::new(JsonLimits::default());
    let decoded = decoder.decode(arguments.as_bytes()).expect("JSON");
    assert!(!schema.is_valid(decoded.root()));
    let text = schema.faults(decoded.root());
    assert_eq!(text, format!("invalid arguments: {expected}"));
}

#[test]
fn errors_of_a_value_that_is_too_large_to_look_at_or_to_copy_are_not_listed() {
    const TOO_LARGE: &str = "the value is too large to list its errors";
    let members = |count: usize| -> String {
        let members: Vec<String> = (0..count).map(|at| format!(r#""k{at}":0"#)).collect();
        members.join(",")
    };
    let list = r#"{"type":"object","properties":{"list":{"items":{"type":"integer"}}}}"#;
    check_faults(
        list,
        r#"{"list":[1,"x"]}"#,
        r#"/list/1: value is not of type "integer""#,
    );
    let elements = vec!["{}"; FAULT_WORK_MAX as usize].join(",");
    check_faults(list, &format!(r#"{{"list":[{elements}]}}"#), TOO_LARGE);

    let required = r#"{"type":"object","required":["a","b"],"properties":{"a":{},"b":{}}}"#;
    let two = "\"a\" is a required property; \"b\" is a required property";
    check_faults(required, &format!("{{{}}}", members(1000)), two);
    check_faults(required, &format!("{{{}}}", members(480_000)), TOO_LARGE);

    let closed = r#"{"type":"object","additionalProperties":false}"#;
    check_faults(closed, r#"{"k0":0}"#, "False schema does not allow value");
    let closed = r#"{"type":"object","properties":{"a":{}},"additionalProperties":false}"#;
    check_faults(closed, &format!("{{{}}}", members(100_000)), TOO_LARGE);

    // Each error has the whole path in it.
    let nested =
        r#"{"type":"object","additionalProperties":{"additionalProperties":{"type":"null"}}}"#;
    let long = "n".repeat(100_000);
    let text = format!(r#"{{"{long}":{{{}}}}}"#, members(1000));
    check_faults(nested, &text, TOO_LARGE);

    let pattern = r#"{"type":"object","properties":{"text":{"pattern":"^a+$"}}}"#;
    let long = "b".repeat(8 << 20);
    check_faults(
        pattern,
        r#"{"text":"b"}"#,
        r#"/text: value does not match "^a+$""#,
    );
    check_faults(pattern, &format!(r#"{{"text":"{long}"}}"#), TOO_LARGE);

    let unique = r#"{"type":"object","properties":{"list":{"uniqueItems":true}}}"#;
    let text = format!(r#"{{"list":["{long}","{long}"]}}"#);
    check_faults(
        unique,
        r#"{"list":[1,1]}"#,
        "/list: value has non-unique elements",
    );
    check_faults(unique, &text, TOO_LARGE);
}

#[test]
fn an_error_of_too_many_items_says_how_many() {
    let schema = r#"{"$schema":"http://json-schema.org/draft-07/schema#","type":"object",
        "properties":{"list":{"items":[true],"additionalItems":false}}}"#;
    let text = "/list: Additional items are not allowed (2 items)";
    check_faults(schema, r#"{"list":[1,2,3]}"#, text);
}
