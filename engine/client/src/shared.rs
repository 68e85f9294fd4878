//! One request from its params to its result, and the messages that belong to no request.
//!
//! Invariant: a request that ends early (its future is dropped, a clock runs out) is cancelled on
//! the wire, without waiting: in the modern era over HTTP by the end of its stream, elsewhere by
//! `notifications/cancelled` (MCP basic/patterns/cancellation in both revisions).

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use corelane_protocol::binding::header_param::{self, HeaderParam};
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::era_probe;
use corelane_protocol::mcp::error_code;
use corelane_protocol::mcp::legacy_session::LegacySession;
use corelane_protocol::mcp::revision::Revision;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit, broadcast};
use tokio::time::Instant;

use crate::cache::{Cache, CachePolicy};
use crate::change::Change;
use crate::error::{Clock, Error, JsonRpcError};
use crate::handshake::{self, Greeting};
use crate::limits::{CANCELLATIONS_MAX, CLOSE_TIMEOUT, QUESTIONS_MAX, WAITING_MAX};
use crate::message::{Incoming, Outgoing};
use crate::progress::Progress;
use crate::settings::{LogMessage, Settings};
use crate::wire::{Envelope, Exchange, StartError, Wire};

/// A handler of progress.
pub(crate) type ProgressHandler = Arc<dyn Fn(Progress) + Send + Sync>;

/// One request of the caller.
pub(crate) struct Request<'a> {
    pub method: &'a str,
    pub params: Value,
    pub timeout: Duration,
    pub max_timeout: Duration,
    pub on_progress: Option<ProgressHandler>,
    /// Whether it may be sent again when its outcome is not known.
    pub is_idempotent: bool,
}

/// The state of a client, shared by its clones and its tasks.
pub(crate) struct Shared {
    pub settings: Arc<Settings>,
    pub target: String,
    pub wire: Wire,
    pub greeting: Greeting,
    pub changes: broadcast::Sender<Change>,
    /// Resources of legacy subscriptions, which a new session needs again.
    pub subscribed: Mutex<BTreeSet<String>>,
    /// The tools of the last list that the client had to leave out, and why.
    pub warnings: Mutex<Vec<String>>,
    pub cache: Cache,
    /// The annotated arguments of the tools that were listed.
    pub header_params: RwLock<HashMap<String, Vec<HeaderParam>>>,
    session: Mutex<LegacySession>,
    renewing: tokio::sync::Mutex<()>,
    ids: AtomicU64,
    calls: Semaphore,
    questions: Arc<Semaphore>,
    /// One permit for each cancellation that is being sent.
    cancellations: Arc<Semaphore>,
}

impl Shared {
    pub(crate) fn new(
        settings: Arc<Settings>,
        target: String,
        opened: (Wire, Greeting, LegacySession),
        ids: AtomicU64,
    ) -> Shared {
        let (wire, greeting, session) = opened;
        let cache = match greeting.revision.era() {
            Era::Modern => Cache::new(settings.cache),
            // Its results say nothing about time.
            Era::Legacy => Cache::new(CachePolicy::Off),
        };
        let calls_max = settings.calls_max;
        Shared {
            settings,
            target,
            wire,
            greeting,
            changes: broadcast::channel(WAITING_MAX).0,
            subscribed: Mutex::default(),
            warnings: Mutex::default(),
            cache,
            header_params: RwLock::default(),
            session: Mutex::new(session),
            renewing: tokio::sync::Mutex::new(()),
            ids,
            calls: Semaphore::new(calls_max),
            questions: Arc::new(Semaphore::new(QUESTIONS_MAX)),
            cancellations: Arc::new(Semaphore::new(CANCELLATIONS_MAX as usize)),
        }
    }

    /// The revision in force.
    pub(crate) fn revision(&self) -> Revision {
        match self.greeting.revision.era() {
            Era::Modern => self.greeting.revision,
            Era::Legacy => self.session().revision(),
        }
    }

    pub(crate) fn is_modern(&self) -> bool {
        self.greeting.revision.era() == Era::Modern
    }

    pub(crate) fn is_http(&self) -> bool {
        self.wire.kind() == era_probe::Wire::Http
    }

    /// The session and the revision of the next message.
    pub(crate) fn envelope(&self) -> Envelope {
        let session = self.session();
        Envelope {
            revision: self.greeting.revision.max(session.revision()),
            session: session.id().map(str::to_owned),
        }
    }

