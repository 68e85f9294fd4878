//! Random policies and identities, decided by the policy and by a model in Python that was written
//! from the description of the rules.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use corelane_guard::identity::Method;
use corelane_guard::policy::{Claims, Decision, Entries, EntryKind, Policy, Subject, ViewBuilder};
use serde_json::json;

const CASES: u64 = 10_000;
const MODEL: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/auth/policy_model.py"
);

const TOOLS: [&str; 5] = ["get_a", "get_b", "put_a", "GET_a", "drop"];
const URIS: [&str; 5] = [
    "docs://a",
    "docs://a/b",
    "docs://a/b/c",
    "docs://b/c",
    "notes://a/b",
];
const PROMPTS: [&str; 3] = ["get_a", "p", "q"];

/// xorshift64* (Vigna 2016).
struct Rng(u64);

impl Rng {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        usize::try_from(high).unwrap() % end
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    /// Up to two of them; one at least.
    fn some<'a>(&mut self, of: &[&'a str]) -> Vec<&'a str> {
        (0..=self.below(2)).map(|_| self.one(of)).collect()
    }

    fn is_rare(&mut self) -> bool {
        self.below(4) == 0
    }
}

const AUTH: &str = "[[auth.issuer]]\nalias = \"two\"\n[[auth.issuer]]\nalias = \"one\"\n\
                    roles_claim = \"r\"\ngroups_claim = \"g\"\ntenant_claim = \"t\"\n\
                    [auth.scope_implies]\nc = [\"b\"]\nb = [\"a\"]\nd = [\"e\", \"a\"]\n";
const SCOPES: [&str; 5] = ["a", "b", "c", "d", "e"];
const TENANTS: [&str; 2] = ["acme", "other"];
const ROLES: [&str; 4] = ["one", "two", "three", "anonymous"];

fn policy_text(rng: &mut Rng) -> String {
    let is_open = rng.is_rare();
    let mut text = AUTH.to_owned();
    if is_open {
        text += "[policy]\ndefault = \"authenticated\"\n";
    }
    for name in &ROLES[..3] {
        writeln!(text, "[[role]]\nname = {name:?}").unwrap();
        let subjects = rng.some(&["s1", "s2", "s3"]);
        let issuers = rng.some(&["one", "two"]);
        match rng.below(7) {
            0 => writeln!(text, "claim_roles = {:?}", rng.some(&["x", "y"])).unwrap(),
            1 => writeln!(text, "groups = {:?}", rng.some(&["x", "y"])).unwrap(),
            2 => writeln!(text, "scopes = {:?}", rng.some(&SCOPES)).unwrap(),
            3 => writeln!(text, "clients = {:?}", rng.some(&["k1", "k2"])).unwrap(),
            4 => writeln!(text, "methods = {:?}", rng.some(&["jwt", "api_key"])).unwrap(),
            5 => writeln!(text, "issuers = {issuers:?}").unwrap(),
            _ => writeln!(text, "subjects = {subjects:?}\nissuers = {issuers:?}").unwrap(),
        }
        if rng.is_rare() {
            writeln!(text, "tenant = {:?}", rng.one(&TENANTS)).unwrap();
        }
        // Each role stands in a rule, which is without an effect here.
        writeln!(text, "[[deny]]\nrole = {name:?}\ntools = [\"-\"]").unwrap();
    }
    let grants = if is_open { 0 } else { 1 + rng.below(5) };
    for _ in 0..grants {
        write_rule(rng, "grant", &mut text);
        if rng.below(2) == 0 {
            writeln!(text, "scopes = {:?}", rng.some(&SCOPES)).unwrap();
        }
    }
    for _ in 0..rng.below(3) {
        write_rule(rng, "deny", &mut text);
    }
    text
}

fn write_rule(rng: &mut Rng, kind: &str, text: &mut String) {
    let tools = rng.some(&["*", "get_*", "*_a", "drop", "put_a", "get_"]);
    let uris = [
        "**",
        "docs://**",
        "docs://*",
        "docs://a/**",
        "docs://*/b",
        "docs://a/b",
    ];
    let resources = rng.some(&uris);
    writeln!(text, "[[{kind}]]\nrole = {:?}", rng.one(&ROLES)).unwrap();
    writeln!(text, "tools = {tools:?}\nresources = {resources:?}").unwrap();
    if rng.below(2) == 0 {
        writeln!(text, "prompts = {:?}", rng.some(&["*", "get_a", "q*"])).unwrap();
    }
    if rng.is_rare() {
        writeln!(text, "tenant = {:?}", rng.one(&TENANTS)).unwrap();
    }
    if rng.is_rare() {
        writeln!(
            text,
            "addresses = {:?}",
            rng.some(&["10.0.0.0/8", "192.0.2.1"])
        )
        .unwrap();
    }
}

/// An identity, as the policy and as the model get it.
struct Identity {
    method: &'static str,
    issuer: &'static str,
    subject: &'static str,
    client: &'static str,
    roles: Vec<&'static str>,
    groups: Vec<&'static str>,
    scopes: Vec<&'static str>,
    tenant: Option<&'static str>,
    address: Option<&'static str>,
}

