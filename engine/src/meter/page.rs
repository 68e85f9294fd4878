//! The page of a shard: a copy of its counters and histograms that other threads read.
//!
//! The shard copies its cells to the page between two stores of a sequence, which is odd meanwhile:
//! a seqlock with one writer. A reader that sees another sequence afterwards, or an odd one, reads
//! again. The words are atomics, so that a torn copy is a wrong one and not a data race.
//!
//! Invariant: a page never grows, and neither side waits for the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::time::Instant;

use corelane_protocol::mcp::revision::Revision;

use super::counters::ROWS;
use super::histogram::{LIFE_BOUNDS_US, OPERATION_BOUNDS_US, TURN_BOUNDS_US, words};
use super::names::Names;
use super::records::{RecordInbox, RecordSettings};

#[cfg(any(test, feature = "metrics"))]
/// How often a reader tries to get a copy that is whole.
const READS_MAX: u32 = 4;

/// Sets of labels of HTTP requests of a shard: it answers few methods with few statuses.
pub(super) const HTTP_SETS_MAX: usize = 64;

/// Words before the counters.
const SEQUENCE: usize = 0;
pub(super) const PUBLISHED_US: usize = 1;
pub(super) const SETS_USED: usize = 2;
pub(super) const SETS_OVERFLOWED: usize = 3;
pub(super) const HTTP_USED: usize = 4;
pub(super) const HTTP_OVERFLOWED: usize = 5;
/// The words of each part of a page.
pub(super) const COUNTERS_AT: usize = 8;
pub(super) const QUEUE_AT: usize = COUNTERS_AT + ROWS.len();
pub(super) const HANDLER_AT: usize = QUEUE_AT + OPERATION_WORDS;
pub(super) const TURN_AT: usize = HANDLER_AT + OPERATION_WORDS;
pub(super) const DELAY_AT: usize = TURN_AT + TURN_WORDS;
pub(super) const STREAM_AT: usize = DELAY_AT + TURN_WORDS;
/// One for each revision.
pub(super) const SESSION_AT: usize = STREAM_AT + LIFE_WORDS;
/// The end of the histograms without labels.
pub(super) const HTTP_AT: usize = SESSION_AT + Revision::ALL.len() * LIFE_WORDS;
pub(super) const SETS_AT: usize = HTTP_AT + HTTP_SETS_MAX * SET_WORDS;
/// Words of a histogram of operations, and of turns.
pub(super) const OPERATION_WORDS: usize = words(OPERATION_BOUNDS_US.len());
pub(super) const TURN_WORDS: usize = words(TURN_BOUNDS_US.len());
pub(super) const LIFE_WORDS: usize = words(LIFE_BOUNDS_US.len());
/// Words of a set of labels: its key, and its histogram.
pub(super) const SET_WORDS: usize = 1 + OPERATION_WORDS;

/// The place of a table on the page, as numbers of words.
#[derive(Debug, Clone, Copy)]
pub(super) struct TablePlace {
    /// How many sets are in use.
    pub(super) used: usize,
    /// What was counted in the first set for want of another.
    pub(super) overflowed: usize,
    /// The sets: a key and its histogram each.
    pub(super) sets: usize,
    pub(super) sets_max: usize,
}

/// What all pages of a server have in common.
#[derive(Debug)]
pub(crate) struct PageSettings {
    /// The most sets of labels of a shard.
    pub(crate) sets_max: usize,
    /// How long a busy shard goes without publishing, in microseconds.
    pub(crate) interval_us: u64,
    /// Names that are labels.
    pub(crate) names: Arc<Names>,
    /// The requests of which records are left, if there are any.
    pub(crate) records: Option<RecordSettings>,
    /// Times of pages count from here.
    pub(crate) base: Instant,
}

/// The page of one shard.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) settings: Arc<PageSettings>,
    words: Box<[AtomicU64]>,
    /// Where records of requests wait.
    pub(crate) records: RecordInbox,
    /// The id of the thread of the shard, or 0 while it does not live.
    thread: AtomicU32,
    /// CPU time of the lives that ended, in nanoseconds.
    cpu_before_ns: AtomicU64,
}

