//! Spans on their way to a collector: OTLP over HTTP with protobuf.
//!
//! One thread takes spans from a bounded queue and sends them in batches, one at a time. Its
//! clients never wait: a span that finds the queue full is dropped and counted, as are those of a
//! batch that the collector does not take after a few attempts. It deliberately lacks gRPC and
//! compression.

mod client;
mod encoding;
mod settings;
mod span;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use client::Client;
pub use settings::{OtlpError, OtlpSettings};
pub use span::{AttributeValue, Span, SpanCounts};

/// Spans of one request to the collector at most.
const BATCH_MAX: usize = 512;
/// How long a span waits for others.
const BATCH_TIME: Duration = Duration::from_secs(1);
/// How long the spans of a server that ends may take.
const FLUSH_TIME: Duration = Duration::from_secs(2);

/// The thread that exports spans, until this is dropped: then those that wait are sent, for 2 s at
/// most.
#[derive(Debug)]
pub struct Exporter {
    /// Dropped first, with `stop`: then the thread ends.
    queue: Option<mpsc::Sender<Span>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    counts: Arc<SpanCounts>,
}

impl Exporter {
    /// Starts the thread.
    ///
    /// # Errors
    /// The thread or the client for HTTP cannot be made.
    ///
    /// ```no_run
    /// use corelane_control::otlp::{Exporter, OtlpSettings};
    /// let endpoint = Some("http://127.0.0.1:4318/v1/traces");
    /// let settings = OtlpSettings::of(endpoint, 4096, |name| std::env::var(name).ok())?;
    /// let exporter = settings.map(Exporter::start).transpose()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn start(settings: OtlpSettings) -> io::Result<Exporter> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let (queue, spans) = mpsc::channel(settings.queue_max);
        let (stop, stopped) = oneshot::channel::<()>();
        let counts = Arc::new(SpanCounts::default());
        let client = Client::new(settings, Arc::clone(&counts)).map_err(io::Error::other)?;
        let thread = thread::Builder::new()
            .name("otlp".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let exported = export(spans, client);
                    tokio::pin!(exported);
                    tokio::select! {
                        () = &mut exported => {}
                        _ = stopped => {
                            if timeout(FLUSH_TIME, exported).await.is_err() {
                                tracing::warn!("the last spans were not exported in time");
                            }
                        }
                    }
                });
            })?;
        Ok(Exporter {
            queue: Some(queue),
            stop: Some(stop),
            thread: Some(thread),
            counts,
        })
    }

    /// Leaves a span in the queue, or drops and counts it if that is full.
    pub fn export(&self, span: Span) {
        let place = self.queue.as_ref().and_then(|it| it.try_reserve().ok());
        match place {
            Some(place) => place.send(span),
            None => _ = self.counts.dropped.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// The spans by their fate.
    #[must_use]
    pub fn counts(&self) -> Arc<SpanCounts> {
        Arc::clone(&self.counts)
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        drop(self.queue.take());
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It fails only after a panic, which was logged then.
            let _ = thread.join();
        }
    }
}

/// Sends spans until their queue is closed and empty.
async fn export(mut spans: mpsc::Receiver<Span>, mut client: Client) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while let Some(first) = spans.recv().await {
        batch.push(first);
        let until = Instant::now() + BATCH_TIME;
        while batch.len() < BATCH_MAX {
            let places = BATCH_MAX - batch.len();
            let more = spans.recv_many(&mut batch, places);
            if !matches!(timeout_at(until, more).await, Ok(1..)) {
                break;
            }
        }
        client.send(&batch).await;
        batch.clear();
    }
}
