//! From an address to a connection with a revision: the probe of the era, and the opening of legacy
//! sessions.
//!
//! An origin whose era was found before is not probed again while the process lives; a remembered
//! era that fails is forgotten and probed once (MCP 2026-07-28 basic/versioning).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use corelane_protocol::mcp::capability::TASKS_EXTENSION;
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::era_probe::{self, EraChoice, EraProbe, ProbeOutcome, ProbeRequest};
use corelane_protocol::mcp::legacy_session::LegacySession;
use corelane_protocol::mcp::meta;
use corelane_protocol::mcp::revision::Revision;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::error::{Error, JsonRpcError};
use crate::limits::PROBE_TIMEOUT;
use crate::message::{Incoming, Outgoing};
use crate::settings::Settings;
use crate::target::Target;
use crate::types::ServerInfo;
use crate::wire::{Envelope, StartError, Wire};

/// The origins whose eras are remembered, at most.
const ORIGINS_MAX: usize = 1024;

/// Whether the servers at these origins are legacy.
static ERAS: Mutex<Option<HashMap<String, Era>>> = Mutex::new(None);

/// A connection that is ready for requests.
pub(crate) struct Opened {
    pub wire: Wire,
    /// Messages that belong to no request.
    pub others: mpsc::Receiver<Incoming>,
    pub greeting: Greeting,
    pub session: LegacySession,
}

/// The server's description of itself.
#[derive(Clone, Debug)]
pub(crate) struct Greeting {
    pub revision: Revision,
    pub server: ServerInfo,
    pub capabilities: Value,
    pub instructions: Option<String>,
}

/// Opens a connection to `target`.
pub(crate) async fn open(
    mut target: Target,
    settings: &Arc<Settings>,
    ids: &AtomicU64,
) -> Result<Opened, Error> {
    let origin = target.origin();
    let known = origin.as_deref().and_then(remembered);
    let choice = match (settings.era, known) {
        (EraChoice::Auto, Some(Era::Legacy)) => EraChoice::Legacy,
        (choice, _) => choice,
    };
    let mut opened = probe(&mut target, choice, settings, ids).await;
    if opened.is_err() && choice != settings.era {
        opened = probe(&mut target, settings.era, settings, ids).await;
    }
    if let (Ok(opened), Some(origin)) = (&opened, origin) {
        remember(origin, opened.greeting.revision.era());
    }
    opened
}

fn remembered(origin: &str) -> Option<Era> {
    let eras = ERAS.lock().unwrap_or_else(PoisonError::into_inner);
    eras.as_ref()?.get(origin).copied()
}

fn remember(origin: String, era: Era) {
    let mut eras = ERAS.lock().unwrap_or_else(PoisonError::into_inner);
    let eras = eras.get_or_insert_default();
    if eras.len() >= ORIGINS_MAX {
        eras.clear();
    }
    eras.insert(origin, era);
}

