//! Clients that guess credentials.

use std::cell::Cell;
use std::fs;
use std::net::Ipv4Addr;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use corelane_guard::api_key;
use corelane_tests::{Request, Setup};
use serde_json::json;
use tempfile::TempDir;

use crate::client::Client;
use crate::trial::{Trial, scaled};

const SHARDS: u64 = 2;
/// Tries that two shards may answer before each has heard of those of the other.
const UNDER_WAY: u64 = 2;

/// A file of access control: tokens of an issuer with the key of RFC 8037 A.1, an API key, and
/// clients without either, which may use the tools of the probe.
fn access_file(folder: &TempDir, tries: u64) -> (String, String) {
    let (key, sha256) = api_key::create("good", &[7; 32]).expect("an id");
    let digits: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    let keys = json!({"keys": [{
        "kty": "OKP", "crv": "Ed25519", "kid": "1",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    }]});
    let path = folder.path().join("keys.json");
    fs::write(&path, keys.to_string()).expect("there is space");
    let text = format!(
        "[auth]\nmode = \"optional\"\nresource = \"https://mcp.example.com/mcp\"\n\
         [[auth.issuer]]\nalias = \"corp\"\nissuer = \"https://login.example.com\"\n\
         jwks_file = \"keys.json\"\n\
         [[auth.api_key]]\nid = \"good\"\nsha256 = \"{digits}\"\nroles = [\"good\"]\n\
         [[role]]\nname = \"good\"\nclaim_roles = [\"good\"]\n\
         [[role]]\nname = \"anyone\"\nmethods = [\"anonymous\"]\n\
         [[grant]]\nrole = \"good\"\ntools = [\"*\"]\n\
         [[grant]]\nrole = \"anyone\"\ntools = [\"*\"]\n\
         [limits]\nfailed_credentials = {{ tries = {tries}, window_s = 600, block_s = 600 }}\n"
    );
    let path = folder.path().join("corelane.toml");
    fs::write(&path, text).expect("there is space");
    (path.to_str().expect("a path of text").to_owned(), key)
}

/// A token that is right but for its signature, which is another one for each number.
fn forged(number: u64) -> String {
    let header = r#"{"alg":"EdDSA","typ":"at+jwt","kid":"1"}"#;
    let claims = json!({
        "iss": "https://login.example.com", "aud": "https://mcp.example.com/mcp",
        "exp": 4_102_444_800_u64, "sub": "alice",
    });
    let mut signature = [1; 64];
    signature[..8].copy_from_slice(&number.to_le_bytes());
    let [header, claims] =
        [header.to_owned(), claims.to_string()].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Each source is blocked after its tries, a right key from the same address is served, and nobody
/// else waits for the checks of signatures.
#[test]
fn sources_that_guess_tokens() {
    // An unoptimised server takes a millisecond for a signature, and the probe counts how late it
    // is.
    let (sources, tokens) = (scaled(20, 100), scaled(30, 1000));
    let tries = scaled(5, 20);
    let folder = TempDir::new().expect("a folder");
    let (path, key) = access_file(&folder, tries);
    let setup = Setup::shards(SHARDS as usize).arguments(&["--config", &path]);
    let (round, all_checked) = (Cell::new(0_u8), Cell::new(0));
    // Each source takes an entry in the tables of both shards, and each token one of the refused.
    let trial = Trial::of("guessed tokens", setup).with_buffers_of(8 << 20);
    let totals = trial.run(|server| {
        round.set(round.get() + 1);
        let address = server.address();
        let request = |credential: &str| {
            Request::modern(1, "tools/list", json!({}))
                .field("Authorization", &format!("Bearer {credential}"))
                .to_bytes(address)
        };
        let source = |at: u64| Ipv4Addr::new(127, 1, round.get(), at as u8);
        let open = |at| Client::open_from(source(at), address).expect("a connection");
        let mut clients: Vec<(Client, u64)> = (0..sources).map(|at| (open(at), 0)).collect();
        let begun = Instant::now();
        for number in 0..tokens {
            for (at, (client, _)) in (0..).zip(&mut clients) {
                let token = forged(number * sources + at);
                client.send(&request(&token)).expect("the server reads");
            }
            for (client, checked) in &mut clients {
                match client.answer().expect("an answer").0 {
                    401 => *checked += 1,
                    429 => {}
                    status => panic!("status {status}"),
                }
            }
        }
        // Each shard checks one more in a second while a source is blocked.
        let further = SHARDS * (begun.elapsed().as_secs() + 1);
        let limit = tries..=tries + UNDER_WAY + further;
        for (at, (mut client, checked)) in (0..).zip(clients) {
            all_checked.set(all_checked.get() + checked);
            assert!(limit.contains(&checked), "{checked} of {}", source(at));
            client.send(&request(&key)).expect("the server reads");
            assert_eq!(client.answer().expect("an answer").0, 200, "a right key");
        }
    });
    let blocked = totals.value("requests_refused", "blocked");
    let expected = tokens * sources * totals.rounds - all_checked.get();
    assert!(blocked >= expected, "{totals:?}");
}
