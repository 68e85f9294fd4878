//! `corelane upstreams`: the other servers that a running server is in front of.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use corelane::gateway::desktop;
use serde_json::{Value, json};

use super::lists::table;
use super::socket::{Failure, SocketArguments};
use crate::client::output::escaped;

/// The columns of the table.
const COLUMNS: [&str; 11] = [
    "NAME",
    "STAGE",
    "STATE",
    "ERA",
    "ENTRIES",
    "AGE",
    "LINKS",
    "CALLS",
    "SESSIONS",
    "BREAKER",
    "CONDITIONS",
];

/// The arguments of `corelane upstreams`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct UpstreamsArguments {
    #[command(subcommand)]
    change: Option<UpstreamsCommand>,
    #[command(flatten)]
    pub(super) at: SocketArguments,
    /// Show everything about this one.
    name: Option<String>,
}

#[derive(Debug, Clone, Subcommand)]
enum UpstreamsCommand {
    /// Read the lists of an upstream again.
    Refresh {
        #[command(flatten)]
        at: SocketArguments,
        /// The upstream.
        name: String,
    },
    /// Print the sections [[upstream]] for the servers of a desktop client's file. Secrets become
    /// references to variables of the environment. It needs no running server.
    Import {
        /// The file with mcpServers or servers.
        file: PathBuf,
    },
}

impl UpstreamsArguments {
    /// Where errors go: as JSON or as text.
    pub(super) fn socket(&self) -> &SocketArguments {
        match &self.change {
            Some(UpstreamsCommand::Refresh { at, .. }) => at,
            _ => &self.at,
        }
    }
}

/// Runs the command. The exit code is 1 if a condition of an upstream holds.
///
/// # Errors
/// No server listens there, it refuses, or a file cannot be read.
pub(super) fn run(arguments: &UpstreamsArguments) -> Result<ExitCode, Failure> {
    match &arguments.change {
        Some(UpstreamsCommand::Refresh { at, name }) => {
            let socket = at.open();
            let answer = socket.post("upstreams/refresh", &json!({ "name": name }))?;
            match at.json {
                true => println!("{answer}"),
                false => println!("the lists of {name} are read again"),
            }
            Ok(ExitCode::SUCCESS)
        }
        Some(UpstreamsCommand::Import { file }) => import(file),
        None => show(arguments),
    }
}

fn show(arguments: &UpstreamsArguments) -> Result<ExitCode, Failure> {
    let mut answer = arguments.at.open().get("upstreams")?;
    let mut rows = match answer["upstreams"].take() {
        Value::Array(rows) => rows,
        _ => Vec::new(),
    };
    if let Some(name) = &arguments.name {
        rows.retain(|row| row["name"] == name.as_str());
        if rows.is_empty() {
            return Err(Failure::Refused(format!("no upstream is named {name:?}")));
        }
    }
    match (arguments.at.json, &arguments.name) {
        (true, _) => println!("{}", json!({ "upstreams": rows })),
        (false, Some(_)) => rows
            .iter()
            .for_each(|row| print!("{}", escaped(&details(row)))),
        (false, None) => print!("{}", escaped(&overview(&rows))),
    }
    let is_well = |row: &Value| row["conditions"].as_array().is_none_or(Vec::is_empty);
    Ok(ExitCode::from(u8::from(!rows.iter().all(is_well))))
}

/// A line for each upstream.
fn overview(rows: &[Value]) -> String {
    let mut lines = vec![COLUMNS.map(str::to_owned).to_vec()];
    for row in rows {
        let word = |name: &str| row[name].as_str().unwrap_or("-").to_owned();
        let entries = row["entries"].as_object();
        let entries = entries.map_or(0, |it| it.values().filter_map(Value::as_u64).sum::<u64>());
        let age = row["catalog_age_s"].as_u64();
        let age = age.map_or_else(|| "-".to_owned(), |age_s| format!("{age_s}s"));
        let open = shards(row).filter(|it| it["breaker"] != "closed").count();
        let breaker = match open {
            0 => "closed".to_owned(),
            open => format!("open on {open}"),
        };
        let conditions = words(&row["conditions"]).join(" ");
        lines.push(vec![
            word("name"),
            word("stage"),
            word("state"),
            word("era"),
            entries.to_string(),
            age,
            sum(row, "links").to_string(),
            sum(row, "calls").to_string(),
            sum(row, "sessions").to_string(),
            breaker,
            conditions,
        ]);
    }
    table(&lines)
}

