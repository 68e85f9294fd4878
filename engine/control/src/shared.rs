//! The state that shards and the control thread share: the requests of shards, the gates of
//! issuers, and the counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use corelane_guard::access::{IssuerRequest, Issuers, RequestState};
use tokio::sync::mpsc::Sender;

use crate::config::ServerFacts;
use crate::control::ControlError;
use crate::counters::Counters;
use crate::gate::Gate;

/// The value of an age if there are no keys.
const NO_KEYS: u64 = u64::MAX;
/// The longest wait for a configuration to be read: its files may be on a slow disk.
const REREAD_TIME_MAX: Duration = Duration::from_secs(30);

/// A message to the control thread.
pub(crate) enum Message {
    /// Of a shard.
    Request(IssuerRequest),
    /// Read the configuration again.
    Reload,
    /// The same for a server with other properties, and answer.
    Reread(Box<Reread>),
}

/// A request to read the configuration for a server with these properties.
pub(crate) struct Reread {
    pub(crate) server: ServerFacts,
    /// Whether nothing is to change.
    pub(crate) is_check: bool,
    /// Takes the places whose changes take a restart, once the configuration is in use.
    pub(crate) reply: SyncSender<Result<Vec<String>, ControlError>>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    /// The clock of schedules begins here.
    started: Instant,
    pub(crate) counters: Counters,
    issuers: RwLock<Vec<Arc<SharedIssuer>>>,
    messages: Sender<Message>,
}

/// The part of an issuer that shards see.
#[derive(Debug)]
pub(crate) struct SharedIssuer {
    pub(crate) alias: Box<str>,
    pub(crate) gate: Gate,
    /// When its keys were fetched, in milliseconds of the clock.
    fetched_ms: AtomicU64,
}

impl SharedIssuer {
    pub(crate) fn new(alias: &str) -> Arc<SharedIssuer> {
        Arc::new(SharedIssuer {
            alias: alias.into(),
            gate: Gate::default(),
            fetched_ms: AtomicU64::new(NO_KEYS),
        })
    }

    pub(crate) fn set_fetched(&self, at_ms: Option<u64>) {
        self.fetched_ms
            .store(at_ms.unwrap_or(NO_KEYS), Ordering::Relaxed);
    }
}

impl Shared {
    pub(crate) fn new(messages: Sender<Message>) -> Shared {
        Shared {
            started: Instant::now(),
            counters: Counters::default(),
            issuers: RwLock::default(),
            messages,
        }
    }

    /// Milliseconds since the start.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn set_issuers(&self, issuers: Vec<Arc<SharedIssuer>>) {
        *self
            .issuers
            .write()
            .unwrap_or_else(|error| error.into_inner()) = issuers;
    }

    /// The ages of the fetched keys of each issuer, in milliseconds.
    pub(crate) fn key_ages(&self) -> Vec<(Box<str>, Option<u64>)> {
        let now_ms = self.now_ms();
        let issuers = self
            .issuers
            .read()
            .unwrap_or_else(|error| error.into_inner());
        let age = |issuer: &Arc<SharedIssuer>| {
            let fetched = issuer.fetched_ms.load(Ordering::Relaxed);
            let age = (fetched != NO_KEYS).then(|| now_ms.saturating_sub(fetched));
            (issuer.alias.clone(), age)
        };
        issuers.iter().map(age).collect()
    }

    pub(crate) fn reload(&self) {
        // A full queue has another message after which the files are looked at.
        let _ = self.messages.try_send(Message::Reload);
    }

    /// Reads the configuration again, or checks it, and waits for the result.
    pub(crate) fn reread(
        &self,
        server: ServerFacts,
        is_check: bool,
    ) -> Result<Vec<String>, ControlError> {
        let (reply, answered) = sync_channel(1);
        let request = Message::Reread(Box::new(Reread {
            server,
            is_check,
            reply,
        }));
        let sent = self.messages.try_send(request);
        sent.map_err(|_| ControlError::Busy)?;
        answered
            .recv_timeout(REREAD_TIME_MAX)
            .map_err(|_| ControlError::Busy)?
    }

    /// The state of a request for a key before it is made.
    fn state_of(&self, alias: &str, kid: Option<&str>) -> RequestState {
        // The lock is held for a write only while a reload puts a list in place of another. Then
        // the request comes too early: waiting would hold up a shard.
        let Ok(issuers) = self.issuers.try_read() else {
            return RequestState::Busy;
        };
        let mut issuers = issuers.iter();
        let found = issuers.find(|issuer| *issuer.alias == *alias);
        found.map_or(RequestState::Refused, |issuer| {
            issuer.gate.state_of(kid, self.now_ms())
        })
    }
}

impl Issuers for Shared {
    fn request(&self, request: IssuerRequest) -> RequestState {
        if let IssuerRequest::Key { issuer, kid } = &request {
            let state = self.state_of(issuer, kid.as_deref());
            if state != RequestState::Pending {
                self.counters.key_requests_refused.add_one();
                return state;
            }
        }
        match self.messages.try_send(Message::Request(request)) {
            Ok(()) => RequestState::Pending,
            Err(_) => RequestState::Busy,
        }
    }
}
