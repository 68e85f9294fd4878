//! The counters of a server in the last hour, a look a minute, to examine a fault afterwards.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::error::{Error, Result};
use super::figures::Figures;
use super::metrics::read_shard;
use crate::meter::shard_reading::ShardReading;
use crate::shard::ShardControl;

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// Looks that are kept: those of an hour, and its beginning.
const LOOKS_MAX: usize = 61;

/// Looks at counters, the oldest first.
#[derive(Debug)]
struct Looks<T>(VecDeque<(Instant, T)>);

impl<T> Looks<T> {
    fn add(&mut self, now: Instant, look: T) {
        if self.0.len() >= LOOKS_MAX {
            self.0.pop_front();
        }
        self.0.push_back((now, look));
    }

    /// The last look that is so old, or else the oldest, with its age.
    fn at(&self, now: Instant, age: Duration) -> Option<(Duration, &T)> {
        let mut looks = self.0.iter().rev();
        let looks = looks.find(|(then, _)| now.saturating_duration_since(*then) >= age);
        let (then, look) = looks.or(self.0.front())?;
        Some((now.saturating_duration_since(*then), look))
    }
}

/// The parts that the thread has.
struct Looker {
    shards: Vec<Arc<ShardControl>>,
    readings: Vec<ShardReading>,
    looks: Arc<Mutex<Looks<Figures>>>,
}

/// The thread that looks, until this is dropped.
#[derive(Debug)]
pub(super) struct History {
    looks: Arc<Mutex<Looks<Figures>>>,
    /// Dropped first: then the thread ends.
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl History {
    /// Looks for the first time, and starts the thread.
    ///
    /// # Errors
    /// There is no thread.
    pub(super) fn start(shards: &[Arc<ShardControl>]) -> Result<History> {
        let mut looker = Looker {
            readings: vec![ShardReading::default(); shards.len()],
            shards: shards.to_vec(),
            looks: Arc::new(Mutex::new(Looks(VecDeque::new()))),
        };
        looker.look();
        let looks = Arc::clone(&looker.looks);
        let (stop, stopped) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("history".to_owned())
            .spawn(move || looker.run(&stopped))
            .map_err(Error::Records)?;
        Ok(History {
            looks,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The counters of so long ago, or else the oldest ones.
    pub(super) fn at(&self, age: Duration) -> Option<Value> {
        let looks = locked(&self.looks);
        let (age, look) = looks.at(Instant::now(), age)?;
        Some(look.json(age.as_secs_f64()))
    }
}

impl Drop for History {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It fails only after a panic, which was logged then.
            let _ = thread.join();
        }
    }
}

impl Looker {
    fn run(mut self, stopped: &Receiver<()>) {
        while stopped.recv_timeout(LOOK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            self.look();
        }
    }

    fn look(&mut self) {
        for (reading, control) in self.readings.iter_mut().zip(&self.shards) {
            // That of before stays if a page is being written all the time.
            read_shard(reading, control);
        }
        locked(&self.looks).add(Instant::now(), Figures::of(&self.readings));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::{Duration, Instant};

    use super::{LOOK_INTERVAL, LOOKS_MAX, Looks};

    #[test]
    fn a_look_of_a_time_is_the_last_one_that_is_so_old() {
        let (start, minutes) = (Instant::now(), |count| LOOK_INTERVAL * count);
        let mut looks = Looks(VecDeque::new());
        assert_eq!(looks.at(start, Duration::ZERO), None);
        let mut added = 0..;
        let mut add = |looks: &mut Looks<u32>, count: usize| {
            for number in added.by_ref().take(count) {
                looks.add(start + minutes(number), number);
            }
        };
        add(&mut looks, 3);
        let now = start + minutes(2) + Duration::from_secs(30);
        let half = |count: u32| minutes(count) + Duration::from_secs(30);
        for (age, expected) in [(0, (0, 2)), (30, (0, 2)), (31, (1, 1)), (60, (1, 1))] {
            let found = looks.at(now, Duration::from_secs(age));
            assert_eq!(found, Some((half(expected.0), &expected.1)), "{age}");
        }
        assert_eq!(
            looks.at(now, minutes(60)),
            Some((half(2), &0)),
            "the oldest"
        );
        add(&mut looks, LOOKS_MAX);
        assert_eq!(looks.0.len(), LOOKS_MAX);
        assert_eq!(looks.0[0].1, 3, "older ones are gone");
    }
}
