//! Metrics of a running server: the pages of its shards, read by the thread of a listener.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use corelane_control::observe::{Observer, PageAnswer, PageRequest};
use corelane_control::otlp::SpanCounts;

use super::error::{Error, Result};
use super::host_facts;
use super::records::{RecordThread, record_settings};
use crate::log;
use crate::meter::catalogue::ProcessFact;
use crate::meter::conditions::ServerState;
use crate::meter::exemplars::Exemplars;
use crate::meter::exposition::Format;
use crate::meter::names::Names;
use crate::meter::page::PageSettings;
use crate::meter::reading::Reading;
use crate::meter::shard_reading::ShardReading;
use crate::profile::{Metrics, Profile};
use crate::shard::ShardControl;

/// The path of metrics.
const PATH: &str = "/metrics";
/// Most families that a query selects.
const PREFIXES_MAX: usize = 64;

/// The listener for metrics, until this is dropped.
#[derive(Debug)]
pub(super) struct MetricsListener(Observer);

/// The parts that a scrape reads.
struct Source {
    shards: Vec<Arc<ShardControl>>,
    settings: Arc<PageSettings>,
    per_shard: bool,
    /// The last whole copy of each page, for a page that is being written all the time.
    last: Mutex<Vec<ShardReading>>,
    torn: AtomicU64,
    cut: AtomicU64,
    scrape_us: AtomicU64,
    /// If spans are exported.
    spans: Option<Arc<SpanCounts>>,
    exemplars: Arc<Mutex<Exemplars>>,
}

/// The settings of the pages, if metrics or records of requests are read.
///
/// # Errors
/// The settings of traces in the profile or in the environment cannot be used.
pub(super) fn page_settings(profile: &Profile) -> Result<Option<Arc<PageSettings>>> {
    let metrics = &profile.metrics;
    let records = record_settings(profile)?;
    if metrics.listen.is_none() && profile.admin.socket.is_none() && records.is_none() {
        return Ok(None);
    }
    Ok(Some(Arc::new(PageSettings {
        sets_max: metrics.label_sets_max,
        interval_us: metrics.publish_interval_ms * 1000,
        names: Arc::new(Names::default()),
        records,
        base: Instant::now(),
    })))
}

impl MetricsListener {
    /// Listens where the profile sets it, if it does.
    ///
    /// # Errors
    /// The address cannot be listened on, or other hosts reach it and the profile does not allow
    /// that.
    pub(super) fn start(
        metrics: &Metrics,
        shards: &[Arc<ShardControl>],
        records: Option<&RecordThread>,
        inherited: Option<OwnedFd>,
    ) -> Result<Option<MetricsListener>> {
        let page = shards.first().and_then(|shard| shard.page.as_ref());
        let (Some(address), Some(page)) = (metrics.listen, page) else {
            return Ok(None);
        };
        if !address.ip().to_canonical().is_loopback() && !metrics.public_without_auth {
            return Err(Error::Public(format!(
                "metrics.listen = \"{address}\" shows the names of tools and the use of the server \
                 to everyone who reaches it: listen on loopback, or set public_without_auth = true \
                 under [metrics] of the profile"
            )));
        }
        let source = Source {
            shards: shards.to_vec(),
            settings: Arc::clone(&page.settings),
            per_shard: metrics.per_shard,
            last: Mutex::new(vec![ShardReading::default(); shards.len()]),
            torn: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            scrape_us: AtomicU64::new(0),
            spans: records.and_then(RecordThread::span_counts),
            exemplars: records.map(RecordThread::exemplars).unwrap_or_default(),
        };
        let answer = move |request: PageRequest<'_>| source.answer(request);
        let inherited = inherited.map(TcpListener::from);
        // Another address is another listener.
        let is_it = |it: &TcpListener| {
            let bound = it.local_addr();
            bound.is_ok_and(|bound| address.port() == 0 || bound == address)
        };
        let started = match inherited.filter(is_it) {
            Some(listener) => Observer::start_on(listener, answer),
            None => Observer::start(address, answer),
        };
        let observer = started.map_err(|error| Error::Metrics { address, error })?;
        Ok(Some(MetricsListener(observer)))
    }

