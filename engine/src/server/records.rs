//! The thread that shows single requests: those of the access log in the log, the slow ones to
//! administrators, and spans to a collector. Its clients are the shards, none of which waits.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use corelane_control::otlp::{Exporter, OtlpSettings, SpanCounts};
use serde_json::{Map, Value, json};

use super::error::{Error, Result};
use super::spans::span;
use crate::meter::exemplars::Exemplars;
use crate::meter::exposition::{Label, value_of};
use crate::meter::reading::labels_of;
use crate::meter::records::{RecordSettings, RequestRecord};
use crate::meter::traces::TraceSettings;
use crate::profile::Profile;
use crate::shard::ShardControl;

/// Between two looks at the records of all shards.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// The slow requests that ended last.
#[derive(Debug)]
pub(super) struct SlowRequests {
    rows: Mutex<VecDeque<Value>>,
    rows_max: usize,
    /// From here on a request is slow.
    threshold_us: u64,
}

/// The thread, until this is dropped.
#[derive(Debug)]
pub(super) struct RecordThread {
    /// Dropped first: then the thread ends.
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    slow: Option<Arc<SlowRequests>>,
    spans: Option<Arc<SpanCounts>>,
    exemplars: Arc<Mutex<Exemplars>>,
}

/// The parts that the thread has.
struct Reader {
    shards: Vec<Arc<ShardControl>>,
    slow: Option<Arc<SlowRequests>>,
    exporter: Option<Exporter>,
    exemplars: Arc<Mutex<Exemplars>>,
}

/// The requests of which shards leave records, if they leave any.
///
/// # Errors
/// The settings of traces in the profile or in the environment cannot be used.
pub(super) fn record_settings(profile: &Profile) -> Result<Option<RecordSettings>> {
    let admin = &profile.admin;
    let keeps_slow = admin.socket.is_some() && admin.slow_requests_max > 0;
    let trace = &profile.trace;
    let settings = RecordSettings {
        access_one_in: profile.log.access_one_in,
        slow_us: keeps_slow.then_some(admin.slow_request_us),
        traces: otlp_settings(profile)?.map(|_| TraceSettings {
            one_in: trace.one_in,
            parents_per_s: trace.parents_per_s_max,
            kept_per_s: trace.kept_per_s_max,
            slow_us: admin.slow_request_us,
        }),
    };
    let are_left = keeps_slow || settings.access_one_in > 0 || settings.traces.is_some();
    Ok(are_left.then_some(settings))
}

/// The collector that spans go to, if there is one.
fn otlp_settings(profile: &Profile) -> Result<Option<OtlpSettings>> {
    let trace = &profile.trace;
    let variable = |name: &'static str| std::env::var(name).ok();
    let settings = OtlpSettings::of(trace.endpoint.as_deref(), trace.queue_max, variable);
    settings.map_err(|error| Error::Public(error.to_string()))
}

impl SlowRequests {
    /// The newest first.
    pub(super) fn list(&self) -> Value {
        let rows = self.rows();
        json!({ "threshold_us": self.threshold_us, "rows": rows.iter().rev().collect::<Vec<_>>() })
    }

    /// Forgets them. Returns how many there were.
    pub(super) fn reset(&self) -> usize {
        std::mem::take(&mut *self.rows()).len()
    }

    fn add(&self, row: Value) {
        let mut rows = self.rows();
        if rows.len() >= self.rows_max {
            rows.pop_front();
        }
        rows.push_back(row);
    }

    fn rows(&self) -> std::sync::MutexGuard<'_, VecDeque<Value>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RecordThread {
    /// Starts the thread, if shards leave records.
    ///
    /// # Errors
    /// It, or the exporter of spans, cannot be started.
    pub(super) fn start(
        profile: &Profile,
        shards: &[Arc<ShardControl>],
    ) -> Result<Option<RecordThread>> {
        let page = shards.first().and_then(|shard| shard.page.as_ref());
        let Some(settings) = page.and_then(|page| page.settings.records) else {
            return Ok(None);
        };
        let slow = settings.slow_us.map(|threshold_us| {
            Arc::new(SlowRequests {
                rows: Mutex::default(),
                rows_max: profile.admin.slow_requests_max,
                threshold_us,
            })
        });
        let exporter = otlp_settings(profile)?.map(Exporter::start).transpose();
        let exporter = exporter.map_err(Error::Records)?;
        let spans = exporter.as_ref().map(Exporter::counts);
        let (stop, stopped) = sync_channel(1);
        let exemplars = Arc::default();
        let reader = Reader {
            shards: shards.to_vec(),
            slow: slow.clone(),
            exporter,
            exemplars: Arc::clone(&exemplars),
        };
        let thread = thread::Builder::new()
            .name("records".to_owned())
            .spawn(move || reader.run(&stopped))
            .map_err(Error::Records)?;
        Ok(Some(RecordThread {
            stop: Some(stop),
            thread: Some(thread),
            slow,
            spans,
            exemplars,
        }))
    }

