//! The digest of a call's params, 32 bytes: the same for a retry, in any JSON notation.
//!
//! Invariant: the digest is SHA-256 over bytes that stand for exactly one value. Each value starts
//! with a byte for its kind; strings have their length, objects and arrays an end mark. Members are
//! in bytewise order of their names, the last one of a name counts, and an integer within 2^53 is
//! the same with a fraction of zero. It lacks a bound on depth: the decoder has it.

use sha2::{Digest as _, Sha256};

use crate::header_value::integral;
use crate::jsonrpc::{Object, Value};

/// The members that differ between a call and its retry: responses, the state itself, and the
/// envelope with progress token, trace and claims.
const LEFT_OUT: [&str; 3] = ["_meta", "inputResponses", "requestState"];

/// The digest of `params` without `_meta`, `inputResponses` and `requestState`; a request without
/// params has the digest of [`Value::EMPTY_OBJECT`].
///
/// The order of members and the notation of strings and numbers do not matter: `1.0` is 1. Beside
/// the value itself, a list of its members takes memory.
pub fn params_digest(params: Value<'_>) -> [u8; 32] {
    let mut hasher = Sha256::new();
    match params.as_object() {
        Some(members) => add_object(&mut hasher, members, &LEFT_OUT),
        None => add_value(&mut hasher, params),
    }
    hasher.finalize().into()
}

fn add_value(hasher: &mut Sha256, value: Value<'_>) {
    if let Some(members) = value.as_object() {
        add_object(hasher, members, &[]);
    } else if let Some(elements) = value.as_array() {
        hasher.update(b"a");
        for element in elements {
            add_value(hasher, element);
        }
        hasher.update(b"e");
    } else {
        add_scalar(hasher, value);
    }
}

fn add_object(hasher: &mut Sha256, members: Object<'_>, left_out: &[&str]) {
    let mut members: Vec<(&str, Value<'_>)> = members
        .iter()
        .filter(|(name, _)| !left_out.contains(name))
        .collect();
    // The sort is stable: of members with one name, the last in the text stays the last.
    members.sort_by_key(|(name, _)| *name);
    hasher.update(b"o");
    for namesakes in members.chunk_by(|one, next| one.0 == next.0) {
        if let Some((name, value)) = namesakes.last() {
            add_string(hasher, name);
            add_value(hasher, *value);
        }
    }
    hasher.update(b"e");
}

fn add_scalar(hasher: &mut Sha256, value: Value<'_>) {
    if let Some(text) = value.as_str() {
        add_string(hasher, text);
    } else if let Some(truth) = value.as_bool() {
        hasher.update(if truth { b"t" } else { b"f" });
    } else if let Some(number) = integer(value) {
        hasher.update(b"i");
        hasher.update(number.to_be_bytes());
    } else if let Some(number) = value.as_f64() {
        hasher.update(b"d");
        hasher.update(number.to_bits().to_be_bytes());
    } else {
        hasher.update(b"n");
    }
}

fn integer(value: Value<'_>) -> Option<i128> {
    value
        .as_i64()
        .map(i128::from)
        .or_else(|| value.as_u64().map(i128::from))
        .or_else(|| integral(value.as_f64()?).map(i128::from))
}

fn add_string(hasher: &mut Sha256, text: &str) {
    hasher.update(b"s");
    hasher.update((text.len() as u64).to_be_bytes());
    hasher.update(text);
}

#[cfg(test)]
mod tests {
    use super::params_digest;
    use crate::jsonrpc::{Decoder, JsonLimits, Value};
    use sha2::{Digest as _, Sha256};

    fn digest(text: &str) -> [u8; 32] {
        let limits = JsonLimits {
            depth_max: 256,
            ..JsonLimits::default()
        };
        let mut decoder = Decoder::new(limits);
        let decoded = decoder.decode(text.as_bytes()).expect("valid JSON");
        params_digest(decoded.root())
    }

    fn check(texts: [&str; 2], are_same: bool) {
        let [one, other] = texts.map(digest);
        assert_eq!(one == other, are_same, "{texts:?}");
    }

    #[test]
    fn does_not_see_how_the_same_call_is_written() {
        for texts in [
            [
                r#"{"a":1,"b":{"c":2,"d":[]}}"#,
                r#"{"b":{"d":[],"c":2},"a":1}"#,
            ],
            [r#"{"a":"\u00e9\/"}"#, "{ \"a\" : \"\u{e9}/\" }"],
            [r#"{"\u0061":1}"#, r#"{"a":1}"#],
            [r#"{"a":0,"b":2,"a":1}"#, r#"{"b":2,"a":1}"#],
            [r#"{"x":{"a":0,"a":1}}"#, r#"{"x":{"a":1}}"#],
            [r#"{"a":1.0,"b":-0.0}"#, r#"{"a":1,"b":0}"#],
            [r#"{"a":1.50}"#, r#"{"a":15e-1}"#],
            [
                r#"{"requestState":"x","inputResponses":{},"_meta":{},"a":1}"#,
                r#"{"a":1}"#,
            ],
        ] {
            check(texts, true);
        }
    }

    #[test]
    fn depends_on_the_params_of_a_call() {
        for texts in [
            [r#"{"a":1}"#, r#"{"a":2}"#],
            [r#"{"a":1}"#, r#"{"b":1}"#],
            [r#"{"a":1}"#, r#"{"a":"1"}"#],
            [r#"{"a":1}"#, r#"{"a":true}"#],
            [r#"{"a":true}"#, r#"{"a":false}"#],
            [r#"{"a":null}"#, "{}"],
            [r#"{"a":[]}"#, r#"{"a":{}}"#],
            [r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#],
            [r#"{"a":[[1],2]}"#, r#"{"a":[[1,2]]}"#],
            [r#"{"a":{"b":1},"c":2}"#, r#"{"a":{"b":1,"c":2}}"#],
            [r#"{"a":{"_meta":1}}"#, r#"{"a":{}}"#],
            [r#"{"a":"b","c":"d"}"#, r#"{"a":"bcd"}"#],
            [
                r#"{"a":9223372036854775808}"#,
                r#"{"a":-9223372036854775808}"#,
            ],
            [
                r#"{"a":18446744073709551615}"#,
                r#"{"a":18446744073709551614}"#,
            ],
            [r#"{"a":9007199254740993}"#, r#"{"a":9007199254740992}"#],
            [r#"{"a":0.1}"#, r#"{"a":0.2}"#],
        ] {
            check(texts, false);
        }
    }

    #[test]
    fn is_the_digest_that_other_processes_make() {
        let bytes = b"os\0\0\0\0\0\0\0\x01as\0\0\0\0\0\0\0\x02xy\
            s\0\0\0\0\0\0\0\x01bai\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07tfnee";
        let expected: [u8; 32] = Sha256::digest(bytes).into();
        assert_eq!(digest(r#"{"b":[7,true,false,null],"a":"xy"}"#), expected);
        assert_eq!(params_digest(Value::EMPTY_OBJECT), digest("{}"));
    }

    #[test]
    fn fits_half_a_stack_at_the_deepest_nesting() {
        let nested = r#"{"a":["#.repeat(128) + &"]}".repeat(128);
        let deep = std::thread::Builder::new().stack_size(1024 * 1024);
        let thread = deep.spawn(move || digest(&nested)).expect("a thread");
        assert_ne!(thread.join().expect("no overflow"), digest("{}"));
    }
}
