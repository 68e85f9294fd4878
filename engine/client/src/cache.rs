//! Results that are fresh for the time that their server gives (`ttlMs`; MCP 2026-07-28
//! server/utilities/caching).
//!
//! It is of one client, so of one credential: private results may be in it. A notification of a
//! change removes the results that it is about, and results that were requested before it are not
//! kept. It deliberately requests nothing by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use crate::change::Change;
use crate::limits::{CACHE_BYTES_MAX, CACHE_ENTRIES_MAX, CACHE_TTL_MAX};
use crate::types::RawResult;

/// The results that a client keeps while they are fresh, as their server says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CachePolicy {
    /// None.
    Off,
    /// Lists.
    #[default]
    Lists,
    /// Lists, and resources that were read.
    ListsAndReads,
}

/// The results of one client.
pub(crate) struct Cache {
    policy: CachePolicy,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    by_key: HashMap<String, Entry>,
    bytes: usize,
    /// Grows with each change.
    version: u64,
}

struct Entry {
    pages: Arc<[RawResult]>,
    bytes: usize,
    fresh_until: Instant,
}

impl Entries {
    fn remove_if(&mut self, is_stale: impl Fn(&str, &Entry) -> bool) {
        self.by_key.retain(|key, entry| !is_stale(key, entry));
        self.bytes = self.by_key.values().map(|entry| entry.bytes).sum();
    }
}

