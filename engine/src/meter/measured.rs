//! The meter of a shard that measures durations, for which it has a page.

use std::sync::Arc;
use std::time::Instant;

use corelane_protocol::framing::http1::Status;
use corelane_protocol::mcp::revision::Revision;
use corelane_protocol::mcp::trace_context::TraceContext;

use super::histogram::{LIFE, TURN};
use super::http::HttpRequest;
use super::operations::Failure;
use super::page::{DELAY_AT, LIFE_WORDS, Page, SESSION_AT, STREAM_AT, TURN_AT};
use super::timing::{Measured, Operation, Timing};
use super::traces::Parents;
use super::{Counter, ShardMeter};

/// Durations; without a page, all of this does nothing.
impl ShardMeter {
    /// A meter that also measures durations, for the next life of the shard of this page.
    pub(crate) fn on(page: Option<&Arc<Page>>) -> ShardMeter {
        ShardMeter {
            timing: page.map(|page| Box::new(Timing::of(page))),
            ..ShardMeter::default()
        }
    }

    /// Whether durations are measured.
    #[inline]
    pub(crate) fn is_timed(&self) -> bool {
        self.timing.is_some()
    }

    /// The number of a name of the catalog as a label; 0 if there is none.
    pub(crate) fn number_of(&self, name: &str) -> u16 {
        let timing = self.timing.as_ref();
        timing.map_or(0, |it| it.page.settings.names.number_of(name))
    }

    /// The loop of the shard has begun at this time, from which its times count.
    pub(crate) fn start_clock(&self, started: Instant) {
        if let Some(timing) = &self.timing {
            timing.clock.set(Some(started));
        }
    }

    /// When the present turn began, in microseconds since the shard was started; 0 without a page.
    #[inline]
    pub(crate) fn turn_us(&self) -> u64 {
        self.timing
            .as_ref()
            .map_or(0, |timing| timing.turn_us.get())
    }

    /// A request of HTTP is answered as a whole, or its answer ends. Its end is the last reading of
    /// the clock: it costs none of its own.
    #[inline]
    pub(crate) fn end_http(&self, request: HttpRequest, status: Status) {
        let Some(timing) = &self.timing else { return };
        let duration_us = timing.last_us().saturating_sub(request.started_us);
        timing.http.record(request.key(status), duration_us);
    }

    /// A stream of events opens.
    pub(crate) fn open_stream(&self) {
        self.count(Counter::StreamsOpen);
        self.count(Counter::StreamsOpened);
    }

    /// A stream of events ends, whose request came at this time if that is known.
    pub(crate) fn end_stream(&self, started_us: Option<u64>) {
        self.uncount(Counter::StreamsOpen);
        if let (Some(timing), Some(started_us)) = (&self.timing, started_us) {
            let lived_us = timing.turn_us.get().saturating_sub(started_us);
            timing.record(STREAM_AT, &LIFE, lived_us);
        }
    }

    /// A session of this revision ends, after so many milliseconds.
    pub(crate) fn end_session(&self, revision: Revision, lived_ms: u64) {
        self.uncount(Counter::SessionsOpen);
        if let Some(timing) = &self.timing {
            let at = SESSION_AT + revision as usize * LIFE_WORDS;
            timing.record(at, &LIFE, lived_ms.saturating_mul(1000));
        }
    }

    /// A turn begins at this time.
    #[inline]
    pub(crate) fn begin_turn(&self, now_us: u64) {
        if let Some(timing) = &self.timing {
            timing.turn_us.set(now_us);
        }
    }

    /// A turn that did something has ended, after `delay_us` since its first completion was ready
    /// if that is known.
    pub(crate) fn end_turn(&self, now_us: u64, delay_us: Option<u64>) {
        let Some(timing) = &self.timing else { return };
        let turn_us = now_us.saturating_sub(timing.turn_us.get());
        timing.record(TURN_AT, &TURN, turn_us);
        if let Some(delay_us) = delay_us {
            timing.record(DELAY_AT, &TURN, delay_us);
        }
    }

