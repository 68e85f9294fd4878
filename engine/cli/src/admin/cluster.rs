//! `corelane cluster`: the cluster of a running node, and the buckets of a new one.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use corelane::Profile;
use corelane_nats::Settings;
use serde_json::{Value, json};

use super::lists::table;
use super::socket::{Failure, SocketArguments};
use crate::client::output::escaped;

/// The columns of the nodes.
const COLUMNS: [&str; 7] = [
    "NODE",
    "START",
    "STAGE",
    "HEALTH",
    "SILENT",
    "CLOCK",
    "LACKS KEY",
];

/// The commands.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Show the cluster as a running node sees it. Exits with 0 if the node is part of it and all
    /// other nodes live and have the keys of each other, 1 otherwise.
    Status {
        #[command(flatten)]
        at: SocketArguments,
    },
    /// Drain a running node, as corelane drain does, if another node can take its sessions. Exits
    /// with 0 if it drains, 1 if no other node lives and has its keys: nothing changed then.
    Drain {
        #[command(flatten)]
        at: SocketArguments,
    },
    /// Let the nodes write records of the highest level that this version has, after an upgrade of
    /// all of them. No node of an earlier version can read these. Exits with 0 if that is so, 1 if
    /// a node cannot read them: nothing changed then.
    Finalize {
        #[command(flatten)]
        at: SocketArguments,
    },
    /// Make the buckets of a cluster in JetStream, once, with the rights of an administrator of
    /// NATS. Those that are there stay. It needs no running server.
    Init(InitArguments),
}

