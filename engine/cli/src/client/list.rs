//! `corelane list`: the tools, resources, templates or prompts of a server.

use std::collections::HashMap;

use clap::{Args, ValueEnum};
use corelane_client::{Client, RawResult};
use corelane_guard::policy::NamePattern;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::connection::ConnectionArguments;
use super::failure::Failure;
use super::output::{Output, first_line, table};

/// The arguments of `corelane list`.
#[derive(Debug, Clone, Args)]
#[command(
    override_usage = "corelane list [OPTIONS] [tools|resources|templates|prompts|all] <TARGET>",
    after_help = "Examples:\n  \
    corelane list http://127.0.0.1:8080/mcp\n  \
    corelane list resources --json -- corelane serve --stdio"
)]
pub(crate) struct ListArguments {
    /// The server: a URL, 'stdio:PROGRAM ARGUMENTS', unix:PATH, tcp:HOST:PORT or @NAME; or put --
    /// and the program at the end instead. The kind of entries stands before or after it.
    #[arg(value_name = "TARGET", required = true, num_args = 1..=2)]
    words: Vec<String>,
    /// List entries whose name fits, such as 'git_*'. Resources and templates have URIs for it.
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    filter: Option<NamePattern>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

/// The kinds of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Tools,
    Resources,
    Templates,
    Prompts,
    All,
}

impl ListArguments {
    fn kind(&self) -> Option<(usize, Kind)> {
        let kinds = self.words.iter().map(|word| Kind::from_str(word, false));
        kinds
            .enumerate()
            .find_map(|(at, kind)| Some((at, kind.ok()?)))
    }

    /// Checks that one word is the target and the other one, if it is there, a kind.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match (self.kind(), &self.words[..]) {
            (Some(_), [_, _]) | (None, [_]) => Ok(()),
            (Some(_), _) => Err(Failure::Usage("there is no target".to_owned())),
            (None, words) => {
                let words = words.join(" ");
                let kinds = "tools, resources, templates, prompts or all";
                let fault = format!("{words:?} has no kind of entries: give {kinds}");
                Err(Failure::Usage(fault))
            }
        }
    }

    /// The word that is no kind.
    pub(crate) fn target(&self) -> &str {
        let at = self.kind().map(|(at, _)| at);
        let mut others = self.words.iter().enumerate();
        let other = others.find(|(index, _)| Some(*index) != at);
        other.map_or("", |(_, word)| word)
    }
}

fn pattern(text: &str) -> Result<NamePattern, String> {
    NamePattern::parse(text).map_err(|defect| defect.to_string())
}

impl Kind {
    /// The method, the member of its result, the capability, and the member that names an entry.
    fn facts(self) -> [&'static str; 4] {
        match self {
            Kind::Resources => ["resources/list", "resources", "resources", "uri"],
            Kind::Templates => [
                "resources/templates/list",
                "resourceTemplates",
                "resources",
                "uriTemplate",
            ],
            Kind::Prompts => ["prompts/list", "prompts", "prompts", "name"],
            Kind::Tools | Kind::All => ["tools/list", "tools", "tools", "name"],
        }
    }
}

/// Runs the command.
pub(crate) async fn perform(
    command: &ListArguments,
    client: &Client,
    output: &Output,
) -> Result<(), Failure> {
    let kind = command.kind().map_or(Kind::Tools, |(_, kind)| kind);
    if kind != Kind::All {
        let pages = client.pages(kind.facts()[0]).await?;
        return print(command, kind, &pages, output);
    }
    let mut all = Vec::new();
    for kind in [Kind::Tools, Kind::Resources, Kind::Templates, Kind::Prompts] {
        let [method, member, capability, _] = kind.facts();
        if client.capabilities().get(capability).is_none() {
            continue;
        }
        let pages = client.pages(method).await?;
        if command.connection.json {
            let entries = array(&entries(command, kind, &pages)?);
            all.push(format!("\"{member}\":{entries}"));
        } else {
            if !command.connection.raw {
                output.line(&format!("{member}:"))?;
            }
            print(command, kind, &pages, output)?;
        }
    }
    match command.connection.json {
        true => Ok(output.line(&format!("{{{}}}", all.join(",")))?),
        false => Ok(()),
    }
}

fn print(
    command: &ListArguments,
    kind: Kind,
    pages: &[RawResult],
    output: &Output,
) -> Result<(), Failure> {
    if command.connection.raw {
        for page in pages {
            output.line(page.get())?;
        }
        return Ok(());
    }
    let entries = entries(command, kind, pages)?;
    if command.connection.json {
        return Ok(output.line(&array(&entries))?);
    }
    let rows = entries.iter().map(|entry| {
        let value = serde_json::from_str(entry.get()).unwrap_or_default();
        row(kind, &value)
    });
    Ok(output.text(&table(&rows.collect::<Vec<_>>()))?)
}

/// The entries as a JSON array, each as the server wrote it.
fn array(entries: &[Box<RawValue>]) -> String {
    let texts: Vec<&str> = entries.iter().map(|entry| entry.get()).collect();
    format!("[{}]", texts.join(","))
}

/// The entries of all pages that fit the filter, as the server wrote them.
fn entries(
    command: &ListArguments,
    kind: Kind,
    pages: &[RawResult],
) -> Result<Vec<Box<RawValue>>, Failure> {
    let [_, member, _, name] = kind.facts();
    let mut entries = Vec::new();
    for page in pages {
        let members: HashMap<String, Box<RawValue>> = page.parse()?;
        let Some(array) = members.get(member) else {
            continue;
        };
        let of_page: Vec<Box<RawValue>> = serde_json::from_str(array.get()).map_err(|error| {
            corelane_client::Error::Protocol(format!("{member} is not a list: {error}"))
        })?;
        entries.extend(of_page);
    }
    if let Some(filter) = &command.filter {
        entries.retain(|entry| {
            let value: Value = serde_json::from_str(entry.get()).unwrap_or_default();
            value[name].as_str().is_some_and(|it| filter.matches(it))
        });
    }
    Ok(entries)
}

/// The cells of an entry in the table for people.
fn row(kind: Kind, entry: &Value) -> Vec<String> {
    let text = |member: &str| first_line(entry[member].as_str().unwrap_or_default());
    let description = text("description");
    match kind {
        Kind::Resources => vec![text("uri"), text("name"), description],
        Kind::Templates => vec![text("uriTemplate"), text("name"), description],
        Kind::Prompts => {
            let arguments = entry["arguments"].as_array().into_iter().flatten();
            let names = arguments.map(|argument| {
                let name = argument["name"].as_str().unwrap_or_default();
                marked(name, argument["required"] == true)
            });
            let names: Vec<String> = names.collect();
            vec![text("name"), names.join(" "), description]
        }
        Kind::Tools | Kind::All => {
            let schema = &entry["inputSchema"];
            vec![text("name"), argument_names(schema).join(" "), description]
        }
    }
}

/// The names of the arguments of a tool; required ones have an asterisk.
fn argument_names(schema: &Value) -> Vec<String> {
    let required = schema["required"].as_array();
    let is_required =
        |name: &str| required.is_some_and(|all| all.iter().any(|it| it.as_str() == Some(name)));
    let properties = schema["properties"].as_object();
    let names = properties.into_iter().flat_map(Map::keys);
    names.map(|name| marked(name, is_required(name))).collect()
}

fn marked(name: &str, is_required: bool) -> String {
    let mark = if is_required { "*" } else { "" };
    first_line(&format!("{name}{mark}"))
}
