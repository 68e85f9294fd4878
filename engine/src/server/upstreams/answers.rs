//! The parts of the answers of upstreams from which the control side learns.

use corelane_gateway::catalog::{Entry, ListKind};
use corelane_gateway::relay::{Failure, Reason, RelayedPart};
use corelane_protocol::binding::header_param::{self, HeaderParam};
use corelane_protocol::jsonrpc::METHOD_NOT_FOUND;
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::era_probe::{EraProbe, ProbeOutcome, ProbeRequest};
use corelane_protocol::mcp::subscription;
use corelane_protocol::mcp::tasks::TaskSupport;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::upstream::board::ControlAnswer;

/// The parts of the results of `server/discover` and of `initialize` that decide.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    #[serde(default)]
    supported_versions: Vec<String>,
    protocol_version: Option<String>,
    #[serde(default)]
    capabilities: Capabilities,
}

/// The capabilities of an upstream that matter here.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Capabilities {
    tools: Option<Capability>,
    prompts: Option<Capability>,
    resources: Option<Capability>,
    /// Whether it suggests values for arguments.
    pub(super) completions: Option<Capability>,
    /// Of the legacy era.
    tasks: Option<TaskRequests>,
    /// Of the modern era.
    extensions: Option<Extensions>,
}

/// The requests that can become tasks (MCP 2025-11-25 basic/utilities/tasks, "Capabilities").
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct TaskRequests {
    requests: Option<TaskKinds>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct TaskKinds {
    tools: Option<TaskTools>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct TaskTools {
    call: Option<IgnoredAny>,
}

/// The extensions that matter here.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Extensions {
    #[serde(rename = "io.modelcontextprotocol/tasks")]
    tasks: Option<IgnoredAny>,
}

/// One capability.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Capability {
    /// Whether changes of the list are reported.
    list_changed: bool,
    /// Whether updates of single resources are reported.
    subscribe: bool,
}

impl Capabilities {
    /// The lists that it has.
    pub(super) fn lists(self) -> impl Iterator<Item = ListKind> {
        ListKind::ALL.into_iter().filter(move |kind| {
            let capability = match kind {
                ListKind::Tools => self.tools,
                ListKind::Prompts => self.prompts,
                ListKind::Resources | ListKind::Templates => self.resources,
            };
            capability.is_some()
        })
    }

    /// Whether it reports updates of resources.
    pub(super) fn has_updates(self) -> bool {
        self.resources.is_some_and(|it| it.subscribe)
    }

    /// Whether calls of its tools can become tasks, as it says in this era.
    pub(super) fn has_tasks(self, era: Era) -> bool {
        match era {
            Era::Legacy => {
                let requests = self.tasks.and_then(|it| it.requests);
                requests
                    .and_then(|it| it.tools)
                    .and_then(|it| it.call)
                    .is_some()
            }
            Era::Modern => self.extensions.and_then(|it| it.tasks).is_some(),
        }
    }

    /// The lists that it reports changes of.
    pub(super) fn reported(self) -> Vec<subscription::ListKind> {
        let kinds = subscription::ListKind::ALL.into_iter();
        let kinds = kinds.zip([self.tools, self.prompts, self.resources]);
        let kinds = kinds.filter(|(_, it)| it.is_some_and(|it| it.list_changed));
        kinds.map(|(kind, _)| kind).collect()
    }
}

/// The arguments of a tool that requests repeat in their heads.
///
/// # Errors
/// It has no schema, or requests with wrong fields would be refused (MCP 2026-07-28
/// basic/transports).
pub(super) fn header_params_of(tool: &Entry) -> Result<Vec<HeaderParam>, String> {
    let schema = tool.raw("inputSchema").ok_or("it has no inputSchema")?;
    let schema = serde_json::from_str(schema.get()).map_err(|error| error.to_string())?;
    header_param::collect(&schema).map_err(|error| error.to_string())
}