    /// A request of this turn is served from here on.
    #[inline]
    pub(crate) fn begin_operation(&self, method: u8, revision: u8) {
        let Some(timing) = &self.timing else { return };
        let started_us = timing.turn_us.get();
        timing.begin(Measured::begun(method, revision, started_us));
    }

    /// Whether spans of requests are exported.
    #[inline]
    pub(crate) fn is_traced(&self) -> bool {
        self.timing
            .as_ref()
            .is_some_and(|timing| timing.is_traced())
    }

    /// The request that has begun has these parents.
    pub(crate) fn begin_trace(&self, parents: Parents) {
        if let Some(timing) = &self.timing {
            timing.begin_trace(parents);
        }
    }

    /// The span of the request, if spans are exported.
    #[inline]
    pub(crate) fn span(&self) -> Option<TraceContext> {
        Some(self.timing.as_ref()?.trace()?.own)
    }

    /// The request is for the entry of the catalog with this number.
    #[inline]
    pub(crate) fn name_operation(&self, name: u16) {
        if let Some(timing) = &self.timing {
            timing.update(|current| current.labels.name = name);
        }
    }

    /// The request fails for this reason, unless there was one before.
    pub(crate) fn fail_operation(&self, failure: Failure) {
        if let Some(timing) = &self.timing {
            timing.update(|current| current.fail(failure));
        }
    }

    /// The handler of the request begins.
    #[inline]
    pub(crate) fn begin_handler(&self) {
        if let Some(timing) = &self.timing {
            timing.begin_handler();
        }
    }

    /// The handler has ended, if there was one.
    #[inline]
    pub(crate) fn end_handler(&self) {
        if let Some(timing) = &self.timing {
            timing.end_handler();
        }
    }

    /// The request was answered, with this code if that is an error.
    #[inline]
    pub(crate) fn end_operation(&self, code: Option<i64>) {
        if let Some(timing) = &self.timing
            && timing.end(code)
        {
            self.count(Counter::RecordsDropped);
        }
    }

    /// Continues with another request, or with none; returns the one of before.
    #[inline]
    pub(crate) fn swap_operation(&self, other: Operation) -> Operation {
        match &self.timing {
            Some(timing) => timing.swap(other),
            None => Operation::NONE,
        }
    }

    /// Whether the page is older than it may be while the shard is busy.
    #[inline]
    pub(crate) fn is_publish_due(&self, now_us: u64) -> bool {
        let is_due = |timing: &Timing| {
            now_us - timing.published_us.get() >= timing.page.settings.interval_us
        };
        self.timing.as_deref().is_some_and(is_due)
    }

    /// Copies all cells to the page.
    pub(crate) fn publish(&self, now_us: u64) {
        if let Some(timing) = &self.timing {
            timing.published_us.set(now_us);
            timing.publish(&self.cells, true);
        }
    }

    /// When the page was last published, in microseconds since the shard was started; nothing
    /// without a page.
    pub(crate) fn published_us(&self) -> Option<u64> {
        self.timing.as_ref().map(|timing| timing.published_us.get())
    }

