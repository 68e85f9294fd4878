//! Changes of lists and resources, in either era (MCP 2026-07-28 basic/patterns/subscriptions; MCP
//! 2025-11-25 server/resources, "Subscriptions").
//!
//! A task subscribes again after the connection broke, with a random wait between 100 ms and 30 s.
//! After each gap it gives [`Change::Gap`], so that the caller lists again. A change that waits for
//! its reader is not given twice, so the queue of a slow reader is bounded.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc};

use crate::change::Change;
use crate::error::Error;
#[cfg(feature = "http")]
use crate::limits::STREAM_TIMEOUT;
use crate::limits::{RELISTEN, WAITING_MAX};
use crate::message::{Incoming, Outgoing};
use crate::shared::Shared;
use crate::wire::Exchange;
#[cfg(feature = "http")]
use crate::wire::Wire;

/// The changes to receive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    tools: bool,
    prompts: bool,
    resources: bool,
    uris: BTreeSet<String>,
}

impl Filter {
    /// Changes of all lists.
    ///
    /// ```
    /// use corelane_client::Filter;
    /// let filter = Filter::all().resource("config://app");
    /// ```
    #[must_use]
    pub fn all() -> Filter {
        Filter {
            tools: true,
            prompts: true,
            resources: true,
            uris: BTreeSet::new(),
        }
    }

    /// Changes of the list of tools alone.
    #[must_use]
    pub fn tools() -> Filter {
        Filter {
            tools: true,
            ..Filter::default()
        }
    }

    /// Changes of this resource as well.
    #[must_use]
    pub fn resource(mut self, uri: impl Into<String>) -> Filter {
        self.uris.insert(uri.into());
        self
    }

    fn has(&self, change: &Change) -> bool {
        match change {
            Change::Tools => self.tools,
            Change::Prompts => self.prompts,
            Change::Resources => self.resources,
            Change::Resource(uri) => self.uris.contains(uri),
            Change::Gap => true,
        }
    }

    /// `params.notifications` of `subscriptions/listen`.
    fn to_json(&self) -> Value {
        let mut filter = json!({});
        let lists = [
            ("toolsListChanged", self.tools),
            ("promptsListChanged", self.prompts),
            ("resourcesListChanged", self.resources),
        ];
        for (name, _) in lists.into_iter().filter(|(_, wanted)| *wanted) {
            filter[name] = json!(true);
        }
        if !self.uris.is_empty() {
            filter["resourceSubscriptions"] = json!(self.uris);
        }
        filter
    }

    /// The parts that an acknowledgement leaves out.
    fn declined(&self, acknowledged: &Value) -> Vec<String> {
        let mut declined = Vec::new();
        for (name, value) in self.to_json().as_object().into_iter().flatten() {
            let accepted = acknowledged.get(name);
            match value.as_array() {
                Some(uris) => {
                    let accepted = accepted.and_then(Value::as_array);
                    let has = |uri: &Value| accepted.is_some_and(|all| all.contains(uri));
                    let left_out = uris
                        .iter()
                        .filter(|uri| !has(uri))
                        .filter_map(Value::as_str);
                    declined.extend(left_out.map(str::to_owned));
                }
                None if accepted != Some(value) => declined.push(name.clone()),
                None => {}
            }
        }
        declined
    }
}

/// The changes of one subscription; dropping them ends it.
pub struct Changes {
    receiver: mpsc::Receiver<Change>,
    declined: Vec<String>,
    task: tokio::task::JoinHandle<()>,
    /// The tasks of the connection.
    _connection: Arc<dyn Send + Sync>,
}

impl std::fmt::Debug for Changes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Changes").finish_non_exhaustive()
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Changes {
    /// The next change; none when the server ends the subscription for good.
    pub async fn next(&mut self) -> Option<Change> {
        self.receiver.recv().await
    }

    /// The parts of the filter that the server does not serve: names of lists, and URIs.
    #[must_use]
    pub fn declined(&self) -> &[String] {
        &self.declined
    }
}

