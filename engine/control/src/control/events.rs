//! The loop of the control thread: messages, ends of requests, times and files; a snapshot after
//! each change.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use corelane_guard::access::{Access, IssuerRequest};
use corelane_guard::looks::Looks;
use corelane_guard::token::fault::TokenFault;
use corelane_guard::token::verify::Verifier;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::error::ControlError;
use super::files::Files;
use crate::config::{Config, KeySource, ServerFacts, StartupSections};
use crate::event::{ControlEvent, PublishedKeys};
use crate::fetch::{FetchError, Fetcher, Lookup};
use crate::introspection::{Introspections, Reply as IntrospectionReply, TokenHash};
use crate::issuer::IssuerState;
use crate::requests::{FetchedKeys, KeysError, fetch_keys, introspect};
use crate::shared::{Message, Reread, Shared};

/// Between two looks at the files.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Most messages that are handled before a snapshot.
const BATCH_MAX: usize = 256;
/// The longest sleep, so that a time that is far away overflows nothing.
const SLEEP_MAX_MS: u64 = 3600 * 1000;

pub(super) struct Events {
    config: Config,
    /// The sections that only a start applies, as they were when the server started.
    started: StartupSections,
    files: Files,
    lookup: Lookup,
    /// None if no request is ever made.
    fetcher: Option<Fetcher>,
    shared: Arc<Shared>,
    issuers: Vec<IssuerState>,
    introspections: Introspections,
    verifier: Verifier,
    tasks: JoinSet<Ended>,
    serials: u64,
    generation: u64,
    configuration: u64,
    has_changed: bool,
    /// Whether a configuration was refused since the last report.
    was_refused: bool,
    /// Requests for a configuration that is in use with the next snapshot, and their answers.
    replies: Vec<(Reply, Vec<String>)>,
    /// The configuration of the last snapshot, and its keys.
    published: u64,
    published_keys: PublishedKeys,
}

/// Takes the answer to a request for the configuration.
type Reply = SyncSender<Result<Vec<String>, ControlError>>;

/// The end of a request.
enum Ended {
    Keys {
        serial: u64,
        result: Result<Option<FetchedKeys>, KeysError>,
    },
    Introspection {
        serial: u64,
        token: TokenHash,
        answer: Result<Vec<u8>, FetchError>,
    },
}

impl Events {
    pub(super) fn new(
        config: Config,
        files: Files,
        lookup: Lookup,
        shared: Arc<Shared>,
    ) -> Result<Events, ControlError> {
        let mut events = Events {
            fetcher: fetcher(&config, &lookup)?,
            verifier: Verifier::new(Arc::clone(&config.policy)),
            started: config.startup.clone(),
            config,
            files,
            lookup,
            shared,
            issuers: Vec::new(),
            introspections: Introspections::default(),
            tasks: JoinSet::new(),
            serials: 0,
            generation: 0,
            configuration: 0,
            has_changed: false,
            was_refused: false,
            replies: Vec::new(),
            published: 0,
            published_keys: PublishedKeys::default(),
        };
        events.take_configuration();
        Ok(events)
    }

