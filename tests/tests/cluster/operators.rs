//! The commands of an operator of a cluster: keys, draining one node, and the level of records.

use corelane_tests::{Session, Setup, wait_until, write_secret};
use serde_json::{Value, json};

use crate::test_cluster::{TestCluster, run};

/// The exit code and the JSON of a command of a node.
fn command(cluster: &TestCluster, node: u16, arguments: &[&str]) -> (Option<i32>, Value) {
    let socket = cluster.path(&format!("{node}.sock"));
    let at = ["--json", "--socket", socket.to_str().expect("a path")];
    let (status, text) = run(&[arguments, &at[..]].concat());
    let value = serde_json::from_str(&text);
    (
        status.code(),
        value.unwrap_or_else(|error| panic!("{error}: {text}")),
    )
}

#[test]
fn a_key_is_changed_in_three_steps_of_which_none_may_be_left_out() {
    let cluster = TestCluster::start();
    // 32 bytes of 2, as `openssl rand -base64 32` writes them.
    write_secret(&cluster.path("fresh"), &("AgIC".repeat(10) + "AgI=\n"));
    let write = |node: u16, keys: &[&str]| {
        let keys: Vec<_> = keys.iter().map(|key| cluster.path(key)).collect();
        let old = format!("state_key_files = [{:?}]", cluster.path("key"));
        let new = format!("state_key_files = {keys:?}");
        let profile = cluster.profile(node).replace(&old, &new);
        std::fs::write(cluster.path(&format!("{node}.toml")), profile).expect("a file");
    };
    let nodes = [1, 2].map(|node| {
        write(node, &["key"]);
        let path = cluster.path(&format!("{node}.toml"));
        let setup = Setup::shards(1);
        cluster.join(
            node,
            setup.arguments(&["--profile", path.to_str().expect("a path")]),
        )
    });
    let session = Session::open(&mut nodes[0].connect());
    let reload = |node: u16, keys: &[&str]| {
        write(node, keys);
        let (code, answer) = command(&cluster, node, &["reload", "--within", "20s"]);
        (code, answer.to_string())
    };
    let wait_for_keys = |count: usize, code: i32| {
        for node in [1, 2] {
            wait_until("the keys of both nodes", || {
                let (shown, answer) = command(&cluster, node, &["keys", "status"]);
                let keys = answer["keys"].as_object()?;
                (shown == Some(code) && keys.len() == count).then_some(())
            });
        }
    };
    cluster.wait_for(1, "the other node", |status| {
        status["members"].as_array().is_some_and(|it| it.len() == 2)
    });
    wait_for_keys(1, 0);
    // The other node could not read what this one seals.
    let (code, text) = reload(1, &["fresh", "key"]);
    assert!(
        code == Some(1) && text.contains("node 2 does not have it yet"),
        "{text}"
    );
    for node in [1, 2] {
        let (code, text) = reload(node, &["key", "fresh"]);
        assert_eq!(code, Some(0), "{text}");
    }
    wait_for_keys(2, 0);
    // All have it now; the old one is dropped when none seals with it.
    let (code, text) = reload(1, &["fresh", "key"]);
    assert_eq!(code, Some(0), "{text}");
    wait_for_keys(2, 1);
    let (code, text) = reload(1, &["fresh"]);
    assert!(
        code == Some(1) && text.contains("node 2 still seals"),
        "{text}"
    );
    let (code, text) = reload(2, &["fresh", "key"]);
    assert_eq!(code, Some(0), "{text}");
    wait_for_keys(2, 0);
    let ping = session.request(1, "ping", json!({}));
    assert_eq!(nodes[1].connect().exchange(&ping).status(), 200);
    for node in [1, 2] {
        let (code, text) = reload(node, &["fresh"]);
        assert_eq!(code, Some(0), "{text}");
    }
    wait_for_keys(1, 0);
}

#[test]
fn a_node_is_drained_only_if_another_one_takes_its_sessions() {
    let cluster = TestCluster::start();
    let [one, two] = [1, 2].map(|node| cluster.join(node, cluster.setup(node)));
    let session = Session::open(&mut one.connect());
    cluster.wait_for(1, "the other node", |status| {
        let members = status["members"].as_array();
        members.is_some_and(|it| it.iter().filter(|row| row["health"] == "alive").count() == 2)
    });
    let (code, answer) = command(&cluster, 1, &["cluster", "drain"]);
    assert_eq!(
        (code, &answer["takers"]),
        (Some(0), &json!([2])),
        "{answer}"
    );
    assert!(one.wait_for_exit().success(), "{}", one.log());
    let ping = session.request(1, "ping", json!({}));
    assert_eq!(two.connect().exchange(&ping).status(), 200);
    // The last one would end its sessions.
    cluster.wait_for(2, "the end of the other node", |status| {
        let mut rows = status["members"].as_array().into_iter().flatten();
        rows.any(|row| row["node"] == 1 && row["health"] == "gone")
    });
    let (code, answer) = command(&cluster, 2, &["cluster", "drain"]);
    let text = answer["error"].as_str().unwrap_or_default();
    assert!(
        code == Some(1) && text.contains("its sessions would end"),
        "{answer}"
    );
    assert_eq!(two.connect().exchange(&ping).status(), 200);
}

#[test]
fn the_level_of_records_is_the_highest_that_all_can_read() {
    let cluster = TestCluster::start();
    let _nodes = [1, 2].map(|node| cluster.join(node, cluster.setup(node)));
    let (code, answer) = command(&cluster, 1, &["cluster", "finalize"]);
    assert_eq!((code, answer), (Some(0), json!({ "from": 1, "to": 1 })));
    assert_eq!(cluster.status(1)["level"], 1);
}
