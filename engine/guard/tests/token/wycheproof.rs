//! The vectors of Project Wycheproof for JSON web signatures and keys.
//!
//! `tests/wycheproof` has the files `testvectors_v1/json_web_*_test.json` of
//! <https://github.com/C2SP/wycheproof>, unchanged, under the Apache License 2.0.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use corelane_guard::token::jws::Jws;
use corelane_guard::token::keys::IssuerKeys;
use serde_json::Value;

/// Vectors with another outcome here: the number, and whether it is accepted.
struct Exceptions(&'static [(u64, bool)]);

/// Runs the vectors of a file. Returns how many were accepted and refused.
#[track_caller]
fn run(name: &str, exceptions: &Exceptions) -> (usize, usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wycheproof");
    let text = std::fs::read(folder.join(name)).expect("the vectors are in the repository");
    let file: Value = serde_json::from_slice(&text).expect("JSON");
    let mut counts = (0, 0);
    let mut others = Vec::new();
    for group in file["testGroups"].as_array().expect("groups") {
        for test in group["tests"].as_array().expect("tests") {
            let Some(token) = test.get("jws") else {
                continue;
            };
            // A token of the JSON serialisation is an object; as text it must be refused too.
            let token = token
                .as_str()
                .map_or_else(|| token.to_string(), str::to_owned);
            let is_accepted = verifies(group, &token);
            match is_accepted {
                true => counts.0 += 1,
                false => counts.1 += 1,
            }
            if is_accepted != (test["result"] == "valid") {
                others.push((test["tcId"].as_u64().expect("a number"), is_accepted));
            }
        }
    }
    assert_eq!(others, exceptions.0, "{name}");
    counts
}

/// Whether one of the keys of a group verifies a token.
fn verifies(group: &Value, token: &str) -> bool {
    let Ok(jws) = Jws::read(token.as_bytes()) else {
        return false;
    };
    // Only symmetric keys have no public part.
    let keys = group
        .get("public")
        .or_else(|| group.get("private"))
        .expect("keys");
    let set = match keys.get("keys") {
        Some(_) => keys.clone(),
        None => serde_json::json!({ "keys": [keys] }),
    };
    let mut sets: Vec<IssuerKeys> = secrets(&set, jws.kid.as_deref());
    sets.push(IssuerKeys::from_jwks(set.to_string().as_bytes()).expect("a key set"));
    let found = sets
        .iter()
        .filter_map(|keys| keys.find(jws.kid.as_deref(), jws.algorithm));
    found.into_iter().any(|key| jws.is_signed_with(key))
}

/// The symmetric keys of a set with this id. They are local secrets here, each configured for its
/// own algorithm, and never in a set with other keys.
fn secrets(set: &Value, kid: Option<&str>) -> Vec<IssuerKeys> {
    let keys = set["keys"].as_array().expect("keys");
    if keys.iter().any(|key| key["kty"] != "oct") {
        return Vec::new();
    }
    let is_it = |key: &&Value| {
        key["kid"].as_str() == kid && key["alg"].as_str().is_some_and(|alg| alg.starts_with("HS"))
    };
    let found: Vec<&Value> = keys.iter().filter(is_it).collect();
    // An id that two keys have names neither.
    let [key] = found[..] else {
        return Vec::new();
    };
    let secret = URL_SAFE_NO_PAD.decode(key["k"].as_str().expect("a secret"));
    secret
        .ok()
        .and_then(|secret| IssuerKeys::from_secret(&secret))
        .into_iter()
        .collect()
}

#[test]
fn wycheproof_signatures() {
    let exceptions = Exceptions(&[
        // A token with PS384 and a key whose `alg` is PS256 (an algorithm is that of its key), and
        // one with ES512, which the vectors name ES521 and which is not supported.
        (346, false),
        (347, false),
        // The same two.
        (350, false),
        (351, false),
        // The same bytes as the valid vector 357: the padding that the comment names is missing.
        (367, true),
        (370, true),
        // A question mark inside of base64url, which vectors 366 and 371 want refused.
        (372, false),
        (373, false),
    ]);
    assert_eq!(run("json_web_signature_test.json", &exceptions), (42, 359));
}

#[test]
fn wycheproof_keys() {
    // An RSA key with the weakness ROCA (CVE-2017-15361), which is not searched for.
    assert_eq!(
        run("json_web_key_test.json", &Exceptions(&[(7, true)])),
        (6, 20)
    );
}

#[test]
fn wycheproof_crypto() {
    // The same key.
    assert_eq!(
        run("json_web_crypto_test.json", &Exceptions(&[(46, true)])),
        (5, 44)
    );
}
