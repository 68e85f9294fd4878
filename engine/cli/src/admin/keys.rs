//! `corelane keys`: the state keys of the nodes of a cluster, and how far a rotation is.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::lists::table;
use super::socket::{Failure, SocketArguments};

/// The columns of the keys.
const COLUMNS: [&str; 4] = ["KEY", "SEALS ON", "OPENS ON", "LACKS ON"];

/// The commands.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum KeysCommand {
    /// Show which nodes of the cluster seal and open with which state key. A key is changed by
    /// server.state_key_files and corelane reload, which refuses a step that others cannot follow.
    /// Exits with 0 if all nodes have the same keys and seal with one, 1 otherwise.
    Status {
        #[command(flatten)]
        at: SocketArguments,
    },
}

impl KeysCommand {
    /// Whether errors go to standard output as JSON.
    pub(super) fn is_json(&self) -> bool {
        let KeysCommand::Status { at } = self;
        at.json
    }
}

/// The nodes that live, by what they do with a key.
#[derive(Debug, Default, PartialEq, Eq, serde::Serialize)]
struct Nodes {
    seals_on: Vec<u64>,
    opens_on: Vec<u64>,
    lacks_on: Vec<u64>,
}

/// Runs the command.
///
/// # Errors
/// No server listens there, or it is no node.
pub(super) fn run(command: &KeysCommand) -> Result<ExitCode, Failure> {
    let KeysCommand::Status { at } = command;
    let keys = keys_of(&at.open().get("cluster")?);
    match at.json {
        true => println!("{}", json!({ "keys": keys })),
        false => print!("{}", described(&keys)),
    }
    Ok(ExitCode::from(u8::from(!is_settled(&keys))))
}

/// The keys by their fingerprints, of the nodes that are not gone.
fn keys_of(answer: &Value) -> BTreeMap<String, Nodes> {
    let rows = answer["members"].as_array().into_iter().flatten();
    let rows: Vec<&Value> = rows.filter(|row| row["health"] != "gone").collect();
    let keys_of = |row: &Value| -> Vec<String> {
        let keys = row["keys"].as_array().into_iter().flatten();
        keys.filter_map(|key| key.as_str().map(str::to_owned))
            .collect()
    };
    let mut keys: BTreeMap<String, Nodes> = BTreeMap::new();
    for key in rows.iter().flat_map(|row| keys_of(row)) {
        keys.entry(key).or_default();
    }
    for (key, nodes) in &mut keys {
        for row in &rows {
            let node = row["node"].as_u64().unwrap_or_default();
            match keys_of(row).contains(key) {
                true => nodes.opens_on.push(node),
                false => nodes.lacks_on.push(node),
            }
            if row["sealing_key"] == **key {
                nodes.seals_on.push(node);
            }
        }
    }
    keys
}

/// Whether no rotation is under way.
fn is_settled(keys: &BTreeMap<String, Nodes>) -> bool {
    let sealing = keys.values().filter(|nodes| !nodes.seals_on.is_empty());
    sealing.count() == 1 && keys.values().all(|nodes| nodes.lacks_on.is_empty())
}

fn described(keys: &BTreeMap<String, Nodes>) -> String {
    let mut lines = vec![COLUMNS.map(str::to_owned).to_vec()];
    let list = |nodes: &[u64]| match nodes {
        [] => "-".to_owned(),
        _ => nodes
            .iter()
            .map(u64::to_string)
            .collect::<Vec<_>>()
            .join(","),
    };
    for (key, nodes) in keys {
        let columns = [&nodes.seals_on, &nodes.opens_on, &nodes.lacks_on];
        let columns = columns.map(|nodes| list(nodes));
        lines.push([key.clone()].into_iter().chain(columns).collect());
    }
    table(&lines)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{is_settled, keys_of};

    /// The number of a node, its health and its keys.
    type Node = (u64, &'static str, &'static [&'static str]);

    fn answer(nodes: &[Node]) -> Value {
        let rows = nodes.iter().map(|(node, health, keys)| {
            json!({ "node": node, "health": health, "keys": keys, "sealing_key": keys[0] })
        });
        json!({ "members": rows.collect::<Vec<_>>() })
    }

    #[test]
    fn a_rotation_is_over_when_all_nodes_have_the_same_keys() {
        let cases: [(&[Node], bool); 5] = [
            (&[(1, "alive", &["a"]), (2, "alive", &["a"])], true),
            (&[(1, "alive", &["a", "b"]), (2, "alive", &["a"])], false),
            (
                &[(1, "alive", &["a", "b"]), (2, "suspect", &["b", "a"])],
                false,
            ),
            (
                &[(1, "alive", &["b", "a"]), (2, "alive", &["b", "a"])],
                true,
            ),
            (&[(1, "alive", &["b"]), (2, "gone", &["a"])], true),
        ];
        for (nodes, expected) in cases {
            let keys = keys_of(&answer(nodes));
            assert_eq!(is_settled(&keys), expected, "{keys:?}");
        }
        let keys = keys_of(&answer(cases[1].0));
        assert_eq!(
            (&*keys["b"].opens_on, &*keys["b"].lacks_on),
            (&[1][..], &[2][..])
        );
        assert_eq!(keys["a"].seals_on, [1, 2]);
    }
}
