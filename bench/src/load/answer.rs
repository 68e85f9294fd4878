//! Checks that a message is the correct answer to a request.
//!
//! The simple way is to parse every message. The faster way here: a server that answers equal
//! requests answers them with equal bytes but for the id, so a message that equals a correct one,
//! with its own id in the place of the other's, is correct without parsing. Nothing else is taken
//! on trust: a message that differs anywhere is parsed and checked by itself.

use super::mix::RequestKind;
use super::tally::Failure;
use serde_json::Value as Json;

/// The answer that a request expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Content of a tool, and of `echo` this very text in it.
    ToolResult {
        /// The text that was sent.
        echo: Option<String>,
        /// Whether a result with `isError` is correct too.
        allows_error: bool,
    },
    /// A result with an array of this name.
    List(&'static str),
    /// The answer to `initialize`.
    Initialized,
    /// Any result that is an object.
    Object,
    /// The same bytes every time, for servers with a fixed answer.
    Same,
}

impl Expected {
    /// The expected answer to a kind of request.
    pub fn of(kind: &RequestKind) -> Expected {
        match &*kind.method {
            "tools/call" => Expected::ToolResult {
                echo: kind.echo().map(str::to_owned),
                allows_error: kind.allow_tool_errors,
            },
            "tools/list" => Expected::List("tools"),
            "resources/list" => Expected::List("resources"),
            "resources/templates/list" => Expected::List("resourceTemplates"),
            "resources/read" => Expected::List("contents"),
            "prompts/list" => Expected::List("prompts"),
            "prompts/get" => Expected::List("messages"),
            "initialize" => Expected::Initialized,
            _ => Expected::Object,
        }
    }
}

/// How an exchange ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As it should.
    Correct {
        /// The tool says that it failed.
        is_tool_error: bool,
    },
    /// Otherwise, with a line about it.
    Failed(Failure, String),
}

impl Ending {
    /// As it should, and no tool failed.
    pub const CORRECT: Ending = Ending::Correct {
        is_tool_error: false,
    };
}

/// Checks the answers to one kind of request.
#[derive(Clone, Debug)]
pub struct Checker {
    expected: Expected,
    seen_right: Option<Pattern>,
    /// The first message, which [`Expected::Same`] compares with.
    first: Vec<u8>,
}

/// The bytes of a correct answer before and after the digits of its id.
#[derive(Clone, Debug)]
struct Pattern {
    before_id: Vec<u8>,
    after_id: Vec<u8>,
}

impl Checker {
    /// A checker that has seen no message.
    pub fn new(expected: Expected) -> Checker {
        Checker {
            expected,
            seen_right: None,
            first: Vec::new(),
        }
    }

    /// Checks `message` as the answer to the request `id`; nothing if it is no answer but a
    /// notification, or a request of the server's.
    pub fn check(&mut self, id: u64, message: &[u8]) -> Option<Ending> {
        if self.expected == Expected::Same {
            return Some(self.check_same(message));
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
            return Some(Ending::CORRECT);
        }
        let ending = self.check_parsed(id, message)?;
        if ending == Ending::CORRECT {
            self.seen_right = pattern(message, digits);
        }
        Some(ending)
    }

    fn check_same(&mut self, message: &[u8]) -> Ending {
        if self.first.is_empty() {
            self.first = message.to_vec();
        }
        if self.first == message {
            return Ending::CORRECT;
        }
        wrong(format!(
            "not equal to the first answer: {}",
            clipped(message)
        ))
    }

    fn check_parsed(&self, id: u64, message: &[u8]) -> Option<Ending> {
        let Ok(message) = serde_json::from_slice::<Json>(message) else {
            return Some(wrong(format!("not JSON: {}", clipped(message))));
        };
        if message.get("method").is_some() {
            return None;
        }
        if message.get("jsonrpc").and_then(Json::as_str) != Some("2.0") {
            let message = clipped(message.to_string());
            return Some(wrong(format!("not JSON-RPC 2.0: {message}")));
        }
        if let Some(error) = message.get("error") {
            let error = clipped(error.to_string());
            return Some(Ending::Failed(Failure::Protocol, error));
        }
        if message.get("id") != Some(&Json::from(id)) {
            let other = message.get("id").unwrap_or(&Json::Null);
            return Some(wrong(format!("answers id {other}, not {id}")));
        }
        let Some(result) = message.get("result").filter(|result| result.is_object()) else {
            return Some(wrong("the result is not an object".to_owned()));
        };
        let kind = result.get("resultType").and_then(Json::as_str);
        if kind.is_some_and(|kind| kind != "complete") {
            return Some(wrong(format!("the result is {kind:?}, not complete")));
        }
        Some(self.check_result(result))
    }

