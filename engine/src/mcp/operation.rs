//! The begin and the end of a request for metrics and traces: its code is read from the answer,
//! which is the truth.

use corelane_protocol::mcp::trace_context::TraceContext;

use super::context::Context;
use super::disposition::Disposition;
use super::inbound::Inbound;
use crate::meter::Counter;
use crate::meter::traces::Parents;

/// Before the id of a message with one.
const WITH_ID: &[u8] = br#"{"jsonrpc":"2.0","id":"#;
/// Before the code of an error that answers no id.
const WITHOUT_ID: &[u8] = br#"{"jsonrpc":"2.0","error":{"code":"#;
/// Between the id and the code of an error.
const ERROR: &[u8] = br#","error":{"code":"#;

impl Context {
    /// The present operation is of a request with this `traceparent` in its `_meta`.
    #[inline]
    pub(super) fn begin_trace<'p>(
        &self,
        inbound: Inbound<'_>,
        trace_parent: impl FnOnce() -> Option<&'p str>,
    ) {
        if self.meter.is_traced() {
            self.meter.begin_trace(Parents {
                message: trace_parent().and_then(|text| self.read_trace_parent(text.as_bytes())),
                http: self.http_trace(inbound),
            });
        }
    }

    /// The span of the HTTP request that a message came with, if spans are exported.
    pub(super) fn http_trace(&self, inbound: Inbound<'_>) -> Option<TraceContext> {
        if !self.meter.is_traced() {
            return None;
        }
        let in_head = || self.read_trace_parent(inbound.requester.claims().trace_parent()?);
        inbound.forwarded_trace().or_else(in_head)
    }

    fn read_trace_parent(&self, text: &[u8]) -> Option<TraceContext> {
        let read = TraceContext::parse(text);
        if read.is_none() {
            self.meter.count(Counter::TraceParentsMalformed);
        }
        read
    }

    /// Ends the present operation if it is answered, with `answer` if that has a body.
    #[inline]
    pub(super) fn end_operation(&self, disposition: &Disposition, answer: &[u8]) {
        if !self.meter.is_timed() {
            return;
        }
        match disposition {
            // Kept with its call, or served again.
            Disposition::Pending(_)
            | Disposition::PendingCalls(_)
            | Disposition::PeerNeeded
            | Disposition::Forward { .. } => {}
            _ => self.meter.end_operation(error_code(answer)),
        }
    }
}

/// The code of an answer that [`encode`](corelane_protocol::jsonrpc::encode) wrote, if it is an
/// error.
pub(super) fn error_code(answer: &[u8]) -> Option<i64> {
    let code = match answer.strip_prefix(WITH_ID) {
        Some(rest) => rest[id_bytes(rest)?..].strip_prefix(ERROR)?,
        None => answer.strip_prefix(WITHOUT_ID)?,
    };
    let digits = code.iter().position(|byte| *byte == b',')?;
    std::str::from_utf8(&code[..digits]).ok()?.parse().ok()
}

/// The length of the id at the start of `text`: a number, or a string with its quotes.
fn id_bytes(text: &[u8]) -> Option<usize> {
    if text.first() != Some(&b'"') {
        return text.iter().position(|byte| *byte == b',');
    }
    let mut is_escaped = false;
    let end = text[1..].iter().position(|byte| {
        let is_end = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    });
    end.map(|at| at + 2)
}

#[cfg(test)]
mod tests {
    use corelane_protocol::jsonrpc::{Id, encode};

    use super::error_code;

    #[test]
    fn the_code_of_an_error_is_found_behind_any_id() {
        let ids = [
            Some(Id::Integer(-7)),
            Some(Id::Unsigned(u64::MAX)),
            Some(Id::String("a\",\"error\":{\"code\":1,")),
            Some(Id::String("\\\\\"")),
            Some(Id::String("")),
            None,
        ];
        for id in ids {
            let mut answer = Vec::new();
            encode::write_error(&mut answer, id, -32602, "text");
            let text = String::from_utf8_lossy(&answer).into_owned();
            assert_eq!(error_code(&answer), Some(-32602), "{text}");
            for end in 0..answer.len() {
                let code = error_code(&answer[..end]);
                assert!(code.is_none_or(|code| code == -32602), "{text}");
            }
            let Some(id) = id else { continue };
            let mut answer = Vec::new();
            encode::begin_result(&mut answer, id);
            answer.extend_from_slice(b"{}}");
            assert_eq!(error_code(&answer), None);
        }
        assert_eq!(error_code(b""), None);
    }
}