    /// The slow requests, if they are kept.
    pub(super) fn slow(&self) -> Option<Arc<SlowRequests>> {
        self.slow.clone()
    }

    /// The exemplars of requests whose spans are exported.
    pub(super) fn exemplars(&self) -> Arc<Mutex<Exemplars>> {
        Arc::clone(&self.exemplars)
    }

    /// The spans by their fate, if they are exported.
    pub(super) fn span_counts(&self) -> Option<Arc<SpanCounts>> {
        self.spans.clone()
    }
}

impl Drop for RecordThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It fails only after a panic, which was logged then.
            let _ = thread.join();
        }
    }
}

impl Reader {
    /// Reads records until it is stopped. The last ones are those of the drain.
    fn run(self, stopped: &Receiver<()>) {
        while stopped.recv_timeout(LOOK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            self.read();
        }
        self.read();
    }

    fn read(&self) {
        for (number, shard) in self.shards.iter().enumerate() {
            let Some(page) = &shard.page else { continue };
            let names = page.settings.names.all();
            page.records.take(|record| {
                let labels = labels_of(Some(record.labels), &names);
                self.show(number, &record, &labels);
            });
        }
    }

    fn show(&self, shard: usize, record: &RequestRecord, labels: &[Label<'_>]) {
        let ended = SystemTime::now().checked_sub(record.ended.elapsed());
        let ended = ended.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let ended = ended.unwrap_or_default();
        let wanted = record.wanted;
        if let (Some(trace), Some(exporter)) = (wanted.trace, &self.exporter) {
            exporter.export(span(shard, record, (trace, ended), labels));
            let exemplars = self.exemplars.lock();
            let mut exemplars = exemplars.unwrap_or_else(PoisonError::into_inner);
            exemplars.add(record, trace.own.trace_id, ended);
        }
        if wanted.is_shown {
            log(shard, record, labels);
        }
        if let (true, Some(slow)) = (wanted.is_slow, &self.slow) {
            slow.add(Value::Object(row(shard, record, ended, labels)));
        }
    }
}

/// A request as an object, with the names of OpenTelemetry.
fn row(
    shard: usize,
    record: &RequestRecord,
    ended: Duration,
    labels: &[Label<'_>],
) -> Map<String, Value> {
    let labels = labels.iter();
    let mut row: Map<String, Value> = labels
        .map(|(name, value)| ((*name).to_owned(), (*value).into()))
        .collect();
    let numbers = [
        ("shard", shard as u64),
        ("ended_unix_ms", ended.as_millis() as u64),
        ("duration_us", record.duration_us),
        ("queue_us", record.queue_us),
        ("handler_us", record.handler_us),
    ];
    row.extend(numbers.map(|(name, value)| (name.to_owned(), value.into())));
    if let Some(trace_id) = trace_id(record) {
        row.insert("trace_id".to_owned(), trace_id.into());
    }
    row
}

/// The id of the trace of a request, if its span is exported.
fn trace_id(record: &RequestRecord) -> Option<String> {
    let trace = record.wanted.trace?;
    Some(format!("{:032x}", trace.own.trace_id))
}

/// Writes the line of the access log.
fn log(shard: usize, record: &RequestRecord, labels: &[Label<'_>]) {
    let text = |name: &str| value_of(labels, name);
    tracing::info!(
        target: "corelane::access",
        shard,
        method = text("mcp_method_name"),
        revision = text("mcp_protocol_version"),
        tool = text("gen_ai_tool_name"),
        prompt = text("gen_ai_prompt_name"),
        error_type = text("error_type"),
        duration_us = record.duration_us,
        queue_us = record.queue_us,
        handler_us = record.handler_us,
        trace_id = trace_id(record),
        "request"
    );
}