async fn probe(
    target: &mut Target,
    choice: EraChoice,
    settings: &Arc<Settings>,
    ids: &AtomicU64,
) -> Result<Opened, Error> {
    let (mut wire, mut others) = target.open(settings).await?;
    let mut probe = EraProbe::new(wire.kind(), choice);
    let mut session = LegacySession::new();
    let mut has_ended = false;
    while let Some(request) = probe.poll_request() {
        // A process that exited on the probe is started again.
        if std::mem::take(&mut has_ended) {
            (wire, others) = target.open(settings).await?;
        }
        let reply = send_probe(&wire, request, settings, ids).await;
        has_ended = matches!(reply, Reply::Closed(_));
        let greeting = reply.greeting(request);
        let supported = match &reply {
            Reply::Error(error) => error.supported(),
            _ => Vec::new(),
        };
        let outcome = match (&reply, &greeting) {
            (_, Some(Ok(Read::Discover(found)))) => ProbeOutcome::Discovered(&found.versions),
            (_, Some(Ok(Read::Initialize(found)))) => ProbeOutcome::Initialized(&found.version),
            (Reply::Error(error), _) => ProbeOutcome::Error {
                code: error.code,
                supported: &supported,
            },
            (Reply::Status(status), _) => ProbeOutcome::Status(*status),
            (Reply::Silence, _) => ProbeOutcome::Silence,
            (Reply::Closed(_), _) => ProbeOutcome::Closed,
            _ => ProbeOutcome::Unreadable,
        };
        let handled = probe.handle_outcome(outcome);
        handled.map_err(|error| probe_error(target.label(), error, &reply))?;
        let (Some(revision), Some(Ok(read))) = (probe.agreed(), greeting) else {
            continue;
        };
        if let (Read::Initialize(found), Reply::Result { session: id, .. }) = (&read, &reply) {
            complete(&wire, &mut session, &found.version, id.as_deref()).await?;
        }
        let greeting = read.into_greeting(revision);
        return Ok(Opened {
            wire,
            others,
            greeting,
            session,
        });
    }
    let fault = "the server did not describe itself".to_owned();
    Err(Error::Protocol(fault))
}

/// Opens a session anew after its loss.
pub(crate) async fn renew(
    wire: &Wire,
    session: &mut LegacySession,
    settings: &Settings,
    ids: &AtomicU64,
) -> Result<(), Error> {
    let request = ProbeRequest::Initialize(session.revision());
    let reply = send_probe(wire, request, settings, ids).await;
    let (Some(Ok(Read::Initialize(found))), Reply::Result { session: id, .. }) =
        (reply.greeting(request), &reply)
    else {
        let fault = "the server does not open a session again".to_owned();
        return Err(Error::Protocol(fault));
    };
    complete(wire, session, &found.version, id.as_deref()).await
}

/// Ends the handshake of a legacy session.
async fn complete(
    wire: &Wire,
    session: &mut LegacySession,
    version: &str,
    id: Option<&str>,
) -> Result<(), Error> {
    let opened = session.handle_initialize_result(version, id);
    opened.map_err(|fault| Error::Protocol(fault.to_string()))?;
    let envelope = Envelope {
        revision: session.revision(),
        session: session.id().map(str::to_owned),
    };
    let message = Outgoing::notification("notifications/initialized", &Value::Null);
    wire.post(&message, &envelope).await?;
    session.handle_accepted();
    Ok(())
}

/// The error of a probe, or that of its last request if it says more.
fn probe_error(target: &str, error: era_probe::ProbeError, reply: &Reply) -> Error {
    let target = target.to_owned();
    let reason = error.to_string();
    match (error, reply) {
        (_, Reply::Closed(error @ (Error::Connect { .. } | Error::Auth { .. }))) => error.clone(),
        (era_probe::ProbeError::Credentials(_), _) => Error::Auth { target, reason },
        _ => Error::Connect { target, reason },
    }
}

/// `_meta` of a modern request.
pub(crate) fn meta(settings: &Settings, revision: Revision) -> Value {
    let mut meta = json!({
        meta::PROTOCOL_VERSION: revision.as_str(),
        meta::CLIENT_INFO: {"name": settings.name, "version": settings.version},
        meta::CLIENT_CAPABILITIES: settings.questions.capabilities(),
    });
    meta[meta::CLIENT_CAPABILITIES]["extensions"] = json!({TASKS_EXTENSION: {}});
    if settings.on_log.is_some() {
        meta[meta::LOG_LEVEL] = json!(settings.log_level);
    }
    meta
}

/// The reply to a request of the probe.
enum Reply {
    Result {
        text: Box<RawValue>,
        session: Option<String>,
    },
    Error(JsonRpcError),
    Status(u16),
    Unreadable,
    Silence,
    Closed(Error),
}

