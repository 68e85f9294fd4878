//! HTTP: a POST for each message, event streams, and their resumption in the legacy era (MCP
//! basic/transports/streamable-http in both revisions).
//!
//! Redirections are not followed and proxies of the environment are not used: a message and its
//! credentials go to the host of the URL and nowhere else.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use corelane_protocol::binding::http_client::{
    ACCEPT_ENCODING, ACCEPT_GET, ACCEPT_POST, CONTENT_TYPE, Outcome, OutgoingMessage, outcome,
};
use corelane_protocol::framing::http1::MediaType;
use corelane_protocol::framing::sse_reader::{ReceivedEvent, SseReader};
use corelane_protocol::mcp::era::Era;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response, Url};

use crate::auth::Challenge;
use crate::error::Error;
use crate::limits::{
    AUTH_ROUNDS_MAX, CONNECT_TIMEOUT, MESSAGE_BYTES_MAX, RESUMES_MAX, RETRY, RETRY_MAX,
};
use crate::message::{Incoming, Outgoing};
use crate::settings::{Settings, Traffic};
use crate::wire::{Envelope, StartError};

/// Fields whose values are not shown.
const SECRET_FIELDS: [&str; 4] = ["authorization", "cookie", "mcp-session-id", "set-cookie"];

/// One server over HTTP.
pub(crate) struct HttpWire {
    url: Url,
    /// The URL without its query, which may be a credential.
    target: String,
    client: Client,
    fields: HeaderMap,
    settings: Arc<Settings>,
}

impl std::fmt::Debug for HttpWire {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_tuple("HttpWire")
            .field(&self.target)
            .finish()
    }
}

