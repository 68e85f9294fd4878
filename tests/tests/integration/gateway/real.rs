//! A gateway in front of a real server.

use corelane_tests::{Request, Setup};
use serde_json::json;

use super::Gateway;

#[test]
fn another_server_of_this_kind_is_an_upstream() {
    let upstream = Setup::shards(1).demo("basic").start();
    let address = upstream.address();
    let section = format!("[[upstream]]\nname = \"up\"\nurl = \"http://{address}/mcp\"\n");
    let gateway = Gateway::start(&section);
    gateway.wait_for("up_countdown");
    let mut connection = gateway.connect();
    let call = Request::modern_call("up_add", json!({ "a": 1, "b": 2.5 }));
    let answer = connection.exchange(&call).answer();
    assert_eq!(answer["result"]["content"][0]["text"], "3.5", "{answer}");
    let call = Request::modern_call("up_add", json!({ "a": "x" }));
    let answer = connection.exchange(&call).answer();
    assert_eq!(
        answer["result"]["isError"], true,
        "the upstream checks arguments: {answer}"
    );
}
