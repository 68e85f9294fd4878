//! The files of desktop clients that list MCP servers: `mcpServers` of Claude Desktop and Cursor,
//! `servers` of VS Code.
//!
//! They are read as they are, so keys of other programs are ignored and secrets may stand in them.
//! `${env:NAME}` is replaced. Another placeholder, such as that of a workspace or of an input of
//! the user, is a fault that names it.

mod sections;

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;

use crate::config::{Child, ChildLimits, INHERITED, Target, TargetError};
use crate::config::{UPSTREAMS_MAX, Upstream, Value};
use crate::names::Naming;
pub use sections::sections;

/// Characters of the name of an upstream.
const NAME_CHARS_MAX: usize = 32;

/// A file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DesktopError {
    /// It is no JSON, or its parts have other types.
    #[error("{0}; comments are not read")]
    Syntax(String),
    /// It has no list of servers.
    #[error("neither mcpServers nor servers is there: name a file with one of them")]
    NoServers,
    /// It has too many.
    #[error("there are more than {UPSTREAMS_MAX} servers: run several gateways")]
    TooMany,
    /// A server is nowhere.
    #[error("server {0:?} has neither command nor url")]
    Place(String),
    /// Its address cannot be used.
    #[error("server {0:?}: {1}")]
    Target(String, TargetError),
    /// Only the other program knows a part.
    #[error("server {0:?} has ${{{1}}}, which only the other program knows: replace it")]
    Placeholder(String, String),
    /// A secret or a variable stands where no reference can stand.
    #[error(
        "server {0:?}: {1} has a variable in a text, or looks like a secret, which cannot be a \
         reference there: give it in env or headers, as a value of its own"
    )]
    NoReference(String, String),
    /// A variable is not set.
    #[error("server {0:?} needs the variable {1}, which is not set")]
    NoVariable(String, String),
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "mcpServers")]
    mcp_servers: Option<BTreeMap<String, Server>>,
    servers: Option<BTreeMap<String, Server>>,
}

#[derive(Deserialize)]
struct Server {
    command: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, Option<serde_json::Value>>,
    cwd: Option<String>,
    #[serde(alias = "serverUrl")]
    url: Option<String>,
    #[serde(rename = "type", alias = "transport")]
    kind: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    disabled: bool,
}

/// Reads such a file. `variable` gives the value of a variable of the environment. Upstreams are in
/// the order of their names; a name is made valid and distinct.
///
/// ```
/// let text = r#"{"mcpServers": {"My Files": {"command": "npx", "args": ["-y", "files"]}}}"#;
/// let upstreams = corelane_gateway::desktop::parse(text, |_| None)?;
/// assert_eq!(&*upstreams[0].name, "my-files");
/// # Ok::<(), corelane_gateway::desktop::DesktopError>(())
/// ```
///
/// # Errors
/// The first fault of the file.
pub fn parse(
    text: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Vec<Upstream>, DesktopError> {
    let document: Document =
        serde_json::from_str(text).map_err(|error| DesktopError::Syntax(error.to_string()))?;
    let servers = document.mcp_servers.or(document.servers);
    let servers = servers.ok_or(DesktopError::NoServers)?;
    if servers.len() > UPSTREAMS_MAX {
        return Err(DesktopError::TooMany);
    }
    let mut names = HashSet::new();
    let servers = servers.into_iter().filter(|(_, server)| !server.disabled);
    let upstreams = servers.map(|(name, server)| {
        let reader = Reader {
            server: &name,
            variable: &variable,
        };
        let target = reader.target(&server)?;
        let headers = server.headers.iter();
        let headers = headers.map(|(field, value)| {
            let value = Value::Plain(reader.expanded(value)?.into());
            Ok((field.to_ascii_lowercase().into(), value))
        });
        Ok(upstream(
            distinct_name(&name, &mut names),
            target,
            headers.collect::<Result<_, _>>()?,
        ))
    });
    upstreams.collect()
}

fn upstream(name: String, target: Target, headers: BTreeMap<Box<str>, Value>) -> Upstream {
    Upstream {
        naming: Naming {
            upstream: name.clone().into(),
            prefix: format!("{name}_").into(),
            ..Naming::default()
        },
        name: name.into(),
        targets: vec![target],
        ca_files: Vec::new(),
        client_certificate: None,
        is_required: false,
        era: Default::default(),
        sessions: Default::default(),
        has_namespaced_uris: false,
        schemes: Vec::new(),
        tools: Default::default(),
        overrides: BTreeMap::new(),
        pins: Default::default(),
        credential: None,
        headers,
        forwarded_headers: Vec::new(),
        trusts_annotations: false,
        questions: Default::default(),
    }
}

/// A valid name that no other server of the file has.
fn distinct_name(name: &str, taken: &mut HashSet<String>) -> String {
    let valid = |it: char| match it.to_ascii_lowercase() {
        it @ ('a'..='z' | '0'..='9') => it,
        _ => '-',
    };
    let name: String = name.chars().map(valid).collect();
    let name = name.trim_matches('-');
    let name = if name.is_empty() { "server" } else { name };
    let candidates = (1..).map(|number| match number {
        1 => name.chars().take(NAME_CHARS_MAX).collect(),
        number => {
            let end = format!("-{number}");
            let start: String = name.chars().take(NAME_CHARS_MAX - end.len()).collect();
            start + &end
        }
    });
    let mut free = candidates.filter(|candidate: &String| taken.insert(candidate.clone()));
    free.next().unwrap_or_default()
}

struct Reader<'a, F> {
    server: &'a str,
    variable: &'a F,
}