/// Subscribes to changes.
pub(crate) async fn listen(
    shared: &Arc<Shared>,
    connection: &Arc<dyn Send + Sync>,
    filter: Filter,
) -> Result<Changes, Error> {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let (declined, task) = match shared.is_modern() {
        true => {
            let (exchange, acknowledged) = subscribe(shared, &filter).await?;
            let declined = filter.declined(&acknowledged);
            let task = relay_modern(Arc::clone(shared), filter, exchange, sender);
            (declined, tokio::spawn(task))
        }
        false => {
            let declined = subscribe_legacy(shared, &filter).await?;
            let changes = shared.changes.subscribe();
            let stream = keep_stream(shared).await;
            let task = relay_legacy((Arc::clone(shared), changes), filter, sender, stream);
            (declined, tokio::spawn(task))
        }
    };
    Ok(Changes {
        receiver,
        declined,
        task,
        _connection: Arc::clone(connection),
    })
}

/// Opens a subscription; returns it with the filter that the server acknowledged.
async fn subscribe(shared: &Arc<Shared>, filter: &Filter) -> Result<(Exchange, Value), Error> {
    let mut params = json!({"notifications": filter.to_json()});
    params["_meta"] = crate::handshake::meta(&shared.settings, shared.revision());
    let message = Outgoing::request(shared.next_id(), "subscriptions/listen", &params);
    let opened = tokio::time::timeout(shared.settings.timeout, async {
        let mut exchange = shared.start(&message).await?;
        loop {
            match exchange.next().await? {
                Incoming::Notification { method, mut params }
                    if method == "notifications/subscriptions/acknowledged" =>
                {
                    return Ok((exchange, params["notifications"].take()));
                }
                Incoming::Response { result, .. } => {
                    let error = result.err().map(Error::Refused);
                    let ended = "the server ended a subscription at once".to_owned();
                    return Err(error.unwrap_or(Error::Protocol(ended)));
                }
                _ => {}
            }
        }
    });
    let late = |_| Error::Timeout(crate::error::Clock::Silence);
    opened.await.map_err(late)?
}

/// Gives the changes of a subscription, and opens it again when it breaks.
async fn relay_modern(
    shared: Arc<Shared>,
    filter: Filter,
    mut exchange: Exchange,
    sender: mpsc::Sender<Change>,
) {
    let mut attempts = 0;
    loop {
        while let Ok(message) = exchange.next().await {
            let Incoming::Notification { method, params } = message else {
                break;
            };
            attempts = 0;
            if let Some(change) = Change::read(&method, &params) {
                shared.cache.on_change(&change);
                if sender.send(change).await.is_err() {
                    return;
                }
            }
        }
        exchange = loop {
            tokio::time::sleep(wait_before(attempts)).await;
            attempts += 1;
            match subscribe(&shared, &filter).await {
                Ok((exchange, _)) => break exchange,
                // The server will refuse it again.
                Err(Error::Refused(_) | Error::Auth { .. }) => return,
                // Lines that have ended are not connected again.
                Err(Error::NotExecuted { .. }) if !shared.is_http() => return,
                Err(_) => {}
            }
        };
        shared.cache.on_change(&Change::Gap);
        if sender.send(Change::Gap).await.is_err() {
            return;
        }
    }
}

/// Subscribes to the resources of a filter in a legacy session; returns those that are refused.
async fn subscribe_legacy(shared: &Arc<Shared>, filter: &Filter) -> Result<Vec<String>, Error> {
    let mut declined = Vec::new();
    for uri in &filter.uris {
        let request = shared.request("resources/subscribe", json!({"uri": uri}));
        match shared.exchange(&request).await {
            Ok(_) => {
                let mut known = shared
                    .subscribed
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                known.insert(uri.clone());
            }
            Err(Error::Refused(_)) => declined.push(uri.clone()),
            Err(error) => return Err(error),
        }
    }
    Ok(declined)
}

/// Gives the changes of a session that fit a filter.
async fn relay_legacy(
    (shared, mut changes): (Arc<Shared>, broadcast::Receiver<Change>),
    filter: Filter,
    sender: mpsc::Sender<Change>,
    stream: Option<tokio::task::JoinHandle<()>>,
) {
    let _stream = stream.map(EndsWithSubscription);
    loop {
        let received = tokio::select! {
            biased;
            received = changes.recv() => received,
            () = shared.wire.closed() => return,
        };
        let change = match received {
            Ok(change) if filter.has(&change) => change,
            Ok(_) => continue,
            Err(broadcast::error::RecvError::Lagged(_)) => Change::Gap,
            Err(broadcast::error::RecvError::Closed) => return,
        };
        if sender.send(change).await.is_err() {
            return;
        }
    }
}