    /// Copies all cells to the page for the last time: the levels of this life are over.
    pub(crate) fn publish_end(&self) {
        if let Some(timing) = &self.timing {
            timing.publish(&self.cells, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::{Failure, Operation, Page, ShardMeter};
    use crate::meter::Counter;
    use crate::meter::names::Names;
    use crate::meter::operations::Labels;
    use crate::meter::page::{
        COUNTERS_AT, HANDLER_AT, OPERATION_WORDS, PageSettings, QUEUE_AT, SET_WORDS, SETS_AT,
        TURN_AT,
    };

    fn page() -> Arc<Page> {
        Arc::new(Page::new(Arc::new(PageSettings {
            sets_max: 16,
            interval_us: 1000,
            names: Arc::new(Names::default()),
            records: None,
            base: Instant::now(),
        })))
    }

    fn words(page: &Page) -> Vec<u64> {
        let mut words = Vec::new();
        assert!(page.read(&mut words));
        words
    }

    fn count(words: &[u64], at: usize) -> u64 {
        words[at..at + OPERATION_WORDS - 1].iter().sum()
    }

    #[test]
    fn an_operation_has_a_queue_a_handler_and_a_set_of_labels() {
        let page = page();
        let meter = ShardMeter::on(Some(&page));
        meter.start_clock(Instant::now());
        meter.begin_operation(3, 4);
        meter.name_operation(meter.number_of("echo"));
        meter.begin_handler();
        meter.end_handler();
        meter.fail_operation(Failure::Panic);
        meter.fail_operation(Failure::Timeout);
        meter.end_operation(Some(-32603));
        // Nothing is open any more.
        meter.end_operation(None);
        meter.publish(1);
        let words = words(&page);
        assert_eq!(count(&words, QUEUE_AT), 1);
        assert_eq!(count(&words, HANDLER_AT), 1);
        let set = &words[SETS_AT + SET_WORDS..];
        let labels = Labels::unpack(set[0]).expect("a set");
        assert_eq!((labels.method, labels.revision, labels.name), (3, 4, 1));
        assert_eq!(labels.failure, Failure::Panic);
        assert_eq!(labels.code, Labels::place_of(-32603));
        assert_eq!(count(set, 1), 1);
    }

    #[test]
    fn an_operation_waits_while_another_is_served() {
        let page = page();
        let meter = ShardMeter::on(Some(&page));
        meter.begin_operation(1, 1);
        meter.begin_handler();
        let waiting = meter.swap_operation(Operation::NONE);
        meter.begin_operation(2, 1);
        let other = meter.swap_operation(waiting);
        meter.end_handler();
        meter.end_operation(None);
        meter.swap_operation(other);
        meter.end_operation(None);
        meter.publish(1);
        let words = words(&page);
        let methods = words[SETS_AT..].chunks(SET_WORDS).skip(1);
        let methods: Vec<u8> = methods
            .filter_map(|set| Labels::unpack(set[0]).map(|labels| labels.method))
            .collect();
        assert_eq!(methods, [1, 2]);
        assert_eq!(count(&words, HANDLER_AT), 1);
    }

    #[test]
    fn totals_and_histograms_go_on_in_the_next_life_and_levels_do_not() {
        let page = page();
        for life in 1..=3 {
            let meter = ShardMeter::on(Some(&page));
            meter.add(Counter::BytesIn, 10);
            meter.count(Counter::CallsInFlight);
            meter.begin_turn(0);
            meter.end_turn(30, Some(40));
            assert!(!meter.is_publish_due(999) && meter.is_publish_due(1000));
            meter.publish(1000);
            assert!(!meter.is_publish_due(1999));
            let word = |counter| words(&page)[COUNTERS_AT + counter as usize];
            assert_eq!(word(Counter::BytesIn), 10 * life);
            assert_eq!(word(Counter::CallsInFlight), 1);
            assert_eq!(words(&page)[TURN_AT + 2], life, "30 us are below 50");
            meter.publish_end();
            assert_eq!(word(Counter::CallsInFlight), 0);
            assert_eq!(word(Counter::BytesIn), 10 * life);
        }
    }

    #[test]
    fn without_a_page_nothing_is_measured() {
        let meter = ShardMeter::on(None);
        meter.begin_operation(1, 1);
        meter.begin_handler();
        meter.end_handler();
        meter.end_operation(None);
        meter.publish(1);
        assert!(!meter.is_timed() && !meter.is_publish_due(u64::MAX));
        assert_eq!(meter.number_of("echo"), 0);
    }
}