/// The arguments of `corelane cluster init`.
#[derive(Debug, Clone, Args)]
pub(crate) struct InitArguments {
    /// A tuning profile with the section [cluster].
    #[arg(long, value_name = "FILE")]
    profile: PathBuf,
    /// Servers that keep each record: 3 where there are three, so that one of them may fail.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=5))]
    replicas: u8,
    /// A file with the seed of an administrator's NKey, in the place of that of the nodes.
    #[arg(long, value_name = "FILE")]
    nkey_file: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

impl ClusterCommand {
    /// Whether errors go to standard output as JSON.
    pub(super) fn is_json(&self) -> bool {
        match self {
            ClusterCommand::Status { at }
            | ClusterCommand::Drain { at }
            | ClusterCommand::Finalize { at } => at.json,
            ClusterCommand::Init(arguments) => arguments.json,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// No server listens there, it is no node, or the servers of NATS refuse.
pub(super) fn run(command: &ClusterCommand) -> Result<ExitCode, Failure> {
    match command {
        ClusterCommand::Status { at } => status(at),
        ClusterCommand::Drain { at } => drain(at),
        ClusterCommand::Finalize { at } => finalize(at),
        ClusterCommand::Init(arguments) => init(arguments),
    }
}

fn status(at: &SocketArguments) -> Result<ExitCode, Failure> {
    let answer = at.open().get("cluster")?;
    match at.json {
        true => println!("{answer}"),
        false => print!("{}", escaped(&described(&answer))),
    }
    Ok(ExitCode::from(u8::from(!is_well(&answer))))
}

fn drain(at: &SocketArguments) -> Result<ExitCode, Failure> {
    let answer = at.open().get("cluster")?;
    let key = &answer["sealing_key"];
    let takes_over = |row: &&Value| {
        let mut keys = row["keys"].as_array().into_iter().flatten();
        let is_other = row["node"] != answer["node"];
        is_other && row["health"] == "alive" && row["stage"] == "alive" && keys.any(|it| it == key)
    };
    let rows = answer["members"].as_array().into_iter().flatten();
    let takers: Vec<&Value> = rows.filter(takes_over).map(|row| &row["node"]).collect();
    if takers.is_empty() || answer["is_connected"] != true || answer["is_isolated"] != false {
        let text = "no other node of the cluster is up, has the keys of this one and is heard: \
                    its sessions would end; see corelane cluster status, or use corelane drain";
        return Err(Failure::Refused(text.to_owned()));
    }
    let drained = at.open().post("drain", &json!({}))?;
    match at.json {
        true => println!(
            "{}",
            json!({ "takers": takers, "was_draining": drained["was_draining"] })
        ),
        false => println!("the node drains, and others take its sessions"),
    }
    Ok(ExitCode::SUCCESS)
}

fn finalize(at: &SocketArguments) -> Result<ExitCode, Failure> {
    let answer = at.open().post("cluster/finalize", &json!({}))?;
    let (from, to) = (&answer["from"], &answer["to"]);
    match at.json {
        true => println!("{answer}"),
        false if from == to => {
            println!("records are of level {to} already, the highest of this version");
        }
        false => println!("records are of level {to} from now on; they were of level {from}"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the node is part of its cluster, and the other nodes are well.
fn is_well(answer: &Value) -> bool {
    let rows = answer["members"].as_array();
    let is_well = |row: &Value| {
        let lacking = row["nodes_without_its_key"].as_array();
        row["health"] == "alive" && lacking.is_none_or(Vec::is_empty)
    };
    answer["stage"] == "alive"
        && answer["is_connected"] == true
        && answer["is_isolated"] == false
        && rows.is_some_and(|rows| rows.iter().all(is_well))
}

fn described(answer: &Value) -> String {
    let mut text = String::new();
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let bus = match (&answer["is_connected"], &answer["is_isolated"]) {
        (Value::Bool(true), Value::Bool(false)) => format!(
            "connected to {} ({})",
            word(&answer["server"]["name"]),
            word(&answer["server"]["version"])
        ),
        (Value::Bool(true), _) => "connected, and isolated: own messages do not come back".into(),
        _ => "not connected: the node serves alone".into(),
    };
    let _ = writeln!(text, "node {}, {}", answer["node"], word(&answer["stage"]));
    let _ = writeln!(text, "NATS: {bus}");
    if let Some(reason) = answer["unusable"].as_str() {
        let _ = writeln!(text, "it cannot join: {reason}");
    }
    let _ = writeln!(
        text,
        "sessions with changes: {}, written behind by {} ms",
        answer["sessions"], answer["replication_lag_ms"]
    );
    let mut lines = vec![COLUMNS.map(str::to_owned).to_vec()];
    for row in answer["members"].as_array().into_iter().flatten() {
        let lacking = row["nodes_without_its_key"].as_array();
        let lacking = lacking.into_iter().flatten().map(Value::to_string);
        let lacking: Vec<String> = lacking.collect();
        lines.push(vec![
            row["node"].to_string(),
            row["start"].to_string(),
            word(&row["stage"]),
            word(&row["health"]),
            format!("{}ms", row["silence_ms"]),
            format!("{}s", row["clock_differs_s"]),
            match lacking.is_empty() {
                true => "-".to_owned(),
                false => lacking.join(","),
            },
        ]);
    }
    text + &table(&lines)
}

fn init(arguments: &InitArguments) -> Result<ExitCode, Failure> {
    let refused = |error: &dyn std::fmt::Display| Failure::Refused(error.to_string());
    let profile = Profile::from_file(&arguments.profile).map_err(|error| refused(&error))?;
    let cluster = profile.cluster;
    let Some(name) = cluster.name else {
        let path = arguments.profile.display();
        let text = format!("{path} has no cluster.name: add the section [cluster]");
        return Err(Failure::Refused(text));
    };
    if let Some(file) = cluster.file {
        let file = file.display();
        let text =
            format!("a node with cluster.file needs no buckets: {file} is made at its start");
        return Err(Failure::Refused(text));
    }
    let settings = Settings {
        cluster: name,
        servers: cluster.servers,
        nkey_file: arguments.nkey_file.clone().or(cluster.nkey_file),
        ca_file: cluster.ca_file,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| refused(&error))?;
    let made = corelane_nats::create(&settings, usize::from(arguments.replicas));
    let made = runtime.block_on(made).map_err(|error| refused(&error))?;
    match arguments.json {
        true => println!("{}", json!({ "streams": made })),
        false => println!("the streams {} are there", made.join(" and ")),
    }
    Ok(ExitCode::SUCCESS)
}