impl HttpWire {
    /// A client of the server at this URL, with its name for people.
    pub(crate) fn new(
        (url, target): (Url, String),
        settings: &Arc<Settings>,
    ) -> Result<HttpWire, Error> {
        let failed = |reason: String| Error::Connect {
            target: target.clone(),
            reason,
        };
        let mut fields = HeaderMap::new();
        for (name, value) in &settings.fields {
            let (name, value) = field(name, value).map_err(failed)?;
            fields.append(name, value);
        }
        // The first provider of the process stays, if there is one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        Ok(HttpWire {
            url,
            target,
            client,
            fields,
            settings: Arc::clone(settings),
        })
    }

    /// Sends a request.
    pub(crate) async fn start(
        self: &Arc<HttpWire>,
        message: &Outgoing,
        envelope: &Envelope,
    ) -> Result<Box<HttpExchange>, StartError> {
        let response = self.send_message(message, envelope).await?;
        let status = response.status().as_u16();
        let media_type = media_type_of(&response);
        let session = header_of(&response, "mcp-session-id");
        let named = envelope.session.as_deref();
        let body = match outcome(status, media_type, named.is_some()) {
            Outcome::Message => self.one_message(response).await?,
            Outcome::Events => Body::Events(Box::new(EventBody::new(response))),
            // Its message may say more than the status.
            Outcome::Refused { has_message: true } => match self.one_message(response).await {
                // A refusal has no result, whatever its body says.
                Ok(body @ Body::One(Some(Incoming::Response { result: Err(_), .. }))) => body,
                _ => return Err(StartError::Status(status)),
            },
            Outcome::SessionLost => {
                let id = named.unwrap_or_default().to_owned();
                return Err(StartError::SessionLost(id));
            }
            Outcome::Unreadable => return Err(StartError::Unreadable),
            _ => return Err(StartError::Status(status)),
        };
        Ok(Box::new(HttpExchange {
            wire: Arc::clone(self),
            envelope: envelope.clone(),
            session,
            body,
            resumes: 0,
        }))
    }

    /// Sends a notification or a response.
    pub(crate) async fn post(&self, message: &Outgoing, envelope: &Envelope) -> Result<(), Error> {
        let response = self
            .send_message(message, envelope)
            .await
            .map_err(|error| {
                let StartError::Failed(error) = error else {
                    return Error::Closed;
                };
                error
            })?;
        match response.status().as_u16() {
            200..=299 => Ok(()),
            status => Err(self.not_executed(format!("status {status}"))),
        }
    }

    /// Opens the stream of messages that belong to no request; none if the server has none (405).
    pub(crate) async fn open_stream(
        self: &Arc<HttpWire>,
        envelope: &Envelope,
        last_event_id: Option<&str>,
    ) -> Result<Option<HttpExchange>, Error> {
        let response = self.get(envelope, last_event_id).await?;
        let status = response.status().as_u16();
        match outcome(status, media_type_of(&response), envelope.session.is_some()) {
            Outcome::Events => Ok(Some(HttpExchange {
                wire: Arc::clone(self),
                envelope: envelope.clone(),
                session: None,
                body: Body::Events(Box::new(EventBody::new(response))),
                resumes: 0,
            })),
            Outcome::SessionLost | Outcome::Unavailable | Outcome::Challenged => {
                Err(self.not_executed(format!("status {status}")))
            }
            _ => Ok(None),
        }
    }

    /// Ends a legacy session; 405 says that the server does not let clients end it.
    pub(crate) async fn delete(&self, envelope: &Envelope) {
        let request = self.request(Method::DELETE, envelope, None);
        let _ = self
            .execute(request.timeout(crate::limits::CLOSE_TIMEOUT))
            .await;
    }

    async fn get(&self, envelope: &Envelope, last_id: Option<&str>) -> Result<Response, Error> {
        self.send(|| {
            let request = self.request(Method::GET, envelope, None);
            let request = request.header("Accept", ACCEPT_GET);
            match last_id {
                Some(id) => request.header("Last-Event-ID", id),
                None => request,
            }
        })
        .await
    }

    async fn send_message(
        &self,
        message: &Outgoing,
        envelope: &Envelope,
    ) -> Result<Response, StartError> {
        let sent = self.send(|| {
            let mut request = self.request(Method::POST, envelope, Some(message));
            request = request
                .header("Accept", ACCEPT_POST)
                .header("Content-Type", CONTENT_TYPE);
            for (name, value) in &message.mirrored {
                request = request.header(name, value);
            }
            self.settings.show(Traffic::Sent(&message.text));
            request.body(message.text.clone())
        });
        sent.await.map_err(StartError::Failed)
    }

    /// Sends a request with credentials, and again with others if it is refused: a refused request
    /// was not executed.
    async fn send(&self, request: impl Fn() -> RequestBuilder) -> Result<Response, Error> {
        let mut rounds = 0;
        loop {
            let mut request = request();
            let mut used = None;
            if let Some(auth) = &self.settings.auth {
                let header = auth.header(self.url.as_str()).await;
                used = header.map_err(|error| self.auth_error(&error.to_string()))?;
            }
            if let Some(authorization) = &used {
                let (name, value) = field("Authorization", authorization)
                    .map_err(|fault| self.auth_error(&fault))?;
                request = request.header(name, value);
            }
            let response = self.execute(request).await?;
            let status = response.status().as_u16();
            let (Some(auth), 401 | 403) = (&self.settings.auth, status) else {
                return Ok(response);
            };
            if rounds == AUTH_ROUNDS_MAX {
                let fault = format!("status {status} after {rounds} grants of other credentials");
                return Err(self.auth_error(&fault));
            }
            rounds += 1;
            let field = header_of(&response, "www-authenticate");
            let challenge = Challenge::read(status, field.as_deref(), used);
            let granted = auth.on_challenge(self.url.as_str(), &challenge).await;
            granted.map_err(|error| self.auth_error(&error.to_string()))?;
        }
    }

    /// Sends a request, and shows both heads.
    async fn execute(&self, request: RequestBuilder) -> Result<Response, Error> {
        let request = request.build().map_err(|error| self.failure(&error))?;
        let method = request.method().clone();
        self.show(&format!("{method} {}", self.target), request.headers());
        let sent = self.client.execute(request).await;
        let response = sent.map_err(|error| self.failure(&error))?;
        self.show(&format!("{}", response.status()), response.headers());
        Ok(response)
    }

    fn show(&self, first_line: &str, fields: &HeaderMap) {
        if self.settings.on_traffic.is_none() {
            return;
        }
        let mut head = first_line.to_owned();
        for (name, value) in fields {
            let is_secret = value.is_sensitive() || SECRET_FIELDS.contains(&name.as_str());
            let value = match is_secret {
                true => "***".into(),
                false => String::from_utf8_lossy(value.as_bytes()),
            };
            head.extend(["\n", name.as_str(), ": ", &value]);
        }
        self.settings.show(Traffic::Head(&head));
    }

    fn request(
        &self,
        method: Method,
        envelope: &Envelope,
        message: Option<&Outgoing>,
    ) -> RequestBuilder {
        let mut request = self.client.request(method, self.url.clone());
        request = request
            .headers(self.fields.clone())
            .header("Accept-Encoding", ACCEPT_ENCODING);
        let described = OutgoingMessage {
            revision: envelope.revision,
            method: message.and_then(|message| message.method.as_deref()),
            name: message.and_then(|message| message.name.as_deref()),
            session: envelope.session.as_deref(),
        };
        for (name, value) in described.fields() {
            request = request.header(name, value.as_ref());
        }
        request
    }

    async fn one_message(&self, mut response: Response) -> Result<Body, StartError> {
        let mut text = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(piece)) if text.len() + piece.len() <= MESSAGE_BYTES_MAX => {
                    text.extend_from_slice(&piece);
                }
                Ok(Some(_)) => {
                    let fault = format!("a message exceeds limit of {MESSAGE_BYTES_MAX} bytes");
                    return Err(StartError::Failed(Error::Protocol(fault)));
                }
                Ok(None) => break,
                Err(error) => return Err(StartError::Failed(self.unknown(&cause_of(&error)))),
            }
        }
        self.settings.show(Traffic::Received(&text));
        match Incoming::read(&text) {
            Ok(message) => Ok(Body::One(Some(message))),
            Err(_) => Err(StartError::Unreadable),
        }
    }

    /// The error of a request: it was not executed if there was no connection.
    fn failure(&self, error: &reqwest::Error) -> Error {
        match error.is_connect() || error.is_builder() {
            true => Error::Connect {
                target: self.target.clone(),
                reason: cause_of(error),
            },
            false => self.unknown(&cause_of(error)),
        }
    }

    fn unknown(&self, reason: &str) -> Error {
        Error::Unknown {
            target: self.target.clone(),
            reason: reason.to_owned(),
        }
    }

    fn auth_error(&self, reason: &str) -> Error {
        Error::Auth {
            target: self.target.clone(),
            reason: reason.to_owned(),
        }
    }

    fn not_executed(&self, reason: String) -> Error {
        Error::NotExecuted {
            target: self.target.clone(),
            reason,
        }
    }
}

