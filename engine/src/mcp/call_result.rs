//! Writing the result of a call, or its failure, in the form of its method and era.

use corelane_gateway::relay::RelayedPart;
use corelane_protocol::binding::refusal::{Category, Reason};
use corelane_protocol::jsonrpc::{Id, encode};
use corelane_protocol::mcp::capability::ClientCapability;
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::error_code;
use corelane_protocol::mcp::resources;
use corelane_protocol::mcp::tools::ToolResult;

use super::context::Context;
use super::handler_kind::HandlerKind;
use crate::handler::error::Kind;
use crate::handler::outcome::{Answer, Outcome};
use crate::meter::Counter;
use crate::meter::operations::Failure;

impl Context {
    /// Writes the outcome of a call; returns the category if it is a refusal. A handler may find
    /// late that its client lacks a capability; even then that refuses a modern request.
    pub(super) fn write_outcome(
        &self,
        out: &mut Vec<u8>,
        (era, id): (Era, Id<'_>),
        kind: HandlerKind,
        outcome: Outcome,
    ) -> Option<Category> {
        let error = match outcome {
            Ok(answer) => return self.write_answer(out, era, id, answer),
            Err(error) => error,
        };
        match error.kind() {
            Kind::Panicked => {
                self.meter.count(Counter::CallsPanicked);
                self.meter.fail_operation(Failure::Panic);
            }
            // Counted as refused.
            Kind::Overloaded { .. } => self.meter.fail_operation(Failure::Overloaded),
            _ => self.meter.count(Counter::CallsFailed),
        }
        match error.into_kind() {
            Kind::Failed { text, .. } if kind == HandlerKind::Tool => {
                self.meter.fail_operation(Failure::ToolError);
                ToolResult::error(text).write(out, era, id, &self.trailer);
            }
            Kind::Failed { text, .. } => {
                encode::write_error(out, Some(id), error_code::INTERNAL_ERROR, &text);
            }
            Kind::MissingCapability(capability) => {
                return self.write_missing_capability(out, era, id, capability);
            }
            Kind::Overloaded {
                text,
                retry_after_s,
            } => {
                self.refuse(Some(id), Reason::Overloaded(&text), out);
                return Some(Category::Unavailable { retry_after_s });
            }
            Kind::NoResource { uri } => resources::write_not_found(out, era, id, &uri),
            // The runner has replaced it by an id; otherwise the client learns nothing.
            Kind::Foreign(_) => {
                let text = "internal error";
                encode::write_error(out, Some(id), error_code::INTERNAL_ERROR, text);
            }
            Kind::Panicked => {
                let text = "the handler panicked";
                encode::write_error(out, Some(id), error_code::INTERNAL_ERROR, text);
            }
            Kind::Protocol { code, message } => {
                encode::write_error(out, Some(id), code, &message);
                if era == Era::Modern && code == error_code::MISSING_CLIENT_CAPABILITY {
                    return Some(Category::Invalid);
                }
            }
        }
        None
    }

    fn write_answer(
        &self,
        out: &mut Vec<u8>,
        era: Era,
        id: Id<'_>,
        answer: Answer,
    ) -> Option<Category> {
        let is_error = match &answer {
            Answer::Tool(result) => result.is_error,
            Answer::Relayed(RelayedPart::Result { is_error, .. }) => *is_error,
            Answer::Relayed(RelayedPart::Error(_)) => true,
            _ => false,
        };
        if is_error {
            self.meter.fail_operation(Failure::ToolError);
        }
        self.meter.count(match is_error {
            true => Counter::CallsFailed,
            false => Counter::CallsOk,
        });
        match answer {
            Answer::Tool(result) => result.write(out, era, id, &self.trailer),
            Answer::Prompt(result) => result.write(out, era, id, &self.trailer),
            Answer::Contents(parts) => {
                resources::write_read_result(out, era, id, &parts, &self.trailer);
            }
            Answer::Completion(completion) => completion.write(out, era, id, &self.trailer),
            Answer::Relayed(RelayedPart::Result { json, .. }) => {
                encode::begin_result(out, id);
                out.extend_from_slice(&json);
                encode::end(out);
            }
            Answer::Relayed(RelayedPart::Error(json)) => {
                let before = out.len();
                encode::write_error_object(out, id, &json);
                let code = super::operation::error_code(&out[before..]);
                // Its status is 400, whichever server writes it (MCP 2026-07-28 basic/transports).
                let is_refusal = code == Some(error_code::MISSING_CLIENT_CAPABILITY);
                return (is_refusal && era == Era::Modern).then_some(Category::Invalid);
            }
        }
        None
    }

    /// Writes that the client lacks a capability; returns the category of the refusal.
    #[cold]
    pub(super) fn write_missing_capability(
        &self,
        out: &mut Vec<u8>,
        era: Era,
        id: Id<'_>,
        capability: ClientCapability,
    ) -> Option<Category> {
        let reason = Reason::MissingCapability(capability);
        if era == Era::Modern {
            let category = reason.category();
            self.refuse(Some(id), reason, out);
            return Some(category);
        }
        let text = self.format(format_args!("{reason}"));
        encode::write_error(out, Some(id), error_code::INVALID_REQUEST, text);
        None
    }
}
