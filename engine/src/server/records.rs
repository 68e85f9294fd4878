//! The thread that shows single requests: those of the access log in the log, and the slow ones to
//! administrators. Its clients are the shards, none of which waits for it.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::error::{Error, Result};
use crate::meter::reading::labels_of;
use crate::meter::records::{RecordSettings, RequestRecord};
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
}

/// The parts that the thread has.
struct Reader {
    shards: Vec<Arc<ShardControl>>,
    slow: Option<Arc<SlowRequests>>,
}

/// The requests of which shards leave records, if they leave any.
pub(super) fn record_settings(profile: &Profile) -> Option<RecordSettings> {
    let admin = &profile.admin;
    let keeps_slow = admin.socket.is_some() && admin.slow_requests_max > 0;
    let settings = RecordSettings {
        access_one_in: profile.log.access_one_in,
        slow_us: keeps_slow.then_some(admin.slow_request_us),
    };
    (keeps_slow || settings.access_one_in > 0).then_some(settings)
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
    /// It cannot be started.
    pub(super) fn start(
        profile: &Profile,
        shards: &[Arc<ShardControl>],
    ) -> Result<Option<RecordThread>> {
        let Some(settings) = record_settings(profile) else {
            return Ok(None);
        };
        let slow = settings.slow_us.map(|threshold_us| {
            Arc::new(SlowRequests {
                rows: Mutex::default(),
                rows_max: profile.admin.slow_requests_max,
                threshold_us,
            })
        });
        let (stop, stopped) = sync_channel(1);
        let reader = Reader {
            shards: shards.to_vec(),
            slow: slow.clone(),
        };
        let thread = thread::Builder::new()
            .name("records".to_owned())
            .spawn(move || reader.run(&stopped))
            .map_err(Error::Records)?;
        Ok(Some(RecordThread {
            stop: Some(stop),
            thread: Some(thread),
            slow,
        }))
    }

    /// The slow requests, if they are kept.
    pub(super) fn slow(&self) -> Option<Arc<SlowRequests>> {
        self.slow.clone()
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
                let row = row(number, &record, &names);
                if record.is_shown {
                    log(&row);
                }
                if let (true, Some(slow)) = (record.is_slow, &self.slow) {
                    slow.add(Value::Object(row));
                }
            });
        }
    }
}

/// A request as an object, with the names of OpenTelemetry.
fn row(shard: usize, record: &RequestRecord, names: &[Arc<str>]) -> Map<String, Value> {
    let ended = SystemTime::now().checked_sub(record.ended.elapsed());
    let ended = ended.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let labels = labels_of(Some(record.labels), names).into_iter();
    let mut row: Map<String, Value> = labels
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    let numbers = [
        ("shard", shard as u64),
        (
            "ended_unix_ms",
            ended.unwrap_or_default().as_millis() as u64,
        ),
        ("duration_us", record.duration_us),
        ("queue_us", record.queue_us),
        ("handler_us", record.handler_us),
    ];
    row.extend(numbers.map(|(name, value)| (name.to_owned(), value.into())));
    row
}

/// Writes the line of the access log.
fn log(row: &Map<String, Value>) {
    let text = |name: &str| row.get(name).and_then(Value::as_str);
    let number = |name: &str| row.get(name).and_then(Value::as_u64);
    tracing::info!(
        target: "corelane::access",
        shard = number("shard"),
        method = text("mcp_method_name"),
        revision = text("mcp_protocol_version"),
        tool = text("gen_ai_tool_name"),
        prompt = text("gen_ai_prompt_name"),
        error_type = text("error_type"),
        duration_us = number("duration_us"),
        queue_us = number("queue_us"),
        handler_us = number("handler_us"),
        "request"
    );
}
