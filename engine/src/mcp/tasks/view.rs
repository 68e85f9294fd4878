//! The state of a task as its client sees it, in both eras.

use corelane_protocol::jsonrpc::{Id, encode};
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::error_code;
use corelane_protocol::mcp::tasks::{AnswerPart, KEPT_ANSWER_ID, TaskView, write_related_result};

use super::Tasks;
use crate::mcp::context::invalid_params;
use crate::mcp::disposition::Disposition;
use crate::mcp::task_id::TaskId;
use crate::mcp::task_table::{NotKept, Outcome, Task, TaskOwner, TaskStatus};
use crate::mcp::timestamp::rfc3339;

impl Tasks {
    /// Calls `use_view` with a task that its owner knows.
    pub(in crate::mcp) fn view_task(
        &self,
        (task, owner): (TaskId, &TaskOwner),
        era: Era,
        now_ms: u64,
        use_view: impl FnOnce(&Task, &TaskView<'_>),
    ) {
        if let Some(task) = self.table.get(task, owner, now_ms) {
            self.view(task, era, |view| use_view(task, view));
        }
    }

    /// Lets `use_view` see a task.
    pub(in crate::mcp) fn view(&self, task: &Task, era: Era, use_view: impl FnOnce(&TaskView<'_>)) {
        let (created_at, updated_at) = (rfc3339(task.created_ms), rfc3339(task.updated_ms));
        use_view(&TaskView {
            id: str_of(&task.id.to_text()),
            status: status_in(era, task),
            message: task.message.as_deref(),
            created_at: &created_at.to_string(),
            updated_at: &updated_at.to_string(),
            ttl_ms: task.ttl_ms,
            poll_interval_ms: self.table.poll_interval_ms(),
        });
    }

    /// Appends the members of a modern task that was removed.
    pub(in crate::mcp) fn write_forgotten(
        &self,
        members: &mut Vec<u8>,
        task: TaskId,
        (created_ms, ttl_ms): (u64, u64),
        now_ms: u64,
    ) {
        let id = task.to_text();
        let (created_at, updated_at) = (rfc3339(created_ms), rfc3339(now_ms));
        let view = TaskView {
            id: str_of(&id),
            status: TaskStatus::Failed.as_str(),
            message: None,
            created_at: &created_at.to_string(),
            updated_at: &updated_at.to_string(),
            ttl_ms,
            poll_interval_ms: self.table.poll_interval_ms(),
        };
        view.write_members(members, Era::Modern);
        let text = "the task is not kept: its time is over, or others needed the room";
        write_error_member(members, text);
    }

    /// Writes the answer to `tasks/result` of a finished task: the answer of its request.
    pub(in crate::mcp) fn write_result(
        &self,
        out: &mut Vec<u8>,
        id: Id<'_>,
        (task, owner): (TaskId, &TaskOwner),
        now_ms: u64,
    ) {
        let Some(found) = self.table.get(task, owner, now_ms) else {
            unknown_task(id, out);
            return;
        };
        match &found.outcome {
            Some(Outcome::Result { result, .. }) => {
                encode::begin_result(out, id);
                write_related_result(out, result, str_of(&task.to_text()));
                encode::end(out);
            }
            Some(Outcome::Error(error)) => AnswerPart::Error(error).write(out, id),
            Some(Outcome::Lost(not_kept)) => {
                let text = text_of_lost(*not_kept);
                encode::write_error(out, Some(id), error_code::INTERNAL_ERROR, &text);
            }
            None => {
                let text = "the task was cancelled and has no result";
                encode::write_error(out, Some(id), error_code::INVALID_PARAMS, text);
            }
        }
    }
}

/// Appends the outcome of a modern task, behind its members.
pub(in crate::mcp) fn write_outcome_members(out: &mut Vec<u8>, task: &Task) {
    match &task.outcome {
        Some(Outcome::Result { result, .. }) => {
            out.extend_from_slice(br#","result":"#);
            out.extend_from_slice(result);
        }
        Some(Outcome::Error(error)) => {
            out.extend_from_slice(br#","error":"#);
            out.extend_from_slice(error);
        }
        Some(Outcome::Lost(not_kept)) => {
            write_error_member(out, &text_of_lost(*not_kept));
        }
        None if task.status == TaskStatus::InputRequired => {
            out.extend_from_slice(br#","inputRequests":{"#);
            for (at, (key, request)) in task.requests().enumerate() {
                out.extend_from_slice(if at > 0 { b"," } else { b"" });
                encode::write_string(out, key);
                out.push(b':');
                out.extend_from_slice(request);
            }
            out.push(b'}');
        }
        None => {}
    }
}

/// The name of the state: a tool that failed fails its task in the legacy era, and completes it in
/// the modern one.
fn status_in(era: Era, task: &Task) -> &'static str {
    match (era, &task.outcome) {
        (Era::Legacy, Some(Outcome::Result { is_error: true, .. })) => TaskStatus::Failed.as_str(),
        _ => task.status.as_str(),
    }
}

fn text_of_lost(not_kept: NotKept) -> String {
    format!("the result was not kept: {not_kept}")
}

/// Appends that a modern task failed for a reason of the server.
fn write_error_member(out: &mut Vec<u8>, text: &str) {
    let mut answer = Vec::new();
    let code = error_code::INTERNAL_ERROR;
    encode::write_error(&mut answer, Some(KEPT_ANSWER_ID), code, text);
    if let Some(AnswerPart::Error(error)) = AnswerPart::of(&answer) {
        out.extend_from_slice(br#","error":"#);
        out.extend_from_slice(error);
    }
}

/// Answers a request about a task that is not known to its client.
pub(in crate::mcp) fn unknown_task(id: Id<'_>, out: &mut Vec<u8>) -> Disposition {
    invalid_params(id, "no such task, or its time is over", out)
}

/// The text of an id.
pub(in crate::mcp) fn str_of(text: &[u8]) -> &str {
    str::from_utf8(text).expect("an id is hex digits")
}