/// Everything about one upstream.
fn details(row: &Value) -> String {
    let mut text = overview(std::slice::from_ref(row));
    let kinds = ["tools", "prompts", "resources", "templates"];
    let counts = kinds.map(|kind| format!("{} {kind}", row["entries"][kind]));
    let _ = writeln!(text, "{}", counts.join(", "));
    for shard in shards(row) {
        let parts = [
            "links",
            "links_idle",
            "waiting",
            "calls",
            "sessions",
            "processes",
        ];
        let parts = parts.map(|part| format!("{part} {}", shard[part]));
        let breaker = shard["breaker"].as_str().unwrap_or_default();
        let (number, parts) = (&shard["shard"], parts.join(", "));
        let _ = writeln!(text, "shard {number}: {parts}, breaker {breaker}");
    }
    if let Some(error) = row["last_error"].as_str() {
        let _ = writeln!(
            text,
            "last error, {} s ago: {error}",
            row["last_error_age_s"]
        );
    }
    for (name, title) in [
        ("cut", "cut at a bound"),
        ("hidden", "hidden"),
        ("changed", "changed since it was first read"),
        ("standard_error", "standard error"),
    ] {
        for line in words(&row[name]) {
            let _ = writeln!(text, "{title}: {line}");
        }
    }
    text
}

fn shards(row: &Value) -> impl Iterator<Item = &Value> {
    row["shards"].as_array().into_iter().flatten()
}

fn sum(row: &Value, name: &str) -> u64 {
    shards(row).filter_map(|shard| shard[name].as_u64()).sum()
}

fn words(list: &Value) -> Vec<&str> {
    let words = list.as_array().into_iter().flatten();
    words.filter_map(Value::as_str).collect()
}

/// Prints the sections for a file of a desktop client.
fn import(file: &Path) -> Result<ExitCode, Failure> {
    let failed = |text: String| Failure::Refused(format!("{}: {text}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    let sections = desktop::sections(&text).map_err(|error| failed(error.to_string()))?;
    print!("{sections}");
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{details, overview};

    #[test]
    fn the_state_of_an_upstream_is_a_line_and_its_parts_are_others() {
        let shard = |number: u32, breaker: &str| {
            json!({
                "shard": number, "number": 0, "links": 2, "links_idle": 1, "waiting": 0,
                "calls": 1, "sessions": 3, "processes": 0, "breaker": breaker,
            })
        };
        let row = json!({
            "name": "git", "number": 0, "stage": "serves", "state": "stale", "era": "legacy",
            "entries": { "tools": 4, "prompts": 0, "resources": 1, "templates": 0 },
            "catalog_age_s": 61, "cut": ["tools/list"], "last_error": "it is away",
            "last_error_age_s": 3, "standard_error": ["a line"], "hidden": ["tool x"],
            "conditions": ["upstream_down"], "shards": [shard(0, "closed"), shard(1, "open")],
        });
        let expected = [
            "NAME  STAGE   STATE  ERA     ENTRIES  AGE  LINKS  CALLS  SESSIONS  BREAKER",
            "    CONDITIONS\n",
            "git   serves  stale  legacy  5        61s  4      2      6         open on 1",
            "  upstream_down\n",
        ];
        let expected = expected.concat();
        assert_eq!(overview(std::slice::from_ref(&row)), expected);
        let more = "\
            4 tools, 0 prompts, 1 resources, 0 templates\n\
            shard 0: links 2, links_idle 1, waiting 0, calls 1, sessions 3, processes 0, \
            breaker closed\n\
            shard 1: links 2, links_idle 1, waiting 0, calls 1, sessions 3, processes 0, \
            breaker open\n\
            last error, 3 s ago: it is away\n\
            cut at a bound: tools/list\nhidden: tool x\nstandard error: a line\n";
        assert_eq!(details(&row), format!("{expected}{more}"));
    }
}
