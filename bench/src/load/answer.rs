//! Whether a message is the right answer to a request.
//!
//! Simple version: parse every message and look. Deviation: a server that answers equal requests
//! answers them with equal bytes but for the id, so a message that equals one found right, with
//! its own id in the place of the other's, is right without parsing. Nothing else is taken on
//! trust: a message that differs anywhere is parsed and judged by itself.

use serde_json::Value as Json;

/// What a request wants to hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Content of a tool, and of `echo` this very text in it.
    ToolResult {
        /// The text that was sent.
        echo: Option<String>,
    },
    /// A result with an array of this name.
    List(&'static str),
    /// The answer to `initialize`.
    Initialized,
    /// Any result that is an object.
    Object,
    /// The same bytes as every time, whatever was asked: a server that only pretends.
    Same,
}

impl Wanted {
    /// Of the results of a method.
    pub fn of(method: &str, echo: Option<&str>) -> Wanted {
        match method {
            "tools/call" => Wanted::ToolResult {
                echo: echo.map(str::to_owned),
            },
            "tools/list" => Wanted::List("tools"),
            "resources/list" => Wanted::List("resources"),
            "resources/templates/list" => Wanted::List("resourceTemplates"),
            "resources/read" => Wanted::List("contents"),
            "prompts/list" => Wanted::List("prompts"),
            "prompts/get" => Wanted::List("messages"),
            "initialize" => Wanted::Initialized,
            _ => Wanted::Object,
        }
    }
}

/// What a message turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The answer that was asked for.
    Right {
        /// The tool says that it failed.
        is_tool_error: bool,
    },
    /// A JSON-RPC error.
    ProtocolError(String),
    /// An answer, and a wrong one.
    Wrong(String),
    /// No answer: a notification, or a request of the server's.
    NoAnswer,
}

/// Judges the answers to one kind of request.
#[derive(Clone, Debug)]
pub struct Judge {
    wanted: Wanted,
    seen_right: Option<Pattern>,
    /// What [`Wanted::Same`] wants.
    first: Vec<u8>,
}

/// A right answer around the digits of its id.
#[derive(Clone, Debug)]
struct Pattern {
    before_id: Vec<u8>,
    after_id: Vec<u8>,
}

impl Judge {
    /// A judge that has seen nothing.
    pub fn new(wanted: Wanted) -> Judge {
        Judge {
            wanted,
            seen_right: None,
            first: Vec::new(),
        }
    }

    /// Judges `message` as the answer to the request `id`.
    pub fn judge(&mut self, id: u64, message: &[u8]) -> Verdict {
        if self.wanted == Wanted::Same {
            return self.judge_same(message);
        }
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(id).as_bytes();
        if let Some(Pattern {
            before_id,
            after_id,
        }) = &self.seen_right
            && let Some(rest) = message.strip_prefix(&before_id[..])
            && let Some(rest) = rest.strip_prefix(digits)
            && rest == after_id
        {
            return Verdict::Right {
                is_tool_error: false,
            };
        }
        let verdict = self.judge_whole(id, message);
        let is_plain = verdict
            == Verdict::Right {
                is_tool_error: false,
            };
        if is_plain {
            self.seen_right = pattern(message, digits);
        }
        verdict
    }

    fn judge_same(&mut self, message: &[u8]) -> Verdict {
        if self.first.is_empty() {
            self.first = message.to_vec();
        }
        if self.first == message {
            return Verdict::Right {
                is_tool_error: false,
            };
        }
        Verdict::Wrong(format!("not what came first: {}", clipped(message)))
    }

    fn judge_whole(&self, id: u64, message: &[u8]) -> Verdict {
        let wrong = |what: String| Verdict::Wrong(what);
        let Ok(message) = serde_json::from_slice::<Json>(message) else {
            return wrong(format!("not JSON: {}", clipped(message)));
        };
        if message.get("method").is_some() {
            return Verdict::NoAnswer;
        }
        if message.get("jsonrpc").and_then(Json::as_str) != Some("2.0") {
            return wrong(format!(
                "not JSON-RPC 2.0: {}",
                clipped(message.to_string())
            ));
        }
        if let Some(error) = message.get("error") {
            return Verdict::ProtocolError(clipped(error.to_string()));
        }
        if message.get("id") != Some(&Json::from(id)) {
            let other = message.get("id").unwrap_or(&Json::Null);
            return wrong(format!("answers {other}, not {id}"));
        }
        let Some(result) = message.get("result").filter(|result| result.is_object()) else {
            return wrong("the result is no object".to_owned());
        };
        let kind = result.get("resultType").and_then(Json::as_str);
        if kind.is_some_and(|kind| kind != "complete") {
            return wrong(format!("the result is {kind:?}, not complete"));
        }
        self.judge_result(result)
    }

