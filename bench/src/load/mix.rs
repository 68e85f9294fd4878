//! The mix of requests: kinds with weights, think time, aborts, churn.
//!
//! A mix comes from a TOML file or from the flags of the command line, and is checked whole before
//! anything is sent. [`MIX_EXAMPLE`] shows every key.

use serde::Deserialize;
use serde_json::{Map, Value as Json};

/// The most kinds of requests in a mix.
pub const KINDS_MAX: usize = 64;
/// The most bytes of a mix file.
pub const MIX_BYTES_MAX: usize = 1 << 20;

/// A mix file with every key.
pub const MIX_EXAMPLE: &str = r#"
# After its answer a connection of a closed loop rests this long before its next request.
think_ms = 0

[[request]]
weight = 90                          # among the weights of all requests; default 1
method = "tools/call"                # default
tool = "echo"
arguments = { message = "hello" }    # `message` of the tool `echo` must come back
abort_percent = 0.5                  # of these requests, given up in flight by closing
allow_tool_errors = false            # default; true: a result with `isError` is correct too

[[request]]
weight = 10
method = "tools/list"                # also: ping, server/discover; `params` for others
params = {}

[connection]
requests = 1000                      # then it is closed and another is opened; default: never

[session]                            # 2025-11-25 alone
requests = 100                       # then it ends and another begins; default: never
delete_percent = 50                  # of the sessions that end, ended with DELETE; default 100
"#;

/// A checked mix.
#[derive(Clone, Debug, PartialEq)]
pub struct Mix {
    /// At least one.
    pub kinds: Vec<RequestKind>,
    /// Rest of a connection after an answer, in milliseconds, in a closed loop.
    pub think_ms: u64,
    /// Requests after which a connection is closed and another opened.
    pub requests_per_connection: Option<u64>,
    /// Requests after which a session ends and another begins.
    pub requests_per_session: Option<u64>,
    /// Of the sessions that end, how many are ended with DELETE, in percent.
    pub delete_percent: f64,
}

/// One kind of request.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestKind {
    /// Its share is this among the sum of all weights.
    pub weight: u32,
    /// Method of MCP.
    pub method: String,
    /// Its parameters.
    pub params: Map<String, Json>,
    /// Of these requests, how many are given up in flight, in percent.
    pub abort_percent: f64,
    /// Whether a tool result with `isError` counts as a correct answer.
    pub allow_tool_errors: bool,
}

impl RequestKind {
    /// A call of a tool.
    pub fn call(tool: &str, arguments: Map<String, Json>) -> RequestKind {
        let mut params = Map::new();
        params.insert("name".to_owned(), tool.into());
        params.insert("arguments".to_owned(), arguments.into());
        RequestKind {
            weight: 1,
            method: "tools/call".to_owned(),
            params,
            abort_percent: 0.0,
            allow_tool_errors: false,
        }
    }

    /// The tool it calls, if it calls one.
    pub fn tool(&self) -> Option<&str> {
        let is_call = self.method == "tools/call";
        is_call.then(|| self.params.get("name")?.as_str()).flatten()
    }

    /// The text that has to come back, if this calls `echo` with a message.
    pub fn echo(&self) -> Option<&str> {
        if self.tool() != Some("echo") {
            return None;
        }
        self.params.get("arguments")?.get("message")?.as_str()
    }

    /// The method, and the tool behind it.
    pub fn name(&self) -> String {
        match self.tool() {
            Some(tool) => format!("{} {tool}", self.method),
            None => self.method.clone(),
        }
    }
}

/// Errors of a mix file.
#[derive(Debug, thiserror::Error)]
pub enum MixError {
    /// It is not TOML, or has keys that a mix has not.
    #[error("{0}")]
    Syntax(#[from] toml::de::Error),
    /// Too many bytes.
    #[error("mix of {bytes} bytes exceeds limit of {MIX_BYTES_MAX}: shorten it")]
    Bytes {
        /// How many it has.
        bytes: usize,
    },
    /// Nothing to send, or too many kinds of it.
    #[error("a mix takes 1 to {KINDS_MAX} [[request]] tables, not {kinds}")]
    Kinds {
        /// How many it has.
        kinds: usize,
    },
    /// A request with contradicting or missing keys.
    #[error("[[request]] {number}: {fault}")]
    Request {
        /// Counted from 1.
        number: usize,
        /// The fault.
        fault: &'static str,
    },
    /// A value out of range.
    #[error("invalid {name} {value}: give {range}")]
    Range {
        /// Key.
        name: &'static str,
        /// Its value.
        value: f64,
        /// Its valid range.
        range: &'static str,
    },
}

impl Mix {
    /// Only requests of one kind, sent without rest.
    pub fn of(kind: RequestKind) -> Mix {
        Mix {
            kinds: vec![kind],
            think_ms: 0,
            requests_per_connection: None,
            requests_per_session: None,
            delete_percent: 100.0,
        }
    }

    /// Reads a mix file.
    ///
    /// # Errors
    /// [`MixError`] names the key and its valid range.
    pub fn from_toml(text: &str) -> Result<Mix, MixError> {
        if text.len() > MIX_BYTES_MAX {
            return Err(MixError::Bytes { bytes: text.len() });
        }
        let file: MixFile = toml::from_str(text)?;
        if file.request.is_empty() || file.request.len() > KINDS_MAX {
            let kinds = file.request.len();
            return Err(MixError::Kinds { kinds });
        }
        percent("session.delete_percent", file.session.delete_percent)?;
        positive("connection.requests", file.connection.requests)?;
        positive("session.requests", file.session.requests)?;
        let kinds = file.request.into_iter().enumerate();
        Ok(Mix {
            kinds: kinds
                .map(|(at, request)| request.checked(at + 1))
                .collect::<Result<_, _>>()?,
            think_ms: file.think_ms,
            requests_per_connection: file.connection.requests,
            requests_per_session: file.session.requests,
            delete_percent: file.session.delete_percent,
        })
    }

