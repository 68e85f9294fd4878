//! The credential of an upstream: where it comes from, and when it is renewed.
//!
//! A value in a file is read again when it changes. An access token is renewed when 80 % of its
//! life are over, and when the upstream refuses it; one request for it is under way at a time. A
//! failure to renew it deletes nothing: it is used to its end. The clock and all effects but the
//! reading of files are the caller's.

mod service;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use corelane_gateway::config::{self, Upstream, Value};

use super::backoff::Backoff;
use super::secret::secret;
use crate::server::upstream_error::UpstreamError;
use crate::upstream::board::{GrantFault, Granted};
use crate::upstream::endpoint::EndpointCredential;
#[cfg(feature = "auth")]
pub(super) use service::granted_of;
pub(super) use service::{ExchangeSource, ServiceSource};

/// Between two looks at a file with a secret.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// The least time between two requests for a token that the upstream refuses.
const REFUSED_INTERVAL: Duration = Duration::from_secs(1);

/// Where a credential comes from.
#[derive(Clone)]
pub(in crate::server) struct Source {
    /// The name of its field, in lower case.
    field: Arc<str>,
    kind: Kind,
    /// How the tokens of clients are exchanged, if they are.
    #[cfg_attr(
        not(feature = "auth"),
        expect(dead_code, reason = "nothing is exchanged")
    )]
    exchange: Option<ExchangeSource>,
}

#[derive(Clone)]
enum Kind {
    /// A value, after this text.
    Value(&'static str, Value),
    /// An authorization server.
    Service(ServiceSource),
}

/// See the module's text.
pub(super) struct Credential {
    source: Source,
    /// The value of its field, as long as there is one.
    value: Option<String>,
    /// Rises with each other value.
    number: u64,
    /// Rises with each try to get another one that failed.
    failures: u64,
    due: Option<Instant>,
    /// When the value ends.
    ends: Option<Instant>,
    is_requested: bool,
    /// When the last request began.
    requested: Option<Instant>,
    backoff: Backoff,
    fault: Option<Box<str>>,
}

/// Shows no secret.
impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credential")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Source {
    /// The source for an upstream, if it has a credential.
    ///
    /// # Errors
    /// A secret cannot be read, or this build cannot request tokens.
    pub(super) fn of(upstream: &Upstream) -> Result<Option<Source>, UpstreamError> {
        let Some(credential) = &upstream.credential else {
            return Ok(None);
        };
        let kind = match credential {
            config::Credential::Bearer(value) => Kind::Value("Bearer ", value.clone()),
            config::Credential::Header(_, value) => Kind::Value("", value.clone()),
            config::Credential::ClientCredentials(account)
            | config::Credential::TokenExchange(account, _) => {
                Kind::Service(ServiceSource::of(upstream, account)?)
            }
        };
        let exchange = match (credential, &kind) {
            (config::Credential::TokenExchange(_, audience), Kind::Service(service)) => {
                Some(service.exchange(audience.as_deref()))
            }
            _ => None,
        };
        let source = Source {
            field: credential.field().into(),
            kind,
            exchange,
        };
        if let Kind::Value(start, value) = &source.kind {
            source
                .read(start, value)
                .map_err(|error| UpstreamError::Credential {
                    name: upstream.name.to_string(),
                    error: error.to_string(),
                })?;
        }
        Ok(Some(source))
    }

    fn read(&self, start: &str, value: &Value) -> std::io::Result<String> {
        let text = secret(value)?;
        match text.is_empty() || text.chars().any(char::is_control) {
            true => Err(std::io::Error::other(
                "it is empty or has control characters",
            )),
            false => Ok(format!("{start}{text}")),
        }
    }
}

impl Credential {
    /// The credential of a source that was checked.
    pub(super) fn new(source: Source, now: Instant) -> Credential {
        let mut credential = Credential {
            source,
            value: None,
            number: 0,
            failures: 0,
            due: Some(now),
            ends: None,
            is_requested: false,
            requested: None,
            backoff: Backoff::START,
            fault: None,
        };
        credential.look(now);
        credential
    }

