//! Records of calls, sessions and tasks in the audit log.
//!
//! A call that is recorded has its facts read before its handler starts and is recorded at its end.
//! A call that is not recorded costs a comparison.

mod actor;

pub(super) use actor::Actor;

use std::cell::RefCell;
use std::time::Instant;

use corelane_gateway::relay::RelayedPart;
use corelane_protocol::jsonrpc::{Id, Value, encode};
use corelane_protocol::request_state;

use super::handler_kind::HandlerKind;
use super::permissions::Denied;
use super::sums::{Kind as SumKind, Sum, Sums};
use super::task_id::TaskId;
use crate::audit::AuditPort;
use crate::guard::audit::{Event, Record, RecordedArguments, TEXT_BYTES_MAX};
use crate::guard::identity::Identity;
use crate::guard::limit::shard::LimitName;
use crate::guard::policy::Policy;
use crate::handler::error::Kind;
use crate::handler::outcome::{Answer, Outcome};

/// The audit log of an endpoint.
pub(super) struct Audit {
    port: AuditPort,
    /// The id of a request as JSON; kept for its memory.
    request: RefCell<Vec<u8>>,
    /// The denied requests of this second, of which the first ones are recorded.
    denials: RefCell<Sums<Denial>>,
    is_on: bool,
}

/// A kind of denied requests: why, and the kind and the name of the entry.
#[derive(PartialEq)]
pub(super) struct Denial {
    decision: &'static str,
    entry: Option<(&'static str, Box<str>)>,
}

impl SumKind for Denial {
    fn of_many(&self) -> Denial {
        Denial {
            entry: None,
            ..*self
        }
    }
}

/// The facts of a call that is recorded at its end, as its request has them.
pub(super) struct CallFacts<'a> {
    kind: &'static str,
    name: &'a str,
    begun: Instant,
    digest: Option<[u8; 32]>,
    arguments: Option<String>,
}

/// The same of a call that waits.
#[derive(Debug)]
pub(crate) struct KeptFacts {
    kind: &'static str,
    name: Box<str>,
    begun: Instant,
    digest: Option<[u8; 32]>,
    arguments: Option<String>,
}

/// The client and the request of a call.
#[derive(Clone, Copy)]
pub(super) struct CallOf<'a> {
    pub(super) actor: Actor<'a>,
    pub(super) id: Id<'a>,
}

/// A call that may not begin, because its record could not be written.
#[derive(Debug)]
pub(super) struct Unrecordable;

impl Audit {
    /// The audit log at the end of this port.
    pub(super) fn new(port: AuditPort) -> Audit {
        Audit {
            is_on: port.is_on(),
            port,
            request: RefCell::default(),
            denials: RefCell::default(),
        }
    }

    /// Whether records cannot be written now.
    pub(super) fn is_failing(&self) -> bool {
        self.is_on && self.port.is_failing()
    }

    /// The port, for other parts of the shard.
    pub(super) fn port(&self) -> AuditPort {
        self.port.clone()
    }

