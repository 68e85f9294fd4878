//! One issuer on the control thread: its rules, its keys and their schedule.

use std::sync::Arc;

use corelane_guard::token::keys::IssuerKeys;

use crate::config::{IssuerConfig, KeySource, Limits};
use crate::fetch::FetchError;
use crate::requests::{FetchedKeys, KeysError};
use crate::schedule::Schedule;
use crate::shared::SharedIssuer;

/// Most ids of keys that wait for one fetch.
const WAITING_MAX: usize = 1024;

#[derive(Debug)]
pub(crate) struct IssuerState {
    pub(crate) config: IssuerConfig,
    /// Names this state among all that there were: a fetch may end after a reload.
    pub(crate) serial: u64,
    pub(crate) shared: Arc<SharedIssuer>,
    keys: Option<Arc<IssuerKeys>>,
    /// None if its keys are not fetched.
    schedule: Option<Schedule>,
    /// The ids of keys for which shards wait.
    waiting: Vec<Box<str>>,
    /// Whether the last introspection had no answer.
    introspection_fails: bool,
}

impl IssuerState {
    pub(crate) fn new(
        config: IssuerConfig,
        serial: u64,
        limits: &Limits,
        now_ms: u64,
    ) -> IssuerState {
        let schedule = || Schedule::new(now_ms, limits.keys_age_max, limits.refresh_interval_min);
        let (keys, schedule) = match &config.source {
            KeySource::Local(keys) => (Some(Arc::clone(keys)), None),
            KeySource::Introspection(_) => (None, None),
            KeySource::Uri(_) | KeySource::Discovery { .. } => (None, Some(schedule())),
        };
        IssuerState {
            shared: SharedIssuer::new(&config.issuer.alias),
            config,
            serial,
            keys,
            schedule,
            waiting: Vec::new(),
            introspection_fails: false,
        }
    }

    /// Takes the rules of another configuration, if its keys are those of before.
    pub(crate) fn adopt(&mut self, config: &IssuerConfig) -> bool {
        let (old, new) = (&self.config, config);
        let is_same = old.issuer.alias == new.issuer.alias
            && old.issuer.issuer == new.issuer.issuer
            && old.source.is_fetched_as(&new.source);
        if is_same {
            self.config = config.clone();
        }
        is_same
    }

    pub(crate) fn keys(&self) -> Option<Arc<IssuerKeys>> {
        self.keys.clone()
    }

    /// Whether a fetch begins now, because it is due.
    pub(crate) fn begin_if_due(&mut self, now_ms: u64) -> bool {
        let begins = self
            .schedule
            .as_mut()
            .is_some_and(|it| it.begin_if_due(now_ms));
        self.update_gate();
        begins
    }

    /// Whether its keys come from its own server.
    pub(crate) fn fetches_keys(&self) -> bool {
        self.schedule.is_some()
    }

    /// Has its keys fetched soon, if they are fetched at all.
    pub(crate) fn hasten(&mut self, now_ms: u64) {
        if let Some(schedule) = &mut self.schedule {
            schedule.hasten(now_ms);
        }
        self.update_gate();
    }

    /// Takes a request for an unknown key. Returns whether a fetch begins now, and whether one is
    /// under way.
    pub(crate) fn request_key(&mut self, kid: Option<Box<str>>, now_ms: u64) -> (bool, bool) {
        let Some(schedule) = &mut self.schedule else {
            return (false, false);
        };
        let begins = schedule.begin_for_unknown_key(now_ms);
        let is_fetching = schedule.is_fetching();
        if is_fetching && self.waiting.len() < WAITING_MAX {
            self.waiting.extend(kid);
        }
        self.update_gate();
        (begins, is_fetching)
    }

    /// Ends a fetch with keys.
    pub(crate) fn succeed(&mut self, fetched: FetchedKeys, now_ms: u64, random: f64) {
        let FetchedKeys {
            keys, max_age_s, ..
        } = fetched;
        let Some(schedule) = &mut self.schedule else {
            return;
        };
        let alias = &self.config.issuer.alias;
        let had_failed = schedule.succeed(now_ms, max_age_s, random);
        if had_failed || self.keys.is_none() {
            let (count, skipped) = (keys.len(), keys.skipped().len());
            tracing::info!(issuer = %alias, keys = count, skipped, "the issuer has sent its keys");
        }
        // The ids of keys that shards wait for, and of those that the issuer has withdrawn.
        let waiting = self.waiting.iter().map(|kid| &**kid);
        let before = self.keys.iter().flat_map(|keys| keys.ids());
        for kid in waiting.chain(before).filter(|kid| !keys.has_id(kid)) {
            self.shared.gate.remember_absent(kid, now_ms);
        }
        self.waiting.clear();
        self.keys = Some(Arc::new(keys));
        self.shared.set_fetched(Some(now_ms));
        self.update_gate();
    }

    /// Ends a fetch without keys: those of before stay in use.
    pub(crate) fn fail(&mut self, error: &KeysError, now_ms: u64) {
        let Some(schedule) = &mut self.schedule else {
            return;
        };
        if schedule.fail(now_ms) {
            let alias = &self.config.issuer.alias;
            let effect = match self.keys {
                Some(_) => "its keys of before stay in use",
                None => "its tokens are answered with 503",
            };
            tracing::warn!(issuer = %alias, %error, "the issuer sends no keys: {effect}");
        }
        self.waiting.clear();
        self.update_gate();
    }

    /// Ends an introspection without an answer. It is logged once, until one succeeds.
    pub(crate) fn introspection_failed(&mut self, error: &FetchError) {
        if !std::mem::replace(&mut self.introspection_fails, true) {
            let alias = &self.config.issuer.alias;
            tracing::warn!(
                issuer = %alias,
                %error,
                "the issuer introspects no tokens: they are answered with 503"
            );
        }
    }

    /// Ends an introspection with an answer.
    pub(crate) fn introspection_succeeded(&mut self) {
        if std::mem::take(&mut self.introspection_fails) {
            let alias = &self.config.issuer.alias;
            tracing::info!(issuer = %alias, "the issuer introspects tokens again");
        }
    }

    /// Drops keys that are too old. Returns whether it did.
    pub(crate) fn expire(&mut self, now_ms: u64) -> bool {
        let is_old = self.schedule.as_mut().is_some_and(|it| it.expire(now_ms));
        if is_old {
            let alias = &self.config.issuer.alias;
            tracing::error!(
                issuer = %alias,
                "the keys of the issuer are too old: its tokens are answered with 503"
            );
            self.keys = None;
            self.shared.set_fetched(None);
        }
        is_old
    }

    /// When it is to be looked at again.
    pub(crate) fn wakes_ms(&self) -> u64 {
        self.schedule.as_ref().map_or(u64::MAX, Schedule::wakes_ms)
    }

    fn update_gate(&self) {
        if let Some(schedule) = &self.schedule {
            let gate = &self.shared.gate;
            gate.update(schedule.is_fetching(), schedule.opens_ms());
        }
    }
}
