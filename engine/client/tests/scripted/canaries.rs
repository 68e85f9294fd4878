//! Credentials are in no error, no `Debug` and no trace, also if a server repeats them.

use std::sync::{Arc, Mutex};

use corelane_client::{Challenge, Client, ClientCredentials, Traffic, json};

use crate::http_server::{Answer, Request, start};

/// Every credential has it.
const CANARY: &str = "canary";
const SECRET: &str = "canary_secret";
const TOKEN: &str = "canary-token";

/// The answers of an authorization server that is also the resource: one step fails.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fails {
    NoMetadata,
    OtherResource,
    NoIssuer,
    IssuerOfOther,
    SecretAsCode,
    SecretAsText,
    NoToken,
    TokenRefused,
    Nothing,
}

/// The answer of the server to one request.
fn answer(request: &Request, fails: Fails) -> Answer {
    let path = request.head.split(' ').nth(1).unwrap_or_default();
    let host = request
        .head
        .lines()
        .find_map(|line| line.strip_prefix("host: "));
    let origin = format!("http://{}", host.unwrap_or_default());
    let json = |status: u16, body: serde_json::Value| {
        Answer(
            status,
            "Content-Type: application/json\r\n",
            body.to_string(),
        )
    };
    match path.split('?').next().unwrap_or_default() {
        "/.well-known/oauth-protected-resource/mcp" if fails != Fails::NoMetadata => {
            let resource = match fails {
                Fails::OtherResource => format!("{origin}/other?key={CANARY}"),
                _ => format!("{origin}/mcp"),
            };
            let issuers = if fails == Fails::NoIssuer {
                vec![]
            } else {
                vec![&origin]
            };
            json(
                200,
                json!({"resource": resource, "authorization_servers": issuers}),
            )
        }
        "/.well-known/oauth-authorization-server" => {
            let issuer = match fails {
                Fails::IssuerOfOther => "http://localhost",
                _ => &origin,
            };
            let endpoint = format!("{origin}/token?key={CANARY}");
            json(200, json!({"issuer": issuer, "token_endpoint": endpoint}))
        }
        "/token" => match fails {
            Fails::SecretAsCode => json(400, json!({"error": SECRET})),
            Fails::SecretAsText => json(
                400,
                json!({"error": format!("no {TOKEN}"), "error_description": TOKEN}),
            ),
            Fails::NoToken => json(200, json!({"access_token": TOKEN, "token_type": TOKEN})),
            _ => json(200, json!({"access_token": TOKEN, "token_type": "Bearer"})),
        },
        "/mcp" => {
            let has_token = request
                .head
                .contains(&format!("authorization: bearer {TOKEN}"));
            if !has_token || fails == Fails::TokenRefused {
                return Answer(
                    401,
                    "WWW-Authenticate: Bearer error=canary\r\n",
                    TOKEN.to_owned(),
                );
            }
            let greeting = json!({"supportedVersions": ["2026-07-28"], "capabilities": {}});
            Answer::result(request, &greeting)
        }
        _ => Answer::status(404),
    }
}

#[tokio::test]
async fn no_credential_is_in_an_error_a_debug_or_a_head() {
    for fails in [
        Fails::NoMetadata,
        Fails::OtherResource,
        Fails::NoIssuer,
        Fails::IssuerOfOther,
        Fails::SecretAsCode,
        Fails::SecretAsText,
        Fails::NoToken,
        Fails::TokenRefused,
        Fails::Nothing,
    ] {
        let (url, _) = start(move |request| answer(request, fails)).await;
        let shown = Arc::new(Mutex::new(String::new()));
        let heads = Arc::clone(&shown);
        let auth = ClientCredentials::new("job", SECRET);
        let mut texts = vec![format!("{auth:?}")];
        let builder = Client::builder()
            .auth(auth)
            .header("X-Api-Key", "canary-key")
            .on_traffic(move |part| {
                if let Traffic::Head(head) = part {
                    let mut heads = heads.lock().expect("no panic");
                    heads.extend([head.split("www-authenticate").next().unwrap_or(head), "\n"]);
                }
            });
        texts.push(format!("{builder:?}"));
        match builder.connect(format!("{url}?key={CANARY}")).await {
            Ok(client) if fails == Fails::Nothing => texts.push(format!("{client:?}")),
            Err(error) if fails != Fails::Nothing => texts.push(format!("{error} {error:?}")),
            other => panic!("{fails:?}: {other:?}"),
        }
        texts.push(shown.lock().expect("no panic").clone());
        let heads = texts.last().expect("heads");
        assert!(heads.contains("x-api-key: ***"), "{heads}");
        for text in texts {
            assert!(!text.contains(CANARY), "{fails:?}: {text}");
        }
    }
    let challenge = Challenge::read(401, None, Some(format!("Bearer {TOKEN}")));
    assert!(!format!("{challenge:?}").contains(CANARY));
}