    /// The facts of a call with these params, if it is recorded; `is_marked` says whether the tool
    /// of that name is marked for it.
    ///
    /// # Errors
    /// The call must be recorded, and records cannot be written now.
    #[inline]
    pub(super) fn begin_call<'a>(
        &self,
        kind: HandlerKind,
        params: Option<Value<'a>>,
        is_marked: impl FnOnce(&str) -> bool,
    ) -> Result<Option<CallFacts<'a>>, Unrecordable> {
        match self.is_on {
            true => self.read_facts(kind, params, is_marked),
            false => Ok(None),
        }
    }

    fn read_facts<'a>(
        &self,
        kind: HandlerKind,
        params: Option<Value<'a>>,
        is_marked: impl FnOnce(&str) -> bool,
    ) -> Result<Option<CallFacts<'a>>, Unrecordable> {
        let Some((kind, name)) = entry_of(kind, params) else {
            return Ok(None);
        };
        let port = &self.port;
        if !port.records_call(kind == "tool" && is_marked(name)) {
            return Ok(None);
        }
        if !port.may_begin_call() {
            return Err(Unrecordable);
        }
        let (digest, arguments) = match port.arguments() {
            RecordedArguments::Off => (None, None),
            RecordedArguments::Digest(_) => {
                let params = params.unwrap_or(Value::EMPTY_OBJECT);
                (Some(request_state::params_digest(params)), None)
            }
            RecordedArguments::Fields(fields) => {
                let members = params.and_then(|params| params.as_object());
                let given = members.and_then(|it| it.optional("arguments"));
                let chosen = fields.get(name).filter(|_| kind == "tool");
                (None, chosen.map(|names| copy(given, names)))
            }
        };
        Ok(Some(CallFacts {
            kind,
            name,
            begun: Instant::now(),
            digest,
            arguments,
        }))
    }

    /// Records that the policy denies a request with these params; of equal ones in one second the
    /// first, and the others as a sum.
    #[cold]
    pub(super) fn deny(
        &self,
        (kind, params): (HandlerKind, Option<Value<'_>>),
        of: CallOf<'_>,
        (denied, policy): (Denied, Option<&Policy>),
    ) {
        if !self.is_on {
            return;
        }
        let entry = entry_of(kind, params);
        let short = |name: &str| name[..name.floor_char_boundary(TEXT_BYTES_MAX)].into();
        let denial = Denial {
            decision: denied.word(),
            entry: entry.map(|(kind, name)| (kind, short(name))),
        };
        let principal = of.actor.identity.map(Identity::principal_key);
        if self.denials.borrow_mut().count(denial, principal) > 1 {
            return;
        }
        let mut request = self.request.borrow_mut();
        request.clear();
        encode::write_id(&mut request, of.id);
        let line = match (denied, policy) {
            (Denied::ScopeMissing(grant), Some(policy)) => policy.line_of_grant(grant),
            _ => None,
        };
        let rule = line.map(|line| format!("line {line}"));
        let session = of.actor.session_text();
        self.port.record(Record {
            session: session.as_ref().map(|text| &text[..]),
            request: Some(&request),
            kind: entry.map(|(kind, _)| kind),
            name: entry.map(|(_, name)| name),
            decision: Some(denied.word()),
            rule: rule.as_deref(),
            policy: policy.map(Policy::digest),
            ..of.actor.record(Event::AuthzDenied)
        });
    }

    /// Records the end of a call with its outcome and the bytes of its answer.
    pub(super) fn end_call(
        &self,
        facts: &CallFacts<'_>,
        of: CallOf<'_>,
        outcome: &'static str,
        answer_bytes: usize,
    ) {
        let mut request = self.request.borrow_mut();
        request.clear();
        encode::write_id(&mut request, of.id);
        let session = of.actor.session_text();
        let duration_us = facts.begun.elapsed().as_micros();
        self.port.record(Record {
            session: session.as_ref().map(|text| &text[..]),
            request: Some(&request),
            kind: Some(facts.kind),
            name: Some(facts.name),
            outcome: Some(outcome),
            duration_us: u64::try_from(duration_us).ok(),
            bytes_out: Some(answer_bytes as u64),
            arguments_digest: facts.digest,
            arguments: facts.arguments.as_deref(),
            ..of.actor.record(Event::Call)
        });
    }

    /// Records the sums of the requests that were denied before this second, since 1970.
    #[inline]
    pub(super) fn record_denials(&self, unix_s: impl FnOnce() -> u64) {
        let mut denials = self.denials.borrow_mut();
        if !denials.is_empty() {
            let sums = denials.take_before(unix_s());
            drop(denials);
            self.record_sums(&sums);
        }
    }

    /// Records the sums of the last second of the shard.
    pub(super) fn record_last_denials(&self) {
        let sums = self.denials.take().take();
        self.record_sums(&sums);
    }

    fn record_sums(&self, sums: &[Sum<Denial>]) {
        // The first one of each sum has a record.
        for sum in sums.iter().filter(|sum| sum.count > 1) {
            let entry = sum.kind.entry.as_ref();
            self.port.record(Record {
                principal: sum.principal.as_deref(),
                kind: entry.map(|(kind, _)| *kind),
                name: entry.map(|(_, name)| &**name),
                decision: Some(sum.kind.decision),
                from_us: Some(sum.from_us),
                to_us: Some(sum.to_us),
                count: Some(sum.count - 1),
                ..Record::new(Event::AuthzDenied, 0)
            });
        }
    }

    /// Records the requests of a client that a limit has refused in one second.
    pub(super) fn limit_hit(&self, hit: &Sum<LimitName>) {
        if !self.is_on {
            return;
        }
        self.port.record(Record {
            principal: hit.principal.as_deref(),
            decision: Some("limited"),
            rule: Some(hit.kind.text()),
            from_us: Some(hit.from_us),
            to_us: Some(hit.to_us),
            count: Some(hit.count),
            ..Record::new(Event::LimitHit, 0)
        });
    }

    /// Records that a session begins or ends; an end has its reason.
    pub(super) fn session(&self, event: Event, of: Actor<'_>, reason: Option<&'static str>) {
        if !self.is_on {
            return;
        }
        let session = of.session_text();
        self.port.record(Record {
            session: session.as_ref().map(|text| &text[..]),
            outcome: reason,
            ..of.record(event)
        });
    }

    /// Records that a task begins or ends; an end has its outcome. The id of the task stands in
    /// place of that of a request, as the latter is not the same in all of its records.
    pub(super) fn task(
        &self,
        event: Event,
        task: TaskId,
        of: Actor<'_>,
        (tool, outcome): (Option<&str>, Option<&'static str>),
    ) {
        if !self.is_on {
            return;
        }
        let session = of.session_text();
        self.port.record(Record {
            session: session.as_ref().map(|text| &text[..]),
            request: Some(&task.to_text()),
            kind: Some("tool"),
            name: tool,
            outcome,
            ..of.record(event)
        });
    }

    /// Records the end of a call that waited.
    pub(super) fn end_kept_call(
        &self,
        facts: &KeptFacts,
        of: CallOf<'_>,
        outcome: &'static str,
        answer_bytes: usize,
    ) {
        let facts = CallFacts {
            kind: facts.kind,
            name: &facts.name,
            begun: facts.begun,
            digest: facts.digest,
            arguments: facts.arguments.clone(),
        };
        self.end_call(&facts, of, outcome, answer_bytes);
    }
}

impl CallFacts<'_> {
    /// The facts for a call that waits.
    pub(super) fn keep(self) -> Box<KeptFacts> {
        Box::new(KeptFacts {
            kind: self.kind,
            name: self.name.into(),
            begun: self.begun,
            digest: self.digest,
            arguments: self.arguments,
        })
    }
}

