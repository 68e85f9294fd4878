//! The order of the checks on a request, as the table of docs/access.md has it: of two neighbours
//! that would both refuse a request, the first one answers.

use std::sync::Arc;

use serde_json::{Value, json};

use super::access::{guarded, peer_of, send};
use super::response::Response;
use super::test_connection::{KEY, TestConnection};
use crate::guard::access::EndpointAccess;
use crate::guard::api_key::{self, ApiKey, ApiKeys};
use crate::guard::limit::file::Limits;
use crate::guard::token::verify::Verifier;
use crate::mcp::tests::test_endpoint::{MODERN, claim, request};

const LIMITS: &str = "[limits]\nprincipal = { rate = \"1/h\", burst = 8 }\n\
    failed_credentials = { tries = 2, window_s = 60, block_s = 60 }\n\
    quota = { calls_per_day = 2 }";
const BAD: &str = "Authorization: Bearer a.b.c\r\n";

/// A modern call that passes all checks, until a check's fault is put in.
#[derive(Clone)]
struct Draft {
    verb: &'static str,
    path: &'static str,
    host: &'static str,
    credential: String,
    content_type: &'static str,
    accept: &'static str,
    more: &'static str,
    tool: &'static str,
    arguments: Value,
    /// The text of the message instead of the call.
    body: Option<String>,
}

/// The keys of a client with the scope of the endpoint and of one without.
struct Keys {
    good: String,
    poor: String,
}

/// A check that can refuse a request.
struct Check {
    name: &'static str,
    /// Puts in what the check refuses.
    fault: fn(&mut Draft, &Keys),
    /// Brings the connection into the state in which it refuses.
    prepare: fn(&mut TestConnection, &Keys),
    status: u16,
    /// A part of its answer.
    text: &'static str,
}

impl Check {
    const fn new(
        name: &'static str,
        fault: fn(&mut Draft, &Keys),
        (status, text): (u16, &'static str),
    ) -> Check {
        Check {
            name,
            fault,
            prepare: |_, _| {},
            status,
            text,
        }
    }

    const fn after(mut self, prepare: fn(&mut TestConnection, &Keys)) -> Check {
        self.prepare = prepare;
        self
    }

    #[track_caller]
    fn assert_answers(&self, answer: &Response, other: &str) {
        let found = (answer.status, answer.message().to_string());
        assert!(
            found.0 == self.status && found.1.contains(self.text),
            "{} with {other}: {found:?}",
            self.name
        );
    }
}

/// The checks in their order.
fn checks() -> [Check; 14] {
    [
        Check::new(
            "framing",
            |it, _| it.more = "Content-Length: 1\r\n",
            (400, "length"),
        ),
        Check::new(
            "host",
            |it, _| it.host = "evil.example",
            (403, "evil.example"),
        ),
        Check::new("path", |it, _| it.path = "/other", (404, "/mcp")),
        Check::new(
            "form of the credential",
            |it, _| it.credential = BAD.repeat(2),
            (400, "two Authorization fields"),
        ),
        Check::new(
            "blocked source",
            |it, _| it.credential = BAD.into(),
            (429, "too many failed"),
        )
        .after(block),
        Check::new(
            "credential",
            |it, _| it.credential = BAD.into(),
            (401, "not valid here"),
        ),
        Check::new(
            "scopes of the endpoint",
            |it, keys| it.credential.clone_from(&keys.poor),
            (403, "insufficient_scope"),
        ),
        Check::new("verb", |it, _| it.verb = "PATCH", (405, "POST")),
        Check::new(
            "type of the body",
            |it, _| it.content_type = "text/plain",
            (415, "json"),
        ),
        Check::new(
            "accepted types",
            |it, _| it.accept = "image/png",
            (406, "event-stream"),
        ),
        Check::new(
            "overload",
            |_, _| {},
            (503, "no place for another connection"),
        )
        .after(|line, _| line.is_for_probes = true),
        Check::new("JSON", |it, _| it.body = Some("{".into()), (400, "-32700")),
        Check::new("rate", |_, _| {}, (429, "principal")).after(use_up_rate),
        Check::new("policy", |it, _| it.tool = "refuses", (200, "unknown tool")),
    ]
}

/// The last checks, which follow the policy.
fn checks_of_calls() -> [Check; 3] {
    [
        Check::new("policy", |it, _| it.tool = "refuses", (200, "unknown tool")),
        Check::new("limits of calls", |_, _| {}, (429, "quota")).after(use_up_quota),
        Check::new(
            "arguments",
            |it, _| it.arguments = json!({"message": 7}),
            (200, "isError"),
        ),
    ]
}

fn block(line: &mut TestConnection, _: &Keys) {
    for credential in [BAD.into(), BAD.replace("\r\n", "x\r\n")] {
        let draft = Draft {
            credential,
            ..draft("")
        };
        assert_eq!(send(line, &draft.text()).status, 401);
    }
}

fn use_up_rate(line: &mut TestConnection, keys: &Keys) {
    let mut draft = draft(&keys.good);
    draft.more = "Mcp-Method: tools/list\r\n";
    draft.body = Some(request(1, "tools/list", json!({"_meta": claim()})));
    while send(line, &draft.text()).status != 429 {}
}

fn use_up_quota(line: &mut TestConnection, keys: &Keys) {
    for _ in 0..2 {
        assert_eq!(send(line, &draft(&keys.good).text()).status, 200);
    }
}

fn draft(credential: &str) -> Draft {
    Draft {
        verb: "POST",
        path: "/mcp",
        host: "localhost",
        credential: credential.to_owned(),
        content_type: "application/json",
        accept: "application/json, text/event-stream",
        more: "",
        tool: "echo",
        arguments: json!({"message": "m"}),
        body: None,
    }
}

impl Draft {
    fn text(&self) -> String {
        let params = json!({"name": self.tool, "arguments": self.arguments, "_meta": claim()});
        let call = || request(1, "tools/call", params);
        let names = match self.body {
            None => format!("Mcp-Method: tools/call\r\nMcp-Name: {}\r\n", self.tool),
            Some(_) => String::new(),
        };
        let body = self.body.clone().unwrap_or_else(call);
        format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\n{}Content-Type: {}\r\nAccept: {}\r\n{MODERN}{names}{}\
             Content-Length: {}\r\n\r\n{body}",
            self.verb,
            self.path,
            self.host,
            self.credential,
            self.content_type,
            self.accept,
            self.more,
            body.len()
        )
    }
}

