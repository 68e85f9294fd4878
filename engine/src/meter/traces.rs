//! The trace of each request of a shard: its ids, and whether its span is exported.
//!
//! The ids are made when a request begins, so that its handler can pass them on. A few requests
//! each second that fail or are slow have their spans exported although they are not sampled: a
//! span is made at the end, when that is known. Everything is plain cells without allocation.

use std::cell::Cell;
use std::num::NonZero;

use corelane_protocol::mcp::trace_context::{RANDOM, SAMPLED, TraceContext};

/// Values of the bits at the end of a trace id that decide whether it is sampled (OpenTelemetry,
/// "TraceState: Probability Sampling"), so that all servers with one ratio sample the same traces.
const RANDOM_VALUES: u64 = 1 << 56;

/// The spans that are exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceSettings {
    /// One trace in so many that begin here; 0 is none.
    pub(crate) one_in: u64,
    /// Spans a second of parents that are sampled.
    pub(crate) parents_per_s: u32,
    /// Failed requests, and as many slow ones, a second that are not sampled.
    pub(crate) kept_per_s: u32,
    /// A request that takes so long is slow, in microseconds.
    pub(crate) slow_us: u64,
}

/// The trace of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trace {
    /// The span of the request.
    pub(crate) own: TraceContext,
    pub(crate) parent: Option<NonZero<u64>>,
    /// The span of the HTTP request, if that is not the parent.
    pub(crate) link: Option<TraceContext>,
}

/// The parents that a request names.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Parents {
    /// In the message.
    pub(crate) message: Option<TraceContext>,
    /// In the head of the HTTP request.
    pub(crate) http: Option<TraceContext>,
}

/// Makes the traces of a shard.
#[derive(Debug)]
pub(super) struct Tracer {
    settings: TraceSettings,
    /// From here on the last bits of a trace id say that it is sampled.
    sampled_from: u64,
    parents: Allowance,
    failed: Allowance,
    slow: Allowance,
}

/// A number that may be used up each second.
#[derive(Debug)]
struct Allowance {
    per_s: u32,
    second: Cell<u64>,
    used: Cell<u32>,
}

/// Numbers that differ, from a seed of the operating system: SplitMix64 (Steele, Lea and Flood,
/// "Fast splittable pseudorandom number generators", 2014). They are no secrets.
#[derive(Debug)]
pub(super) struct Random(Cell<u64>);

impl Random {
    pub(super) fn new() -> Random {
        // Without a seed the ids of two servers may be the same, and nothing else is wrong.
        Random(Cell::new(getrandom::u64().unwrap_or_default()))
    }

    #[inline]
    pub(super) fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.0.set(state);
        let mixed = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }
}

impl Allowance {
    fn new(per_s: u32) -> Allowance {
        Allowance {
            per_s,
            second: Cell::new(0),
            used: Cell::new(0),
        }
    }

    /// Whether one more is left at this time.
    fn take(&self, now_us: u64) -> bool {
        let second = now_us / 1_000_000;
        if self.second.replace(second) != second {
            self.used.set(0);
        }
        let is_left = self.used.get() < self.per_s;
        self.used.set(self.used.get() + u32::from(is_left));
        is_left
    }
}

impl Tracer {
    pub(super) fn new(settings: TraceSettings) -> Tracer {
        let kept = RANDOM_VALUES.checked_div(settings.one_in);
        Tracer {
            settings,
            sampled_from: RANDOM_VALUES - kept.unwrap_or(0),
            parents: Allowance::new(settings.parents_per_s),
            failed: Allowance::new(settings.kept_per_s),
            slow: Allowance::new(settings.kept_per_s),
        }
    }

    /// The trace of a request that begins at this time.
    pub(super) fn begin(&self, parents: Parents, random: &Random, now_us: u64) -> Trace {
        let parent = parents.message.or(parents.http);
        let trace_id = match parent {
            Some(parent) => parent.trace_id,
            None => {
                let bits = u128::from(random.next()) << 64 | u128::from(random.next());
                NonZero::new(bits).unwrap_or(NonZero::<u128>::MIN)
            }
        };
        let is_sampled = match parent {
            None => self.samples(trace_id),
            // A client that samples everything makes no server export everything.
            Some(parent) => {
                parent.is_sampled() && (self.parents.take(now_us) || self.samples(trace_id))
            }
        };
        let random_flag = parent.map_or(RANDOM, |parent| parent.flags & RANDOM);
        Trace {
            own: TraceContext {
                trace_id,
                span_id: NonZero::new(random.next()).unwrap_or(NonZero::<u64>::MIN),
                flags: random_flag | if is_sampled { SAMPLED } else { 0 },
            },
            parent: parent.map(|parent| parent.span_id),
            link: parents.http.filter(|http| Some(*http) != parent),
        }
    }

    fn samples(&self, trace_id: NonZero<u128>) -> bool {
        trace_id.get() as u64 & (RANDOM_VALUES - 1) >= self.sampled_from
    }

