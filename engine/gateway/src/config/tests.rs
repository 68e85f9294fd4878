//! Sections as they are, and sections with faults.

use super::{Credential, Era, OnChange, Sessions, Target, Upstream, Value, parse};

const WHOLE: &str = r#"
[auth]
mode = "none"
[[upstream]]
name = "github"
url = "https://mcp.example.com/mcp"
required = true
era = "legacy"
sessions = "principal"
prefix = "gh."
uris = "namespaced"
schemes = ["Repo"]
tools = { include = ["*"], exclude = ["delete_*"] }
pins = "refuse"
headers = { "X-Key" = "env:GH_KEY", "x-region" = "eu" }
credential = { kind = "bearer", token = "file:/run/secrets/gh" }
forward_headers = ["X-Request-Id"]
trust_annotations = true
questions = { name_upstream = false, park = false }
[[upstream.tool]]
match = "create_issue"
name = "new_issue"
description = "Opens an issue."
fixed = { repo = "corelane", depth = 3 }

[[upstream]]
name = "git"
command = ["uvx", "mcp-server-git"]
cwd = "/srv/repos"
env = { GIT_TOKEN = "file:/run/secrets/git", LEVEL = "2" }
inherit_env = ["PATH"]
limits = { address_space_bytes = 2147483648, open_files = 256, processes = 64 }
sessions = "shared"
processes = 2
idle_stop_ms = 60000

[[upstream]]
name = "lines"
urls = ["tcp://10.0.0.1:9000", "unix:/run/x.sock"]
"#;

fn one(lines: &str) -> Result<Vec<Upstream>, String> {
    let text = format!("[[upstream]]\nname = \"a\"\n{lines}\n");
    parse(&text).map_err(|error| error.to_string())
}

#[test]
fn whole_sections_are_read() {
    let upstreams = parse(WHOLE).expect("valid");
    let [github, git, lines] = &upstreams[..] else {
        panic!("{upstreams:?}");
    };
    assert!(github.is_required && github.has_namespaced_uris && github.trusts_annotations);
    assert_eq!(
        (github.era, github.sessions),
        (Era::Legacy, Sessions::Principal)
    );
    assert_eq!(github.pins, OnChange::Refuse);
    assert!(!github.questions.name_upstream && git.questions.name_upstream);
    assert!(!github.questions.park && git.questions.park);
    assert_eq!(github.schemes, ["repo".into()]);
    assert!(github.tools.admits("create_issue") && !github.tools.admits("delete_repo"));
    assert_eq!(github.headers["x-key"], Value::Variable("GH_KEY".into()));
    assert_eq!(github.headers["x-region"], Value::Plain("eu".into()));
    let token = Value::File("/run/secrets/gh".into());
    assert_eq!(github.credential, Some(Credential::Bearer(token)));
    assert_eq!(github.forwarded_headers, ["x-request-id".into()]);
    assert_eq!(github.naming.exposed("create_issue", 64), "new_issue");
    assert_eq!(github.naming.exposed("close", 64), "gh.close");
    let fixed = &github.overrides["create_issue"].fixed;
    assert_eq!(
        (&fixed["repo"], &fixed["depth"]),
        (&"corelane".into(), &3.into())
    );

    let [Target::Child(child)] = &git.targets[..] else {
        panic!("{git:?}");
    };
    assert_eq!(child.command, ["uvx".into(), "mcp-server-git".into()]);
    assert_eq!(
        child.environment["GIT_TOKEN"],
        Value::File("/run/secrets/git".into())
    );
    assert_eq!(child.inherited, ["PATH".into()]);
    assert_eq!((child.processes, child.idle_stop_ms), (2, 60_000));
    assert_eq!(child.limits.open_files, Some(256));
    assert_eq!(git.naming.exposed("log", 64), "git_log");

    let expected = [
        Target::Tcp("10.0.0.1".into(), 9000),
        Target::Unix("/run/x.sock".into()),
    ];
    assert_eq!(lines.targets, expected);
    assert!(lines.tools.admits("anything"), "without a filter");
}

#[test]
fn a_configuration_without_upstreams_has_none() {
    assert_eq!(parse("[auth]\nmode = \"none\"\n"), Ok(Vec::new()));
    assert_eq!(parse(""), Ok(Vec::new()));
}

