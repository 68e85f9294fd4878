//! The failures of the commands: their texts, exit codes and objects.

use std::io::{self, IsTerminal as _};

use corelane_client::Error;
use schemars::JsonSchema;
use serde::Serialize;

use super::output::{escaped, is_end_of_reader};

/// Why a command has not done its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The client library has no result.
    #[error("{0}")]
    Client(#[from] Error),
    /// The arguments do not suit the server.
    #[error("{0}")]
    Usage(String),
    /// The tool ran and reports a failure; its result is printed.
    #[error("the tool reports a failure")]
    Tool,
    /// The server elicited input, and got none.
    #[error(
        "the server elicited input and it was declined: give --answer NAME=VALUE or \
         --answer-defaults, or run it in a terminal"
    )]
    Declined,
    /// The server does not do that.
    #[error("{0}")]
    Refused(String),
    /// The time that was given is over.
    #[error("{0}")]
    Deadline(String),
    /// A file of settings is wrong.
    #[error("{0}")]
    Configuration(String),
    /// A file or a pipe cannot be used.
    #[error("{0}")]
    File(String),
    /// Standard output, or the runtime.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// SIGINT.
    #[error("interrupted; the request was cancelled")]
    Interrupted,
}

/// The kinds of failures.
const KINDS: [&str; 13] = [
    "usage",
    "connect",
    "auth",
    "refused",
    "tool",
    "declined",
    "deadline",
    "lost",
    "protocol",
    "interrupted",
    "configuration",
    "io",
    "internal",
];

/// A failure on standard error, with `--json`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FailureObject {
    /// The kind of failure, which has one exit code.
    #[schemars(extend("enum" = KINDS))]
    kind: &'static str,
    /// The code of an error of JSON-RPC.
    code: Option<i64>,
    /// The text for people.
    message: String,
    /// Whether the server executed the request; null if nobody knows.
    executed: Option<bool>,
}

impl Failure {
    /// A file that cannot be read or written.
    pub(crate) fn file(path: &std::path::Path, error: &io::Error) -> Failure {
        Failure::File(format!("{}: {error}", path.display()))
    }

    /// The exit code, as docs/client-commands.md lists them.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.kind() {
            "refused" | "tool" | "declined" => 1,
            "usage" => 2,
            "connect" | "lost" | "protocol" => 3,
            "auth" => 4,
            "deadline" => 5,
            "io" => 74,
            "configuration" => 78,
            "interrupted" => 130,
            _ => 70,
        }
    }

    /// The kind of failure, as the object with `--json` has it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Failure::Usage(_) => "usage",
            Failure::Tool | Failure::Client(Error::Tool(_)) => "tool",
            Failure::Declined | Failure::Client(Error::Input(_)) => "declined",
            Failure::Refused(_) | Failure::Client(Error::Refused(_)) => "refused",
            Failure::Deadline(_) | Failure::Client(Error::Timeout(_)) => "deadline",
            Failure::Configuration(_) => "configuration",
            Failure::File(_) | Failure::Io(_) => "io",
            Failure::Interrupted => "interrupted",
            Failure::Client(Error::Connect { .. }) => "connect",
            Failure::Client(Error::Auth { .. }) => "auth",
            Failure::Client(Error::Unknown { .. } | Error::NotExecuted { .. }) => "lost",
            Failure::Client(Error::Protocol(_)) => "protocol",
            Failure::Client(_) => "internal",
        }
    }

    fn executed(&self) -> Option<bool> {
        match self.kind() {
            "tool" => Some(true),
            "usage" | "connect" | "auth" | "configuration" => Some(false),
            _ if matches!(self, Failure::Client(Error::NotExecuted { .. })) => Some(false),
            _ => None,
        }
    }

    /// Prints the failure on standard error. The end of the reader of standard output is none of
    /// interest to anyone.
    pub(crate) fn print(&self, name: &str, is_json: bool) {
        if matches!(self, Failure::Io(error) if is_end_of_reader(error)) {
            return;
        }
        if is_json {
            let code = match self {
                Failure::Client(Error::Refused(error)) => Some(error.code),
                _ => None,
            };
            let object = FailureObject {
                kind: self.kind(),
                code,
                message: self.to_string(),
                executed: self.executed(),
            };
            let text = serde_json::to_string(&object).unwrap_or_default();
            print_error(&text);
        } else {
            print_error(&format!("{name}: {self}"));
        }
    }
}

/// Prints a line on standard error, escaped if that is a terminal. A reader that is gone is no
/// reason to fail.
pub(crate) fn print_error(line: &str) {
    use io::Write as _;
    let mut stderr = io::stderr().lock();
    let line = match stderr.is_terminal() {
        true => escaped(line),
        false => line.into(),
    };
    let _ = writeln!(stderr, "{line}");
}

#[cfg(test)]
mod tests {
    use super::{Failure, KINDS};
    use corelane_client::{Clock, Error};

    #[test]
    fn each_failure_has_its_exit_code() {
        let target = String::new;
        let reason = String::new;
        for (failure, code, executed) in [
            (Failure::Usage(String::new()), 2, Some(false)),
            (Failure::Tool, 1, Some(true)),
            (Failure::Declined, 1, None),
            (Failure::Deadline(String::new()), 5, None),
            (Failure::Configuration(String::new()), 78, Some(false)),
            (Failure::File(String::new()), 74, None),
            (Failure::Interrupted, 130, None),
            (Error::Timeout(Clock::Total).into(), 5, None),
            (Error::Protocol(String::new()).into(), 3, None),
            (Error::Closed.into(), 70, None),
            (
                Error::NotExecuted {
                    target: target(),
                    reason: reason(),
                }
                .into(),
                3,
                Some(false),
            ),
            (
                Error::Auth {
                    target: target(),
                    reason: reason(),
                }
                .into(),
                4,
                Some(false),
            ),
        ] {
            assert_eq!(failure.exit_code(), code, "{failure:?}");
            assert!(KINDS.contains(&failure.kind()), "{failure:?}");
            assert_eq!(failure.executed(), executed, "{failure:?}");
        }
    }
}
