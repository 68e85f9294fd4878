//! Requests of legacy upstreams with lines: on a link of one client, for its only call.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use corelane_tests::{EventStream, Session, wait_until};
use serde_json::{Value, json};

use super::Gateway;

/// An upstream with lines. A call of its tool has a request to the client first, and a call with
/// the argument `waits` has none and no answer. Its results are the responses to its requests.
struct Upstream {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Value>>>,
}

impl Upstream {
    fn start() -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let received = Arc::new(Mutex::default());
        let shared = Arc::clone(&received);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let received = Arc::clone(&shared);
                thread::spawn(move || serve(&stream, &received));
            }
        });
        Upstream { address, received }
    }

    fn section(&self, lines: &str) -> String {
        let address = self.address;
        format!("[[upstream]]\nname = \"up\"\nurl = \"tcp://{address}\"\n{lines}\n")
    }

    /// The messages that these words are in.
    fn received(&self, words: &str) -> Vec<Value> {
        let received = self.received.lock().expect("no panic");
        let all = received.iter().filter(|it| it.to_string().contains(words));
        all.cloned().collect()
    }
}

fn serve(stream: &TcpStream, received: &Mutex<Vec<Value>>) {
    let mut call = Value::Null;
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let message: Value = serde_json::from_str(&line).expect("JSON");
        received.lock().expect("no panic").push(message.clone());
        let reply = |id: &Value, result: Value| {
            let message = json!({ "jsonrpc": "2.0", "id": id, "result": result });
            Some(message)
        };
        let id = &message["id"];
        let out = match message["method"].as_str() {
            // A server with sessions does not know the probe of the modern era.
            Some("server/discover") => Some(json!({
                "jsonrpc": "2.0", "id": id, "error": { "code": -32601, "message": "no" },
            })),
            Some("initialize") => reply(
                id,
                json!({
                    "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
                    "serverInfo": { "name": "old", "version": "1" },
                }),
            ),
            Some("tools/list") => {
                let tool = json!({ "name": "call", "inputSchema": { "type": "object" } });
                reply(id, json!({ "tools": [tool] }))
            }
            Some("tools/call") if message["params"]["arguments"]["waits"] == true => None,
            Some("tools/call") => {
                call = id.clone();
                Some(json!({ "jsonrpc": "2.0", "id": 7, "method": "roots/list" }))
            }
            None => reply(
                &call,
                json!({ "content": [], "structuredContent": message }),
            ),
            Some(_) => None,
        };
        if let Some(out) = out
            && writeln!(&mut &*stream, "{out}").is_err()
        {
            return;
        }
    }
}

fn roots() -> Value {
    json!({ "roots": {} })
}

#[test]
fn the_request_of_a_link_with_one_call_is_for_that() {
    let upstream = Upstream::start();
    let gateway = Gateway::start(&upstream.section(""));
    gateway.wait_for("up_call");
    let mut connection = gateway.connect();
    let session = Session::open_as(&mut connection, &roots());
    connection.send(&session.call("up_call", json!({})));
    let mut stream = EventStream::begin(connection);
    let question = stream.next_message();
    assert_eq!(question["method"], "roots/list", "{question}");
    assert_ne!(question["id"], 7, "the id is this server's");
    let result = json!({ "roots": [{ "uri": "file:///a" }] });
    let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": result });
    gateway.connect().exchange(&session.message(&answer));
    let done = stream.next_message();
    let expected = json!({ "jsonrpc": "2.0", "id": 7, "result": result });
    assert_eq!(done["result"]["structuredContent"], expected, "{done}");
    let declared: Vec<Value> = upstream
        .received("\"initialize\"")
        .iter()
        .map(|it| it["params"]["capabilities"].clone())
        .collect();
    assert_eq!(
        declared,
        [json!({}), roots()],
        "of the lists, and of the client"
    );
}

#[test]
fn a_request_that_could_be_for_several_calls_is_refused() {
    let upstream = Upstream::start();
    let gateway = Gateway::start(&upstream.section(""));
    gateway.wait_for("up_call");
    let mut connection = gateway.connect();
    let session = Session::open_as(&mut connection, &roots());
    let mut waiting = gateway.connect();
    waiting.send(&session.call("up_call", json!({ "waits": true })));
    wait_until("the call arrives", || {
        (!upstream.received("waits").is_empty()).then_some(())
    });
    let call = session.request(
        2,
        "tools/call",
        json!({ "name": "up_call", "arguments": {} }),
    );
    let done = connection.exchange(&call).answer();
    let code = &done["result"]["structuredContent"]["error"]["code"];
    assert_eq!(*code, -32601, "{done}");
}

#[test]
fn clients_that_share_a_link_have_no_requests() {
    let upstream = Upstream::start();
    let gateway = Gateway::start(&upstream.section("sessions = \"shared\""));
    gateway.wait_for("up_call");
    let mut connection = gateway.connect();
    let session = Session::open_as(&mut connection, &roots());
    let done = connection
        .exchange(&session.call("up_call", json!({})))
        .answer();
    let code = &done["result"]["structuredContent"]["error"]["code"];
    assert_eq!(*code, -32601, "{done}");
    for initialize in upstream.received("\"initialize\"") {
        assert_eq!(initialize["params"]["capabilities"], json!({}));
    }
}

#[test]
fn clients_with_other_capabilities_have_other_sessions() {
    let upstream = Upstream::start();
    let gateway = Gateway::start(&upstream.section("sessions = \"principal\""));
    gateway.wait_for("up_call");
    let mut connection = gateway.connect();
    for capabilities in [roots(), json!({}), json!({ "sampling": {} })] {
        let session = Session::open_as(&mut connection, &capabilities);
        let request = session.call("up_call", json!({ "waits": true }));
        let mut waiting = gateway.connect();
        waiting.send(&request);
        wait_until("its session declares them", || {
            let opened = upstream.received("\"initialize\"");
            let mut declared = opened.iter().map(|it| &it["params"]["capabilities"]);
            declared.any(|it| *it == capabilities).then_some(())
        });
    }
    let opened = upstream.received("\"initialize\"").len();
    assert_eq!(opened, 4, "that of the lists is one of them");
}