/// A shard of this page has a thread until this is dropped.
pub(crate) struct PageLife(Arc<Page>);

/// Writes to a page until it is dropped.
pub(super) struct PageWriter<'a>(&'a Page);

impl Page {
    /// An empty page.
    pub(crate) fn new(settings: Arc<PageSettings>) -> Page {
        let words = SETS_AT + settings.sets_max * SET_WORDS;
        Page {
            settings,
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
            records: RecordInbox::default(),
            thread: AtomicU32::new(0),
            cpu_before_ns: AtomicU64::new(0),
        }
    }

    /// The shard lives on the thread with this id, until the drop of the guard.
    pub(crate) fn begin_life(self: &Arc<Self>, thread: u32) -> PageLife {
        self.thread.store(thread, Ordering::Relaxed);
        PageLife(Arc::clone(self))
    }

    #[cfg(any(test, feature = "metrics"))]
    /// The thread of the shard, while it lives.
    pub(crate) fn thread(&self) -> Option<u32> {
        Some(self.thread.load(Ordering::Relaxed)).filter(|id| *id != 0)
    }

    /// Begins to write. Only the thread of the shard may, one life after the other.
    pub(super) fn write(&self) -> PageWriter<'_> {
        let sequence = self.words[SEQUENCE].load(Ordering::Relaxed);
        // An odd one is of a life that ended while it wrote.
        self.words[SEQUENCE].store(sequence | 1, Ordering::Relaxed);
        fence(Ordering::Release);
        let writer = PageWriter(self);
        writer.put(
            PUBLISHED_US,
            self.settings.base.elapsed().as_micros() as u64,
        );
        writer
    }

    #[cfg(any(test, feature = "metrics"))]
    /// Copies the words in use to `into`. Returns whether the copy is whole.
    pub(crate) fn read(&self, into: &mut Vec<u64>) -> bool {
        (0..READS_MAX).any(|_| self.read_once(into))
    }

    #[cfg(any(test, feature = "metrics"))]
    fn read_once(&self, into: &mut Vec<u64>) -> bool {
        let before = self.words[SEQUENCE].load(Ordering::Acquire);
        if before % 2 == 1 {
            std::hint::spin_loop();
            return false;
        }
        let used = self.words[SETS_USED].load(Ordering::Relaxed) as usize;
        let used = used.min(self.settings.sets_max);
        into.clear();
        let words = &self.words[..SETS_AT + used * SET_WORDS];
        into.extend(words.iter().map(|word| word.load(Ordering::Relaxed)));
        fence(Ordering::Acquire);
        self.words[SEQUENCE].load(Ordering::Relaxed) == before
    }

    /// CPU time of all lives of the shard, in nanoseconds; nothing if it cannot be read.
    #[cfg(any(test, feature = "metrics"))]
    pub(crate) fn cpu_ns(&self) -> Option<u64> {
        let before = self.cpu_before_ns.load(Ordering::Relaxed);
        let present = match self.thread() {
            Some(thread) => cpu_ns(&format!("/proc/self/task/{thread}/schedstat"))?,
            None => 0,
        };
        Some(before + present)
    }

    /// The table of operations.
    pub(super) fn operations(&self) -> TablePlace {
        TablePlace {
            used: SETS_USED,
            overflowed: SETS_OVERFLOWED,
            sets: SETS_AT,
            sets_max: self.settings.sets_max,
        }
    }

    /// The table of HTTP requests.
    pub(super) const HTTP: TablePlace = TablePlace {
        used: HTTP_USED,
        overflowed: HTTP_OVERFLOWED,
        sets: HTTP_AT,
        sets_max: HTTP_SETS_MAX,
    };

    /// A word of the page, on the thread of the shard.
    pub(super) fn word(&self, at: usize) -> u64 {
        self.words[at].load(Ordering::Relaxed)
    }
}