/// Whether the annotations of a tool say that a second call changes nothing more.
pub(super) fn may_be_made_twice(tool: &Entry) -> bool {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Hints {
        read_only_hint: bool,
        idempotent_hint: bool,
    }
    let hints = tool.raw("annotations");
    let hints: Option<Hints> = hints.and_then(|it| serde_json::from_str(it.get()).ok());
    hints.is_some_and(|it| it.read_only_hint || it.idempotent_hint)
}

/// Whether calls of a tool become tasks, as its legacy upstream says.
pub(super) fn task_support_of(tool: &Entry) -> Option<TaskSupport> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Execution {
        task_support: Option<String>,
    }
    let execution: Execution = serde_json::from_str(tool.raw("execution")?.get()).ok()?;
    let all = [TaskSupport::Optional, TaskSupport::Required];
    let word = execution.task_support?;
    all.into_iter().find(|support| support.as_str() == word)
}

/// The result of an answer.
///
/// # Errors
/// The error that it is instead, or the failure.
pub(super) fn answered(answer: &ControlAnswer) -> Result<&str, String> {
    match answer {
        ControlAnswer::Message(RelayedPart::Result { json, .. }) => {
            Ok(str::from_utf8(json).unwrap_or_default())
        }
        ControlAnswer::Message(RelayedPart::Error(error)) => {
            Err(String::from_utf8_lossy(error).into_owned())
        }
        ControlAnswer::Failed { failure, .. } => Err(failure.to_json("")),
    }
}

/// Whether a server refuses a list as a method that it does not have: its list is empty then, as
/// servers with resources need not have templates.
pub(super) fn lacks_method(answer: &ControlAnswer) -> bool {
    match answer {
        ControlAnswer::Message(RelayedPart::Error(error)) => {
            serde_json::from_slice::<Refusal>(error).is_ok_and(|it| it.code == METHOD_NOT_FOUND)
        }
        _ => false,
    }
}

/// An error, as far as it matters here.
#[derive(Deserialize)]
struct Refusal {
    code: i64,
    #[serde(default)]
    data: RefusalData,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RefusalData {
    supported: Vec<String>,
}

/// Hands the answer to the request of a probe over. Returns the capabilities of the server, if the
/// answer has them.
///
/// # Errors
/// The probe found no era.
pub(super) fn probe(
    probe: &mut EraProbe,
    answer: &ControlAnswer,
) -> Result<Option<Capabilities>, String> {
    let described = answered(answer).map(serde_json::from_str::<Described>);
    let refusal = match answer {
        ControlAnswer::Message(RelayedPart::Error(error)) => serde_json::from_slice(error).ok(),
        _ => None,
    };
    let refusal: Option<Refusal> = refusal;
    let is_initialize = matches!(probe.poll_request(), Some(ProbeRequest::Initialize(_)));
    let outcome = match (&described, &refusal, answer) {
        (Ok(Ok(it)), ..) if is_initialize && it.protocol_version.is_some() => {
            ProbeOutcome::Initialized(it.protocol_version.as_deref().unwrap_or_default())
        }
        (Ok(Ok(it)), ..) if !is_initialize && !it.supported_versions.is_empty() => {
            ProbeOutcome::Discovered(&it.supported_versions)
        }
        (_, Some(refusal), _) => ProbeOutcome::Error {
            code: refusal.code,
            supported: &refusal.data.supported,
        },
        (.., ControlAnswer::Failed { status, failure }) => outcome_of(*status, failure),
        _ => ProbeOutcome::Unreadable,
    };
    let handled = probe.handle_outcome(outcome);
    handled.map_err(|error| error.to_string())?;
    Ok(described
        .ok()
        .and_then(Result::ok)
        .map(|it| it.capabilities))
}

fn outcome_of(status: Option<u16>, failure: &Failure) -> ProbeOutcome<'static> {
    match (failure.reason, status) {
        (Reason::Timeout, _) => ProbeOutcome::Silence,
        (_, None) => ProbeOutcome::Closed,
        (_, Some(200..=299)) => ProbeOutcome::Unreadable,
        (_, Some(status)) => ProbeOutcome::Status(status),
    }
}
