//! The standard output of each command for a scripted server: for people, as JSON, and raw; and
//! without colours where none are wanted.

use serde_json::{Value, json};

use crate::process::{command, finish, run};
use crate::schemas::validate;
use crate::scripted::{Seen, greeting, lines, result};
use crate::terminal;

const URI: &str = "note:1";
/// A number that no float holds, an escape that is not needed, and members in an unusual order.
const CALLED: &str = r#"{"structuredContent":{"z":1234567890123456789,"a":"\u00e9"},"content":[]}"#;
const PAGES: [&str; 2] = [
    r#"{"prompts":[{"name":"one","description":"First.\nMore."}],"nextCursor":"2"}"#,
    r#"{"prompts":[{"name":"two","arguments":[{"name":"b","required":true},{"name":"a"}]}]}"#,
];

/// A server with a tool, a resource, a template and two pages of prompts.
fn server() -> (String, Seen) {
    let schema = json!({"type": "object", "required": ["n"],
        "properties": {"n": {"type": "number"}, "unit": {"type": "string"}}});
    let tools = json!([{"name": "measure", "description": "Measures.", "inputSchema": schema}]);
    lines(move |message| {
        let raw = |text: &str| {
            let text = text.replacen('{', r#"{"resultType":"complete","#, 1);
            let id = &message["id"];
            vec![format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{text}}}"#)]
        };
        match message["method"].as_str() {
            Some("tools/call") => raw(CALLED),
            Some("prompts/list") => raw(PAGES[usize::from(message["params"]["cursor"] == "2")]),
            Some("prompts/get") => {
                raw(r#"{"messages":[{"role":"user","content":{"type":"text","text":"Say hi."}}]}"#)
            }
            Some("resources/list") => raw(r#"{"resources":[{"uri":"note:1","name":"note"}]}"#),
            Some("resources/templates/list") => {
                raw(r#"{"resourceTemplates":[{"uriTemplate":"note:{n}","name":"notes"}]}"#)
            }
            Some("resources/read") => raw(r#"{"contents":[{"uri":"note:1","text":"Buy\nmilk"}]}"#),
            Some("completion/complete") => {
                raw(r#"{"completion":{"values":["en","eo"],"total":3,"hasMore":true}}"#)
            }
            Some("subscriptions/listen") => changes(message),
            _ => greeting(message, &tools).unwrap_or_else(|| result(message, json!({}))),
        }
    })
}

/// The answer to a subscription: a change of a list and one of a resource.
fn changes(request: &Value) -> Vec<String> {
    let meta = json!({"io.modelcontextprotocol/subscriptionId": request["id"]});
    let filter = &request["params"]["notifications"];
    let events = [
        (
            "subscriptions/acknowledged",
            json!({"notifications": filter}),
        ),
        ("tools/list_changed", json!({})),
        ("resources/updated", json!({"uri": URI})),
    ];
    let notifications = events.into_iter().map(|(name, mut params)| {
        params["_meta"] = meta.clone();
        let method = format!("notifications/{name}");
        json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string()
    });
    notifications.collect()
}

#[track_caller]
fn out(line: &str, end: &[&str]) -> String {
    let (target, _) = server();
    let words = line.split(' ').map(|word| match word {
        "TARGET" => &target,
        other => other,
    });
    let words: Vec<&str> = words.chain(end.iter().copied()).collect();
    let found = run(&words);
    assert_eq!(found.code, Some(0), "{line} {end:?}: {found:?}");
    found.out.replace(&target, "TARGET")
}

/// The text of a result, as the server wrote it.
fn complete(members: &str) -> String {
    members.replacen('{', r#"{"resultType":"complete","#, 1) + "\n"
}

#[test]
fn each_command_has_its_output_in_each_form() {
    let read = complete(r#"{"contents":[{"uri":"note:1","text":"Buy\nmilk"}]}"#);
    let got =
        complete(r#"{"messages":[{"role":"user","content":{"type":"text","text":"Say hi."}}]}"#);
    let completed = complete(r#"{"completion":{"values":["en","eo"],"total":3,"hasMore":true}}"#);
    let called = complete(CALLED);
    let listed = "{\"change\":\"tools\"}\n{\"change\":\"resource\",\"uri\":\"note:1\"}\n";
    let prompts = PAGES.map(|page| {
        let start = page.find('[').expect("a list") + 1;
        &page[start..page.rfind(']').expect("its end")]
    });
    for (line, people, json, raw) in [
        (
            "list prompts TARGET",
            "one        First.\ntwo  b* a\n",
            format!("[{}]\n", prompts.join(",")),
            PAGES.map(complete).concat(),
        ),
        (
            "list resources TARGET",
            "note:1  note\n",
            "[{\"uri\":\"note:1\",\"name\":\"note\"}]\n".to_owned(),
            complete(r#"{"resources":[{"uri":"note:1","name":"note"}]}"#),
        ),
        (
            "list templates TARGET",
            "note:{n}  notes\n",
            "[{\"uriTemplate\":\"note:{n}\",\"name\":\"notes\"}]\n".to_owned(),
            complete(r#"{"resourceTemplates":[{"uriTemplate":"note:{n}","name":"notes"}]}"#),
        ),
        (
            "call TARGET measure n=1",
            "{\n  \"z\": 1234567890123456789,\n  \"a\": \"é\"\n}\n",
            called.clone(),
            called,
        ),
        ("read TARGET note:1", "Buy\nmilk", read.clone(), read),
        ("prompt TARGET one", "user:\nSay hi.\n", got.clone(), got),
        (
            "complete TARGET prompt:two b e",
            "en\neo\n",
            completed.clone(),
            completed,
        ),
        (
            "listen TARGET --resource note:1 --count 2",
            "tools\nresource note:1\n",
            listed.to_owned(),
            listed.to_owned(),
        ),
    ] {
        assert_eq!(out(line, &[]), people, "{line}");
        assert_eq!(out(line, &["--json"]), json, "{line}");
        assert_eq!(out(line, &["--raw"]), raw, "{line}");
    }
}

#[test]
fn a_server_is_described_in_each_form() {
    let people = out("inspect TARGET", &[]);
    let rows = people.lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.join(" ")
    });
    let rows: Vec<String> = rows.filter(|row| !row.starts_with("lists took")).collect();
    let expected = [
        "server",
        "revision 2026-07-28 (modern)",
        "capabilities tools resources prompts",
        "tools 1",
        "resources 1",
        "templates 1",
        "prompts 2",
    ];
    assert_eq!(rows, expected, "{people}");
    for form in ["--json", "--raw"] {
        let report = out("inspect TARGET", &[form]);
        validate("report", &report);
        let report: Value = serde_json::from_str(&report).expect("JSON");
        assert_eq!(report["prompts"], 2);
        let tool = out("inspect TARGET measure", &[form]);
        let tool: Value = serde_json::from_str(&tool).expect("JSON");
        assert_eq!(tool["command"], "corelane call TARGET measure n=VALUE");
    }
}

#[test]
fn a_long_text_of_a_server_is_whole_and_widens_no_column() {
    let long = "x".repeat(300_000);
    let tool = json!({"name": "a", "description": long, "inputSchema": {"type": "object"}});
    let other = json!({"name": long, "inputSchema": {"type": "object"}});
    let tools = json!([tool, other]);
    let content = json!([{"type": "text", "text": long}]);
    let (target, _) = lines(move |message| {
        let called = || result(message, json!({"content": content}));
        greeting(message, &tools).unwrap_or_else(called)
    });
    let listed = run(&["list", &target]).done();
    let widths: Vec<usize> = listed.lines().map(str::len).collect();
    assert_eq!(
        widths,
        [long.len() + 44, long.len()],
        "40 characters a column"
    );
    let called = run(&["call", &target, "a"]).done();
    assert_eq!(called, format!("{long}\n"));
    let unknown = run(&["call", &target, "b"]);
    assert_eq!(unknown.code, Some(2));
}

#[test]
fn colours_are_on_terminals_only_and_not_with_no_color() {
    let (target, _) = server();
    let lines = [
        &["call", "--help"][..],
        &["call"],
        &["list", &target, "--no-such-option"],
    ];
    for line in lines {
        let found = run(line);
        assert!(!(found.out + &found.errors).contains('\x1b'), "{line:?}");
        let (_, coloured) = terminal::run_with(line, "", &[("TERM", "xterm")]);
        assert!(coloured.contains('\x1b'), "{line:?}: {coloured:?}");
        let (_, plain) = terminal::run_with(line, "", &[("TERM", "xterm"), ("NO_COLOR", "1")]);
        assert!(!plain.contains('\x1b'), "{line:?}: {plain:?}");
    }
    let mut listing = command(&["list", &target]);
    let child = listing.env("CLICOLOR_FORCE", "1").spawn();
    let found = finish(child.expect("corelane starts"), "");
    assert!(!found.done().contains('\x1b'));
}
