//! The error that a client gets when its call did not reach an upstream, or no answer came back.

use serde_json::json;

use corelane_protocol::mcp::error_code;

/// Why a call failed at its upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No connection.
    Connect,
    /// A time was over.
    Timeout,
    /// The connection ended before the answer.
    Closed,
    /// Too many calls wait.
    Busy,
    /// It refuses the credential.
    Credential,
    /// Its answer is none of the protocol.
    Protocol,
    /// It cannot serve now, or has no address.
    Unavailable,
    /// It has forgotten the session of the call.
    Lost,
}

/// Whether the upstream has executed the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executed {
    /// It has not: nothing of the call was sent, or the upstream refused it.
    No,
    /// Nobody knows: do not repeat a call that may not be made twice.
    Unknown,
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub reason: Reason,
    /// Whether it may have been executed.
    pub executed: Executed,
    /// More about it, without addresses, fields or bodies of the upstream; may be empty.
    pub detail: String,
    /// Milliseconds after which a client may repeat the call, if that is known.
    pub retry_after_ms: Option<u64>,
}

impl Reason {
    fn word(self) -> &'static str {
        match self {
            Reason::Connect => "connect",
            Reason::Timeout => "timeout",
            Reason::Closed => "closed",
            Reason::Busy => "busy",
            Reason::Credential => "credential",
            Reason::Protocol => "protocol",
            Reason::Unavailable => "unavailable",
            Reason::Lost => "lost",
        }
    }

    /// The fact and the remedy.
    fn text(self) -> &'static str {
        match self {
            Reason::Connect => "takes no connection: start it, or correct its url",
            Reason::Timeout => "did not answer in time: try again later",
            Reason::Closed => "ended the connection before it answered",
            Reason::Busy => {
                "is busy: wait for other calls to end, or raise gateway.links_max or \
                 gateway.waiting_max of the profile"
            }
            Reason::Credential => "refuses the credential: correct its headers",
            Reason::Protocol => "sent no valid answer: it must speak MCP over HTTP",
            Reason::Unavailable => "cannot serve the call now: try again later",
            Reason::Lost => {
                "has forgotten the session of the call: the next call opens another one"
            }
        }
    }
}

impl Executed {
    fn word(self) -> &'static str {
        match self {
            Executed::No => "no",
            Executed::Unknown => "unknown",
        }
    }
}

impl Failure {
    /// A failure without details.
    pub const fn new(reason: Reason, executed: Executed) -> Failure {
        Failure {
            reason,
            executed,
            detail: String::new(),
            retry_after_ms: None,
        }
    }

    /// A failure before anything was sent.
    pub const fn unsent(reason: Reason) -> Failure {
        Failure::new(reason, Executed::No)
    }

    /// The same with details.
    #[must_use]
    pub fn with_detail(self, detail: impl Into<String>) -> Failure {
        let detail = detail.into();
        Failure { detail, ..self }
    }

    /// The error object of JSON-RPC for the upstream called `upstream`.
    ///
    /// ```
    /// use corelane_gateway::relay::{Failure, Reason};
    /// let failure = Failure::unsent(Reason::Busy);
    /// let error = failure.to_json("git");
    /// assert!(error.contains(r#""executed":"no""#));
    /// ```
    pub fn to_json(&self, upstream: &str) -> String {
        let detail = match self.detail.is_empty() {
            true => String::new(),
            false => format!(" ({})", self.detail),
        };
        let text = self.reason.text();
        let mut data = json!({
            "upstream": upstream,
            "reason": self.reason.word(),
            "executed": self.executed.word(),
        });
        if let Some(retry_after_ms) = self.retry_after_ms {
            data["retryAfterMs"] = retry_after_ms.into();
        }
        let error = json!({
            "code": error_code::INTERNAL_ERROR,
            "message": format!("upstream {upstream:?} {text}{detail}"),
            "data": data,
        });
        error.to_string()
    }

    /// Whether the error object `json` is a failure of a request to the upstream called `upstream`,
    /// and none of the upstream itself.
    ///
    /// ```
    /// use corelane_gateway::relay::{Failure, Reason};
    /// let failure = Failure::unsent(Reason::Busy).to_json("git");
    /// assert!(Failure::is_of(failure.as_bytes(), "git"));
    /// assert!(!Failure::is_of(failure.as_bytes(), "files"));
    /// assert!(!Failure::is_of(br#"{"code":-32603,"message":"no disk"}"#, "git"));
    /// ```
    pub fn is_of(json: &[u8], upstream: &str) -> bool {
        #[derive(serde::Deserialize)]
        struct Failed {
            data: Data,
        }
        #[derive(serde::Deserialize)]
        struct Data {
            upstream: String,
            executed: String,
        }
        let read = serde_json::from_slice::<Failed>(json);
        read.is_ok_and(|it| it.data.upstream == upstream && !it.data.executed.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::{Executed, Failure, Reason};
    use serde_json::{Value, json};

    #[test]
    fn an_error_says_why_and_whether_the_call_was_executed() {
        let failure = Failure::new(Reason::Protocol, Executed::Unknown).with_detail("status 418");
        let error: Value = serde_json::from_str(&failure.to_json("git")).expect("JSON");
        let message = "upstream \"git\" sent no valid answer: it must speak MCP over HTTP (status \
                       418)";
        let data = json!({"upstream": "git", "reason": "protocol", "executed": "unknown"});
        let expected = json!({"code": -32603, "message": message, "data": data});
        assert_eq!(error, expected);
        let busy = Failure {
            retry_after_ms: Some(250),
            ..Failure::unsent(Reason::Busy)
        };
        let busy: Value = serde_json::from_str(&busy.to_json("git")).expect("JSON");
        assert_eq!(busy["data"]["retryAfterMs"], 250);
        assert_eq!(busy["data"]["executed"], "no");
    }
}