/// A field that the caller sets, whose value is not shown.
fn field(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let fault = |reason: &str| format!("header field {name:?} {reason}");
    let name_read = HeaderName::from_bytes(name.as_bytes());
    let name_read = name_read.map_err(|_| fault("has no valid name"))?;
    if name_read.as_str().starts_with("mcp-") {
        return Err(fault("is computed for each message: leave it out"));
    }
    let value = HeaderValue::from_str(value);
    let mut value = value.map_err(|_| fault("has no valid value"))?;
    value.set_sensitive(true);
    Ok((name_read, value))
}

/// The last cause of an error, which names it best; its URL stays out.
fn cause_of(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn header_of(response: &Response, name: &str) -> Option<String> {
    let value = response.headers().get(name)?.to_str().ok()?;
    Some(value.to_owned())
}

fn media_type_of(response: &Response) -> MediaType {
    header_of(response, "content-type").map_or(MediaType::Other, |value| MediaType::of(&value))
}

/// One request over HTTP, or a stream of its own.
#[derive(Debug)]
pub(crate) struct HttpExchange {
    wire: Arc<HttpWire>,
    envelope: Envelope,
    session: Option<String>,
    body: Body,
    /// Resumptions since the last message.
    resumes: u32,
}

#[derive(Debug)]
enum Body {
    One(Option<Incoming>),
    Events(Box<EventBody>),
}

/// A stream of events as it arrives.
#[derive(Debug)]
struct EventBody {
    /// None between the end of a stream and its resumption.
    response: Option<Response>,
    reader: SseReader,
    ready: VecDeque<Vec<u8>>,
    /// When the stream is to be resumed.
    resume_at: Option<tokio::time::Instant>,
}

impl EventBody {
    fn new(response: Response) -> EventBody {
        EventBody {
            response: Some(response),
            reader: SseReader::default(),
            ready: VecDeque::new(),
            resume_at: None,
        }
    }

    /// The data of the next event; none at the end of the stream.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            if let Some(data) = self.ready.pop_front() {
                return Ok(Some(data));
            }
            let Some(response) = &mut self.response else {
                return Ok(None);
            };
            // A broken stream is resumed as one that ended.
            let Ok(Some(piece)) = response.chunk().await else {
                self.response = None;
                return Ok(None);
            };
            let ready = &mut self.ready;
            let mut sink = |event: ReceivedEvent<'_>| {
                ready.push_back(event.data.to_vec());
            };
            let read = self.reader.read(&piece, MESSAGE_BYTES_MAX, &mut sink);
            read.map_err(|error| Error::Protocol(error.to_string()))?;
        }
    }
}