    fn check_result(&self, result: &Json) -> Ending {
        let has_array = |name: &str| result.get(name).is_some_and(Json::is_array);
        let is_tool_error = result.get("isError") == Some(&Json::Bool(true));
        let fault = match &self.expected {
            Expected::ToolResult { echo, allows_error } => {
                if is_tool_error && !allows_error {
                    let text = format!("the tool failed: {}", clipped(result.to_string()));
                    return Ending::Failed(Failure::ToolError, text);
                }
                let text = result.pointer("/content/0/text").and_then(Json::as_str);
                match echo {
                    _ if !has_array("content") => Some("content"),
                    Some(echo) if text != Some(echo) => Some("the text that was sent"),
                    _ => None,
                }
            }
            Expected::List(name) => (!has_array(name)).then_some(*name),
            Expected::Initialized => {
                let version = result.get("protocolVersion").and_then(Json::as_str);
                version.is_none().then_some("protocolVersion")
            }
            Expected::Object | Expected::Same => None,
        };
        match fault {
            // The content of a failed tool is free text.
            Some(fault) if !is_tool_error => {
                let result = clipped(result.to_string());
                wrong(format!("the result lacks {fault}: {result}"))
            }
            _ => Ending::Correct { is_tool_error },
        }
    }
}

fn wrong(line: String) -> Ending {
    Ending::Failed(Failure::WrongAnswer, line)
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
    use super::{Checker, Ending, Expected, Failure, RequestKind};

    const RIGHT: Option<Ending> = Some(Ending::CORRECT);

    fn call(message: Option<&str>) -> RequestKind {
        let mut arguments = serde_json::Map::new();
        arguments.extend(message.map(|text| ("message".to_owned(), text.into())));
        RequestKind::call("echo", arguments)
    }

    fn echo(id: &str, text: &str) -> String {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":
            {{"content":[{{"type":"text","text":"{text}"}}]}}}}"#
        )
    }

    #[test]
    fn an_answer_is_right_only_with_its_id_and_its_echo() {
        let mut checker = Checker::new(Expected::of(&call(Some("hello"))));
        // The second time the same bytes are checked by pattern: the result is the same.
        for _ in 0..2 {
            assert_eq!(
                checker.check(1_000_000_007, echo("1000000007", "hello").as_bytes()),
                RIGHT
            );
            let mut wrong = |id: &str, text: &str| {
                let result = checker.check(1_000_000_008, echo(id, text).as_bytes());
                assert!(
                    matches!(result, Some(Ending::Failed(Failure::WrongAnswer, _))),
                    "{id} {text}: {result:?}"
                );
            };
            wrong("1000000007", "hello");
            wrong("\"1000000008\"", "hello");
            wrong("10000000080", "hello");
            wrong("100000000", "hello");
            wrong("1000000008", "hallo");
            assert_eq!(
                checker.check(1_000_000_008, echo("1000000008", "hello").as_bytes()),
                RIGHT
            );
        }
    }

    #[test]
    fn an_id_that_stands_in_the_text_too_is_judged_whole() {
        let mut checker = Checker::new(Expected::of(&call(None)));
        for id in [5_u64, 6] {
            let text = echo(&id.to_string(), &id.to_string());
            assert_eq!(checker.check(id, text.as_bytes()), RIGHT);
            assert!(checker.seen_right.is_none());
        }
    }

    #[test]
    fn errors_notifications_and_nonsense_are_distinguished() {
        let check = |message: &str, expected: &str| {
            let result = Checker::new(Expected::List("tools")).check(1, message.as_bytes());
            let result = format!("{result:?}");
            assert!(result.starts_with(expected), "{message}: {result}");
        };
        check(
            r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#,
            "Some(Correct",
        );
        check(
            r#"{"jsonrpc":"2.0","id":1,"result":{"tools":{}}}"#,
            "Some(Failed(WrongAnswer, \"the result lacks tools",
        );
        check(
            r#"{"jsonrpc":"2.0","id":1,"result":7}"#,
            "Some(Failed(WrongAnswer, \"the result is not an object",
        );
        check(
            r#"{"id":1,"result":{}}"#,
            "Some(Failed(WrongAnswer, \"not JSON-RPC",
        );
        check("<html>", "Some(Failed(WrongAnswer, \"not JSON:");
        check(
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601}}"#,
            "Some(Failed(Protocol,",
        );
        check(
            r#"{"jsonrpc":"2.0","method":"notifications/message"}"#,
            "None",
        );
        let elicits = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required"}}"#;
        check(elicits, "Some(Failed(WrongAnswer, \"the result is");
    }

    #[test]
    fn a_server_that_only_pretends_is_held_to_its_first_answer() {
        let mut checker = Checker::new(Expected::Same);
        assert_eq!(checker.check(1, b"{}"), RIGHT);
        assert_eq!(checker.check(2, b"{}"), RIGHT);
        let other = checker.check(3, b"{ }");
        assert!(matches!(
            other,
            Some(Ending::Failed(Failure::WrongAnswer, _))
        ));
    }

    #[test]
    fn a_failed_tool_is_an_error_unless_the_mix_allows_it() {
        let message = br#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":true}}"#;
        let mut kind = call(Some("a"));
        let refused = Checker::new(Expected::of(&kind)).check(1, message);
        let is_refused = matches!(refused, Some(Ending::Failed(Failure::ToolError, _)));
        assert!(is_refused, "{refused:?}");
        kind.allow_tool_errors = true;
        let allowed = Checker::new(Expected::of(&kind)).check(1, message);
        let is_tool_error = true;
        assert_eq!(allowed, Some(Ending::Correct { is_tool_error }));
    }
}
