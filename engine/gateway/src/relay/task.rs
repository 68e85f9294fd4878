//! Tasks of upstreams, in the form of either era.
//!
//! The members of a task go on as the upstream wrote them, but for its id, and for those that have
//! another name in the other era (MCP 2025-11-25 basic/utilities/tasks; the extension of
//! 2026-07-28, SEP-2663).

use std::ops::Range;

use corelane_protocol::jsonrpc::encode::{self, ObjectWriter};
use corelane_protocol::jsonrpc::{find_members, is_name, visit_members};
use corelane_protocol::mcp::client_request::ClientRequest;
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::input_required::write_input_request;

use super::answer::AnswerFault;
use super::part::{MODERN_MEMBERS, RelayedPart};
use super::question::write_related;

/// The longest id of a task of an upstream, in bytes. Sealed, it fits into a field of a head.
pub const TASK_ID_BYTES_MAX: usize = 1024;

/// The members whose names differ: in the legacy era and in the modern one.
const RENAMED: [(&str, &str); 2] = [("ttl", "ttlMs"), ("pollInterval", "pollIntervalMs")];
/// Members of a modern task that are none of its state, and are written apart.
const APART: [&str; 6] = [
    "taskId",
    "status",
    "_meta",
    "result",
    "error",
    "inputRequests",
];

/// The state of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskStatus {
    /// It is executed.
    Working,
    /// It needs answers of the client.
    InputRequired,
    /// It has a result.
    Completed,
    /// It has an error; in the legacy era also the result of a tool that failed.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl TaskStatus {
    const ALL: [TaskStatus; 5] = [
        TaskStatus::Working,
        TaskStatus::InputRequired,
        TaskStatus::Completed,
        TaskStatus::Failed,
        TaskStatus::Cancelled,
    ];

    fn as_str(self) -> &'static str {
        match self {
            TaskStatus::Working => "working",
            TaskStatus::InputRequired => "input_required",
            TaskStatus::Completed => "completed",
            TaskStatus::Failed => "failed",
            TaskStatus::Cancelled => "cancelled",
        }
    }

    /// Whether it stays so.
    pub fn is_terminal(self) -> bool {
        !matches!(self, TaskStatus::Working | TaskStatus::InputRequired)
    }
}