#[test]
fn addresses_have_many_forms() {
    for (url, is_valid) in [
        ("https://h/mcp", true),
        ("https://h:8443/mcp?x=1", true),
        ("sse+https://h/sse", true),
        ("http://127.0.0.1:1/mcp", true),
        ("http://[::1]:1/mcp", true),
        ("http://localhost/mcp", true),
        ("http+unix:/run/s", true),
        ("unix:///run/s", true),
        ("tcp://h:1", true),
        ("tcp://[::1]:1", true),
        ("http://h/mcp", false),
        ("http://2130706433.example/mcp", false),
        ("https://u:p@h/mcp", false),
        ("https://h/mcp#f", false),
        ("unix:relative", false),
        ("tcp://h", false),
        ("tcp://h:1/path", false),
        ("sse+tcp://h:1", false),
        ("ftp://h/", false),
        ("h/mcp", false),
        ("", false),
    ] {
        let read = one(&format!("url = \"{url}\""));
        assert_eq!(read.is_ok(), is_valid, "{url}: {read:?}");
    }
    assert!(one("url = \"http://h/mcp\"\ninsecure_http = true").is_ok());
}

/// A section with a fault, and words of its message.
const FAULTY: [(&str, &str); 44] = [
    ("", "line 2: give exactly one of url, urls and command"),
    ("url = \"https://h/\"\ncommand = [\"x\"]", "exactly one"),
    ("urls = []", "line 3: give 1 to 32 addresses"),
    ("command = []", "line 3: command is empty"),
    ("command = [\"\"]", "command is empty"),
    ("command = \"npx x\"", "line 3: invalid type: string"),
    (
        "url = \"https://h/\"\nretries = 3",
        "line 4: unknown field `retries`",
    ),
    (
        "url = \"https://h/\"\nera = \"new\"",
        "unknown variant `new`",
    ),
    (
        "url = \"https://h/\"\ncwd = \"/\"",
        "line 4: cwd is about a program",
    ),
    (
        "url = \"https://h/\"\nenv = { A = \"b\" }",
        "env is about a program",
    ),
    (
        "url = \"https://h/\"\nidle_stop_ms = 1",
        "idle_stop_ms is about a program",
    ),
    (
        "url = \"https://h/\"\nprocesses = 2",
        "processes is about a program",
    ),
    (
        "url = \"tcp://h:1\"\nheaders = { a = \"b\" }",
        "headers is about HTTP",
    ),
    (
        "url = \"unix:/s\"\nforward_headers = [\"a\"]",
        "forward_headers is about HTTP",
    ),
    (
        "command = [\"x\"]\nprocesses = 2",
        "needs sessions = \"shared\"",
    ),
    ("command = [\"x\"]\nprocesses = 0", "give 1 to 64 processes"),
    (
        "command = [\"x\"]\nenv = { \"1A\" = \"b\" }",
        "invalid variable \"1A\"",
    ),
    (
        "command = [\"x\"]\ninherit_env = [\"A=B\"]",
        "invalid variable \"A=B\"",
    ),
    (
        "url = \"https://h/\"\nprefix = \"a b\"",
        "line 4: invalid prefix \"a b\"",
    ),
    (
        "url = \"https://h/\"\nschemes = [\"a:\"]",
        "invalid scheme \"a:\"",
    ),
    (
        "url = \"https://h/\"\ntools = { include = [\"a*b\"] }",
        "pattern \"a*b\" has a * inside",
    ),
    (
        "url = \"https://h/\"\nheaders = { Host = \"x\" }",
        "the field \"Host\" cannot be set",
    ),
    (
        "url = \"https://h/\"\nheaders = { \"Mcp-Name\" = \"x\" }",
        "\"Mcp-Name\" cannot be set",
    ),
    (
        "url = \"https://h/\"\nheaders = { \"a b\" = \"x\" }",
        "\"a b\" cannot be set",
    ),
    (
        "url = \"https://h/\"\nheaders = { x = \"a\\r\\nb\" }",
        "control characters",
    ),
    (
        "url = \"https://h/\"\nheaders = { \"X-Api-Key\" = \"k\" }",
        "stands in the file",
    ),
    (
        "url = \"https://h/\"\nforward_headers = [\"Cookie\"]",
        "\"Cookie\" cannot be set",
    ),
    (
        "url = \"https://h/\"\nforward_headers = [\"X-Api-Key\"]",
        "\"x-api-key\" cannot be set",
    ),
    (
        "url = \"https://h/\"\nforward_headers = [\"Authorization\"]",
        "\"Authorization\" cannot be set",
    ),
    (
        "url = \"https://h/\"\nheaders = { a = \"b\" }\nforward_headers = [\"A\"]",
        "\"a\" is there twice",
    ),
    ("url = \"https://u@h/\"", "the address has a credential"),
    (
        "url = \"https://h/\"\ncredential = { kind = \"bearer\", token = \"abc\" }",
        "line 4: the value of \"token\" stands in the file",
    ),
    (
        "url = \"https://h/\"\ncredential = { kind = \"magic\" }",
        "unknown variant `magic`",
    ),
    (
        "url = \"https://h/\"\ncredential = { kind = \"none\", x = 1 }",
        "unknown field `x`",
    ),
    (
        "url = \"https://h/\"\ncredential = { kind = \"header\", name = \"Mcp-Name\", \
         value = \"env:A\" }",
        "\"Mcp-Name\" cannot be set",
    ),
    (
        "url = \"https://h/\"\nheaders = { \"X-Key\" = \"env:A\" }\n\
         credential = { kind = \"header\", name = \"x-key\", value = \"env:A\" }",
        "\"X-Key\" is there twice",
    ),
    (
        "url = \"https://h/\"\ncredential = { kind = \"client_credentials\", client_id = \"c\" }",
        "give client_secret or private_key",
    ),
    (
        "url = \"https://h/\"\ncredential = { kind = \"client_credentials\", client_id = \"c\", \
         client_secret = \"env:A\", token_url = \"http://h/\" }",
        "use https",
    ),
    (
        "url = \"https://h/\"\ncredential = { kind = \"token_exchange\", client_id = \"c\", \
         client_secret = \"env:A\" }",
        "missing field `token_url`",
    ),
    (
        "url = \"sse+https://h/\"\ncredential = { kind = \"token_exchange\", client_id = \"c\", \
         client_secret = \"env:A\", token_url = \"https://as/\" }",
        "line 4: token_exchange needs an upstream of Streamable HTTP",
    ),
    (
        "url = \"https://h/\"\nsessions = \"shared\"\n\
         credential = { kind = \"token_exchange\", client_id = \"c\", \
         client_secret = \"env:A\", token_url = \"https://as/\" }",
        "remove sessions = \"shared\"",
    ),
    (
        "url = \"unix:/s\"\ncredential = { kind = \"bearer\", token = \"env:A\" }",
        "credential is about HTTP",
    ),
    (
        "url = \"http://h/\"",
        "use https, or set insecure_http = true",
    ),
    (
        "url = \"https://h/\"\n[[upstream.tool]]\nmatch = \"x\"\nname = \"a b\"",
        "line 6: invalid name \"a b\"",
    ),
];

#[test]
fn faults_have_lines_and_remedies() {
    for (lines, expected) in FAULTY {
        let error = one(lines).expect_err(lines);
        assert!(error.contains(expected), "{lines}: {error}");
    }
    for (text, expected) in [
        ("[[upstream]]\n", "missing field `name`"),
        (
            "[[upstream]]\nname = \"A\"\nurl = \"https://h/\"\n",
            "line 2: invalid name \"A\"",
        ),
        (
            "[[upstream]]\nname = \"a\"\nurl = \"https://h/\"\n\
             [[upstream]]\nname = \"a\"\nurl = \"https://h/\"\n",
            "line 5: two upstreams are named \"a\"",
        ),
    ] {
        let error = parse(text).expect_err(text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let all = one("url = \"http://h/\"\nprefix = \" \"\nschemes = [\"1\"]").expect_err("faulty");
    assert_eq!(all.lines().count(), 3, "all faults are named: {all}");
    let many = (0..257).map(|it| format!("[[upstream]]\nname = \"u{it}\"\nurl = \"https://h/\"\n"));
    let error = parse(&many.collect::<String>()).expect_err("too many");
    assert!(
        error.to_string().contains("more than 256 upstreams"),
        "{error}"
    );
}
