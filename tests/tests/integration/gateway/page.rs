//! The page "The gateway" of the documentation: its configurations and its commands work as they
//! stand there.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use corelane_tests::mock_upstream::{Act, MockUpstream, result_of};
use corelane_tests::{Request, Server, Setup, binary, wait_until};
use serde_json::json;
use tempfile::TempDir;

use super::{EMPTY, empty, names};

const PAGE: &str = include_str!("../../../../docs/gateway.md");
/// The folder of secrets on the page, and the address of its upstream.
const SECRETS: &str = "/run/secrets";
const ADDRESS: &str = "127.0.0.1:3000";

/// The blocks of the page in this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let start = format!("```{language}\n");
    let parts = PAGE.split(start.as_str()).skip(1);
    parts.filter_map(|part| part.split("```").next()).collect()
}

/// A folder with the files of the page, for this mock.
fn folder(mock: &MockUpstream) -> TempDir {
    let folder = TempDir::new().expect("a directory");
    let here = folder.path().to_str().expect("a path of text");
    let written = |block: &str| {
        let address = mock.address().to_string();
        let block = block.replace(SECRETS, here).replace(ADDRESS, &address);
        block.replace("\"/srv\"", &format!("{here:?}"))
    };
    let [whole, program] = blocks("toml")[..] else {
        panic!("the page has other blocks of TOML");
    };
    let files = [
        ("corelane.toml", written(whole)),
        (
            "program.toml",
            format!("[auth]\nmode = \"none\"\n{}", written(program)),
        ),
        ("git", "token".to_owned()),
        ("files", "key".to_owned()),
        ("claude_desktop_config.json", {
            let url = format!("http://{}/mcp", mock.address());
            json!({ "mcpServers": { "git": { "url": url } } }).to_string()
        }),
    ];
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("there is space");
    }
    folder
}

/// The arguments of the commands on the page that begin with these words.
fn commands(start: &str) -> Vec<Vec<&'static str>> {
    let lines = blocks("sh").into_iter().flat_map(str::lines);
    let bare = lines.map(|line| line.split(" #").next().unwrap_or_default().trim());
    let found = bare.filter_map(|line| line.strip_prefix(start));
    found
        .map(|rest| rest.split_whitespace().collect())
        .collect()
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command
        .args(arguments)
        .current_dir(folder)
        .env("GIT_KEY", "k");
    command.output().expect("the program")
}

fn wait_for(server: &Server, tool: &str) {
    let mut connection = server.connect();
    wait_until("the tool is listed", || {
        names(&mut connection)
            .contains(&tool.to_owned())
            .then_some(())
    });
}

#[test]
fn the_commands_of_the_page_serve_and_check_its_configurations() {
    let mock = MockUpstream::with_tools(&["log", "delete_all"], |received| {
        Act::Send(result_of(received, EMPTY))
    });
    let folder = folder(&mock);
    let path = |name: &str| {
        let path = folder.path().join(name);
        path.to_str().expect("a path of text").to_owned()
    };
    let serve = commands("corelane serve ");
    assert_eq!(serve.len(), 2, "{serve:?}");
    for (arguments, tool) in serve.iter().zip(["history", "git_log"]) {
        let file = path(arguments[1]);
        let setup = Setup::shards(1).variable("GIT_KEY", "k");
        let server = setup.arguments(&[arguments[0], &file]).start();
        wait_for(&server, tool);
        let mut connection = server.connect();
        let listed = names(&mut connection);
        assert_eq!(
            listed.contains(&"git_delete_all".to_owned()),
            tool == "git_log"
        );
        let call = Request::modern_call(tool, json!({}));
        assert_eq!(connection.exchange(&call).answer()["result"], empty());
    }
    let calls = mock.received_of("tools/call");
    assert_eq!(calls[0].field("x-key"), Some("k"));
    assert_eq!(calls[0].field("authorization"), Some("Bearer token"));
    let arguments = &calls[0].message()["params"]["arguments"];
    assert_eq!(*arguments, json!({ "repo": "corelane" }));

    let checks = commands("corelane check ");
    assert_eq!(checks.len(), 1, "{checks:?}");
    for file in [checks[0][1], "program.toml"] {
        let output = run(folder.path(), &["check", checks[0][0], file]);
        let (text, summary) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(text);
        assert!(summary.contains("checks for"), "{summary}");
        assert!(!text.contains("upstream \""), "{text}");
    }
    fs::remove_file(folder.path().join("git")).expect("it is there");
    let output = run(folder.path(), &["check", "--config", "corelane.toml"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("upstream \"git\": its credential"), "{text}");
}

#[test]
fn the_sections_that_are_printed_for_a_desktop_client_are_served() {
    let mock = MockUpstream::with_tools(&["log"], |received| Act::Send(result_of(received, EMPTY)));
    let folder = folder(&mock);
    let file = "claude_desktop_config.json";
    assert!(PAGE.contains("corelane upstreams import FILE"));
    let output = run(folder.path(), &["upstreams", "import", file]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let sections = String::from_utf8(output.stdout).expect("text");
    let gateway = super::Gateway::start(&sections);
    gateway.wait_for("git_log");
    let none = run(folder.path(), &["upstreams", "import", "none.json"]);
    assert_eq!(none.status.code(), Some(1));
}
