//! The suite passes through the gateway, over each kind of link, as it does without it.
//!
//! A test covers each link and both combinations of eras. With `CORELANE_CONFORMANCE_ALL=1` it
//! covers every link with both revisions and both eras of the upstream.

use std::env;
use std::fs;

use corelane_tests::{Request, Server, Setup, binary, wait_until};
use serde_json::json;
use tempfile::TempDir;

use super::{Difference, SETS, Set, check_at, check_twice};

/// How the gateway reaches its upstream, the era that it speaks there, and whether the link is
/// checked always with the set at this place.
type Link = (&'static str, &'static str, [bool; 2]);

/// The sets of a link are those of 2025-11-25 and of 2026-07-28.
const LINKS: &[Link] = &[
    ("http", "modern", [true, true]),
    ("http", "legacy", [true, true]),
    ("sse", "legacy", [true, false]),
    ("tcp", "modern", [false, true]),
    ("tcp", "legacy", [false, false]),
    ("unix", "modern", [false, false]),
    ("unix", "legacy", [true, false]),
    ("child", "modern", [false, true]),
    ("child", "legacy", [true, false]),
];

#[test]
fn both_revisions_conform_through_the_gateway() {
    let takes_all = env::var_os("CORELANE_CONFORMANCE_ALL").is_some();
    let checks = LINKS.iter().flat_map(|(link, era, always)| {
        let sets = SETS.chunks(1).zip(always);
        let sets = sets.filter(move |(_, always)| takes_all || **always);
        sets.map(move |(set, _)| (*link, *era, set))
    });
    let checks: Vec<(&str, &str, &[Set])> = checks.collect();
    check_twice(&checks, 1, check, |(_, _, sets)| *sets);
}

fn check((link, era, _): &(&str, &str, &[Set]), sets: &[Set]) -> Vec<Difference> {
    let folder = TempDir::new().expect("a directory");
    let (_upstream, place) = upstream(link, folder.path().to_str().expect("a path of text"));
    let path = folder.path().join("corelane.toml");
    // An upstream of HTTP+SSE has no other era.
    let era_line = if *link == "sse" {
        String::new()
    } else {
        format!("era = \"{era}\"\n")
    };
    let text = format!(
        "[auth]\nmode = \"none\"\n[[upstream]]\nname = \"up\"\nprefix = \"\"\n\
         questions = {{ name_upstream = false }}\n{place}\n{era_line}"
    );
    fs::write(&path, text).expect("there is space");
    let path = path.to_str().expect("a path of text");
    // Without a catalog of its own.
    let arguments = ["serve", "--shards", "1", "--config", path];
    let gateway = Setup::program(binary(), &arguments).start();
    let mut connection = gateway.connect();
    wait_until("the upstream is listed", || {
        let listed = connection.exchange(&Request::modern("list", "tools/list", json!({})));
        let tools = listed.answer()["result"]["tools"].clone();
        tools.as_array().filter(|it| !it.is_empty()).map(|_| ())
    });
    let kind = match (sets[0].0, *link, *era) {
        ("2026-07-28", _, "modern") => "",
        ("2026-07-28", "http", _) => "gateway-legacy-",
        ("2026-07-28", "child", _) => "gateway-child-",
        ("2026-07-28", ..) => "gateway-lines-",
        (_, "http", "legacy") => "gateway-http-",
        (_, "tcp" | "unix" | "child", "modern") => "gateway-shared-",
        _ => "gateway-",
    };
    let url = format!("http://{}/mcp", gateway.address());
    let differences = check_at((&url, &format!("gateway-{link}-{era}")), kind, sets);
    gateway.assert_alive();
    differences
}

/// A server of the suite, and the lines of a section that lead to it. A program is started by the
/// gateway.
fn upstream(link: &str, folder: &str) -> (Option<Server>, String) {
    let setup = Setup::shards(1);
    let server = match link {
        "child" => {
            let program = binary();
            let program = program.to_str().expect("a path of text");
            let command = [program, "serve", "--demo", "conformance", "--stdio"];
            return (None, format!("command = {command:?}"));
        }
        "sse" => setup.profile("[server]\nsse_endpoint = \"/sse\"").start(),
        "tcp" => setup.listen("tcp://127.0.0.1:0").start(),
        "unix" => setup.listen(&format!("unix://{folder}/up")).start(),
        _ => setup.start(),
    };
    let url = match link {
        "sse" => format!("sse+http://{}/sse", server.address()),
        "http" => format!("http://{}/mcp", server.address()),
        "unix" => format!("unix:{folder}/up"),
        _ => server.addresses()[1].clone(),
    };
    (Some(server), format!("url = \"{url}\""))
}
