//! The connection of a node to NATS.
//!
//! All of it runs on the runtime that it was started on. Nothing in it waits for a server: without
//! one a message is dropped and an operation is refused, and [`Bus::next`] gives results.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::ContextBuilder;
use async_nats::{Client, Event, Subscriber};
use corelane_cluster::id::Process;
use corelane_cluster::vocabulary::{Expect, Key, Op, PutResult, ReadFrom, ReadResult};
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use crate::schema;
use crate::settings::{ConnectError, Settings};
use crate::store::{ANSWER_MAX, Store};

/// Messages that wait for the client: some 40 s of heartbeats of one node, and their answers.
const MESSAGES_MAX: usize = 1_024;
/// Writes that the server has yet to acknowledge.
const ACKS_MAX: usize = 1_024;
/// Bytes of a message to other processes: half of the limit of a server.
pub const MESSAGE_BYTES_MAX: usize = 512 << 10;
/// Before buckets that cannot be used are looked at again.
const CHECK_AGAIN: Duration = Duration::from_secs(2);

/// An event of NATS.
#[derive(Debug)]
pub enum BusEvent {
    /// The servers are reached, for the first time or again, and the buckets can be used.
    Connected,
    /// They are not reached any more.
    Disconnected,
    /// Messages were lost because too many waited.
    Lagged,
    /// The servers are reached, and cannot be used, for this reason. It is tried again.
    Unusable(String),
    /// The server refused something, such as a subject without permission.
    Refused(String),
    /// A message of another process, or of this one, as it was sent.
    Message(Vec<u8>),
    /// The result of a read.
    Read(Op, ReadResult),
    /// The result of a write.
    Put(Op, PutResult),
}

/// The connection of one node.
#[derive(Debug)]
pub struct Bus {
    client: Client,
    cluster: String,
    store: Store,
    messages: mpsc::Sender<(String, Vec<u8>)>,
    dropped: Arc<AtomicU64>,
    /// The loss of messages was reported, and the report was not taken yet.
    is_lagging: Arc<AtomicBool>,
    /// Bounded by the operations of the core, of which each leaves one event.
    events: (
        mpsc::UnboundedSender<BusEvent>,
        mpsc::UnboundedReceiver<BusEvent>,
    ),
    to_all: Subscriber,
    updates: Subscriber,
    /// Messages for this process alone, once it is known.
    to_this: Option<Subscriber>,
}

impl Bus {
    /// Begins to connect. Servers that cannot be reached are tried for ever.
    ///
    /// # Errors
    /// The settings cannot be used.
    pub async fn start(settings: &Settings, node: u16) -> Result<Bus, ConnectError> {
        let events = mpsc::unbounded_channel();
        let of_client = events.0.clone();
        let is_lagging = Arc::new(AtomicBool::new(false));
        let of_callback = Arc::clone(&is_lagging);
        let (connected, connects) = mpsc::unbounded_channel();
        let options = settings.options(format!("corelane node {node}"))?;
        let options = options
            .retry_on_initial_connect()
            .event_callback(move |event| {
                let reported = match event {
                    Event::Connected => {
                        let _ = connected.send(());
                        None
                    }
                    Event::Disconnected => Some(BusEvent::Disconnected),
                    Event::SlowConsumer(_) => {
                        // One for each message that was lost would be a flood as well.
                        let is_first = !of_callback.swap(true, Ordering::Relaxed);
                        is_first.then_some(BusEvent::Lagged)
                    }
                    Event::ServerError(error) => Some(BusEvent::Refused(error.to_string())),
                    Event::ClientError(error) => Some(BusEvent::Refused(error.to_string())),
                    Event::LameDuckMode | Event::Draining | Event::Closed => None,
                };
                if let Some(event) = reported {
                    let _ = of_client.send(event);
                }
                async {}
            });
        let client = options.connect(&settings.servers[..]).await?;
        let context = ContextBuilder::new()
            .timeout(ANSWER_MAX)
            .ack_timeout(ANSWER_MAX)
            .max_ack_inflight(ACKS_MAX)
            .backpressure_on_inflight(false)
            .build(client.clone());
        let store = Store::new(context, &settings.cluster);
        let of_check = events.0.clone();
        tokio::spawn(check_all(
            store.clone(),
            settings.cluster.clone(),
            connects,
            of_check,
        ));
        let (messages, waiting) = mpsc::channel(MESSAGES_MAX);
        tokio::spawn(publish_all(client.clone(), waiting));
        let subject = format!("cl.{}.all", settings.cluster);
        let to_all = subscribe(&client, subject).await?;
        let subject = format!("cl.{}.upd.*", settings.cluster);
        let updates = subscribe(&client, subject).await?;
        Ok(Bus {
            client,
            cluster: settings.cluster.clone(),
            store,
            messages,
            dropped: Arc::default(),
            is_lagging,
            events,
            to_all,
            updates,
            to_this: None,
        })
    }

    /// Takes the messages for this process alone from now on.
    ///
    /// # Errors
    /// The client has ended.
    pub async fn listen_for(&mut self, process: Process) -> Result<(), ConnectError> {
        let subject = subject_of(&self.cluster, process);
        self.to_this = Some(subscribe(&self.client, subject).await?);
        Ok(())
    }