    /// When something is to be done without an event.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.into_iter().chain(self.ends).min()
    }

    /// The time has come. Gives the source from which a token is to be requested, if one is.
    pub(super) fn handle_due(&mut self, now: Instant) -> Option<ServiceSource> {
        if self.ends.is_some_and(|ends| ends <= now) {
            self.ends = None;
            self.set(None);
        }
        if self.due.is_some_and(|due| due <= now) {
            self.due = None;
            self.look(now);
            return self.request(now);
        }
        None
    }

    /// The upstream refuses the value with this number. Gives the source for another one, if one
    /// is to be requested.
    pub(super) fn handle_refused(&mut self, number: u64, now: Instant) -> Option<ServiceSource> {
        if number != self.number {
            return None;
        }
        self.look(now);
        match &self.source.kind {
            Kind::Value(..) => {
                self.failures += u64::from(number == self.number);
                return None;
            }
            Kind::Service(service) => service.find_again(),
        }
        let earliest = self.requested.map(|at| at + REFUSED_INTERVAL);
        match earliest.is_some_and(|earliest| earliest > now) {
            true => {
                if !self.is_requested {
                    self.due = self.due.into_iter().chain(earliest).min();
                }
                None
            }
            false => self.request(now),
        }
    }

    /// A token was granted, or was not.
    pub(super) fn handle_granted(
        &mut self,
        granted: Result<Granted, GrantFault>,
        now: Instant,
        random: f64,
    ) {
        self.is_requested = false;
        match granted {
            Ok(granted) => {
                (self.backoff, self.fault) = (Backoff::START, None);
                self.ends = granted.life.map(|life| now + life.max(REFUSED_INTERVAL));
                // A life of nothing is no reason to request without end.
                let renewed_after = |life: Duration| life.mul_f64(0.8).max(REFUSED_INTERVAL);
                self.due = granted.life.map(|life| now + renewed_after(life));
                self.set(Some(granted.value));
            }
            Err(fault) => {
                self.fault = Some(fault.text.into());
                self.failures += 1;
                self.due = Some(now + self.backoff.take().mul_f64(0.5 + random / 2.0));
                if fault.is_refused {
                    // The authorization server knows better than the token of before.
                    self.ends = None;
                    self.set(None);
                }
            }
        }
    }

    /// Its part of the endpoint of the upstream.
    pub(super) fn endpoint(&self) -> EndpointCredential {
        EndpointCredential {
            number: self.number,
            failures: self.failures,
            field: Arc::clone(&self.source.field),
            is_there: self.value.is_some(),
        }
    }

    /// Whether there is a value.
    pub(super) fn is_there(&self) -> bool {
        self.value.is_some()
    }

    /// The name and the value of its field.
    pub(super) fn field(&self) -> Option<(&str, &str)> {
        Some((&self.source.field, self.value.as_deref()?))
    }

    /// How the tokens of clients are exchanged, if they are.
    #[cfg(feature = "auth")]
    pub(super) fn exchange(&self) -> Option<&ExchangeSource> {
        self.source.exchange.as_ref()
    }

    /// Why there is no other value, if the last try failed.
    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Reads a value from its place again.
    fn look(&mut self, now: Instant) {
        let Kind::Value(start, value) = &self.source.kind else {
            return;
        };
        match self.source.read(start, value) {
            Ok(value) => {
                self.fault = None;
                self.set(Some(value));
            }
            // That of before is used.
            Err(error) => self.fault = Some(error.to_string().into()),
        }
        let is_file = matches!(self.source.kind, Kind::Value(_, Value::File(_)));
        self.due = is_file.then(|| now + LOOK_INTERVAL);
    }

    fn request(&mut self, now: Instant) -> Option<ServiceSource> {
        let Kind::Service(service) = &self.source.kind else {
            return None;
        };
        if std::mem::replace(&mut self.is_requested, true) {
            return None;
        }
        self.requested = Some(now);
        self.due = None;
        Some(service.clone())
    }

    fn set(&mut self, value: Option<String>) {
        if self.value != value {
            self.value = value;
            self.number += 1;
        }
    }
}

#[cfg(test)]
mod tests;