    /// Its listening socket.
    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.0.socket()
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.0.address()
    }
}

impl Source {
    fn answer(&self, request: PageRequest<'_>) -> Option<PageAnswer> {
        if request.path != PATH {
            return None;
        }
        let began = Instant::now();
        let format = Format::accepted(request.accept);
        let mut shards = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        for (shard, control) in shards.iter_mut().zip(&self.shards) {
            if !read_shard(shard, control) {
                self.torn.fetch_add(1, Ordering::Relaxed);
            }
        }
        let exemplars = self.exemplars.lock();
        let reading = Reading {
            shards: &shards,
            names: &self.settings.names,
            process: &|fact| self.process_fact(fact),
            per_shard: self.per_shard,
            cut: self.cut.load(Ordering::Relaxed),
            exemplars: &exemplars.unwrap_or_else(PoisonError::into_inner),
            of_server: server_state(&self.shards),
        };
        let (body, is_cut) = reading.write(format, &prefixes_of(request.query));
        self.cut.fetch_add(u64::from(is_cut), Ordering::Relaxed);
        let took_us = began.elapsed().as_micros() as u64;
        self.scrape_us.store(took_us, Ordering::Relaxed);
        Some(PageAnswer {
            content_type: format.content_type(),
            body,
        })
    }

    fn process_fact(&self, fact: ProcessFact) -> Option<f64> {
        let spans = |count: fn(&SpanCounts) -> &AtomicU64| {
            let counts = self.spans.as_deref()?;
            Some(count(counts).load(Ordering::Relaxed) as f64)
        };
        Some(match fact {
            ProcessFact::SpansSent => spans(|it| &it.sent)?,
            ProcessFact::SpansFailed => spans(|it| &it.failed)?,
            ProcessFact::SpansDropped => spans(|it| &it.dropped)?,
            ProcessFact::LogLinesDropped => log::dropped() as f64,
            ProcessFact::PagesTorn => self.torn.load(Ordering::Relaxed) as f64,
            ProcessFact::ScrapeTime => self.scrape_us.load(Ordering::Relaxed) as f64 / 1e6,
            fact => return host_facts::read(fact),
        })
    }
}

/// Reads the page and the state of a shard. Returns whether the page was whole; otherwise that of
/// before stays.
pub(super) fn read_shard(shard: &mut ShardReading, control: &ShardControl) -> bool {
    let Some(page) = &control.page else {
        return true;
    };
    let mut words = Vec::with_capacity(shard.words.len());
    let is_whole = page.read(&mut words);
    if is_whole {
        shard.words = words;
    }
    shard.is_up = page.thread().is_some();
    shard.is_stalled = control.is_stalled.load(Ordering::Relaxed);
    shard.stalls = control.stalls.load(Ordering::Relaxed);
    shard.restarts = control.restarts.load(Ordering::Relaxed);
    shard.now_us = page.settings.base.elapsed().as_micros() as u64;
    // A life that ends just now has no thread any more, and its time is not added yet.
    shard.cpu_ns = shard.cpu_ns.max(page.cpu_ns());
    is_whole
}

/// The state of a server with these shards.
pub(super) fn server_state(shards: &[Arc<ShardControl>]) -> ServerState {
    let readiness = shards.first().map(|shard| &shard.readiness);
    readiness.map_or_else(ServerState::default, |readiness| ServerState {
        is_draining: readiness.is_leaving.load(Ordering::Relaxed),
        has_crash_loop: readiness.has_crash_loop.load(Ordering::Relaxed),
    })
}

/// The values of `names[]` in a query: letters, digits and `_` need no escape, and names have no
/// others.
fn prefixes_of(query: &str) -> Vec<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let names = pairs.filter(|(key, _)| matches!(*key, "names[]" | "names%5B%5D" | "names%5b%5d"));
    names
        .take(PREFIXES_MAX)
        .map(|(_, name)| name.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::prefixes_of;

    #[test]
    fn a_query_selects_families_by_the_starts_of_their_names() {
        assert_eq!(prefixes_of(""), [""; 0]);
        let query = "names[]=corelane_&x=y&names%5B%5D=process_cpu";
        assert_eq!(prefixes_of(query), ["corelane_", "process_cpu"]);
    }
}