/// The outcome of a task, or what it waits for, in the form of the modern era.
#[derive(Clone, Copy, Debug)]
pub(super) enum Inlined<'a> {
    Nothing,
    Result(&'a [u8]),
    Error(&'a [u8]),
    Requests(&'a [(String, ClientRequest)]),
}

/// A task, as its upstream wrote it.
#[derive(Clone, Debug)]
pub struct UpstreamTask<'a> {
    text: &'a [u8],
    /// Its id.
    pub id: String,
    /// Its state.
    pub status: TaskStatus,
    /// After how many milliseconds its state is to be fetched again, if the upstream says that.
    pub poll_interval_ms: Option<u64>,
    /// The result of a modern task.
    pub(super) result: Option<Range<usize>>,
    /// The error of a modern task.
    pub(super) error: Option<Range<usize>>,
    /// The requests of a modern task.
    pub(super) requests: Option<Range<usize>>,
}

impl<'a> UpstreamTask<'a> {
    /// Reads a task of an upstream of this era: an object that was checked as JSON.
    ///
    /// ```
    /// use corelane_gateway::relay::{TaskStatus, UpstreamTask};
    /// use corelane_protocol::mcp::era::Era;
    /// let text = br#"{"taskId":"t","status":"working","ttl":null,"pollInterval":500}"#;
    /// let task = UpstreamTask::read(text, Era::Legacy)?;
    /// assert_eq!((&*task.id, task.status), ("t", TaskStatus::Working));
    /// assert_eq!(task.poll_interval_ms, Some(500));
    /// # Ok::<(), corelane_gateway::relay::AnswerFault>(())
    /// ```
    ///
    /// # Errors
    /// [`AnswerFault`]: it has no id, or one that is too long, or a state that does not exist.
    pub fn read(text: &'a [u8], era: Era) -> Result<UpstreamTask<'a>, AnswerFault> {
        const NAMES: [&str; 7] = [
            "taskId",
            "status",
            "pollInterval",
            "pollIntervalMs",
            "result",
            "error",
            "inputRequests",
        ];
        let found = find_members(text, 0..text.len(), NAMES)?;
        let [id, status, legacy, modern, result, error, requests] = found;
        let string = |range: Option<Range<usize>>| {
            let read = range.map(|range| serde_json::from_slice::<String>(&text[range]));
            read.and_then(Result::ok).ok_or(AnswerFault::Task)
        };
        let (id, status) = (string(id)?, string(status)?);
        if id.len() > TASK_ID_BYTES_MAX {
            return Err(AnswerFault::Task);
        }
        let mut all = TaskStatus::ALL.into_iter();
        let status = all.find(|it| it.as_str() == status);
        let interval = match era {
            Era::Legacy => legacy,
            Era::Modern => modern,
        };
        let interval = interval.and_then(|range| serde_json::from_slice::<f64>(&text[range]).ok());
        let object = |range: Option<Range<usize>>| range.filter(|it| text[it.start] == b'{');
        Ok(UpstreamTask {
            text,
            id,
            status: status.ok_or(AnswerFault::Task)?,
            // A cast saturates.
            poll_interval_ms: interval.map(|it| it as u64),
            result: object(result),
            error: object(error),
            requests: object(requests),
        })
    }

    /// The whole text.
    pub(super) fn text(&self) -> &'a [u8] {
        self.text
    }

    /// The text at a range of it.
    pub(super) fn at(&self, range: &Range<usize>) -> &'a [u8] {
        &self.text[range.clone()]
    }

    /// Whether the result is that of a tool that failed.
    pub(super) fn has_tool_error(&self) -> bool {
        self.result
            .as_ref()
            .is_some_and(|it| is_tool_error(self.at(it)))
    }

    /// Writes the members of the task in the form of an era, under another id and with this state.
    pub(super) fn write(
        &self,
        object: &mut ObjectWriter<'_>,
        era: Era,
        (id, status): (&str, TaskStatus),
    ) {
        encode::write_string(object.name("taskId"), id);
        encode::write_string(object.name("status"), status.as_str());
        let mut has_ttl = false;
        // The text was read before, so it is an object.
        let _ = visit_members(self.text, 0..self.text.len(), |name, value| {
            let value = &self.text[value];
            let is = |known: &&str| is_name(name, known);
            let renamed = RENAMED.iter().find(|(one, other)| is(one) || is(other));
            match renamed {
                Some((legacy, modern)) => {
                    has_ttl |= *legacy == "ttl";
                    let name = match era {
                        Era::Legacy => legacy,
                        Era::Modern => modern,
                    };
                    object.name(name).extend_from_slice(value);
                }
                None if APART.iter().any(is) || is(&"resultType") => {}
                None => object.copy(name, value),
            }
        });
        if !has_ttl {
            let (legacy, modern) = RENAMED[0];
            let name = if era == Era::Legacy { legacy } else { modern };
            object.name(name).extend_from_slice(b"null");
        }
    }
}

/// The answer to the call of a client that has become `task`, under the name that the client gets.
/// `meta` is that of the result, if it has any.
///
/// ```
/// use corelane_gateway::relay::{UpstreamTask, write_created};
/// use corelane_protocol::mcp::era::Era;
/// let text = br#"{"taskId":"t","status":"working","ttl":9}"#;
/// let task = UpstreamTask::read(text, Era::Legacy)?;
/// let created = write_created(&task, Era::Modern, "sealed", None);
/// let expected = r#"{"taskId":"sealed","status":"working","ttlMs":9,"resultType":"task"}"#;
/// assert_eq!(String::from_utf8_lossy(&created), expected);
/// # Ok::<(), corelane_gateway::relay::AnswerFault>(())
/// ```
pub fn write_created(task: &UpstreamTask<'_>, to: Era, name: &str, meta: Option<&[u8]>) -> Vec<u8> {
    let mut json = Vec::new();
    let mut object = ObjectWriter::begin(&mut json);
    match to {
        Era::Modern => task.write(&mut object, to, (name, task.status)),
        Era::Legacy => {
            let mut nested = ObjectWriter::begin(object.name("task"));
            // Its own members come later, with its result.
            task.write(&mut nested, to, (name, task.status));
            nested.end();
        }
    }
    if let Some(meta) = meta {
        write_related(object.name("_meta"), meta, None);
    }
    if to == Era::Modern {
        encode::write_string(object.name("resultType"), "task");
    }
    object.end();
    json
}

