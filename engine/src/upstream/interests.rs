//! The resources of upstreams to which clients have subscribed, on all shards, and their updates on
//! the way to these clients.
//!
//! Shards add a resource with the subscription of a client, and the control side subscribes to it
//! at its upstream. Both kinds of news wait here until the control side takes them, so that any
//! number of them takes no more memory than the resources.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A resource of an upstream, which is known by its name: another one of that name takes its place
/// with a reload.
type Key = (Arc<str>, Arc<str>);

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Interests(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// With the numbers of their subscriptions.
    resources: HashMap<Key, usize>,
    news: News,
}

/// News that the control side has not taken yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// Upstreams with other resources.
    pub(crate) changed: BTreeSet<Arc<str>>,
    /// Resources with an update.
    pub(crate) updated: BTreeSet<Key>,
}

impl News {
    fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.updated.is_empty()
    }
}

impl Interests {
    /// Adds one subscription. None if there are `max` resources of this upstream already, and this
    /// is another one; else whether the control side is to be woken.
    pub(crate) fn add(&self, upstream: &Arc<str>, uri: &Arc<str>, max: usize) -> Option<bool> {
        let mut state = self.lock();
        let key = (Arc::clone(upstream), Arc::clone(uri));
        if let Some(subscriptions) = state.resources.get_mut(&key) {
            *subscriptions += 1;
            return Some(false);
        }
        let of_upstream = state.resources.keys().filter(|(of, _)| of == upstream);
        if of_upstream.count() >= max {
            return None;
        }
        state.resources.insert(key, 1);
        Some(state.report(|news| news.changed.insert(Arc::clone(upstream))))
    }

    /// Removes one subscription. Returns whether the control side is to be woken.
    pub(crate) fn remove(&self, upstream: &Arc<str>, uri: &Arc<str>) -> bool {
        let mut state = self.lock();
        let key = (Arc::clone(upstream), Arc::clone(uri));
        match state.resources.get_mut(&key) {
            Some(1) => {
                state.resources.remove(&key);
                state.report(|news| news.changed.insert(Arc::clone(upstream)))
            }
            Some(subscriptions) => {
                *subscriptions -= 1;
                false
            }
            None => false,
        }
    }

    /// An upstream has reported an update; that of a resource without subscriptions is none.
    /// Returns whether the control side is to be woken.
    pub(crate) fn mark(&self, upstream: &Arc<str>, uri: &str) -> bool {
        let mut state = self.lock();
        let key: Key = (Arc::clone(upstream), uri.into());
        state.resources.contains_key(&key) && state.report(|news| news.updated.insert(key))
    }

    /// Takes the news.
    pub(crate) fn take_news(&self) -> News {
        std::mem::take(&mut self.lock().news)
    }

    /// The resources of an upstream, in the order of their URIs.
    pub(crate) fn of(&self, upstream: &str) -> BTreeSet<Arc<str>> {
        let state = self.lock();
        let of_upstream = state.resources.keys().filter(|(of, _)| **of == *upstream);
        of_upstream.map(|(_, uri)| Arc::clone(uri)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Adds news. Returns whether they are the first ones.
    fn report(&mut self, add: impl FnOnce(&mut News) -> bool) -> bool {
        let was_empty = self.news.is_empty();
        add(&mut self.news) && was_empty
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Interests, News};

    #[test]
    fn a_resource_is_there_from_its_first_subscription_to_the_end_of_its_last() {
        let interests = Interests::default();
        let [one, two, three] = ["a:1", "a:2", "a:3"].map(Arc::<str>::from);
        let [up, other] = ["up", "other"].map(Arc::<str>::from);
        assert_eq!(interests.add(&up, &one, 2), Some(true));
        assert_eq!(interests.add(&up, &one, 2), Some(false));
        assert_eq!(
            interests.add(&up, &two, 2),
            Some(false),
            "news wait already"
        );
        assert_eq!(interests.add(&up, &three, 2), None, "there are two");
        assert_eq!(
            interests.add(&up, &two, 2),
            Some(false),
            "it is no third one"
        );
        assert_eq!(interests.add(&other, &three, 2), Some(false));
        assert_eq!(interests.take_news().changed, [up.clone(), other].into());
        assert!(!interests.remove(&up, &one));
        assert_eq!(interests.of("up"), [Arc::clone(&one), two].into());
        assert!(interests.remove(&up, &one), "that was the last one");
        assert!(!interests.remove(&up, &one));
        assert_eq!(interests.take_news().changed, [up.clone()].into());
        assert_eq!(interests.of("other"), [three].into());
    }

    #[test]
    fn updates_are_taken_once_and_those_of_other_resources_are_none() {
        let interests = Interests::default();
        let [up, other, one] = ["up", "other", "a:1"].map(Arc::<str>::from);
        interests.add(&up, &one, 9);
        interests.take_news();
        assert!(!interests.mark(&other, "a:1"), "of another upstream");
        assert!(!interests.mark(&up, "a:2"));
        assert!(interests.mark(&up, "a:1"));
        assert!(!interests.mark(&up, "a:1"), "it waits");
        assert_eq!(interests.take_news().updated, [(up, one)].into());
        assert_eq!(interests.take_news(), News::default());
    }
}
