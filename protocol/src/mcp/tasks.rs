//! Tasks: requests whose results are fetched later.
//!
//! The eras differ. In MCP 2025-11-25 the client requests a task, and the members of a task are
//! nested in the result. In the extension `io.modelcontextprotocol/tasks` of 2026-07-28 (SEP-2663)
//! the server decides, and the members of a task stand beside those of the result.

use super::about::write_text;
use super::era::Era;
use super::input_required::{RESPONSES, read_responses};
use super::params::ParamsError;
use super::result::{Caching, ResultTrailer};
use crate::jsonrpc::encode::ObjectWriter;
use crate::jsonrpc::{Id, Object, Value, encode, is_name, visit_members};

/// Key in `_meta` by which legacy messages name their task.
pub const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";

/// Whether calls of a tool become tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskSupport {
    /// For clients that know tasks; others wait for the result.
    Optional,
    /// Always: a client that knows no tasks cannot call the tool.
    Required,
}

impl TaskSupport {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            TaskSupport::Optional => "optional",
            TaskSupport::Required => "required",
        }
    }
}

/// A task as clients see it, without its outcome.
#[derive(Debug, Clone, Copy)]
pub struct TaskView<'a> {
    /// Its name.
    pub id: &'a str,
    /// Its state, as it is in the era of the message.
    pub status: &'a str,
    /// The message that describes the state.
    pub message: Option<&'a str>,
    /// When it was made, in RFC 3339.
    pub created_at: &'a str,
    /// When it changed last, in RFC 3339.
    pub updated_at: &'a str,
    /// How long it is kept, in milliseconds from its creation.
    pub ttl_ms: u64,
    /// The interval at which the client should fetch the state, in milliseconds.
    pub poll_interval_ms: u64,
}