impl Cache {
    /// An empty cache.
    pub(crate) fn new(policy: CachePolicy) -> Cache {
        Cache {
            policy,
            entries: Mutex::default(),
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version of the next request, for [`Cache::keep`].
    pub(crate) fn version(&self) -> u64 {
        self.entries().version
    }

    /// The pages under this key that are fresh.
    pub(crate) fn find(&self, key: &str) -> Option<Arc<[RawResult]>> {
        let entries = self.entries();
        let entry = entries.by_key.get(key)?;
        (Instant::now() < entry.fresh_until).then(|| Arc::clone(&entry.pages))
    }

    /// Keeps pages that were requested at this version, for the shortest time that one of them is
    /// fresh.
    pub(crate) fn keep(&self, key: String, pages: &[RawResult], version: u64) {
        let is_wanted = match self.policy {
            CachePolicy::Off => false,
            CachePolicy::Lists => !key.starts_with("resources/read "),
            CachePolicy::ListsAndReads => true,
        };
        let fresh_for = pages.iter().map(fresh_for).min().unwrap_or_default();
        let bytes = key.len() + pages.iter().map(|page| page.get().len()).sum::<usize>();
        let mut entries = self.entries();
        if !is_wanted || fresh_for.is_zero() || entries.version != version {
            return;
        }
        let now = Instant::now();
        entries.remove_if(|found, entry| found == key || entry.fresh_until <= now);
        let has_space = entries.by_key.len() < CACHE_ENTRIES_MAX
            && entries.bytes.saturating_add(bytes) <= CACHE_BYTES_MAX;
        if has_space {
            entries.bytes += bytes;
            let entry = Entry {
                pages: pages.into(),
                bytes,
                fresh_until: now + fresh_for,
            };
            entries.by_key.insert(key, entry);
        }
    }

    /// Removes the results that a change is about.
    pub(crate) fn on_change(&self, change: &Change) {
        let mut entries = self.entries();
        entries.version += 1;
        entries.remove_if(|key, _| match change {
            Change::Tools => key == "tools/list",
            Change::Prompts => key == "prompts/list",
            Change::Resources => key.starts_with("resources/"),
            Change::Resource(uri) => key.strip_prefix("resources/read ") == Some(uri),
            Change::Gap => true,
        });
    }
}

/// How long a result is fresh.
fn fresh_for(page: &RawResult) -> Duration {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Caching {
        ttl_ms: Option<f64>,
    }
    let caching = page.parse::<Caching>().ok();
    let ttl_ms = caching.and_then(|caching| caching.ttl_ms);
    let ttl_ms = ttl_ms
        .filter(|ms| ms.is_finite() && *ms > 0.0)
        .unwrap_or_default();
    Duration::from_secs_f64(ttl_ms.min(CACHE_TTL_MAX.as_secs_f64() * 1e3) / 1e3)
}

#[cfg(test)]
mod tests {
    use super::{Cache, CachePolicy};
    use crate::change::Change;
    use crate::limits::{CACHE_BYTES_MAX, CACHE_ENTRIES_MAX};
    use crate::types::RawResult;
    use serde_json::value::RawValue;
    use std::time::Duration;

    const LISTS: [&str; 3] = ["tools/list", "prompts/list", "resources/list"];
    const READ: &str = "resources/read x:y";

    fn page(text: &str) -> RawResult {
        RawResult(RawValue::from_string(text.to_owned()).expect("JSON"))
    }

    fn full() -> Cache {
        let cache = Cache::new(CachePolicy::ListsAndReads);
        for key in LISTS.into_iter().chain([READ]) {
            cache.keep(
                key.to_owned(),
                &[page(r#"{"ttlMs":1000}"#)],
                cache.version(),
            );
        }
        cache
    }

    fn kept(cache: &Cache) -> Vec<&'static str> {
        let keys = LISTS.into_iter().chain([READ]);
        keys.filter(|key| cache.find(key).is_some()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn results_are_kept_for_the_shortest_time_that_one_of_their_pages_has() {
        for (pages, expected_ms) in [
            (vec![r#"{"ttlMs":100}"#], 100),
            (vec![r#"{"ttlMs":100}"#, r#"{"ttlMs":20.5}"#], 20),
            (vec![r#"{"ttlMs":100}"#, "{}"], 0),
            (vec![r#"{"ttlMs":0}"#], 0),
            (vec![r#"{"ttlMs":-5}"#], 0),
            (vec![r#"{"ttlMs":"100"}"#], 0),
            (vec![], 0),
        ] {
            let cache = Cache::new(CachePolicy::Lists);
            let pages: Vec<RawResult> = pages.into_iter().map(page).collect();
            cache.keep("tools/list".to_owned(), &pages, cache.version());
            assert_eq!(cache.find("tools/list").is_some(), expected_ms > 0);
            tokio::time::advance(Duration::from_millis(expected_ms / 2)).await;
            assert_eq!(cache.find("tools/list").is_some(), expected_ms > 0);
            tokio::time::advance(Duration::from_millis(expected_ms / 2 + 1)).await;
            assert!(cache.find("tools/list").is_none(), "{pages:?}");
        }
    }

    #[tokio::test]
    async fn a_change_removes_the_results_that_it_is_about() {
        for (change, expected) in [
            (Change::Tools, vec!["prompts/list", "resources/list", READ]),
            (Change::Prompts, vec!["tools/list", "resources/list", READ]),
            (Change::Resources, vec!["tools/list", "prompts/list"]),
            (Change::Resource("x:y".to_owned()), LISTS.to_vec()),
            (
                Change::Resource("x:z".to_owned()),
                [&LISTS[..], &[READ]].concat(),
            ),
            (Change::Gap, vec![]),
        ] {
            let cache = full();
            cache.on_change(&change);
            assert_eq!(kept(&cache), expected, "{change:?}");
            assert_eq!(cache.entries().by_key.len(), expected.len());
        }
    }

    #[tokio::test]
    async fn a_result_that_was_requested_before_a_change_is_not_kept() {
        let cache = Cache::new(CachePolicy::Lists);
        let before = cache.version();
        cache.on_change(&Change::Tools);
        cache.keep(
            "tools/list".to_owned(),
            &[page(r#"{"ttlMs":1000}"#)],
            before,
        );
        assert_eq!(kept(&cache), [""; 0]);
    }

    #[tokio::test]
    async fn a_policy_and_bounds_limit_what_is_kept() {
        for (policy, expected) in [
            (CachePolicy::Off, vec![]),
            (CachePolicy::Lists, vec!["tools/list"]),
            (CachePolicy::ListsAndReads, vec!["tools/list", READ]),
        ] {
            let cache = Cache::new(policy);
            for key in ["tools/list", READ] {
                cache.keep(key.to_owned(), &[page(r#"{"ttlMs":1000}"#)], 0);
            }
            assert_eq!(kept(&cache), expected);
        }
        let cache = full();
        let large = format!(r#"{{"ttlMs":1000,"x":"{}"}}"#, "x".repeat(CACHE_BYTES_MAX));
        cache.keep("tools/list".to_owned(), &[page(&large)], 0);
        assert_eq!(kept(&cache), ["prompts/list", "resources/list", READ]);
        for n in 0..2 * CACHE_ENTRIES_MAX {
            cache.keep(
                format!("resources/read {n}"),
                &[page(r#"{"ttlMs":1000}"#)],
                0,
            );
        }
        assert_eq!(cache.entries().by_key.len(), CACHE_ENTRIES_MAX);
    }
}