impl Identity {
    fn new(rng: &mut Rng) -> Identity {
        Identity {
            method: rng.one(&["jwt", "jwt", "api_key", "anonymous"]),
            issuer: rng.one(&["one", "two", "One", ""]),
            subject: rng.one(&["s1", "s2", "S1"]),
            client: rng.one(&["k1", "k3"]),
            roles: rng.some(&["x", "z"]),
            groups: rng.some(&["y", "z"]),
            scopes: rng.some(&["a", "b", "c", "d", "unknown", "A"]),
            tenant: [None, Some("acme"), Some("other"), Some("ACME")][rng.below(4)],
            address: [None, Some("10.1.2.3"), Some("192.0.2.1")][rng.below(3)],
        }
    }

    fn for_model(&self) -> serde_json::Value {
        json!({
            "method": self.method, "issuer": self.issuer, "subject": self.subject,
            "client": self.client,
            "roles": self.roles, "groups": self.groups, "scopes": self.scopes,
            "tenant": self.tenant, "address": self.address,
        })
    }
}

struct Catalog;

impl Catalog {
    fn names(kind: EntryKind) -> &'static [&'static str] {
        match kind {
            EntryKind::Tool => &TOOLS,
            EntryKind::Resource => &URIS,
            EntryKind::Prompt => &PROMPTS,
            EntryKind::Template => &[],
        }
    }

    fn all() -> impl Iterator<Item = (EntryKind, &'static str, &'static str)> {
        let kinds = [
            (EntryKind::Tool, "tools"),
            (EntryKind::Resource, "resources"),
            (EntryKind::Prompt, "prompts"),
        ];
        let named = |(kind, key)| {
            Catalog::names(kind)
                .iter()
                .map(move |name| (kind, key, *name))
        };
        kinds.into_iter().flat_map(named)
    }
}

impl Entries for Catalog {
    fn count(&self, kind: EntryKind) -> usize {
        Catalog::names(kind).len()
    }

    fn name(&self, kind: EntryKind, place: usize) -> &str {
        Catalog::names(kind)[place]
    }
}

/// The decisions of the policy. The list of each kind has exactly what may be used.
fn decide(text: &str, identity: &Identity) -> Vec<String> {
    let policy = Policy::parse(text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    let scopes = policy.scopes_of(identity.scopes.iter().copied());
    let claims = Claims {
        method: Method::from_name(identity.method).unwrap(),
        issuer: identity.issuer,
        subject: identity.subject,
        client: Some(identity.client),
        claim_roles: &identity.roles,
        groups: &identity.groups,
        scopes,
        tenant: identity.tenant,
    };
    let address = identity.address.map(|address| address.parse().unwrap());
    let roles = policy.roles_of(&claims);
    let tenant = identity.tenant;
    let class = policy.class_of(&Subject {
        scopes,
        roles,
        tenant,
        address,
    });
    let mut builder = ViewBuilder::new(class);
    assert!(builder.step(&policy, &Catalog, usize::MAX));
    let view = builder.finish();
    let decisions = Catalog::all().map(|(kind, _, name)| {
        let decision = policy.decide(&class, kind, name);
        let place = Catalog::names(kind)
            .iter()
            .position(|it| *it == name)
            .unwrap();
        let is_listed = view.listed(kind)[place / 64] & 1 << (place % 64) != 0;
        assert_eq!(is_listed, decision != Decision::Hidden, "{text}\n{name}");
        assert_eq!(view.is_allowed(kind, place), decision == Decision::Allowed);
        assert_eq!(policy.explain(&class, kind, name).decision, decision);
        match decision {
            Decision::Allowed => "allowed".to_owned(),
            Decision::Acquirable(grant) => {
                let scopes: Vec<&str> = policy.scope_names(grant).collect();
                scopes.join(" ")
            }
            _ => "hidden".to_owned(),
        }
    });
    decisions.collect()
}

#[test]
fn random_policies_decide_as_the_model_does() {
    let entries: Vec<_> = Catalog::all().map(|(_, key, name)| [key, name]).collect();
    let mut cases = String::new();
    let mut expected = Vec::new();
    let mut texts = Vec::new();
    for seed in 1..=CASES {
        let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let text = policy_text(&mut rng);
        let identity = Identity::new(&mut rng);
        let claims = identity.for_model();
        let case = json!({ "policy": text, "claims": claims, "entries": entries });
        writeln!(cases, "{case}").unwrap();
        expected.push(decide(&text, &identity));
        texts.push(case);
    }
    let mut model = Command::new("python3");
    let model = model
        .arg(MODEL)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut model = model.spawn().expect("python3 runs");
    let mut input = model.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(cases.as_bytes()));
    let output = model.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    let output = String::from_utf8(output.stdout).unwrap();
    let mut kinds = [0_usize; 3];
    assert_eq!(output.lines().count(), expected.len());
    for ((line, own), case) in output.lines().zip(&expected).zip(&texts) {
        let model: Vec<String> = serde_json::from_str(line).unwrap();
        assert_eq!(model, *own, "{case:#}");
        for decision in own {
            kinds[match decision.as_str() {
                "allowed" => 0,
                "hidden" => 1,
                _ => 2,
            }] += 1;
        }
    }
    // All three outcomes are frequent, so that agreement shows something.
    assert!(kinds.iter().all(|count| *count > 2000), "{kinds:?}");
}