async fn send_probe(
    wire: &Wire,
    request: ProbeRequest,
    settings: &Settings,
    ids: &AtomicU64,
) -> Reply {
    let (revision, method, params) = match request {
        ProbeRequest::Discover(revision) => {
            let params = json!({"_meta": meta(settings, revision)});
            (revision, "server/discover", params)
        }
        ProbeRequest::Initialize(revision) => {
            let params = json!({
                "protocolVersion": revision.as_str(),
                "capabilities": settings.questions.capabilities(),
                "clientInfo": {"name": settings.name, "version": settings.version},
            });
            (revision, "initialize", params)
        }
    };
    let id = ids.fetch_add(1, Ordering::Relaxed);
    let message = Outgoing::request(id, method, &params);
    let envelope = Envelope {
        revision,
        session: None,
    };
    let is_lines = wire.kind() == era_probe::Wire::Lines;
    let timeout = match request {
        // There is another era to try.
        ProbeRequest::Discover(_) if is_lines && settings.era == EraChoice::Auto => {
            PROBE_TIMEOUT.min(settings.timeout)
        }
        _ => settings.timeout,
    };
    exchange_probe(wire, &message, &envelope, timeout).await
}

async fn exchange_probe(
    wire: &Wire,
    message: &Outgoing,
    envelope: &Envelope,
    timeout: Duration,
) -> Reply {
    let replied = tokio::time::timeout(timeout, async {
        let mut exchange = match wire.start(message, envelope).await {
            Ok(exchange) => exchange,
            Err(StartError::Status(status)) => return Reply::Status(status),
            Err(StartError::SessionLost(_)) => return Reply::Status(404),
            Err(StartError::Unreadable) => return Reply::Unreadable,
            Err(StartError::Failed(error)) => return Reply::Closed(error),
        };
        loop {
            match exchange.next().await {
                Ok(Incoming::Response { result, .. }) => {
                    let session = exchange.session().map(str::to_owned);
                    return match result {
                        Ok(text) => Reply::Result { text, session },
                        Err(error) => Reply::Error(error),
                    };
                }
                Ok(_) => {}
                Err(Error::Protocol(_)) => return Reply::Unreadable,
                Err(error) => return Reply::Closed(error),
            }
        }
    });
    replied.await.unwrap_or(Reply::Silence)
}

/// A result of the handshake.
enum Read {
    Discover(Discovered),
    Initialize(Initialized),
}

#[derive(Deserialize)]
struct Discovered {
    #[serde(rename = "supportedVersions")]
    versions: Vec<String>,
    #[serde(default)]
    capabilities: Value,
    #[serde(rename = "_meta", default)]
    meta: Value,
    instructions: Option<String>,
}

#[derive(Deserialize)]
struct Initialized {
    #[serde(rename = "protocolVersion")]
    version: String,
    #[serde(default)]
    capabilities: Value,
    #[serde(rename = "serverInfo", default)]
    server: ServerInfo,
    instructions: Option<String>,
}

impl Reply {
    /// The result, if it is one.
    fn greeting(&self, request: ProbeRequest) -> Option<Result<Read, serde_json::Error>> {
        let Reply::Result { text, .. } = self else {
            return None;
        };
        Some(match request {
            ProbeRequest::Discover(_) => serde_json::from_str(text.get()).map(Read::Discover),
            ProbeRequest::Initialize(_) => serde_json::from_str(text.get()).map(Read::Initialize),
        })
    }
}

impl Read {
    fn into_greeting(self, revision: Revision) -> Greeting {
        match self {
            Read::Discover(found) => {
                let server = found.meta.get(meta::SERVER_INFO).cloned();
                let server = server.and_then(|server| serde_json::from_value(server).ok());
                Greeting {
                    revision,
                    server: server.unwrap_or_default(),
                    capabilities: found.capabilities,
                    instructions: found.instructions,
                }
            }
            Read::Initialize(found) => Greeting {
                revision,
                server: found.server,
                capabilities: found.capabilities,
                instructions: found.instructions,
            },
        }
    }
}