impl HttpExchange {
    pub(crate) fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// See [`Exchange::next`](crate::wire::Exchange::next).
    pub(crate) async fn next(&mut self) -> Result<Incoming, Error> {
        loop {
            let events = match &mut self.body {
                Body::One(message) => {
                    let message = message.take();
                    return message.ok_or_else(|| self.wire.unknown("the answer has ended"));
                }
                Body::Events(events) => events,
            };
            if let Some(data) = events.next().await? {
                self.resumes = 0;
                self.wire.settings.show(Traffic::Received(&data));
                return Incoming::read(&data);
            }
            self.resume().await?;
        }
    }

    /// Opens a legacy stream again, after the time that the server sent (MCP 2025-11-25
    /// basic/transports, "Resumability and Redelivery").
    async fn resume(&mut self) -> Result<(), Error> {
        let lost = || self.wire.unknown("the stream ended before the answer");
        let Body::Events(events) = &mut self.body else {
            return Err(lost());
        };
        let last_id = events.reader.last_event_id().to_owned();
        let is_legacy = self.envelope.revision.era() == Era::Legacy;
        if !is_legacy || last_id.is_empty() || self.resumes == RESUMES_MAX {
            return Err(lost());
        }
        let retry = events
            .reader
            .retry_ms()
            .map_or(RETRY, Duration::from_millis);
        let retry = retry.min(RETRY_MAX);
        let resume_at = *events
            .resume_at
            .get_or_insert_with(|| tokio::time::Instant::now() + retry);
        tokio::time::sleep_until(resume_at).await;
        self.resumes += 1;
        events.resume_at = None;
        let response = self.wire.get(&self.envelope, Some(&last_id)).await;
        match response {
            Ok(response) => {
                let named = self.envelope.session.is_some();
                let status = response.status().as_u16();
                match outcome(status, media_type_of(&response), named) {
                    Outcome::Events => {
                        events.response = Some(response);
                        events.reader.resume();
                    }
                    Outcome::Unavailable => {}
                    _ => return Err(lost()),
                }
            }
            // The server is away; the next resumption comes later.
            Err(_) if self.resumes < RESUMES_MAX => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