/// A connection whose endpoint needs a scope, and two keys.
fn line() -> (TestConnection, Keys) {
    let mut keys = Vec::new();
    let mut known = Vec::new();
    for (id, scopes) in [("good", vec!["mcp:read".into()]), ("poor", Vec::new())] {
        let (key, sha256) = api_key::create(id, &[3; 32]).expect("an id");
        keys.push(format!("Authorization: Bearer {key}\r\n"));
        known.push(ApiKey {
            id: id.into(),
            sha256,
            roles: vec!["reader".into()],
            scopes,
            ..ApiKey::default()
        });
    }
    let (mut line, _) = guarded(|access| {
        let policy = Arc::clone(&access.policy);
        let known = Arc::new(ApiKeys::new(known).expect("valid"));
        access.endpoints = Arc::new([EndpointAccess {
            path: "/mcp".into(),
            scopes: vec!["mcp:read".into()],
            scope_bits: policy.scopes_of(["mcp:read"]),
            ..EndpointAccess::default()
        }]);
        access.verifier = Verifier::new(policy).with_api_keys(known);
        access.limits = Arc::new(Limits::parse(LIMITS).expect("valid"));
    });
    line.peers.insert(KEY.index, peer_of("source"));
    line.harness.endpoint.update_limits(0);
    let [good, poor] = keys.try_into().expect("two keys");
    (line, Keys { good, poor })
}

/// Each check refuses alone, and before the next one.
fn walk(checks: &[Check]) {
    let (mut free, keys) = line();
    assert_eq!(send(&mut free, &draft(&keys.good).text()).status, 200);
    for (at, first) in checks.iter().enumerate() {
        let (mut alone, keys) = line();
        let mut draft = draft(&keys.good);
        (first.prepare)(&mut alone, &keys);
        (first.fault)(&mut draft, &keys);
        first.assert_answers(&send(&mut alone, &draft.text()), "no other fault");
        let Some(second) = checks.get(at + 1) else {
            continue;
        };
        let (mut both, keys) = line();
        for check in [second, first] {
            (check.fault)(&mut draft, &keys);
        }
        for check in [first, second] {
            (check.prepare)(&mut both, &keys);
        }
        first.assert_answers(&send(&mut both, &draft.text()), second.name);
    }
}

#[test]
fn of_two_checks_that_refuse_a_request_the_first_one_answers() {
    walk(&checks());
    walk(&checks_of_calls());
}

#[test]
fn a_session_is_looked_up_before_the_rate_of_its_client() {
    let (mut line, keys) = line();
    use_up_rate(&mut line, &keys);
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let text = super::test_connection::post(
        &format!("{}MCP-Session-Id: {}\r\n", keys.good, "0".repeat(32)),
        &ping.to_string(),
    );
    assert_eq!(send(&mut line, &text).status, 404);
}
