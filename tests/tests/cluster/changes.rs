//! Changes of lists and resources on one node, and the clients of the other.

use corelane_tests::{EventStream, Request, Server, Session, wait_until};
use serde_json::{Value, json};

use crate::test_cluster::TestCluster;

const WATCHED: &str = "test://watched-resource";
const TOOLS: &str = "notifications/tools/list_changed";
const PROMPTS: &str = "notifications/prompts/list_changed";
const UPDATED: &str = "notifications/resources/updated";
/// The tools that make these changes.
const CHANGES: [(&str, &str); 3] = [
    ("test_trigger_tool_change", TOOLS),
    ("test_trigger_resource_change", UPDATED),
    ("test_trigger_prompt_change", PROMPTS),
];

/// The streams of a node: of a modern client, and of a session.
struct Listeners([EventStream; 2]);

impl Listeners {
    fn open(server: &Server) -> Listeners {
        let filter = json!({
            "toolsListChanged": true,
            "promptsListChanged": true,
            "resourceSubscriptions": [WATCHED],
        });
        let params = json!({ "notifications": filter });
        let mut connection = server.connect();
        connection.send(&Request::modern("l", "subscriptions/listen", params));
        let mut modern = EventStream::begin(connection);
        let first = modern.next_message();
        assert_eq!(first["method"], "notifications/subscriptions/acknowledged");

        let session = Session::open(&mut server.connect());
        let subscribe = session.request(9, "resources/subscribe", json!({ "uri": WATCHED }));
        let subscribed = server.connect().exchange(&subscribe);
        assert_eq!(subscribed.answer()["result"], json!({}));
        let mut connection = server.connect();
        connection.send(&session.stream());
        Listeners([modern, EventStream::begin(connection)])
    }

    /// Waits until both streams have these messages, in any order: a change may be repeated.
    fn wait_for(&mut self, methods: &[&str]) {
        for stream in &mut self.0 {
            let mut missing = methods.to_vec();
            while !missing.is_empty() {
                let message = stream.next_message();
                check(&message);
                missing.retain(|method| message["method"] != **method);
            }
        }
    }
}

fn check(message: &Value) {
    if message["method"] == UPDATED {
        assert_eq!(message["params"]["uri"], WATCHED, "{message}");
    }
}

fn make(server: &Server, tool: &str) {
    let response = server
        .connect()
        .exchange(&Request::modern_call(tool, json!({})));
    assert_eq!(response.status(), 200, "{response:?}");
}

#[test]
fn a_change_on_one_node_reaches_the_clients_of_the_others() {
    let cluster = TestCluster::start();
    let nodes = [1, 2].map(|number| cluster.join(number, cluster.setup(number)));
    for (here, there) in [(0, 1), (1, 0)] {
        let mut listeners = Listeners::open(&nodes[there]);
        for (tool, method) in CHANGES {
            make(&nodes[here], tool);
            listeners.wait_for(&[method]);
        }
    }
}

#[test]
fn changes_while_nats_is_stopped_reach_the_other_nodes_after_that() {
    let mut cluster = TestCluster::start();
    let [one, two] = [1, 2].map(|number| cluster.join(number, cluster.setup(number)));
    let mut listeners = Listeners::open(&two);
    let mut own = Listeners::open(&one);
    for _ in 0..2 {
        cluster.nats.stop();
        for node in [1, 2] {
            cluster.wait_for(node, "the loss of NATS", |status| {
                status["is_connected"] == false
            });
        }
        for (tool, method) in CHANGES {
            make(&one, tool);
            own.wait_for(&[method]);
        }
        cluster.nats.resume();
        listeners.wait_for(&[TOOLS, UPDATED, PROMPTS]);
    }
}

#[test]
fn changes_before_a_node_has_joined_reach_the_others_when_it_has() {
    let mut cluster = TestCluster::start();
    let two = cluster.join(2, cluster.setup(2));
    cluster.nats.stop();
    let one = cluster.setup(1).profile("join_timeout_ms = 100").start();
    let mut listeners = Listeners::open(&two);
    make(&one, "test_trigger_tool_change");
    make(&one, "test_trigger_resource_change");
    cluster.nats.resume();
    listeners.wait_for(&[TOOLS, UPDATED]);
}

#[test]
fn a_process_with_other_lists_than_the_one_before_is_a_change() {
    let cluster = TestCluster::start();
    let [one, two] = [1, 2].map(|number| cluster.join(number, cluster.setup(number)));
    // A process that dies before the others heard of its change changed nothing for them.
    let mut listeners = Listeners::open(&two);
    make(&one, "test_trigger_tool_change");
    listeners.wait_for(&[TOOLS]);
    let mut listeners = Listeners::open(&two);
    one.signal("KILL");
    let _ = one.wait_for_exit();
    // The next one has the tools of the beginning.
    let _one = cluster.join(1, cluster.setup(1));
    listeners.wait_for(&[TOOLS]);
    wait_until("both nodes", || {
        let status = cluster.status(2);
        let members = status["members"].as_array()?;
        members
            .iter()
            .all(|it| it["health"] == "alive")
            .then_some(())
    });
}
