//! Streams that were opened before the access file changed: nothing is sent on them that their
//! client may not know any more.

use corelane_tests::request::LEGACY;
use corelane_tests::{Connection, EventStream, Request, Server, wait_until};
use serde_json::{Value, json};

use crate::access_file::AccessFile;

const URI: &str = "test://watched-resource";
const TOOLS: &str = r#"
[[role]]
name = "ci"
claim_roles = ["ci"]
[[grant]]
role = "ci"
tools = ["*"]
"#;
const RESOURCES: &str = "resources = [\"test://**\"]\n";

/// A server whose clients may use its resources, until its file is read again.
struct Reloaded {
    file: AccessFile,
    server: Server,
}

impl Reloaded {
    fn start() -> Reloaded {
        let file = AccessFile::new(&format!("{TOOLS}{RESOURCES}"));
        let server = file.setup(1).demo("conformance").start();
        Reloaded { file, server }
    }

    fn exchange(&self, request: Request) -> Value {
        let mut connection = self.server.connect();
        connection.exchange(&self.file.sign(request)).answer()
    }

    fn trigger(&self, tool: &str) {
        let answer = self.exchange(Request::modern_call(tool, json!({})));
        assert!(answer["result"]["content"].is_array(), "{answer}");
    }

    /// Opens a stream, whose first message is returned.
    fn listen(&self, id: u32) -> (EventStream, Value) {
        let wanted = json!({"toolsListChanged": true, "resourceSubscriptions": [URI]});
        let params = json!({"notifications": wanted});
        let request = Request::modern(id, "subscriptions/listen", params);
        let mut connection = self.server.connect();
        connection.send(&self.file.sign(request));
        let mut stream = EventStream::begin(connection);
        let first = stream.next_message();
        assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
        (stream, first["params"]["notifications"].clone())
    }

    fn lists_resource(&self) -> bool {
        let list = self.exchange(Request::modern(1, "resources/list", json!({})));
        list.to_string().contains(URI)
    }

    /// Takes the grant of the resources away, and waits until that is in use.
    fn take_resources_away(&self) {
        assert!(self.lists_resource());
        self.file.write(&self.file.text().replace(RESOURCES, ""));
        self.server.signal("HUP");
        wait_until("the other policy", || {
            (!self.lists_resource()).then_some(())
        });
    }
}

#[test]
fn a_listen_stream_of_before_ends_instead_of_naming_a_resource() {
    let server = Reloaded::start();
    let (mut stream, honoured) = server.listen(1);
    assert_eq!(honoured["resourceSubscriptions"], json!([URI]));
    server.trigger("test_trigger_resource_change");
    assert_eq!(stream.next_message()["params"]["uri"], URI);
    let (mut other, _) = server.listen(2);
    server.take_resources_away();
    server.trigger("test_trigger_resource_change");
    // Any change would be for a client whose credential was not checked since.
    server.trigger("test_trigger_tool_change");
    for (stream, id) in [(&mut stream, 1), (&mut other, 2)] {
        let end = stream.next_message();
        assert_eq!((&end["id"], &end["method"]), (&json!(id), &Value::Null));
        assert_eq!(end["result"]["resultType"], "complete", "{end}");
    }
    let _ = stream.expect_end();
    // Its client may come back, for what is left.
    let (mut stream, honoured) = server.listen(3);
    assert_eq!(honoured, json!({"toolsListChanged": true}));
    server.trigger("test_trigger_resource_change");
    server.trigger("test_trigger_tool_change");
    let change = stream.next_message();
    assert_eq!(change["method"], "notifications/tools/list_changed");
}

#[test]
fn a_session_hears_nothing_of_a_resource_that_it_may_not_read_any_more() {
    let server = Reloaded::start();
    let sign = |request| server.file.sign(request);
    let mut connection: Connection = server.server.connect();
    let started = connection.exchange(&sign(Request::initialize(LEGACY)));
    let session = started.head.field("MCP-Session-Id").expect("a session");
    let request = |id: u32, method: &str, params: Value| {
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        sign(Request::legacy(&message).field("MCP-Session-Id", session))
    };
    let subscribe = request(1, "resources/subscribe", json!({"uri": URI}));
    assert_eq!(
        connection.exchange(&subscribe).answer()["result"],
        json!({})
    );
    let get = Request::new("GET")
        .field("Accept", "text/event-stream")
        .field("MCP-Session-Id", session);
    let mut open = server.server.connect();
    open.send(&sign(get));
    let mut stream = EventStream::begin(open);
    server.trigger("test_trigger_resource_change");
    assert_eq!(stream.next_message()["params"], json!({"uri": URI}));
    server.take_resources_away();
    // Before the client is checked again, and afterwards.
    for id in 2..4 {
        server.trigger("test_trigger_resource_change");
        server.trigger("test_trigger_tool_change");
        let change = stream.next_message();
        assert_eq!(change["method"], "notifications/tools/list_changed");
        let listed = connection.exchange(&request(id, "tools/list", json!({})));
        assert!(listed.answer()["result"]["tools"].is_array());
    }
}
