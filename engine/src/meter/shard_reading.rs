//! The page and the state of one shard, as another thread read them.

use super::catalogue::{ShardFact, ShardHistogram};
use super::histogram::{LIFE_BOUNDS_US, OPERATION_BOUNDS_US, TURN_BOUNDS_US};
use super::page::{
    COUNTERS_AT, DELAY_AT, HANDLER_AT, LIFE_WORDS, OPERATION_WORDS, PUBLISHED_US, QUEUE_AT,
    SESSION_AT, STREAM_AT, TURN_AT, TURN_WORDS,
};
use super::{COUNTERS, Counter};

/// One shard at one time.
#[derive(Debug, Clone, Default)]
pub(crate) struct ShardReading {
    /// A copy of its page; empty before there was a whole one.
    pub(crate) words: Vec<u64>,
    pub(crate) is_up: bool,
    pub(crate) is_stalled: bool,
    pub(crate) stalls: u64,
    pub(crate) restarts: u64,
    /// Time of the reading, in microseconds on the clock of the pages.
    pub(crate) now_us: u64,
    /// CPU time of its lives, in nanoseconds, if that can be read.
    pub(crate) cpu_ns: Option<u64>,
}

impl ShardReading {
    pub(super) fn word(&self, at: usize) -> u64 {
        self.words.get(at).copied().unwrap_or_default()
    }

    pub(crate) fn counter(&self, counter: Counter) -> u64 {
        self.word(COUNTERS_AT + counter as usize)
    }

    /// The words of a histogram, and its bounds.
    pub(super) fn histogram(&self, of: ShardHistogram) -> Option<(&'static [u64], &[u64])> {
        let (at, words, bounds): (_, _, &'static [u64]) = match of {
            ShardHistogram::Queue => (QUEUE_AT, OPERATION_WORDS, &OPERATION_BOUNDS_US),
            ShardHistogram::Handler => (HANDLER_AT, OPERATION_WORDS, &OPERATION_BOUNDS_US),
            ShardHistogram::Turn => (TURN_AT, TURN_WORDS, &TURN_BOUNDS_US),
            ShardHistogram::Delay => (DELAY_AT, TURN_WORDS, &TURN_BOUNDS_US),
            ShardHistogram::Stream => (STREAM_AT, LIFE_WORDS, &LIFE_BOUNDS_US),
            ShardHistogram::Session(revision) => {
                let at = SESSION_AT + revision as usize * LIFE_WORDS;
                (at, LIFE_WORDS, &LIFE_BOUNDS_US)
            }
        };
        Some((bounds, self.words.get(at..at + words)?))
    }

    /// How long ago the shard published its page, in microseconds.
    pub(crate) fn page_age_us(&self) -> Option<u64> {
        let published_us = self.words.get(PUBLISHED_US)?;
        Some(self.now_us.saturating_sub(*published_us))
    }

    /// The mean loop delay since the start, in microseconds.
    pub(crate) fn delay_us(&self) -> Option<u64> {
        let (count, sum_us) = self.delays();
        sum_us.checked_div(count)
    }

    /// How often the loop delay was measured, and the sum in microseconds.
    pub(crate) fn delays(&self) -> (u64, u64) {
        let histogram = self.histogram(ShardHistogram::Delay);
        let parts = histogram.and_then(|(_, words)| words.split_last());
        parts.map_or((0, 0), |(sum_us, counts)| (counts.iter().sum(), *sum_us))
    }

    pub(super) fn fact(&self, fact: ShardFact) -> Option<f64> {
        Some(match fact {
            ShardFact::Up => f64::from(u8::from(self.is_up)),
            ShardFact::Stalled => f64::from(u8::from(self.is_stalled)),
            ShardFact::Stalls => self.stalls as f64,
            ShardFact::Restarts => self.restarts as f64,
            ShardFact::PageAge => self.page_age_us()? as f64 / 1e6,
            ShardFact::CpuTime => self.cpu_ns? as f64 / 1e9,
        })
    }
}

// A copy of a page has all counters.
const _: () = assert!(QUEUE_AT == COUNTERS_AT + COUNTERS);