    /// The kind that the random number `rng` selects.
    pub fn choose(&self, rng: u64) -> usize {
        if let [_] = self.kinds[..] {
            return 0;
        }
        let sum: u64 = self.kinds.iter().map(|kind| u64::from(kind.weight)).sum();
        let mut left = rng % sum;
        for (at, kind) in self.kinds.iter().enumerate() {
            match left.checked_sub(u64::from(kind.weight)) {
                Some(rest) => left = rest,
                None => return at,
            }
        }
        unreachable!("what is left is below the sum of the weights")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MixFile {
    #[serde(default)]
    think_ms: u64,
    #[serde(default)]
    request: Vec<RequestTable>,
    #[serde(default)]
    connection: ConnectionTable,
    #[serde(default)]
    session: SessionTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestTable {
    #[serde(default = "one")]
    weight: u32,
    #[serde(default = "tools_call")]
    method: String,
    tool: Option<String>,
    arguments: Option<Map<String, Json>>,
    params: Option<Map<String, Json>>,
    #[serde(default)]
    abort_percent: f64,
    #[serde(default)]
    allow_tool_errors: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConnectionTable {
    requests: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SessionTable {
    requests: Option<u64>,
    delete_percent: f64,
}

impl Default for SessionTable {
    fn default() -> SessionTable {
        SessionTable {
            requests: None,
            delete_percent: 100.0,
        }
    }
}

fn one() -> u32 {
    1
}

fn tools_call() -> String {
    "tools/call".to_owned()
}

impl RequestTable {
    fn checked(self, number: usize) -> Result<RequestKind, MixError> {
        let wrong = |fault| Err(MixError::Request { number, fault });
        percent("abort_percent", self.abort_percent)?;
        positive("weight", Some(u64::from(self.weight)))?;
        let is_call = self.method == "tools/call";
        if is_call && self.params.is_some() {
            return wrong("a tools/call takes `tool` and `arguments`, not `params`");
        }
        if !is_call && (self.tool.is_some() || self.arguments.is_some()) {
            return wrong("`tool` and `arguments` are for tools/call; others take `params`");
        }
        let mut kind = match self.tool {
            Some(tool) => RequestKind::call(&tool, self.arguments.unwrap_or_default()),
            None if is_call => return wrong("a tools/call takes `tool`"),
            None => RequestKind {
                weight: 1,
                method: self.method,
                params: self.params.unwrap_or_default(),
                abort_percent: 0.0,
                allow_tool_errors: false,
            },
        };
        kind.weight = self.weight;
        kind.abort_percent = self.abort_percent;
        kind.allow_tool_errors = self.allow_tool_errors;
        Ok(kind)
    }
}

fn percent(name: &'static str, value: f64) -> Result<(), MixError> {
    let range = "0 to 100";
    let is_percent = (0.0..=100.0).contains(&value);
    is_percent
        .then_some(())
        .ok_or(MixError::Range { name, value, range })
}

fn positive(name: &'static str, value: Option<u64>) -> Result<(), MixError> {
    match value {
        Some(0) => Err(MixError::Range {
            name,
            value: 0.0,
            range: "1 and above",
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{KINDS_MAX, MIX_EXAMPLE, Mix};

    #[test]
    fn the_example_is_a_mix() {
        let mix = Mix::from_toml(MIX_EXAMPLE).unwrap();
        let names: Vec<String> = mix.kinds.iter().map(|kind| kind.name()).collect();
        assert_eq!(names, ["tools/call echo", "tools/list"]);
        assert_eq!(mix.kinds[0].echo(), Some("hello"));
        assert_eq!(mix.kinds[0].abort_percent, 0.5);
        assert_eq!(mix.requests_per_connection, Some(1000));
        assert_eq!(
            (mix.requests_per_session, mix.delete_percent),
            (Some(100), 50.0)
        );
    }

    #[test]
    fn weights_are_shares() {
        let mix = Mix::from_toml(MIX_EXAMPLE).unwrap();
        let chosen = (0..1000).filter(|rng| mix.choose(*rng) == 0).count();
        assert_eq!(chosen, 900);
    }

    #[test]
    fn errors_name_the_fault() {
        let check = |text: &str, message: &str| {
            let error = Mix::from_toml(text).expect_err(text).to_string();
            assert!(error.contains(message), "{text}: {error}");
        };
        check("", "1 to 64 [[request]] tables, not 0");
        check(&"[[request]]\ntool='a'\n".repeat(KINDS_MAX + 1), "not 65");
        check("[[request]]", "[[request]] 1: a tools/call takes `tool`");
        check("[[request]]\ntool='a'\nparams={}", "not `params`");
        check(
            "[[request]]\nmethod='ping'\ntool='a'",
            "others take `params`",
        );
        check("[[request]]\ntool='a'\nweight=0", "invalid weight 0");
        check("[[request]]\ntool='a'\nabort_percent=101", "give 0 to 100");
        check(
            "[[request]]\ntool='a'\n[session]\nrequests=0",
            "invalid session.requests 0",
        );
        check(
            "[[request]]\ntool='a'\n[session]\nrequest=1",
            "unknown field `request`",
        );
        check("thinking = 1", "unknown field `thinking`");
        check(
            &" ".repeat((1 << 20) + 1),
            "mix of 1048577 bytes exceeds limit",
        );
    }
}