impl<F: Fn(&str) -> Option<String>> Reader<'_, F> {
    fn target(&self, server: &Server) -> Result<Target, DesktopError> {
        let name = || self.server.to_owned();
        match (&server.command, &server.url) {
            (Some(command), _) => Ok(Target::Child(self.child(command, server)?)),
            (None, Some(url)) => {
                let url = self.expanded(url)?;
                let is_sse = server.kind.as_deref() == Some("sse");
                let start = if is_sse { "sse+" } else { "" };
                // A desktop client uses it already.
                let target = Target::parse(&format!("{start}{url}"), true);
                target.map_err(|error| DesktopError::Target(name(), error))
            }
            (None, None) => Err(DesktopError::Place(name())),
        }
    }

    fn child(&self, command: &str, server: &Server) -> Result<Child, DesktopError> {
        let command = std::iter::once(command).chain(server.args.iter().map(String::as_str));
        let command = command.map(|part| Ok(self.expanded(part)?.into()));
        let environment = server.env.iter().filter_map(|(name, value)| {
            let text = match value.as_ref()? {
                serde_json::Value::String(text) => text.clone(),
                value => value.to_string(),
            };
            let value = self.expanded(&text);
            Some(value.map(|value| (Box::from(name.as_str()), Value::Plain(value.into()))))
        });
        let directory = server.cwd.as_ref().map(|path| self.expanded(path));
        Ok(Child {
            command: command.collect::<Result<_, _>>()?,
            directory: directory.transpose()?.map(Into::into),
            environment: environment.collect::<Result<_, _>>()?,
            inherited: INHERITED.map(Box::from).to_vec(),
            limits: ChildLimits::default(),
            processes: 1,
            idle_stop_ms: 0,
        })
    }

    /// The text with the values of its variables.
    fn expanded(&self, text: &str) -> Result<String, DesktopError> {
        let mut whole = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((inner, end)) = after.split_once('}') else {
                break;
            };
            whole.push_str(before);
            let named = |of: &str| of.strip_prefix("env:").map(str::to_owned);
            let Some(name) = named(inner) else {
                let placeholder = inner.to_owned();
                return Err(DesktopError::Placeholder(
                    self.server.to_owned(),
                    placeholder,
                ));
            };
            match (self.variable)(&name) {
                Some(value) => whole.push_str(&value),
                None => return Err(DesktopError::NoVariable(self.server.to_owned(), name)),
            }
            rest = end;
        }
        whole.push_str(rest);
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::{DesktopError, parse};
    use crate::config::{Target, Upstream, Value};

    fn read(text: &str) -> Result<Vec<Upstream>, DesktopError> {
        parse(text, |name| (name == "TOKEN").then(|| "s3cret".to_owned()))
    }

    #[test]
    fn files_of_three_clients_are_read_as_they_are() {
        let claude = r#"{
            "globalShortcut": "Alt+Space",
            "mcpServers": {
                "filesystem": {
                    "command": "npx",
                    "args": ["-y", "@modelcontextprotocol/server-filesystem", "/srv"],
                    "env": { "DEBUG": "1", "PORT": 3000 }
                },
                "off": { "command": "x", "disabled": true }
            }
        }"#;
        let upstreams = read(claude).expect("valid");
        assert_eq!(upstreams.len(), 1);
        let Target::Child(child) = &upstreams[0].targets[0] else {
            panic!("{upstreams:?}");
        };
        assert_eq!(child.command.len(), 4);
        assert_eq!(child.environment["PORT"], Value::Plain("3000".into()));
        assert_eq!(upstreams[0].naming.exposed("read", 64), "filesystem_read");

        let cursor = r#"{ "mcpServers": { "Remote API": {
            "url": "https://api.example.com/mcp",
            "headers": { "Authorization": "Bearer ${env:TOKEN}" }
        } } }"#;
        let upstreams = read(cursor).expect("valid");
        assert_eq!(&*upstreams[0].name, "remote-api");
        let expected = Value::Plain("Bearer s3cret".into());
        assert_eq!(upstreams[0].headers["authorization"], expected);

        let code = r#"{ "inputs": [], "servers": {
            "old": { "type": "sse", "url": "http://10.0.0.1/sse" },
            "new": { "type": "http", "url": "http://localhost:3000/mcp" }
        } }"#;
        let upstreams = read(code).expect("valid");
        let is_sse = |of: &Upstream| matches!(of.targets[0], Target::Http { is_sse: true, .. });
        assert_eq!(
            upstreams.iter().map(is_sse).collect::<Vec<_>>(),
            [false, true]
        );
    }

    #[test]
    fn faults_name_the_server_and_the_remedy() {
        for (text, expected) in [
            ("{", "EOF"),
            ("{}", "neither mcpServers nor servers"),
            (
                r#"{"mcpServers": {"a": {}}}"#,
                "\"a\" has neither command nor url",
            ),
            (
                r#"{"servers": {"a": {"command": "x", "args": ["${input:key}"]}}}"#,
                "\"a\" has ${input:key}, which only the other program knows",
            ),
            (
                r#"{"servers": {"a": {"command": "${env:NONE}"}}}"#,
                "the variable NONE, which is not set",
            ),
            (
                r#"{"servers": {"a": {"url": "ftp://x"}}}"#,
                "invalid address \"ftp://x\"",
            ),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn names_become_valid_and_stay_distinct() {
        let text = r#"{"mcpServers": {
            "My Server": {"command": "x"}, "my-server": {"command": "x"},
            "MY_SERVER": {"command": "x"}, "---": {"command": "x"},
            "a-very-long-name-that-is-longer-than-32-characters": {"command": "x"},
            "a-very-long-name-that-is-longer-than-any-other": {"command": "x"}
        }}"#;
        let upstreams = read(text).expect("valid");
        let mut names: Vec<&str> = upstreams.iter().map(|it| &*it.name).collect();
        names.sort_unstable();
        let expected = [
            "a-very-long-name-that-is-longe-2",
            "a-very-long-name-that-is-longer-",
            "my-server",
            "my-server-2",
            "my-server-3",
            "server",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_dollar_sign_alone_stays() {
        let text = r#"{"servers": {"a": {"command": "x", "args": ["$HOME", "${", "a$b}"]}}}"#;
        let upstreams = read(text).expect("valid");
        let Target::Child(child) = &upstreams[0].targets[0] else {
            panic!("{upstreams:?}");
        };
        let arguments: Vec<&str> = child.command.iter().map(|it| &**it).collect();
        assert_eq!(arguments, ["x", "$HOME", "${", "a$b}"]);
    }
}
