//! Values read into types as serde_json reads them.

use super::error::{MESSAGE_BYTES_MAX, PATH_BYTES_MAX};
use crate::jsonrpc::{Decoder, JsonLimits};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

#[derive(Debug, Deserialize, PartialEq)]
struct Point {
    x: f64,
    y: f64,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
struct Search {
    query_text: String,
    limit: Option<u8>,
    #[serde(default)]
    exact: bool,
    points: Vec<Point>,
    by_id: BTreeMap<u64, (i32, char)>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Strict {
    a: i64,
}

#[derive(Debug, Deserialize, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
enum Shape {
    Unit,
    Newtype(u32),
    Tuple(u8, u8),
    Struct { a: bool },
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Tagged {
    Text { text: String },
    Blob { data: Vec<u8> },
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(untagged)]
enum Token {
    Number(i64),
    Text(String),
}

#[derive(Debug, Deserialize, PartialEq)]
struct Wrapper(u64);

#[derive(Debug, Deserialize, PartialEq)]
struct Flat {
    a: u8,
    #[serde(flatten)]
    rest: HashMap<String, Token>,
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let mut decoder = Decoder::new(JsonLimits::default());
    let decoded = decoder.decode(text.as_bytes()).unwrap();
    T::deserialize(decoded.root()).map_err(|error| error.to_string())
}

/// Reads the same value or fails alike as serde_json.
fn check<T: DeserializeOwned + Debug + PartialEq>(text: &str) {
    let expected = serde_json::from_str::<T>(text).map_err(|_| ());
    assert_eq!(read::<T>(text).map_err(|_| ()), expected, "{text}");
}

#[test]
fn reads_structs_and_enums_like_serde_json() {
    let search = [
        r#"{"queryText":"a","limit":1,"exact":true,"points":[],"byId":{}}"#,
        r#"{"queryText":"\u00e4","limit":null,"points":[{"x":1,"y":2.5},[3,4]],"byId":{}}"#,
        r#"{"queryText":"","points":[],"byId":{"0":[1,"a"],"18446744073709551615":[-1,"ä"]}}"#,
        r#"{"queryText":"","points":[],"byId":{},"unknown":{"deep":[1,{}]}}"#,
        r#"{"queryText":"","points":[],"byId":{"01":[1,"a"]}}"#,
        r#"{"queryText":"","points":[],"byId":{"-1":[1,"a"]}}"#,
        r#"{"queryText":"","points":[],"byId":{"1":[1,"ab"]}}"#,
        r#"{"queryText":"","points":[],"byId":{"1":[1]}}"#,
        r#"{"queryText":"","points":[],"byId":{"1":[1,"a",2]}}"#,
        r#"{"queryText":"","limit":256,"points":[],"byId":{}}"#,
        r#"{"queryText":"","limit":-1,"points":[],"byId":{}}"#,
        r#"{"queryText":null,"points":[],"byId":{}}"#,
        r#"{"queryText":"a","points":[],"byId":[]}"#,
        r#"{"points":[],"byId":{}}"#,
        "[\"a\",1,true,[],{}]",
        "[]",
        "3",
    ];
    search.iter().for_each(|text| check::<Search>(text));
    let shapes = [
        "\"unit\"",
        "{\"unit\":null}",
        "{\"unit\":1}",
        "{\"newtype\":5}",
        "\"newtype\"",
        "{\"newtype\":-5}",
        "{\"tuple\":[1,2]}",
        "{\"tuple\":[1]}",
        "{\"tuple\":[1,2,3]}",
        "{\"tuple\":{}}",
        "{\"struct\":{\"a\":true}}",
        "{\"struct\":[true]}",
        "{\"struct\":{}}",
        "\"other\"",
        "{\"other\":1}",
        "{}",
        "{\"unit\":null,\"newtype\":1}",
        "1",
        "null",
        "[]",
    ];
    for text in shapes.iter().filter(|text| **text != "{\"struct\":[true]}") {
        check::<Shape>(text);
    }
    ["{\"a\":1}", "{\"a\":1,\"b\":2}", "{}", "{\"a\":\"1\"}"]
        .iter()
        .for_each(|text| check::<Strict>(text));
    [
        r#"{"type":"text","text":"a"}"#,
        r#"{"data":[0,255],"type":"blob"}"#,
        r#"{"type":"blob","data":[256]}"#,
        r#"{"type":"none"}"#,
        r#"{"text":"a"}"#,
    ]
    .iter()
    .for_each(|text| check::<Tagged>(text));
    ["1", "\"1\"", "1.5", "null", "18446744073709551615"]
        .iter()
        .for_each(|text| check::<Token>(text));
    [
        r#"{"b":1,"a":2,"c":"x"}"#,
        r#"{"a":2}"#,
        r#"{"a":2,"b":null}"#,
    ]
    .iter()
    .for_each(|text| check::<Flat>(text));
}

#[test]
fn coerces_numbers_like_serde_json() {
    let numbers = [
        "0",
        "-1",
        "1",
        "127",
        "128",
        "255",
        "256",
        "-128",
        "-129",
        "4294967296",
        "1.5",
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "-9223372036854775808",
        "\"1\"",
        "true",
        "null",
    ];
    for text in numbers {
        check::<i8>(text);
        check::<u8>(text);
        check::<i32>(text);
        check::<u32>(text);
        check::<i64>(text);
        check::<u64>(text);
        check::<i128>(text);
        check::<u128>(text);
        check::<f32>(text);
        check::<f64>(text);
        check::<Option<i64>>(text);
        check::<Wrapper>(text);
        check::<bool>(text);
        check::<()>(text);
        check::<String>(text);
        check::<Vec<i64>>(text);
    }
}

/// Reads the value `1.0` and its like as serde_json reads `1`.
fn check_whole<T: DeserializeOwned + Debug + PartialEq>(float: &str, integer: &str) {
    let around = |value: &str| format!(r#"{{"v":{value}}}"#);
    let expected = serde_json::from_str::<HashMap<String, T>>(&around(integer)).map_err(|_| ());
    let found = read::<HashMap<String, T>>(&around(float)).map_err(|_| ());
    assert_eq!(found, expected, "{float}");
}

#[test]
fn a_float_without_a_fraction_is_an_integer_for_every_type_that_takes_one() {
    for (float, integer) in [
        ("0.0", "0"),
        ("-0.0", "0"),
        ("20.0", "20"),
        ("2e1", "20"),
        ("200e-1", "20"),
        ("-128.0", "-128"),
        ("255.0", "255"),
        ("256.0", "256"),
        ("4294967295.0", "4294967295"),
        ("9007199254740993.0", "9007199254740992"),
        ("9223372036854774784.0", "9223372036854774784"),
        ("9223372036854775808.0", "9223372036854775808"),
        ("-9223372036854775808.0", "-9223372036854775808"),
        ("18446744073709549568.0", "18446744073709549568"),
    ] {
        check_whole::<i8>(float, integer);
        check_whole::<u8>(float, integer);
        check_whole::<i32>(float, integer);
        check_whole::<u32>(float, integer);
        check_whole::<i64>(float, integer);
        check_whole::<u64>(float, integer);
        check_whole::<i128>(float, integer);
        check_whole::<u128>(float, integer);
        check_whole::<Option<i64>>(float, integer);
        check_whole::<Vec<i64>>(float, integer);
        check_whole::<Wrapper>(float, integer);
        check_whole::<Token>(float, integer);
        check_whole::<serde_json::Value>(float, integer);
    }
    for float in [
        "1.5",
        "18446744073709551616.0",
        "1e300",
        "-9223372036854777856.0",
    ] {
        check::<i64>(float);
        check::<u64>(float);
        check::<serde_json::Value>(float);
    }
    check_whole::<Flat>(r#"{"a":2.0,"b":3e0}"#, r#"{"a":2,"b":3}"#);
    check_whole::<Tagged>(
        r#"{"data":[1.0,2e2],"type":"blob"}"#,
        r#"{"data":[1,200],"type":"blob"}"#,
    );
    let zero = read::<f64>("-0.0").map(f64::is_sign_negative);
    assert_eq!(zero, Ok(true), "a float stays what it was");
}

#[test]
fn reads_map_keys_as_numbers_booleans_and_enums() {
    let texts = [
        "{}",
        "{\"1\":1,\"2\":2}",
        "{\"-1\":1}",
        "{\"true\":1}",
        "{\"unit\":1}",
        "{\"+1\":1}",
        "{\"\":1}",
        "{\"1 \":1}",
        "{\"300\":1}",
    ];
    for text in texts {
        check::<BTreeMap<u8, u8>>(text);
        check::<BTreeMap<i64, u8>>(text);
        check::<BTreeMap<bool, u8>>(text);
        check::<BTreeMap<Shape, u8>>(text);
        check::<BTreeMap<Option<u8>, u8>>(text);
        check::<BTreeMap<String, u8>>(text);
    }
}

#[test]
fn borrows_strings_from_the_document() {
    #[derive(Deserialize)]
    struct Borrowing<'a> {
        plain: &'a str,
        escaped: &'a str,
        #[serde(borrow)]
        cow: Cow<'a, str>,
        bytes: &'a [u8],
        ignored: IgnoredAny,
    }
    let text = br#"{"plain":"a","escaped":"\n\u00e4","cow":"c","bytes":"b","ignored":[{}]}"#;
    let mut decoder = Decoder::new(JsonLimits::default());
    let decoded = decoder.decode(text).unwrap();
    let read = Borrowing::deserialize(decoded.root()).unwrap();
    assert_eq!((read.plain, read.escaped), ("a", "\n\u{e4}"));
    assert!(matches!(read.cow, Cow::Borrowed("c")));
    assert_eq!(read.bytes, b"b");
    assert_eq!(read.ignored, IgnoredAny);
}

#[test]
fn names_the_path_of_a_misfit() {
    let cases = [
        ("3", "invalid type: integer `3`, expected struct Search"),
        (
            r#"{"queryText":1}"#,
            "queryText: invalid type: integer `1`, expected a string",
        ),
        (
            r#"{"points":[{"x":1,"y":2},{"x":"1"}]}"#,
            "points[1].x: invalid type: string \"1\", expected f64",
        ),
        (
            r#"{"byId":{"7":[1,2]}}"#,
            "byId.7[1]: invalid type: integer `2`, expected a character",
        ),
        ("{\"points\":[]}", "missing field `queryText`"),
    ];
    for (text, expected) in cases {
        assert_eq!(read::<Search>(text), Err(expected.to_owned()), "{text}");
    }
}

#[test]
fn bounds_the_quotes_of_an_error() {
    let text = format!("\"{}\"", "ä".repeat(10_000));
    let message = read::<u8>(&text).unwrap_err();
    assert!(message.len() <= MESSAGE_BYTES_MAX);
    assert!(message.len() >= MESSAGE_BYTES_MAX - 3);
    let name = "n".repeat(100);
    let nested = (0..10).fold("0".to_owned(), |inner, _| format!("{{\"{name}\":{inner}}}"));
    type Nested = HashMap<String, HashMap<String, HashMap<String, Strict>>>;
    let mut decoder = Decoder::new(JsonLimits::default());
    let decoded = decoder.decode(nested.as_bytes()).unwrap();
    let error = Nested::deserialize(decoded.root()).unwrap_err();
    assert!(error.path().len() <= PATH_BYTES_MAX);
    assert_eq!(error.path(), format!("{name}.{name}"));
}
