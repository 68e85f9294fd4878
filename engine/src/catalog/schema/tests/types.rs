//! A type reads every value that its generated schema allows.

use std::collections::BTreeMap;
use std::num::{NonZeroI32, NonZeroU8};

use corelane_protocol::jsonrpc::{Decoder, JsonLimits};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{CompiledSchema, INSTANCES};
use crate::handler::type_schema::{self, ArgumentsSchema};

#[derive(Deserialize, JsonSchema)]
struct Arguments<T> {
    #[expect(dead_code, reason = "only reading it matters")]
    v: T,
}

#[derive(Deserialize, JsonSchema)]
struct Optional<T> {
    #[expect(dead_code, reason = "only reading it matters")]
    v: Option<T>,
}

#[derive(Deserialize, JsonSchema)]
struct Flattened<T> {
    #[expect(dead_code, reason = "only reading it matters")]
    #[serde(flatten)]
    all: Arguments<T>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum Untagged {
    #[expect(dead_code, reason = "only reading it matters")]
    Small(u8),
    #[expect(dead_code, reason = "only reading it matters")]
    Pair { a: u16, b: Vec<i32> },
    #[expect(dead_code, reason = "only reading it matters")]
    Text(String),
}

#[derive(Deserialize, JsonSchema)]
#[serde(tag = "a", rename_all = "lowercase")]
enum Tagged {
    #[serde(rename = "1")]
    One {
        #[expect(dead_code, reason = "only reading it matters")]
        b: u32,
    },
}

#[derive(Deserialize, JsonSchema)]
enum Named {
    #[serde(rename = "red")]
    Red,
    #[serde(rename = "a")]
    Newtype(#[expect(dead_code, reason = "only reading it matters")] i16),
}

/// Values that the enums above take, with whole floats.
const OF_ENUMS: &[&str] = &[
    r#"{"a":"1","b":7.0}"#,
    r#"{"a":300.0,"b":[1.0,-2,3e0]}"#,
    r#"{"a":-7.0}"#,
];

/// Values of the property `v` beside those of the other tables: the ends of each integer type.
fn ends() -> Vec<String> {
    let powers = [7, 8, 15, 16, 31, 32, 53, 63, 64, 100].map(|bits| 2_f64.powi(bits));
    let floats = powers
        .iter()
        .flat_map(|power| [*power, -power, power - 1.0, -power - 1.0]);
    let integers = [7, 8, 15, 16, 31, 32, 53, 63, 64].map(|bits| 1_i128 << bits);
    let integers = integers
        .iter()
        .flat_map(|power| [*power, -power, power - 1, -power - 1]);
    let floats = floats.map(|number| format!("{number:e}"));
    let whole = integers.clone().map(|number| format!("{number}.0"));
    floats
        .chain(whole)
        .chain(integers.map(|number| number.to_string()))
        .collect()
}

/// Checks that `A` reads everything that its schema allows, also the null that is not listed.
/// Returns how many values are allowed.
fn check<A: DeserializeOwned + JsonSchema>() -> usize {
    let ArgumentsSchema { listed, accepted } = type_schema::of_arguments::<A>();
    let [listed, accepted] = [listed, accepted].map(|schema| {
        CompiledSchema::of_input(schema.as_value()).expect("a generated schema is usable")
    });
    let mut allowed = 0;
    let written = INSTANCES.iter().chain(OF_ENUMS);
    let values = written.map(|it| (*it).to_owned()).chain(ends());
    let objects = values.map(|value| format!(r#"{{"v":{value}}}"#));
    for text in objects.chain(["{}".to_owned()]) {
        let mut decoder = Decoder::new(JsonLimits::default());
        let decoded = decoder
            .decode(text.as_bytes())
            .expect("the tables hold JSON");
        let arguments = decoded.root();
        let is_accepted = accepted.is_valid(arguments);
        assert!(is_accepted || !listed.is_valid(arguments), "{text}");
        if is_accepted {
            allowed += 1;
            let name = std::any::type_name::<A>();
            let read = A::deserialize(arguments);
            assert!(read.is_ok(), "{name}: {text}: {:?}", read.err());
        }
    }
    allowed
}

/// Checks a type as an argument and as an optional one.
fn check_plain<T: DeserializeOwned + JsonSchema>() {
    let (given, optional) = (check::<Arguments<T>>(), check::<Optional<T>>());
    let name = std::any::type_name::<T>();
    assert!(given > 0, "{name}");
    assert_eq!(optional, given + 2, "null and absence too: {name}");
}

/// Checks a type in these places and behind `flatten`.
fn check_type<T: DeserializeOwned + JsonSchema>() {
    check_plain::<T>();
    assert!(check::<Flattened<T>>() > 0);
}

#[test]
fn a_type_reads_every_value_that_its_schema_allows() {
    check_type::<i8>();
    check_type::<u8>();
    check_type::<i16>();
    check_type::<u16>();
    check_type::<i32>();
    check_type::<u32>();
    check_type::<i64>();
    check_type::<u64>();
    // Flattened, serde reads no more than 64 bits.
    check_plain::<i128>();
    check_plain::<u128>();
    check_type::<isize>();
    check_type::<usize>();
    check_type::<NonZeroU8>();
    check_type::<NonZeroI32>();
    check_type::<f32>();
    check_type::<f64>();
    check_type::<bool>();
    check_type::<char>();
    check_type::<String>();
    check_type::<Vec<u8>>();
    check_type::<[i64; 2]>();
    check_type::<(u8, String)>();
    check_type::<BTreeMap<String, u8>>();
    check_type::<Untagged>();
    check_type::<Tagged>();
    check_type::<Named>();
}