    pub(crate) fn session(&self) -> std::sync::MutexGuard<'_, LegacySession> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the cancellations are sent, for a bounded time.
    pub(crate) async fn cancelled(&self) {
        let all_sent = self.cancellations.acquire_many(CANCELLATIONS_MAX);
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, all_sent).await;
    }

    /// Sends a cancellation apart, unless too many of them are being sent.
    pub(crate) fn cancel_apart(&self, cancellation: impl Future<Output = ()> + Send + 'static) {
        let runtime = tokio::runtime::Handle::try_current();
        let permit = Arc::clone(&self.cancellations).try_acquire_owned();
        if let (Ok(runtime), Ok(permit)) = (runtime, permit) {
            runtime.spawn(async move {
                let _permit = permit;
                cancellation.await;
            });
        }
    }

    /// Performs one request, without rounds of input.
    pub(crate) async fn exchange(
        self: &Arc<Shared>,
        request: &Request<'_>,
    ) -> Result<Box<RawValue>, Error> {
        let _permit = self.take_turn().await?;
        match self.attempt(request).await {
            Err(Error::Unknown { .. } | Error::NotExecuted { .. }) if request.is_idempotent => {
                self.attempt(request).await
            }
            other => other,
        }
    }

    /// Waits until there are few enough requests in flight, or refuses this one.
    async fn take_turn(&self) -> Result<SemaphorePermit<'_>, Error> {
        if !self.settings.refuses_excess {
            return self.calls.acquire().await.map_err(|_| Error::Closed);
        }
        self.calls.try_acquire().map_err(|_| Error::NotExecuted {
            target: self.target.clone(),
            reason: format!(
                "{} requests are in flight: wait for one of them, or raise calls_max",
                self.settings.calls_max
            ),
        })
    }

    async fn attempt(self: &Arc<Shared>, request: &Request<'_>) -> Result<Box<RawValue>, Error> {
        let deadline = Instant::now() + request.max_timeout;
        let (id, message) = self.message(request);
        let mut guard = CancelGuard {
            shared: self,
            id,
            is_armed: true,
        };
        let clocks = Clocks {
            timeout: request.timeout,
            deadline,
        };
        let mut exchange = clocks.limit(self.start(&message)).await??;
        loop {
            let incoming = clocks.limit(exchange.next()).await?;
            if let Err(Error::Unknown { .. }) = incoming {
                guard.is_armed = false;
            }
            match incoming? {
                Incoming::Response { id: found, result } => {
                    guard.is_armed = false;
                    if found.is_some_and(|found| found != id) || found.is_none() && result.is_ok() {
                        let fault = "an answer has the id of another request";
                        return Err(Error::Protocol(fault.to_owned()));
                    }
                    self.session().handle_answer();
                    return result.map_err(Error::Refused);
                }
                Incoming::Notification { method, params }
                    if method == "notifications/progress"
                        && params.get("progressToken").and_then(Value::as_u64) == Some(id) =>
                {
                    if let Some(handler) = &request.on_progress {
                        handler(Progress::read(&params));
                    }
                }
                other => self.on_unsolicited(other),
            }
        }
    }

    /// The message of a request, with a new id.
    fn message(&self, request: &Request<'_>) -> (u64, Outgoing) {
        let id = self.next_id();
        let mut params = match &request.params {
            Value::Object(_) => request.params.clone(),
            _ => json!({}),
        };
        if self.is_modern() {
            let meta = handshake::meta(&self.settings, self.greeting.revision);
            for (key, value) in meta.as_object().into_iter().flatten() {
                params["_meta"][key] = value.clone();
            }
        }
        params["_meta"]["progressToken"] = json!(id);
        let mut message = Outgoing::request(id, request.method, &params);
        if self.is_modern() && self.is_http() && request.method == "tools/call" {
            message.mirrored = self.mirrored(&params);
        }
        (id, message)
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    fn mirrored(&self, params: &Value) -> Vec<(String, String)> {
        let known = self
            .header_params
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let name = params
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let arguments = params.get("arguments").unwrap_or(&Value::Null);
        let params = known.get(name).map_or(&[][..], Vec::as_slice);
        header_param::mirror(params, arguments)
    }

    /// Sends a request. A session that was lost is opened again once, and the request, which was
    /// not executed, is sent again.
    pub(crate) async fn start(self: &Arc<Shared>, message: &Outgoing) -> Result<Exchange, Error> {
        let mut has_renewed = false;
        loop {
            let status = match self.wire.start(message, &self.envelope()).await {
                Ok(exchange) => return Ok(exchange),
                Err(StartError::SessionLost(id)) if !has_renewed => {
                    has_renewed = true;
                    self.renew(&id).await?;
                    continue;
                }
                Err(StartError::SessionLost(_)) => 404,
                Err(StartError::Status(status)) => status,
                Err(StartError::Unreadable) => {
                    let fault = "the answer is no message of MCP";
                    return Err(Error::Protocol(fault.to_owned()));
                }
                Err(StartError::Failed(error)) => return Err(error),
            };
            return Err(status_error(&self.target, status));
        }
    }

    /// Opens the session anew, unless another request has done so.
    pub(crate) async fn renew(self: &Arc<Shared>, lost: &str) -> Result<(), Error> {
        let _turn = self.renewing.lock().await;
        let mut session = self.session().clone();
        if session.id() != Some(lost) {
            return Ok(());
        }
        let is_lost = session.handle_lost(lost);
        is_lost.map_err(|fault| Error::Protocol(fault.to_string()))?;
        handshake::renew(&self.wire, &mut session, &self.settings, &self.ids).await?;
        *self.session() = session;
        let _ = self.changes.send(Change::Gap);
        let uris = self
            .subscribed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for uri in uris {
            self.send_apart("resources/subscribe", json!({"uri": uri}));
        }
        self.set_level();
        Ok(())
    }

    /// Sets the level of the server's log, in a legacy session.
    pub(crate) fn set_level(self: &Arc<Shared>) {
        let has_log = self.greeting.capabilities.get("logging").is_some();
        if self.settings.on_log.is_some() && has_log && !self.is_modern() {
            self.send_apart(
                "logging/setLevel",
                json!({"level": self.settings.log_level}),
            );
        }
    }

    /// Sends a request whose result does not matter.
    fn send_apart(self: &Arc<Shared>, method: &'static str, params: Value) {
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let request = shared.request(method, params);
            let _ = shared.attempt(&request).await;
        });
    }

    /// A request with the settings of the client.
    pub(crate) fn request<'a>(&self, method: &'a str, params: Value) -> Request<'a> {
        Request {
            method,
            params,
            timeout: self.settings.timeout,
            max_timeout: self.settings.max_timeout,
            on_progress: None,
            is_idempotent: false,
        }
    }

    /// Handles a message that belongs to no request, or that a request brings besides its own.
    pub(crate) fn on_unsolicited(self: &Arc<Shared>, message: Incoming) {
        match message {
            // In the modern era no server may send requests.
            Incoming::Request { id, method, params } if !self.is_modern() => {
                self.answer(id, method, params);
            }
            Incoming::Notification { method, params } if method == "notifications/message" => {
                if let Some(handler) = &self.settings.on_log {
                    handler(log_message(params));
                }
            }
            Incoming::Notification { method, params } => {
                if let Some(change) = Change::read(&method, &params) {
                    self.cache.on_change(&change);
                    // Without a subscriber it is of no use.
                    let _ = self.changes.send(change);
                }
            }
            _ => {}
        }
    }

    /// Answers a request of the server, apart from the request that brought it.
    fn answer(self: &Arc<Shared>, id: Value, method: String, params: Value) {
        let shared = Arc::clone(self);
        let permit = Arc::clone(&self.questions).try_acquire_owned();
        tokio::spawn(async move {
            let result = match permit {
                Ok(_permit) => {
                    let questions = &shared.settings.questions;
                    questions.answer(&method, &params, &shared.target).await
                }
                Err(_) => {
                    let fault = format!("more than {QUESTIONS_MAX} requests are being answered");
                    Err(JsonRpcError::new(error_code::INTERNAL_ERROR, fault))
                }
            };
            let message = Outgoing::response(&id, &result);
            let _ = shared.wire.post(&message, &shared.envelope()).await;
        });
    }
}