    fn judge_result(&self, result: &Json) -> Verdict {
        let has_array = |name: &str| result.get(name).is_some_and(Json::is_array);
        let fault = match &self.wanted {
            Wanted::ToolResult { echo } => {
                let text = result.pointer("/content/0/text").and_then(Json::as_str);
                match echo {
                    _ if !has_array("content") => Some("content"),
                    Some(echo) if text != Some(echo) => Some("the text that was sent"),
                    _ => None,
                }
            }
            Wanted::List(name) => (!has_array(name)).then_some(*name),
            Wanted::Initialized => {
                let version = result.get("protocolVersion").and_then(Json::as_str);
                version.is_none().then_some("protocolVersion")
            }
            Wanted::Object | Wanted::Same => None,
        };
        let is_tool_error = result.get("isError") == Some(&Json::Bool(true));
        match fault {
            // A failed tool says what it likes.
            Some(fault) if !is_tool_error => {
                let result = clipped(result.to_string());
                Verdict::Wrong(format!("the result lacks {fault}: {result}"))
            }
            _ => Verdict::Right { is_tool_error },
        }
    }
}

/// The pattern of a message that holds its id once; nothing if the digits stand elsewhere too.
fn pattern(message: &[u8], digits: &[u8]) -> Option<Pattern> {
    let mut places = memchr::memmem::find_iter(message, digits);
    let at = places.next()?;
    let is_alone = places.next().is_none();
    is_alone.then(|| Pattern {
        before_id: message[..at].to_vec(),
        after_id: message[at + digits.len()..].to_vec(),
    })
}

/// The start of a text, for a line about it.
fn clipped(text: impl AsRef<[u8]>) -> String {
    const BYTES_MAX: usize = 200;
    let text = text.as_ref();
    let clipped = String::from_utf8_lossy(&text[..text.len().min(BYTES_MAX)]).into_owned();
    if text.len() > BYTES_MAX {
        clipped + "..."
    } else {
        clipped
    }
}

#[cfg(test)]
mod tests {
    use super::{Judge, Verdict, Wanted};

    const RIGHT: Verdict = Verdict::Right {
        is_tool_error: false,
    };

    fn echo(id: &str, text: &str) -> String {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":
            {{"content":[{{"type":"text","text":"{text}"}}]}}}}"#
        )
    }

    #[test]
    fn an_answer_is_right_only_with_its_id_and_its_echo() {
        let mut judge = Judge::new(Wanted::of("tools/call", Some("hello")));
        // The second time the same bytes are judged by pattern: nothing may change.
        for _ in 0..2 {
            assert_eq!(
                judge.judge(1_000_000_007, echo("1000000007", "hello").as_bytes()),
                RIGHT
            );
            let mut wrong = |id: &str, text: &str| {
                let verdict = judge.judge(1_000_000_008, echo(id, text).as_bytes());
                assert!(
                    matches!(verdict, Verdict::Wrong(_)),
                    "{id} {text}: {verdict:?}"
                );
            };
            wrong("1000000007", "hello");
            wrong("\"1000000008\"", "hello");
            wrong("10000000080", "hello");
            wrong("100000000", "hello");
            wrong("1000000008", "hallo");
            assert_eq!(
                judge.judge(1_000_000_008, echo("1000000008", "hello").as_bytes()),
                RIGHT
            );
        }
    }

    #[test]
    fn an_id_that_stands_in_the_text_too_is_judged_whole() {
        let mut judge = Judge::new(Wanted::of("tools/call", None));
        for id in [5_u64, 6] {
            let text = echo(&id.to_string(), &id.to_string());
            assert_eq!(judge.judge(id, text.as_bytes()), RIGHT);
            assert!(judge.seen_right.is_none());
        }
    }

    #[test]
    fn errors_notifications_and_nonsense_are_told_apart() {
        let check = |message: &str, expected: &str| {
            let verdict = Judge::new(Wanted::of("tools/list", None)).judge(1, message.as_bytes());
            let verdict = format!("{verdict:?}");
            assert!(verdict.starts_with(expected), "{message}: {verdict}");
        };
        check(r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#, "Right");
        check(
            r#"{"jsonrpc":"2.0","id":1,"result":{"tools":{}}}"#,
            "Wrong(\"the result lacks tools",
        );
        check(
            r#"{"jsonrpc":"2.0","id":1,"result":7}"#,
            "Wrong(\"the result is no object",
        );
        check(r#"{"id":1,"result":{}}"#, "Wrong(\"not JSON-RPC");
        check("<html>", "Wrong(\"not JSON:");
        check(
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601}}"#,
            "ProtocolError",
        );
        check(
            r#"{"jsonrpc":"2.0","method":"notifications/message"}"#,
            "NoAnswer",
        );
        let asks = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required"}}"#;
        check(asks, "Wrong(\"the result is");
    }

    #[test]
    fn a_server_that_only_pretends_is_held_to_its_first_answer() {
        let mut judge = Judge::new(Wanted::Same);
        assert_eq!(judge.judge(1, b"{}"), RIGHT);
        assert_eq!(judge.judge(2, b"{}"), RIGHT);
        assert!(matches!(judge.judge(3, b"{ }"), Verdict::Wrong(_)));
    }

    #[test]
    fn a_failed_tool_is_an_answer() {
        let message = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":true}}"#;
        let verdict = Judge::new(Wanted::of("tools/call", Some("a"))).judge(1, message.as_bytes());
        assert_eq!(
            verdict,
            Verdict::Right {
                is_tool_error: true
            }
        );
    }
}