    pub(super) async fn run(
        mut self,
        mut looks: Looks,
        mut messages: mpsc::Receiver<Message>,
        mut stopped: oneshot::Receiver<()>,
        report: impl Fn(ControlEvent<'_>),
    ) {
        let mut look = interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::new();
        loop {
            self.begin_due_fetches();
            if self.has_changed {
                self.publish(&report);
            }
            for (reply, places) in self.replies.drain(..) {
                // The receiver may have gone.
                let _ = reply.send(Ok(places));
            }
            if std::mem::take(&mut self.was_refused) {
                let policy = self.config.policy.digest();
                report(ControlEvent::PolicyRefused { policy });
            }
            let wait_ms = self.wakes_ms().saturating_sub(self.shared.now_ms());
            tokio::select! {
                _ = &mut stopped => return,
                _ = messages.recv_many(&mut batch, BATCH_MAX) => {
                    for message in batch.drain(..) {
                        self.handle(message, &mut looks);
                    }
                }
                Some(Ok(ended)) = self.tasks.join_next() => self.end(ended),
                _ = look.tick() => {
                    if looks.are_due() {
                        // Its faults were logged.
                        let _ = self.reload(&mut looks, None);
                    }
                }
                () = sleep(Duration::from_millis(wait_ms.min(SLEEP_MAX_MS))) => {}
            }
        }
    }

    fn handle(&mut self, message: Message, looks: &mut Looks) {
        match message {
            Message::Reload => {
                // Its faults were logged.
                let _ = self.reload(looks, None);
                self.hasten_issuers();
            }
            Message::Reread(request) => self.reread(*request, looks),
            Message::Request(IssuerRequest::Key { issuer, kid }) => self.request_key(&issuer, kid),
            Message::Request(IssuerRequest::Introspect {
                issuer,
                token,
                reply,
            }) => self.request_introspection(&issuer, &token, reply),
        }
    }

    fn reread(&mut self, request: Reread, looks: &mut Looks) {
        let Reread {
            server,
            is_check,
            reply,
        } = request;
        let answer = if is_check {
            self.check(server)
        } else {
            let reloaded = self.reload(looks, Some(server));
            self.hasten_issuers();
            match reloaded {
                // Its answer comes with the next snapshot.
                Ok(places) => return self.replies.push((reply, places)),
                Err(error) => Err(error),
            }
        };
        // The receiver may have gone.
        let _ = reply.send(answer);
    }

    /// Checks the configuration for a server with these properties, and changes nothing.
    fn check(&self, server: ServerFacts) -> Result<Vec<String>, ControlError> {
        let (config, _) = self.files.of_server(server).load();
        let config = config?;
        fetcher(&config, &self.lookup)?;
        Ok(config.startup.differing(&self.started))
    }

    fn hasten_issuers(&mut self) {
        let now_ms = self.shared.now_ms();
        for issuer in &mut self.issuers {
            issuer.hasten(now_ms);
        }
    }

    fn request_key(&mut self, alias: &str, kid: Option<Box<str>>) {
        let now_ms = self.shared.now_ms();
        let found = self.issuers.iter_mut();
        let found = found
            .enumerate()
            .find(|(_, it)| *it.config.issuer.alias == *alias);
        let state = found.map(|(place, issuer)| (place, issuer.request_key(kid, now_ms)));
        match state {
            Some((place, (begins, true))) => {
                self.shared.counters.key_requests.add_one();
                if begins {
                    self.fetch(place);
                }
            }
            // The shard waits for a snapshot, which is the same.
            _ => self.has_changed = true,
        }
    }

    fn request_introspection(&mut self, alias: &str, token: &[u8], reply: IntrospectionReply) {
        let mut issuers = self.issuers.iter();
        let found = issuers.find(|it| *it.config.issuer.alias == *alias);
        let found = found.and_then(|issuer| match &issuer.config.source {
            KeySource::Introspection(endpoint) => Some((issuer.serial, Arc::clone(endpoint))),
            _ => None,
        });
        let (Some((serial, endpoint)), Some(fetcher)) = (found, self.fetcher.clone()) else {
            reply(Err(TokenFault::KeysUnavailable));
            return;
        };
        let hash = TokenHash::new(alias, token);
        if self.introspections.begin(hash, reply, now_s()) {
            let token = secrecy::zeroize::Zeroizing::new(token.to_vec());
            self.tasks.spawn(async move {
                let answer = introspect(&fetcher, &endpoint, &token).await;
                Ended::Introspection {
                    serial,
                    token: hash,
                    answer,
                }
            });
        }
    }

    fn begin_due_fetches(&mut self) {
        let now_ms = self.shared.now_ms();
        for place in 0..self.issuers.len() {
            self.has_changed |= self.issuers[place].expire(now_ms);
            if self.issuers[place].begin_if_due(now_ms) {
                self.fetch(place);
            }
        }
    }

    fn wakes_ms(&self) -> u64 {
        let times = self.issuers.iter().map(IssuerState::wakes_ms);
        times.min().unwrap_or(u64::MAX)
    }

    fn fetch(&mut self, place: usize) {
        let issuer = &self.issuers[place];
        let fetcher = self.fetcher.clone();
        let fetcher = fetcher.expect("there is a fetcher if an issuer is remote");
        let (serial, config) = (issuer.serial, issuer.config.clone());
        self.tasks.spawn(async move {
            let result = fetch_keys(&fetcher, &config.issuer.issuer, &config.source).await;
            Ended::Keys { serial, result }
        });
    }

    fn end(&mut self, ended: Ended) {
        match ended {
            Ended::Keys { serial, result } => self.end_fetch(serial, result),
            Ended::Introspection {
                serial,
                token,
                answer,
            } => self.end_introspection(serial, token, answer),
        }
    }

    fn end_fetch(&mut self, serial: u64, result: Result<Option<FetchedKeys>, KeysError>) {
        let now_ms = self.shared.now_ms();
        let counters = &self.shared.counters;
        let mut issuers = self.issuers.iter_mut();
        let Some(issuer) = issuers.find(|issuer| issuer.serial == serial) else {
            return;
        };
        match result {
            Ok(Some(fetched)) => {
                counters.fetches_succeeded.add_one();
                issuer.succeed(fetched, now_ms, random());
            }
            Ok(None) => {}
            Err(error) => {
                counters.fetches_failed.add_one();
                issuer.fail(&error, now_ms);
            }
        }
        // Also after a failure: shards may wait for a snapshot.
        self.has_changed = true;
    }

    fn end_introspection(
        &mut self,
        serial: u64,
        token: TokenHash,
        answer: Result<Vec<u8>, FetchError>,
    ) {
        let counters = &self.shared.counters;
        match &answer {
            Ok(_) => counters.introspections_succeeded.add_one(),
            Err(_) => counters.introspections_failed.add_one(),
        }
        let mut issuers = self.issuers.iter_mut();
        let issuer = issuers.find(|issuer| issuer.serial == serial);
        let result = match (issuer, answer) {
            (Some(issuer), Err(error)) => {
                issuer.introspection_failed(&error);
                Err(TokenFault::KeysUnavailable)
            }
            (Some(issuer), Ok(answer)) => {
                issuer.introspection_succeeded();
                let alias = &issuer.config.issuer.alias;
                self.verifier.verify_introspection(alias, &answer, now_s())
            }
            _ => Err(TokenFault::KeysUnavailable),
        };
        self.introspections.end(token, result, now_s());
    }

    /// Reads the configuration again, for a server with these properties or those of before.
    /// Returns the places whose changes are not in use.
    fn reload(
        &mut self,
        looks: &mut Looks,
        server: Option<ServerFacts>,
    ) -> Result<Vec<String>, ControlError> {
        let files = match server {
            Some(server) => self.files.of_server(server),
            None => self.files.clone(),
        };
        let (config, next_looks) = files.load();
        *looks = next_looks;
        let config = config.map_err(ControlError::from);
        let parts = config.and_then(|config| Ok((fetcher(&config, &self.lookup)?, config)));
        match parts {
            Ok((fetcher, config)) => {
                self.fetcher = fetcher;
                self.files = files;
                self.config = config;
                self.take_configuration();
                tracing::info!("the configuration was read again and is in use");
                let places = self.config.startup.differing(&self.started);
                for place in &places {
                    tracing::warn!(
                        place,
                        "a change of the configuration is not in use: restart the server for it"
                    );
                }
                Ok(places)
            }
            Err(error) => {
                self.shared.counters.configurations_refused.add_one();
                self.was_refused = true;
                tracing::error!(
                    %error,
                    "the configuration cannot be used: that of before stays in use"
                );
                Err(error)
            }
        }
    }

    /// Makes the states of the issuers of a new configuration. Keys that were fetched stay.
    fn take_configuration(&mut self) {
        for warning in &self.config.warnings {
            tracing::warn!(file = %self.files.path.display(), "{warning}");
        }
        let now_ms = self.shared.now_ms();
        let mut old = std::mem::take(&mut self.issuers);
        for config in &self.config.issuers {
            let place = old.iter_mut().position(|issuer| issuer.adopt(config));
            let issuer = match place {
                Some(place) => old.swap_remove(place),
                None => {
                    self.serials += 1;
                    let limits = &self.files.server.limits;
                    IssuerState::new(config.clone(), self.serials, limits, now_ms)
                }
            };
            self.issuers.push(issuer);
        }
        // No key of the others comes later.
        let fetched = self.issuers.iter().filter(|issuer| issuer.fetches_keys());
        let shared = fetched.map(|issuer| Arc::clone(&issuer.shared));
        self.shared.set_issuers(shared.collect());
        self.shared.counters.configurations.add_one();
        self.introspections.forget();
        self.configuration += 1;
        self.has_changed = true;
    }

    pub(super) fn publish(&mut self, report: &impl Fn(ControlEvent<'_>)) {
        self.has_changed = false;
        self.generation += 1;
        let config = &self.config;
        let limits = &self.files.server.limits;
        let keys = self.issuers.iter();
        let keys = keys.map(|issuer| (Arc::clone(&issuer.config.issuer), issuer.keys()));
        self.verifier = config.verifier(limits, keys);
        let access = Arc::new(Access {
            generation: self.generation,
            configuration: self.configuration,
            requires_credential: config.requires_credential,
            verifier: self.verifier.clone(),
            policy: Arc::clone(&config.policy),
            endpoints: Arc::clone(&config.endpoints),
            trusted_proxies: config.trusted_proxies.clone(),
            limits: Arc::clone(&config.client_limits),
        });
        report(ControlEvent::Snapshot(access));
        if self.published != self.configuration {
            self.published = self.configuration;
            let policy = config.policy.digest();
            report(ControlEvent::PolicyLoaded { policy });
        }
        self.published_keys.update(&self.issuers, report);
    }
}

/// Makes requests, if there is an issuer to which they are made.
fn fetcher(config: &Config, lookup: &Lookup) -> Result<Option<Fetcher>, FetchError> {
    let is_remote = config.issuers.iter().any(|it| it.source.is_remote());
    is_remote
        .then(|| Fetcher::new(&config.authorities, lookup))
        .transpose()
}

fn now_s() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

/// A number from 0 to 1. Without random numbers times have no jitter.
fn random() -> f64 {
    getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX))
}