    /// Whether the span of a request is exported that ends at `now_us` after so long.
    #[inline]
    pub(super) fn exports(
        &self,
        trace: &Trace,
        is_failed: bool,
        (now_us, duration_us): (u64, u64),
    ) -> bool {
        trace.own.is_sampled()
            || (is_failed && self.failed.take(now_us))
            || (duration_us >= self.settings.slow_us && self.slow.take(now_us))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Parents, Random, TraceContext, TraceSettings, Tracer};

    const SETTINGS: TraceSettings = TraceSettings {
        one_in: 0,
        parents_per_s: 2,
        kept_per_s: 1,
        slow_us: 100,
    };

    fn context(trace_id: &str, span_id: &str, flags: &str) -> TraceContext {
        let text = format!("00-{trace_id:0>32}-{span_id:0>16}-{flags}");
        TraceContext::parse(text.as_bytes()).expect("it is valid")
    }

    fn tracer(one_in: u64) -> Tracer {
        Tracer::new(TraceSettings { one_in, ..SETTINGS })
    }

    fn of_message(message: TraceContext) -> Parents {
        Parents {
            message: Some(message),
            http: None,
        }
    }

    #[test]
    fn the_parent_is_in_the_message_and_else_in_http_which_is_linked_otherwise() {
        let (tracer, random) = (tracer(0), Random::new());
        let (message, http) = (context("a", "1", "00"), context("b", "2", "00"));
        let trace = |message, http| tracer.begin(Parents { message, http }, &random, 0);
        let both = trace(Some(message), Some(http));
        assert_eq!(both.own.trace_id, message.trace_id);
        assert_eq!(
            (both.parent, both.link),
            (Some(message.span_id), Some(http))
        );
        assert_ne!(both.own.span_id, message.span_id);
        let of_http = trace(None, Some(http));
        assert_eq!(of_http.own.trace_id, http.trace_id);
        assert_eq!((of_http.parent, of_http.link), (Some(http.span_id), None));
        assert_eq!(trace(Some(http), Some(http)).link, None, "it is the parent");
        assert_eq!(trace(None, None).parent, None);
    }

    #[test]
    fn traces_that_begin_here_differ_and_one_in_so_many_is_sampled() {
        let (tracer, random) = (tracer(100), Random::new());
        let traces = (0..100_000).map(|_| tracer.begin(Parents::default(), &random, 0));
        let traces: Vec<_> = traces.collect();
        let ids: BTreeSet<_> = traces.iter().map(|trace| trace.own.trace_id).collect();
        assert_eq!(ids.len(), traces.len());
        let sampled = traces.iter().filter(|trace| trace.own.is_sampled()).count();
        // Six standard deviations, which are 31.5.
        assert!((811..=1189).contains(&sampled), "{sampled}");
    }

    #[test]
    fn all_servers_sample_the_same_traces() {
        let last = |bits: u64| context(&format!("{:x}", 0xFFu64 << 56 | bits), "1", "01");
        let limit = (1 << 56) - (1 << 56) / 4;
        for (bits, expected) in [(limit, true), (limit - 1, false), ((1 << 56) - 1, true)] {
            let quarter = tracer(4);
            assert_eq!(quarter.samples(last(bits).trace_id), expected, "{bits:x}");
            assert!(tracer(1).samples(last(bits).trace_id));
            assert!(!tracer(0).samples(last(bits).trace_id));
        }
    }

    #[test]
    fn a_flood_of_sampled_parents_is_bounded_by_the_second() {
        let (tracer, random) = (tracer(0), Random::new());
        let sampled = |flags, now_us| {
            let parents = of_message(context("a", "1", flags));
            let traces = (0..10).map(|_| tracer.begin(parents, &random, now_us));
            traces.filter(|trace| trace.own.is_sampled()).count()
        };
        assert_eq!(sampled("01", 999_999), 2);
        assert_eq!(sampled("01", 999_999), 0);
        assert_eq!(sampled("01", 1_000_000), 2);
        assert_eq!(sampled("00", 5_000_000), 0, "its tracer does not record it");
    }

    #[test]
    fn failed_and_slow_requests_are_exported_a_few_each_second() {
        let (tracer, random) = (tracer(0), Random::new());
        let trace = tracer.begin(Parents::default(), &random, 0);
        let exports = |is_failed, now_us, duration_us| {
            let times = (now_us, duration_us);
            [(); 2].map(|()| tracer.exports(&trace, is_failed, times))
        };
        assert_eq!(exports(false, 0, 99), [false, false]);
        assert_eq!(exports(false, 0, 100), [true, false]);
        assert_eq!(exports(true, 0, 99), [true, false]);
        assert_eq!(exports(true, 2_000_000, 100), [true, true], "one of each");
        let sampled = of_message(context("a", "1", "01"));
        let sampled = tracer.begin(sampled, &random, 0);
        assert!(tracer.exports(&sampled, false, (0, 0)));
    }
}
