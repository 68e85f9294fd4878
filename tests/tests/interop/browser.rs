//! A page in a browser, on another origin than the server: both TypeScript SDKs call across
//! origins.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use corelane_tests::Setup;
use corelane_tests::conformance::{home, node};

#[test]
fn a_page_of_an_allowed_origin_uses_the_server() {
    let mut page = Command::new(node())
        .arg(home().join("browser-page.mjs"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{error}: run ./perf-scripts/test.sh, which installs it"));
    let mut lines = BufReader::new(page.stdout.take().expect("it is piped")).lines();
    let origin = lines
        .next()
        .expect("the origin of the page")
        .expect("a line");
    let profile = format!("[server]\nallowed_origins = [{origin:?}]\nsse_endpoint = \"/sse\"");
    let server = Setup::shards(2).profile(&profile).start();
    // Each end of a session is one with another transport.
    let mut input = page.stdin.take().expect("it is piped");
    writeln!(input, "http://{}", server.address()).expect("it reads");
    let result = lines.map_while(Result::ok).collect::<Vec<_>>().join("\n");
    let ended = page.wait().expect("it is our child");
    assert_eq!(result, "done", "{ended:?} {}", server.log());
    assert!(ended.success());
}
