//! Requests of upstreams to clients: elicitation, sampling, roots, in the form of either era.
//!
//! A request goes to a client only if that has declared the capability for it. Its params stay as
//! the upstream wrote them, but for members that one era or one hop has.

use std::ops::Range;

use corelane_protocol::jsonrpc::encode::{self, ObjectWriter};
use corelane_protocol::jsonrpc::{MembersFault, find_members, is_name, visit_members};
use corelane_protocol::mcp::capability::{ClientCapabilities, ClientCapability};
use corelane_protocol::mcp::client_request::ClientRequest;
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::input_required::{INPUT_KEY_BYTES_MAX, INPUT_RESPONSES_MAX};
use corelane_protocol::mcp::tasks::RELATED_TASK;
use serde_json::value::RawValue;

use super::answer::AnswerFault;
use super::request::is_of_hop;
use super::state::STATE_BYTES_MAX;

/// The way of a request of an upstream to a client.
#[derive(Clone, Copy, Debug)]
pub struct QuestionWay<'a> {
    /// The era of the client.
    pub to: Era,
    /// The capabilities that the client has declared.
    pub capabilities: ClientCapabilities,
    /// The start of the message of an elicitation, which names the upstream; may be empty. It has
    /// no character that JSON escapes.
    pub prefix: &'a str,
    /// The name of an elicitation with a page, if the upstream gives it none.
    pub elicitation_id: &'a str,
    /// The task of a legacy client that the request is about (MCP 2025-11-25
    /// basic/utilities/tasks, "Related Task Metadata").
    pub related_task: Option<&'a str>,
}

/// The requests of an upstream that end a round of a call (MCP 2026-07-28 basic/patterns/mrtr).
#[derive(Clone, Debug)]
pub struct InputRequired {
    /// The requests with their keys.
    pub questions: Vec<(String, ClientRequest)>,
    /// The state that goes back to the upstream, as JSON; none if it gave none.
    pub state: Option<Box<[u8]>>,
}

/// Reads a request of an upstream with this method, whose params are at a range of `text`. None if
/// the client cannot be sent it.
///
/// # Errors
/// A member is there twice, or the params are no object.
pub fn read_question(
    text: &[u8],
    (method, params): (&str, Option<Range<usize>>),
    way: &QuestionWay<'_>,
) -> Result<Option<ClientRequest>, MembersFault> {
    let empty: &[u8] = b"{}";
    let (text, params) = match params {
        Some(params) => (text, params),
        None => (empty, 0..empty.len()),
    };
    let members = Members::read(text, &params)?;
    let needs = match method {
        "elicitation/create" => members.elicitation(text),
        "sampling/createMessage" if members.has_tools => Some(ClientCapability::SamplingTools),
        "sampling/createMessage" => Some(ClientCapability::Sampling),
        "roots/list" => Some(ClientCapability::Roots),
        _ => None,
    };
    let Some(needs) = needs.filter(|needs| way.capabilities.contains(*needs)) else {
        return Ok(None);
    };
    let mut out = Vec::with_capacity(params.len() + way.prefix.len());
    way.write_params(&mut out, (text, params), (needs, &members));
    // It is checked as JSON before, and as UTF-8.
    let params = String::from_utf8(out).map_err(|_| MembersFault::NotAnObject)?;
    let params = RawValue::from_string(params).map_err(|_| MembersFault::NotAnObject)?;
    Ok(Some(ClientRequest::Relayed { needs, params }))
}

impl InputRequired {
    /// Reads the parts of a result that requests input, which are at ranges of `text`.
    ///
    /// # Errors
    /// [`AnswerFault`]: nothing of it may go on.
    pub fn read(
        text: &[u8],
        (requests, state): (Option<Range<usize>>, Option<Range<usize>>),
        way: &QuestionWay<'_>,
    ) -> Result<InputRequired, AnswerFault> {
        if requests.is_none() && state.is_none() {
            return Err(AnswerFault::Shape);
        }
        let state = state.map(|range| &text[range]);
        if let Some(state) = state {
            if state.first() != Some(&b'"') {
                return Err(AnswerFault::Shape);
            }
            if state.len() > STATE_BYTES_MAX {
                return Err(AnswerFault::StateBytes(state.len()));
            }
        }
        let mut questions: Vec<(String, ClientRequest)> = Vec::new();
        let mut fault = None;
        if let Some(requests) = requests {
            visit_members(text, requests, |name, value| {
                if fault.is_some() {
                } else if questions.len() == INPUT_RESPONSES_MAX {
                    fault = Some(AnswerFault::Questions);
                } else {
                    match read_entry(text, (name, value), way) {
                        Ok((key, _)) if questions.iter().any(|(known, _)| *known == key) => {
                            fault = Some(AnswerFault::Shape);
                        }
                        Ok(question) => questions.push(question),
                        Err(found) => fault = Some(found),
                    }
                }
            })?;
        }
        match fault {
            Some(fault) => Err(fault),
            None => Ok(InputRequired {
                questions,
                state: state.map(Box::from),
            }),
        }
    }
}