/// A task that ends when this is dropped.
struct EndsWithSubscription(tokio::task::JoinHandle<()>);

impl Drop for EndsWithSubscription {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Keeps the stream of a legacy session over HTTP open, which brings messages that belong to no
/// request. There is none in the modern era, on lines, and if the server has none (405).
///
/// It returns when the stream is open, or late: a server drops a message for which there is no
/// stream yet.
pub(crate) async fn keep_stream(shared: &Arc<Shared>) -> Option<tokio::task::JoinHandle<()>> {
    #[cfg(feature = "http")]
    if let (Wire::Http(wire), false) = (&shared.wire, shared.is_modern()) {
        let (opened, is_open) = tokio::sync::oneshot::channel();
        let (wire, weak) = (Arc::clone(wire), Arc::downgrade(shared));
        let task = tokio::spawn(read_stream(wire, weak, opened));
        let _ = tokio::time::timeout(STREAM_TIMEOUT, is_open).await;
        return Some(task);
    }
    None
}

/// Reads the stream, and opens it again when it ends. The end of `opened` says that it is open.
#[cfg(feature = "http")]
async fn read_stream(
    wire: Arc<crate::http::HttpWire>,
    weak: std::sync::Weak<Shared>,
    opened: tokio::sync::oneshot::Sender<()>,
) {
    let mut opened = Some(opened);
    let mut attempts = 0;
    loop {
        let Some(envelope) = weak.upgrade().map(|shared| shared.envelope()) else {
            return;
        };
        match wire.open_stream(&envelope, None).await {
            Ok(Some(mut stream)) => {
                // Between two streams changes may have been missed.
                if let (None, Some(shared)) = (opened.take(), weak.upgrade()) {
                    let _ = shared.changes.send(Change::Gap);
                }
                while let Ok(message) = stream.next().await {
                    attempts = 0;
                    let Some(shared) = weak.upgrade() else { return };
                    shared.on_unsolicited(message);
                }
            }
            Ok(None) => return,
            Err(_) => {
                let lost = envelope.session.as_deref();
                if let (Some(shared), Some(lost)) = (weak.upgrade(), lost)
                    && attempts > 0
                {
                    let _ = shared.renew(lost).await;
                }
            }
        }
        tokio::time::sleep(wait_before(attempts)).await;
        attempts += 1;
    }
}

/// A random wait, whose upper bound doubles with each attempt.
fn wait_before(attempts: u32) -> Duration {
    let [least, most] = RELISTEN;
    let bound = least.saturating_mul(1 << attempts.min(16)).min(most);
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    least.max(bound.mul_f64(f64::from(random) / f64::from(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::{Change, Filter, wait_before};
    use crate::limits::RELISTEN;
    use serde_json::json;

    #[test]
    fn a_filter_has_its_changes_and_knows_those_that_were_declined() {
        let filter = Filter::tools().resource("x:a").resource("x:b");
        assert!(filter.has(&Change::Tools) && filter.has(&Change::Resource("x:a".to_owned())));
        assert!(!filter.has(&Change::Prompts) && !filter.has(&Change::Resource("x".to_owned())));
        assert!(filter.has(&Change::Gap));
        let all = json!({"toolsListChanged": true, "resourceSubscriptions": ["x:a", "x:b"]});
        assert_eq!(filter.to_json(), all);
        assert_eq!(filter.declined(&all), [""; 0]);
        let some = json!({"resourceSubscriptions": ["x:b"]});
        assert_eq!(filter.declined(&some), ["toolsListChanged", "x:a"]);
    }

    #[test]
    fn waits_grow_and_stay_within_their_bounds() {
        for attempts in [0, 1, 5, 9, 40, u32::MAX] {
            for _ in 0..50 {
                let wait = wait_before(attempts);
                assert!(
                    wait >= RELISTEN[0] && wait <= RELISTEN[1],
                    "{attempts}: {wait:?}"
                );
            }
        }
        assert_eq!(wait_before(0), RELISTEN[0]);
    }
}