impl TaskView<'_> {
    /// Appends the members, without a comma in front.
    pub fn write_members(&self, out: &mut Vec<u8>, era: Era) {
        let (ttl, poll_interval) = match era {
            Era::Legacy => ("ttl", "pollInterval"),
            Era::Modern => ("ttlMs", "pollIntervalMs"),
        };
        out.extend_from_slice(br#""taskId":"#);
        encode::write_string(out, self.id);
        write_text(out, "status", Some(self.status));
        write_text(out, "statusMessage", self.message);
        write_text(out, "createdAt", Some(self.created_at));
        write_text(out, "lastUpdatedAt", Some(self.updated_at));
        for (name, value_ms) in [(ttl, self.ttl_ms), (poll_interval, self.poll_interval_ms)] {
            out.push(b',');
            encode::write_string(out, name);
            out.push(b':');
            encode::write_unsigned(out, value_ms);
        }
    }

    /// Writes the whole answer to a request that became this task.
    pub fn write_created(&self, out: &mut Vec<u8>, era: Era, id: Id<'_>, trailer: &ResultTrailer) {
        encode::begin_result(out, id);
        match era {
            Era::Legacy => {
                out.extend_from_slice(br#"{"task":{"#);
                self.write_members(out, era);
                out.extend_from_slice(b"}}}");
            }
            Era::Modern => {
                out.push(b'{');
                self.write_members(out, era);
                trailer.finish_task(out);
            }
        }
    }

    /// Writes the whole answer to `tasks/get` and to the legacy `tasks/cancel`. `outcome` appends
    /// the members behind those of the task, each with a comma in front.
    pub fn write_state(
        &self,
        out: &mut Vec<u8>,
        era: Era,
        id: Id<'_>,
        trailer: &ResultTrailer,
        outcome: impl FnOnce(&mut Vec<u8>),
    ) {
        encode::begin_result(out, id);
        out.push(b'{');
        self.write_members(out, era);
        outcome(out);
        trailer.finish(out, era, Caching::NotCacheable);
    }
}

/// Writes the status of a task to its legacy session. The message has no related task (MCP
/// 2025-11-25 basic/utilities/tasks, "Task Notifications").
pub fn write_status(out: &mut Vec<u8>, task: &TaskView<'_>) {
    encode::begin_notification(out, "notifications/tasks/status");
    out.push(b'{');
    task.write_members(out, Era::Legacy);
    out.push(b'}');
    encode::end(out);
}

/// Appends the result object of a legacy task, whose `_meta` names the task. `result` is an object.
pub fn write_related_result(out: &mut Vec<u8>, result: &[u8], task_id: &str) {
    let mut object = ObjectWriter::begin(out);
    let mut meta = None;
    // Without an object there is nothing to copy.
    let _ = visit_members(result, 0..result.len(), |name, value| {
        match is_name(name, "_meta") {
            true => meta = Some(value),
            false => object.copy(name, &result[value]),
        }
    });
    let mut related = ObjectWriter::begin(object.name("_meta"));
    if let Some(meta) = meta {
        let _ = visit_members(result, meta, |name, value| {
            if !is_name(name, RELATED_TASK) {
                related.copy(name, &result[value]);
            }
        });
    }
    let mut task = ObjectWriter::begin(related.name(RELATED_TASK));
    encode::write_string(task.name("taskId"), task_id);
    task.end();
    related.end();
    object.end();
}

/// The content of an answer, without the message around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerPart<'a> {
    /// The value of `result`.
    Result(&'a [u8]),
    /// The value of `error`.
    Error(&'a [u8]),
}

/// The id of an answer that is written to be taken apart.
pub const KEPT_ANSWER_ID: Id<'static> = Id::Integer(0);

impl<'a> AnswerPart<'a> {
    /// Takes apart an answer that was written here under [`KEPT_ANSWER_ID`].
    ///
    /// An answer is kept before the id of the request that will fetch it is known.
    pub fn of(answer: &'a [u8]) -> Option<AnswerPart<'a>> {
        let inner = answer.strip_suffix(b"}")?;
        let mut prefix = Vec::new();
        encode::begin_result(&mut prefix, KEPT_ANSWER_ID);
        if let Some(result) = inner.strip_prefix(&*prefix) {
            return Some(AnswerPart::Result(result));
        }
        prefix.truncate(prefix.len() - br#""result":"#.len());
        prefix.extend_from_slice(br#""error":"#);
        inner.strip_prefix(&*prefix).map(AnswerPart::Error)
    }

    /// Writes the message of an answer again, under another id.
    pub fn write(self, out: &mut Vec<u8>, id: Id<'_>) {
        encode::begin_result(out, id);
        match self {
            AnswerPart::Result(result) => out.extend_from_slice(result),
            AnswerPart::Error(error) => {
                out.truncate(out.len() - br#""result":"#.len());
                out.extend_from_slice(br#""error":"#);
                out.extend_from_slice(error);
            }
        }
        encode::end(out);
    }
}

/// The options of a legacy client in `params.task`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TaskOptions {
    /// How long the task is to be kept, in milliseconds from its creation.
    pub ttl_ms: Option<u64>,
}

const OPTIONS: ParamsError =
    ParamsError("params.task must be an object whose ttl, if any, is a number of milliseconds");

impl TaskOptions {
    /// Reads `params.task`; none if the client wants no task.
    ///
    /// # Errors
    /// [`ParamsError`] when it is there and has another type.
    pub fn read(params: Option<Value<'_>>) -> Result<Option<TaskOptions>, ParamsError> {
        let Some(wish) = member(params, "task").filter(|wish| !wish.is_null()) else {
            return Ok(None);
        };
        let wish = wish.as_object().ok_or(OPTIONS)?;
        let ttl_ms = match wish.optional("ttl").map(|ttl| ttl.to_serde()) {
            None => None,
            Some(ttl) => match (ttl.as_u64(), ttl.as_f64()) {
                (Some(ttl_ms), _) => Some(ttl_ms),
                // A cast saturates, and the limit on tasks is far below.
                (None, Some(ttl_ms)) if ttl_ms >= 0.0 => Some(ttl_ms as u64),
                _ => return Err(OPTIONS),
            },
        };
        Ok(Some(TaskOptions { ttl_ms }))
    }
}

/// The task that `params` name.
///
/// # Errors
/// [`ParamsError`] when they name none.
pub fn task_id<'a>(params: Option<Value<'a>>) -> Result<&'a str, ParamsError> {
    let id = member(params, "taskId").and_then(|id| id.as_str());
    id.ok_or(ParamsError("params.taskId must be a string"))
}

/// The responses that a `tasks/update` brings.
///
/// # Errors
/// [`ParamsError`] when there are none or too many, or one is no object.
pub fn responses<'a>(params: Option<Value<'a>>) -> Result<Object<'a>, ParamsError> {
    read_responses(member(params, "inputResponses").ok_or(RESPONSES)?)
}

fn member<'a>(params: Option<Value<'a>>, name: &str) -> Option<Value<'a>> {
    params?.as_object()?.get(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jsonrpc::{Decoder, JsonLimits};

    const VIEW: TaskView<'static> = TaskView {
        id: "t",
        status: "working",
        message: None,
        created_at: "c",
        updated_at: "u",
        ttl_ms: 60_000,
        poll_interval_ms: 1000,
    };

    fn json(write: impl FnOnce(&mut Vec<u8>)) -> serde_json::Value {
        let mut out = Vec::new();
        write(&mut out);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_created_task_is_nested_in_one_era_and_flat_in_the_other() {
        let trailer = ResultTrailer::new(b"{}");
        let created = |era| json(|out| VIEW.write_created(out, era, Id::Integer(1), &trailer));
        let legacy = &created(Era::Legacy)["result"];
        assert_eq!(legacy["task"]["ttl"], 60_000);
        assert_eq!(legacy["task"]["pollInterval"], 1000);
        assert!(legacy.get("resultType").is_none());
        let modern = &created(Era::Modern)["result"];
        assert_eq!(modern["resultType"], "task");
        assert_eq!(modern["ttlMs"], 60_000);
        assert_eq!(modern["pollIntervalMs"], 1000);
        for absent in ["task", "ttl", "pollInterval", "statusMessage"] {
            assert!(modern.get(absent).is_none(), "{absent}");
        }
    }

    #[test]
    fn a_status_for_a_session_has_exactly_the_members_of_the_task() {
        let status = json(|out| write_status(out, &VIEW));
        assert_eq!(status["method"], "notifications/tasks/status");
        let expected = json(|out| {
            out.push(b'{');
            VIEW.write_members(out, Era::Legacy);
            out.push(b'}');
        });
        assert_eq!(status["params"], expected);
    }

    #[test]
    fn an_answer_is_taken_apart_and_put_together_under_another_id() {
        let mut error = Vec::new();
        encode::write_error(&mut error, Some(KEPT_ANSWER_ID), -1, "m");
        let mut result = Vec::new();
        ResultTrailer::new(b"{}").write_empty(&mut result, Era::Legacy, KEPT_ANSWER_ID);
        assert_eq!(AnswerPart::of(&result), Some(AnswerPart::Result(b"{}")));
        for answer in [&error, &result] {
            let part = AnswerPart::of(answer).unwrap();
            let again = json(|out| part.write(out, Id::String("x")));
            let mut expected: serde_json::Value = serde_json::from_slice(answer).unwrap();
            expected["id"] = "x".into();
            assert_eq!(again, expected);
        }
        assert_eq!(AnswerPart::of(b"{}"), None);
    }

    #[test]
    fn a_related_result_names_its_task() {
        for (sent, members) in [
            (r#"{"content":[]}"#, r#""content":[],"_meta":{"#),
            (r#"{"_meta":{"a":1},"x":2}"#, r#""x":2,"_meta":{"a":1,"#),
            ("{}", r#""_meta":{"#),
        ] {
            let mut out = Vec::new();
            write_related_result(&mut out, sent.as_bytes(), "t");
            let named = format!("\"{RELATED_TASK}\":{{\"taskId\":\"t\"}}");
            let expected = format!("{{{members}{named}}}}}");
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn a_wish_is_an_object_with_a_ttl_or_without() {
        let read = |text: &str| {
            let mut decoder = Decoder::new(JsonLimits::default());
            let decoded = decoder.decode(text.as_bytes()).unwrap();
            TaskOptions::read(Some(decoded.root())).map(|wish| wish.map(|wish| wish.ttl_ms))
        };
        for (text, expected) in [
            ("{}", Ok(None)),
            (r#"{"task":{}}"#, Ok(Some(None))),
            (r#"{"task":{"ttl":null}}"#, Ok(Some(None))),
            (r#"{"task":null}"#, Ok(None)),
            (r#"{"task":{"ttl":5}}"#, Ok(Some(Some(5)))),
            (r#"{"task":{"ttl":5.5}}"#, Ok(Some(Some(5)))),
            (r#"{"task":{"ttl":-1}}"#, Err(OPTIONS)),
            (r#"{"task":{"ttl":"5"}}"#, Err(OPTIONS)),
            (r#"{"task":true}"#, Err(OPTIONS)),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }
}