fn log_message(mut params: Value) -> LogMessage {
    let text = |name: &str| params.get(name).and_then(Value::as_str).map(str::to_owned);
    LogMessage {
        level: text("level").unwrap_or_default(),
        logger: text("logger"),
        data: params["data"].take(),
    }
}

fn status_error(target: &str, status: u16) -> Error {
    let target = target.to_owned();
    match status {
        401 => {
            let reason = "status 401: set an access token".to_owned();
            Error::Auth { target, reason }
        }
        403 => {
            let reason = "status 403: the access token does not suffice".to_owned();
            Error::Auth { target, reason }
        }
        300..=399 => Error::NotExecuted {
            target,
            reason: format!("status {status}: redirections are not followed"),
        },
        200..=299 => Error::Protocol(format!("status {status} without an answer")),
        408 | 500..=502 | 504.. => Error::Unknown {
            target,
            reason: format!("status {status}"),
        },
        _ => Error::NotExecuted {
            target,
            reason: format!("status {status}"),
        },
    }
}

/// The clocks of a request.
struct Clocks {
    timeout: Duration,
    deadline: Instant,
}

impl Clocks {
    async fn limit<T>(&self, future: impl Future<Output = T>) -> Result<T, Error> {
        let silent_at = Instant::now() + self.timeout;
        let limited = tokio::time::timeout_at(silent_at.min(self.deadline), future).await;
        limited.map_err(|_| match silent_at < self.deadline {
            true => Error::Timeout(Clock::Silence),
            false => Error::Timeout(Clock::Total),
        })
    }
}

/// Cancels its request when it is dropped.
struct CancelGuard<'a> {
    shared: &'a Arc<Shared>,
    id: u64,
    is_armed: bool,
}

impl Drop for CancelGuard<'_> {
    fn drop(&mut self) {
        let ends_with_its_stream = self.shared.is_modern() && self.shared.is_http();
        if !self.is_armed || ends_with_its_stream {
            return;
        }
        let params = json!({"requestId": self.id, "reason": "the caller gave the request up"});
        let message = Outgoing::notification("notifications/cancelled", &params);
        if let Wire::Lines(wire) = &self.shared.wire
            && wire.try_post(&message)
        {
            return;
        }
        let shared = Arc::clone(self.shared);
        self.shared.cancel_apart(async move {
            let _ = shared.wire.post(&message, &shared.envelope()).await;
        });
    }
}
