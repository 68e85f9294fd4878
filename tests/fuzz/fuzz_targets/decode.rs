//! Decoding: agrees with serde_json on the validity and the values of JSON, within the limits.
#![no_main]

use std::cell::RefCell;

use corelane_protocol::jsonrpc::{DecodeError, Decoder, JsonLimits};
use libfuzzer_sys::fuzz_target;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// serde_json reads an object with this member as embedded JSON instead of its members.
const PRIVATE_NAME: &[u8] = b"$serde_json::private";

thread_local! {
    // One for all inputs: the state after one input must not change the next.
    static DECODER: RefCell<Decoder> = RefCell::new(Decoder::new(JsonLimits {
        depth_max: 16,
        nodes_max: 512,
        id_bytes_max: 16,
        method_bytes_max: 16,
    }));
}

fuzz_target!(|data: &[u8]| DECODER.with_borrow_mut(|decoder| check(decoder, data)));

fn check(decoder: &mut Decoder, data: &[u8]) {
    let written = match decoder.decode(data) {
        Ok(decoded) => {
            let theirs = read::<IgnoredAny>(data);
            assert!(
                theirs.is_ok(),
                "accepted what serde_json refuses: {theirs:?}"
            );
            if !contains(data, PRIVATE_NAME) {
                let theirs = read::<Value>(data).expect("it was accepted a moment ago");
                let ours = decoded.root().to_serde();
                assert!(
                    is_same(&ours, &theirs),
                    "read {ours:?}, serde_json read {theirs:?}"
                );
            }
            // Neither may panic, for any shape.
            let _ = decoded.message();
            assert_eq!(decoded.batch().count(), decoded.batch().len());
            let mut written = Vec::new();
            decoded.root().write_json(&mut written);
            written
        }
        Err(error) => {
            let within_limits = matches!(
                error,
                DecodeError::Empty | DecodeError::InvalidUtf8 | DecodeError::Syntax
            );
            assert!(
                !within_limits || read::<Value>(data).is_err(),
                "{error} is not so"
            );
            return;
        }
    };
    let mut again = Vec::new();
    let decoded = decoder
        .decode(&written)
        .expect("what was written can be read");
    decoded.root().write_json(&mut again);
    assert_eq!(again, written, "writing is not stable");
    assert!(
        !written.contains(&b'\n'),
        "what was written has several lines"
    );
}

/// Equality, except that `-0` is an integer here and a float in serde_json.
fn is_same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Array(ours), Value::Array(theirs)) => {
            let mut pairs = ours.iter().zip(theirs);
            ours.len() == theirs.len() && pairs.all(|(ours, theirs)| is_same(ours, theirs))
        }
        (Value::Object(ours), Value::Object(theirs)) => {
            let mut pairs = ours.iter().zip(theirs);
            ours.len() == theirs.len()
                && pairs.all(|(ours, theirs)| ours.0 == theirs.0 && is_same(ours.1, theirs.1))
        }
        (Value::Number(ours), Value::Number(theirs)) if theirs.as_f64() == Some(0.0) => {
            ours.as_f64() == Some(0.0)
        }
        _ => ours == theirs,
    }
}

fn read<'de, T: Deserialize<'de>>(data: &'de [u8]) -> serde_json::Result<T> {
    let mut reader = serde_json::Deserializer::from_slice(data);
    reader.disable_recursion_limit();
    let value = T::deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

fn contains(data: &[u8], part: &[u8]) -> bool {
    data.windows(part.len()).any(|window| window == part)
}