    /// The next event. Dropping the future loses none.
    pub async fn next(&mut self) -> BusEvent {
        loop {
            let to_this = async {
                match &mut self.to_this {
                    Some(messages) => messages.next().await,
                    None => std::future::pending().await,
                }
            };
            let message = tokio::select! {
                biased;
                Some(event) = self.events.1.recv() => {
                    if matches!(event, BusEvent::Lagged) {
                        self.is_lagging.store(false, Ordering::Relaxed);
                    }
                    return event;
                }
                Some(message) = to_this => message,
                // Before a heartbeat that was sent after them, which has their number.
                Some(message) = self.updates.next() => message,
                Some(message) = self.to_all.next() => message,
                else => std::future::pending().await,
            };
            if message.status.is_none() {
                return BusEvent::Message(message.payload.to_vec());
            }
        }
    }

    /// Sends a message to all processes, this one included; drops it while no server is reached.
    pub fn publish(&self, message: Vec<u8>) {
        self.queue(format!("cl.{}.all", self.cluster), message);
    }

    /// The same for changed resources of a partition.
    pub fn publish_update(&self, partition: u16, message: Vec<u8>) {
        self.queue(format!("cl.{}.upd.{partition}", self.cluster), message);
    }

    /// Sends a message to one process; drops it while no server is reached.
    pub fn send(&self, to: Process, message: Vec<u8>) {
        self.queue(subject_of(&self.cluster, to), message);
    }

    fn queue(&self, subject: String, message: Vec<u8>) {
        let is_connected = self.client.connection_state() == State::Connected;
        let fits = message.len() <= MESSAGE_BYTES_MAX.min(self.client.max_payload());
        let is_queued = is_connected && fits && self.messages.try_send((subject, message)).is_ok();
        if !is_queued {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Messages that were not sent so far.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Begins a write, with a time to live in seconds, 0 for none. Its result is an event.
    pub fn put(&self, op: Op, key: Key, (expect, ttl_s): (Expect, u64), value: Vec<u8>) {
        let events = self.events.0.clone();
        if self.client.connection_state() != State::Connected {
            // It would wait in the client, and be written when it is not expected any more.
            let _ = events.send(BusEvent::Put(op, PutResult::Refused));
            return;
        }
        let store = self.store.clone();
        tokio::spawn(async move {
            let result = store.put(key, (expect, ttl_s), value).await;
            let _ = events.send(BusEvent::Put(op, result));
        });
    }

    /// Begins a read. Its result is an event.
    pub fn read(&self, op: Op, key: Key, from: ReadFrom) {
        let events = self.events.0.clone();
        if self.client.connection_state() != State::Connected {
            let _ = events.send(BusEvent::Read(op, ReadResult::Failed));
            return;
        }
        let store = self.store.clone();
        tokio::spawn(async move {
            let result = store.read(key, from).await;
            let _ = events.send(BusEvent::Read(op, result));
        });
    }

    /// Closes the connection and makes another: for one that is open and carries nothing.
    pub async fn reconnect(&self) {
        let _ = self.client.force_reconnect().await;
    }

    /// The server of the connection: its name, host and version.
    #[must_use]
    pub fn server(&self) -> Option<(String, String, String)> {
        let info = self.client.try_server_info()?;
        Some((info.server_name, info.host, info.version))
    }

    /// Waits until all messages have left and those that the server had before have come, at most
    /// for the time of an answer. Returns whether that is so.
    pub async fn flush(&self) -> bool {
        let flushed = async {
            while self.messages.capacity() < MESSAGES_MAX {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // The client's own flush ends when its bytes are written.
            let (reply, subject) = (self.client.new_inbox(), self.client.new_inbox());
            let Ok(mut answers) = self.client.subscribe(reply.clone()).await else {
                return false;
            };
            // No one listens there: the server says so, behind all that it had before.
            let answered = self
                .client
                .publish_with_reply(subject, reply, Default::default());
            answered.await.is_ok() && answers.next().await.is_some()
        };
        let flushed = tokio::time::timeout(ANSWER_MAX, flushed).await;
        flushed.unwrap_or(false)
    }
}

fn subject_of(cluster: &str, process: Process) -> String {
    let Process { node, incarnation } = process;
    format!("cl.{cluster}.n.{node}.{incarnation}")
}

async fn subscribe(client: &Client, subject: String) -> Result<Subscriber, ConnectError> {
    let subscribed = client.subscribe(subject).await;
    subscribed.map_err(|error| ConnectError::Subscribe(error.to_string()))
}

/// Publishes the messages that wait. It stops while the client does; their number has a bound.
async fn publish_all(client: Client, mut waiting: mpsc::Receiver<(String, Vec<u8>)>) {
    while let Some((subject, message)) = waiting.recv().await {
        if client.publish(subject, message.into()).await.is_err() {
            return;
        }
    }
}

/// Looks at the buckets when the servers are first reached, until they can be used. Reports each
/// connection after that.
async fn check_all(
    store: Store,
    cluster: String,
    mut connects: mpsc::UnboundedReceiver<()>,
    events: mpsc::UnboundedSender<BusEvent>,
) {
    let mut is_checked = false;
    while connects.recv().await.is_some() {
        while !is_checked {
            match schema::check(store.context(), &cluster).await {
                Ok(()) => is_checked = true,
                Err(error) => {
                    let _ = events.send(BusEvent::Unusable(error.to_string()));
                    tokio::time::sleep(CHECK_AGAIN).await;
                }
            }
        }
        if events.send(BusEvent::Connected).is_err() {
            return;
        }
    }
}