/// The state of a task for a client of the legacy era, or of the modern one with its outcome.
pub fn state_for(task: &UpstreamTask<'_>, to: Era, name: &str) -> RelayedPart {
    let (status, inlined) = match (&task.result, &task.error, task.status) {
        (_, _, TaskStatus::Completed) if to == Era::Legacy && task.has_tool_error() => {
            (TaskStatus::Failed, Inlined::Nothing)
        }
        (Some(result), ..) => (task.status, Inlined::Result(task.at(result))),
        (_, Some(error), _) => (task.status, Inlined::Error(task.at(error))),
        _ => (task.status, Inlined::Nothing),
    };
    write_state(task, to, (name, status), inlined)
}

pub(super) fn write_state(
    task: &UpstreamTask<'_>,
    to: Era,
    of: (&str, TaskStatus),
    inlined: Inlined<'_>,
) -> RelayedPart {
    let mut json = Vec::new();
    let mut object = ObjectWriter::begin(&mut json);
    task.write(&mut object, to, of);
    if to == Era::Modern {
        match inlined {
            Inlined::Nothing => {}
            Inlined::Result(result) => write_result(object.name("result"), result, &[], None),
            Inlined::Error(error) => object.copy(b"error", error),
            Inlined::Requests(requests) => {
                let mut all = ObjectWriter::begin(object.name("inputRequests"));
                for (key, request) in requests {
                    write_input_request(all.name(key), request);
                }
                all.end();
            }
        }
        encode::write_string(object.name("resultType"), "complete");
    }
    object.end();
    RelayedPart::Result {
        json,
        is_error: false,
    }
}

/// The result of a task for a legacy client, whose `_meta` names the task.
pub(super) fn related_result(result: &[u8], name: &str) -> RelayedPart {
    let mut json = Vec::with_capacity(result.len() + name.len() + 64);
    write_result(&mut json, result, &MODERN_MEMBERS, Some(name));
    RelayedPart::Result {
        json,
        is_error: is_tool_error(result),
    }
}

/// Whether a result is that of a tool that failed.
pub(super) fn is_tool_error(result: &[u8]) -> bool {
    let found = find_members(result, 0..result.len(), ["isError"]);
    found.is_ok_and(|[it]| it.is_some_and(|it| &result[it] == b"true"))
}

/// A result but for some members, and for those of `_meta` that belong to a hop.
fn write_result(out: &mut Vec<u8>, result: &[u8], but: &[&str], task: Option<&str>) {
    let mut object = ObjectWriter::begin(out);
    let mut has_meta = false;
    let _ = visit_members(result, 0..result.len(), |name, value| {
        let value = &result[value];
        if is_name(name, "_meta") {
            if !std::mem::replace(&mut has_meta, true) {
                write_related(object.name("_meta"), value, task);
            }
        } else if !but.iter().any(|it| is_name(name, it))
            && (task.is_none() || is_legacy(name, value))
        {
            object.copy(name, value);
        }
    });
    if task.is_some() && !has_meta {
        write_related(object.name("_meta"), b"{}", task);
    }
    object.end();
}

/// Whether a result of the legacy era may have a member: its structured content is an object.
fn is_legacy(name: &[u8], value: &[u8]) -> bool {
    !is_name(name, "structuredContent") || value.starts_with(b"{")
}

#[cfg(test)]
mod tests;