impl InputRequired {
    /// The pages that an error of a legacy upstream requires its user to visit (MCP 2025-11-25
    /// client/elicitation, "URL Elicitation Required Error"). The upstream has refused the call, so
    /// that there is no state. None if the client cannot be sent all of them.
    pub fn of_error(
        text: &[u8],
        error: Range<usize>,
        way: &QuestionWay<'_>,
    ) -> Option<InputRequired> {
        let [data] = find_members(text, error, ["data"]).ok()?;
        let [pages] = find_members(text, data?, ["elicitations"]).ok()?;
        let pages: Vec<Box<RawValue>> = serde_json::from_slice(&text[pages?]).ok()?;
        if !(1..=INPUT_RESPONSES_MAX).contains(&pages.len()) {
            return None;
        }
        let questions = pages.iter().enumerate().map(|(number, page)| {
            let page = page.get().as_bytes();
            let params = Some(0..page.len());
            let request = read_question(page, ("elicitation/create", params), way).ok()??;
            let is_page = request.needs() == ClientCapability::ElicitationUrl;
            is_page.then(|| (number.to_string(), request))
        });
        Some(InputRequired {
            questions: questions.collect::<Option<_>>()?,
            state: None,
        })
    }
}

/// Reads one member of `inputRequests`.
fn read_entry(
    text: &[u8],
    (name, value): (&[u8], Range<usize>),
    way: &QuestionWay<'_>,
) -> Result<(String, ClientRequest), AnswerFault> {
    let quoted = [b"\"", name, b"\""].concat();
    let key: String = serde_json::from_slice(&quoted).map_err(|_| AnswerFault::Shape)?;
    if key.len() > INPUT_KEY_BYTES_MAX {
        return Err(AnswerFault::Questions);
    }
    let [method, params] = find_members(text, value, ["method", "params"])?;
    let method = method.and_then(|range| serde_json::from_slice::<String>(&text[range]).ok());
    let method = method.ok_or(AnswerFault::Shape)?;
    let id = format!("{}-{key}", way.elicitation_id);
    let way = QuestionWay {
        elicitation_id: &id,
        ..*way
    };
    let question = read_question(text, (&method, params), &way)?;
    Ok((key, question.ok_or(AnswerFault::Undeclared)?))
}

/// The members of the params that decide.
struct Members {
    meta: Option<Range<usize>>,
    mode: Option<Range<usize>>,
    has_tools: bool,
    has_elicitation_id: bool,
}

impl Members {
    fn read(text: &[u8], params: &Range<usize>) -> Result<Members, MembersFault> {
        const NAMES: [&str; 7] = [
            "mode",
            "tools",
            "toolChoice",
            "elicitationId",
            "message",
            "_meta",
            "task",
        ];
        let found = find_members(text, params.clone(), NAMES)?;
        let [mode, tools, choice, elicitation_id, _, meta, _] = found;
        Ok(Members {
            meta,
            mode,
            has_tools: tools.is_some() || choice.is_some(),
            has_elicitation_id: elicitation_id.is_some(),
        })
    }

    /// The capability for an elicitation; none for a mode that does not exist.
    fn elicitation(&self, text: &[u8]) -> Option<ClientCapability> {
        match &self.mode {
            None => Some(ClientCapability::ElicitationForm),
            Some(mode) => match serde_json::from_slice::<String>(&text[mode.clone()]) {
                Ok(mode) if mode == "form" => Some(ClientCapability::ElicitationForm),
                Ok(mode) if mode == "url" => Some(ClientCapability::ElicitationUrl),
                _ => None,
            },
        }
    }
}

impl QuestionWay<'_> {
    fn write_params(
        &self,
        out: &mut Vec<u8>,
        (text, params): (&[u8], Range<usize>),
        (needs, members): (ClientCapability, &Members),
    ) {
        let is_form = needs == ClientCapability::ElicitationForm;
        let is_elicitation = is_form || needs == ClientCapability::ElicitationUrl;
        let mut object = ObjectWriter::begin(out);
        let related = self.related_task.filter(|_| self.to == Era::Legacy);
        if let Some(task) = related {
            let sent = members.meta.as_ref().map(|range| &text[range.clone()]);
            write_related(object.name("_meta"), sent.unwrap_or(b"{}"), Some(task));
        }
        // The text was read before, so it is an object.
        let _ = visit_members(text, params, |name, value| {
            let value = &text[value];
            let is_dropped = match self.to {
                // Clients of 2025-06-18 know no mode; its absence means a form.
                Era::Legacy => is_form && is_name(name, "mode"),
                Era::Modern => is_elicitation && is_name(name, "elicitationId"),
            };
            let is_meta = is_name(name, "_meta");
            if is_dropped || is_name(name, "task") || is_meta && related.is_some() {
                return;
            }
            if is_meta && value.first() == Some(&b'{') {
                write_related(object.name("_meta"), value, None);
            } else if is_elicitation && is_name(name, "message") && value.first() == Some(&b'"') {
                let message = object.name("message");
                message.push(b'"');
                message.extend_from_slice(self.prefix.as_bytes());
                message.extend_from_slice(&value[1..]);
            } else {
                object.copy(name, value);
            }
        });
        let is_page = needs == ClientCapability::ElicitationUrl;
        if is_page && self.to == Era::Legacy && !members.has_elicitation_id {
            encode::write_string(object.name("elicitationId"), self.elicitation_id);
        }
        object.end();
    }
}

/// `_meta` without the members of the hop, and with the task of a legacy client that its message is
/// about.
pub(super) fn write_related(out: &mut Vec<u8>, meta: &[u8], task: Option<&str>) {
    let mut object = ObjectWriter::begin(out);
    let _ = visit_members(meta, 0..meta.len(), |name, value| {
        if !is_of_hop(name) {
            object.copy(name, &meta[value]);
        }
    });
    if let Some(task) = task {
        let mut related = ObjectWriter::begin(object.name(RELATED_TASK));
        encode::write_string(related.name("taskId"), task);
        related.end();
    }
    object.end();
}

#[cfg(test)]
mod tests;