/// The kind and the name of the entry that a request uses; none for completions.
fn entry_of<'a>(kind: HandlerKind, params: Option<Value<'a>>) -> Option<(&'static str, &'a str)> {
    let (kind, member) = match kind {
        HandlerKind::Tool => ("tool", "name"),
        HandlerKind::Prompt => ("prompt", "name"),
        HandlerKind::Resource => ("resource", "uri"),
        HandlerKind::Completion | HandlerKind::Task => return None,
    };
    let members = params.and_then(|params| params.as_object());
    let name = members.and_then(|it| it.optional(member)?.as_str());
    Some((kind, name.unwrap_or_default()))
}

/// The word for the outcome of a call.
pub(super) fn word_of(outcome: &Outcome) -> &'static str {
    match outcome {
        Ok(Answer::Tool(result)) if result.is_error => "error",
        Ok(Answer::Relayed(RelayedPart::Result { is_error: true, .. })) => "error",
        Ok(Answer::Relayed(RelayedPart::Error(_))) => "failed",
        Ok(_) => "ok",
        Err(error) => match error.kind() {
            Kind::Panicked => "panicked",
            Kind::Overloaded { .. } => "overloaded",
            Kind::NoResource { .. } => "not_found",
            Kind::MissingCapability(_) => "missing_capability",
            Kind::Failed { .. } => "error",
            Kind::Foreign(_) | Kind::Protocol { .. } => "failed",
        },
    }
}

/// A JSON object with these members of the arguments. A long text is cut; another long value is
/// left out.
fn copy(arguments: Option<Value<'_>>, names: &[Box<str>]) -> String {
    let members = arguments.and_then(|arguments| arguments.as_object());
    let mut copied = serde_json::Map::new();
    for name in names {
        let Some(value) = members.and_then(|members| members.get(name)) else {
            continue;
        };
        let value = match value.as_str() {
            Some(text) => text[..text.floor_char_boundary(TEXT_BYTES_MAX)].into(),
            None if value.owned_bytes() > TEXT_BYTES_MAX => continue,
            None => value.to_serde(),
        };
        copied.insert(name.to_string(), value);
    }
    serde_json::Value::Object(copied).to_string()
}
