//! The mix of requests: kinds with weights, think time, aborts, churn.
//!
//! A mix comes from a TOML file or from the flags of the command line, and is checked whole before
//! anything is sent. [`MIX_EXAMPLE`] shows every key.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value as Json};
use std::num::{NonZeroU32, NonZeroU64};

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
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// At least one.
    #[serde(default, rename = "request")]
    pub kinds: Vec<RequestKind>,
    /// Rest of a connection after an answer, in milliseconds, in a closed loop.
    #[serde(default)]
    pub think_ms: u64,
    /// When a connection ends.
    #[serde(default)]
    pub connection: ConnectionChurn,
    /// When a session ends, and how.
    #[serde(default)]
    pub session: SessionChurn,
}

/// When a connection ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionChurn {
    /// Requests after which it is closed and another opened; never if absent.
    pub requests: Option<NonZeroU64>,
}

/// When a session ends, and how.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionChurn {
    /// Requests after which it ends and another begins; never if absent.
    pub requests: Option<NonZeroU64>,
    /// Of the sessions that end, how many are ended with DELETE, in percent.
    #[serde(deserialize_with = "percent")]
    pub delete_percent: f64,
}

impl Default for SessionChurn {
    fn default() -> SessionChurn {
        SessionChurn {
            requests: None,
            delete_percent: 100.0,
        }
    }
}

/// One kind of request.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RequestTable")]
pub struct RequestKind {
    /// Its share is this among the sum of all weights.
    pub weight: NonZeroU32,
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
            weight: NonZeroU32::MIN,
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
    /// It is not TOML, or has keys or values that a mix has not.
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
}

impl Mix {
    /// Only requests of one kind, sent without rest.
    pub fn of(kind: RequestKind) -> Mix {
        Mix {
            kinds: vec![kind],
            think_ms: 0,
            connection: ConnectionChurn::default(),
            session: SessionChurn::default(),
        }
    }

    /// Reads a mix file.
    ///
    /// # Errors
    /// [`MixError`] names the line and its fault.
    pub fn from_toml(text: &str) -> Result<Mix, MixError> {
        if text.len() > MIX_BYTES_MAX {
            return Err(MixError::Bytes { bytes: text.len() });
        }
        let mix: Mix = toml::from_str(text)?;
        let kinds = mix.kinds.len();
        match kinds {
            1..=KINDS_MAX => Ok(mix),
            _ => Err(MixError::Kinds { kinds }),
        }
    }

    /// The kind that the random number `rng` selects.
    pub fn choose(&self, rng: u64) -> usize {
        if let [_] = self.kinds[..] {
            return 0;
        }
        let sum: u64 = self
            .kinds
            .iter()
            .map(|kind| u64::from(kind.weight.get()))
            .sum();
        let mut left = rng % sum;
        for (at, kind) in self.kinds.iter().enumerate() {
            match left.checked_sub(u64::from(kind.weight.get())) {
                Some(rest) => left = rest,
                None => return at,
            }
        }
        unreachable!("what is left is below the sum of the weights")
    }
}

/// A `[[request]]` table of a mix file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestTable {
    #[serde(default = "one")]
    weight: NonZeroU32,
    #[serde(default = "tools_call")]
    method: String,
    tool: Option<String>,
    arguments: Option<Map<String, Json>>,
    params: Option<Map<String, Json>>,
    #[serde(default, deserialize_with = "percent")]
    abort_percent: f64,
    #[serde(default)]
    allow_tool_errors: bool,
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn tools_call() -> String {
    "tools/call".to_owned()
}

impl TryFrom<RequestTable> for RequestKind {
    type Error = &'static str;

    fn try_from(table: RequestTable) -> Result<RequestKind, &'static str> {
        let is_call = table.method == "tools/call";
        if is_call && table.params.is_some() {
            return Err("a tools/call takes `tool` and `arguments`, not `params`");
        }
        if !is_call && (table.tool.is_some() || table.arguments.is_some()) {
            return Err("`tool` and `arguments` are for tools/call; others take `params`");
        }
        let params = match table.tool {
            Some(tool) => RequestKind::call(&tool, table.arguments.unwrap_or_default()).params,
            None if is_call => return Err("a tools/call takes `tool`"),
            None => table.params.unwrap_or_default(),
        };
        Ok(RequestKind {
            weight: table.weight,
            method: table.method,
            params,
            abort_percent: table.abort_percent,
            allow_tool_errors: table.allow_tool_errors,
        })
    }
}

fn percent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    let is_percent = (0.0..=100.0).contains(&value);
    is_percent
        .then_some(value)
        .ok_or_else(|| D::Error::custom(format!("invalid percentage {value}: give 0 to 100")))
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
        assert_eq!(mix.connection.requests.map(u64::from), Some(1000));
        assert_eq!(mix.session.requests.map(u64::from), Some(100));
        assert_eq!(mix.session.delete_percent, 50.0);
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
        check("[[request]]", "line 1, column 1\n");
        check("[[request]]", "a tools/call takes `tool`");
        check("[[request]]\ntool='a'\nparams={}", "not `params`");
        check(
            "[[request]]\nmethod='ping'\ntool='a'",
            "others take `params`",
        );
        check("[[request]]\ntool='a'\nweight=0", "expected a nonzero u32");
        check("[[request]]\ntool='a'\nabort_percent=101", "give 0 to 100");
        check(
            "[[request]]\ntool='a'\n[session]\nrequests=0",
            "line 4, column 10\n",
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