/// On the thread of the shard. A reader takes the larger of two readings, so that the time between
/// the two stores does not matter.
impl Drop for PageLife {
    fn drop(&mut self) {
        let cpu_ns = cpu_ns("/proc/thread-self/schedstat").unwrap_or_default();
        self.0.thread.store(0, Ordering::Relaxed);
        self.0.cpu_before_ns.fetch_add(cpu_ns, Ordering::Relaxed);
    }
}

/// The CPU time of a thread, in nanoseconds, if its file can be read.
fn cpu_ns(path: &str) -> Option<u64> {
    let schedule = std::fs::read_to_string(path).ok()?;
    schedule.split_ascii_whitespace().next()?.parse().ok()
}

impl PageWriter<'_> {
    /// Sets a word.
    #[inline]
    pub(super) fn put(&self, at: usize, value: u64) {
        self.0.words[at].store(value, Ordering::Relaxed);
    }
}

impl Drop for PageWriter<'_> {
    fn drop(&mut self) {
        let sequence = &self.0.words[SEQUENCE];
        sequence.store(sequence.load(Ordering::Relaxed) + 1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Instant;

    use super::{COUNTERS_AT, Page, PageSettings, SETS_AT, SETS_USED};
    use crate::meter::names::Names;

    fn page() -> Page {
        Page::new(Arc::new(PageSettings {
            sets_max: 16,
            interval_us: 0,
            names: Arc::new(Names::default()),
            records: None,
            base: Instant::now(),
        }))
    }

    /// Each publication sets all words to its number: a copy with two numbers is torn.
    #[test]
    fn readers_never_see_a_copy_that_is_torn() {
        const PUBLICATIONS: u64 = 20_000;
        let page = page();
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let readers = [(); 4].map(|()| {
                scope.spawn(|| {
                    let (mut words, mut whole, mut last) = (Vec::new(), 0_u64, 0);
                    while !is_over.load(Ordering::Relaxed) || whole == 0 {
                        if !page.read(&mut words) {
                            thread::yield_now();
                            continue;
                        }
                        whole += 1;
                        let number = words[COUNTERS_AT];
                        assert!(number >= last, "{number} after {last}");
                        assert!(words[COUNTERS_AT..].iter().all(|word| *word == number));
                        last = number;
                    }
                    whole
                })
            });
            for number in 1..=PUBLICATIONS {
                let writer = page.write();
                writer.put(SETS_USED, 16);
                (COUNTERS_AT..page.words.len()).for_each(|at| writer.put(at, number));
                drop(writer);
                if number % 64 == 0 {
                    thread::yield_now();
                }
            }
            is_over.store(true, Ordering::Relaxed);
            for reader in readers {
                assert!(reader.join().expect("no copy is torn") > 0);
            }
        });
        let mut words = Vec::new();
        assert!(page.read(&mut words) && words[COUNTERS_AT] == PUBLICATIONS);
    }

    #[test]
    fn the_time_of_lives_adds_up() {
        let page = Arc::new(page());
        assert_eq!((page.thread(), page.cpu_ns()), (None, Some(0)));
        let mut last = 0;
        for _ in 0..3 {
            let of_thread = Arc::clone(&page);
            let life = thread::spawn(move || {
                let thread = rustix::thread::gettid().as_raw_nonzero().get();
                let life = of_thread.begin_life(thread.unsigned_abs());
                let inside = (of_thread.thread(), of_thread.cpu_ns());
                drop(life);
                inside
            });
            let (thread, inside) = life.join().expect("no panic");
            assert!(
                thread.is_some() && inside >= Some(last),
                "{inside:?} after {last}"
            );
            assert_eq!(page.thread(), None);
            last = page.cpu_ns().expect("it can be read");
            assert!(Some(last) >= inside);
        }
    }

    #[test]
    fn a_page_whose_writer_stopped_halfway_is_not_read_until_the_next_life_writes() {
        let page = page();
        let mut words = Vec::new();
        std::mem::forget(page.write());
        assert!(!page.read(&mut words));
        page.write().put(COUNTERS_AT, 7);
        assert!(page.read(&mut words));
        assert_eq!((words[COUNTERS_AT], words.len()), (7, SETS_AT));
    }
}
