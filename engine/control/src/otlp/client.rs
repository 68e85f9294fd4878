//! Requests to the collector.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::body::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode};
use tokio::time::{Instant, sleep};

use super::encoding::encode;
use super::settings::OtlpSettings;
use super::span::{Span, SpanCounts};

/// The longest time for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest time for a whole request (OpenTelemetry, "Protocol Exporter").
const TIMEOUT: Duration = Duration::from_secs(10);
/// Attempts for one batch.
const ATTEMPTS_MAX: u32 = 5;
/// The time before the second attempt, about; each further one is twice as long.
const DELAY: Duration = Duration::from_secs(1);
/// The longest time between two attempts; the collector may wish for less.
const DELAY_MAX: Duration = Duration::from_secs(30);
/// Most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Between two lines of the log about spans that were lost.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Sends batches, one after the other.
pub(super) struct Client {
    http: reqwest::Client,
    settings: OtlpSettings,
    counts: Arc<SpanCounts>,
    /// The last line about spans that were lost.
    logged: Option<Instant>,
}

/// Why a batch was not taken.
struct Fault {
    text: String,
    /// The same request may be taken later.
    is_passing: bool,
    /// How long the collector wants to be left alone.
    retry_after: Option<Duration>,
}

impl Client {
    pub(super) fn new(
        settings: OtlpSettings,
        counts: Arc<SpanCounts>,
    ) -> Result<Client, reqwest::Error> {
        // The first provider of the process stays, if there is one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .pool_max_idle_per_host(1)
            .redirect(Policy::none())
            .referer(false)
            .no_proxy()
            .user_agent("corelane")
            .build()?;
        Ok(Client {
            http,
            settings,
            counts,
            logged: None,
        })
    }

    /// Sends a batch, a few times if the fault may pass.
    pub(super) async fn send(&mut self, spans: &[Span]) {
        let body = Bytes::from(encode(&self.settings.resource, spans));
        let count = spans.len() as u64;
        let mut delay = DELAY;
        for attempt in 1.. {
            let fault = match self.post(body.clone()).await {
                Ok(rejected) => return self.count(count, rejected.min(count)),
                Err(fault) => fault,
            };
            if !fault.is_passing || attempt == ATTEMPTS_MAX {
                self.count(count, count);
                self.log(&fault.text);
                return;
            }
            let delayed = fault.retry_after.unwrap_or_else(|| spread(delay));
            sleep(delayed.min(DELAY_MAX)).await;
            delay *= 2;
        }
    }

    fn count(&self, spans: u64, failed: u64) {
        let counts = &self.counts;
        counts.sent.fetch_add(spans - failed, Ordering::Relaxed);
        counts.failed.fetch_add(failed, Ordering::Relaxed);
    }

    fn log(&mut self, fault: &str) {
        if self
            .logged
            .is_none_or(|last| last.elapsed() >= LOG_INTERVAL)
        {
            self.logged = Some(Instant::now());
            let lost = self.counts.failed.load(Ordering::Relaxed);
            tracing::warn!(
                lost,
                fault,
                "spans are lost: the collector does not take them"
            );
        }
    }

    /// Returns how many spans the collector rejected of those that it took.
    async fn post(&self, body: Bytes) -> Result<u64, Fault> {
        let request = self
            .http
            .post(self.settings.url.clone())
            .headers(self.settings.headers.clone())
            .header(CONTENT_TYPE, "application/x-protobuf")
            .body(body);
        let response = request.send().await.map_err(fault_of)?;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(rejected(response).await);
        }
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        Err(Fault {
            text: format!("the status is {}", status.as_u16()),
            // OTLP 1.9 "Retryable Response Codes".
            is_passing: matches!(status.as_u16(), 429 | 502 | 503 | 504),
            retry_after: retry_after.map(Duration::from_secs),
        })
    }
}

/// Spans that the collector rejected of those that it took. They are not sent again.
async fn rejected(mut response: Response) -> u64 {
    let mut body = Vec::new();
    // An answer that breaks off is one, too: the spans were taken.
    while let Ok(Some(piece)) = response.chunk().await {
        body.extend_from_slice(&piece);
        if body.len() > ANSWER_BYTES_MAX {
            return 0;
        }
    }
    let answer = ExportTraceServiceResponse::decode(&*body).unwrap_or_default();
    let rejected = answer.partial_success.map_or(0, |it| it.rejected_spans);
    u64::try_from(rejected).unwrap_or(0)
}

/// A fault of the connection, without the URL, which may have secrets.
fn fault_of(error: reqwest::Error) -> Fault {
    let error = error.without_url();
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    let mut text = String::new();
    while let Some(inner) = source {
        // The innermost error has the reason.
        text = inner.to_string();
        source = inner.source();
    }
    Fault {
        text,
        is_passing: true,
        retry_after: None,
    }
}

/// Between half of a time and one and a half, so that servers do not try again all at once.
fn spread(delay: Duration) -> Duration {
    let random = getrandom::u32().map_or(0.5, |it| f64::from(it) / f64::from(u32::MAX));
    delay.mul_f64(0.5 + random)
}
