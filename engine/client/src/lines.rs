//! Lines on a stream: child processes, Unix sockets and TCP (MCP basic/transports, "stdio").
//!
//! One task writes the messages of a queue and reads lines. Answers, and notifications with the
//! progress token or the subscription of a request, go to its exchange; other messages go to the
//! client. Nothing here waits for a reader that is late: it misses progress, and its subscription
//! ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use corelane_protocol::framing::line::{Framer, Step, write_line};
use corelane_protocol::mcp::meta::SUBSCRIPTION_ID;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::error::Error;
use crate::limits::{CLOSE_TIMEOUT, MESSAGE_BYTES_MAX, UNSENT_MAX, WAITING_MAX};
use crate::message::{Incoming, Outgoing};
use crate::settings::{Settings, Traffic};

/// Bytes that one read takes.
const READ_BYTES: usize = 64 << 10;

/// The readers of the answers, by the ids of the requests.
type Pending = Mutex<HashMap<u64, mpsc::Sender<Incoming>>>;

/// One connection of lines.
pub(crate) struct LineWire {
    target: String,
    out: mpsc::Sender<Vec<u8>>,
    pending: Arc<Pending>,
    settings: Arc<Settings>,
    task: tokio::task::JoinHandle<()>,
}

impl std::fmt::Debug for LineWire {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_tuple("LineWire")
            .field(&self.target)
            .finish()
    }
}

impl Drop for LineWire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl LineWire {
    /// A connection on two halves of a stream. Messages that belong to no request go to `others`.
    pub(crate) fn new<R, W>(
        target: String,
        (reader, writer): (R, W),
        settings: &Arc<Settings>,
        others: mpsc::Sender<Incoming>,
    ) -> LineWire
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let (out, messages) = mpsc::channel(UNSENT_MAX);
        let pending = Arc::new(Pending::default());
        let settings = Arc::clone(settings);
        let router = Router {
            pending: Arc::clone(&pending),
            settings: Arc::clone(&settings),
            others,
        };
        let task = tokio::spawn(async move {
            tokio::select! {
                () = read_lines(reader, &router) => {}
                () = write_messages(writer, messages) => {}
            }
            // Their readers see the end.
            locked(&router.pending).clear();
        });
        LineWire {
            target,
            out,
            pending,
            settings,
            task,
        }
    }

    /// Sends a request.
    pub(crate) async fn start(&self, message: &Outgoing) -> Result<LineExchange, Error> {
        let id = message.id.unwrap_or_default();
        let (sender, messages) = mpsc::channel(WAITING_MAX);
        locked(&self.pending).insert(id, sender);
        let exchange = LineExchange {
            id,
            messages,
            pending: Arc::clone(&self.pending),
            target: self.target.clone(),
        };
        self.post(message).await?;
        Ok(exchange)
    }

    /// Sends a message without an answer.
    pub(crate) async fn post(&self, message: &Outgoing) -> Result<(), Error> {
        let sent = self.out.send(self.line_of(message)).await;
        match sent {
            Ok(()) if !self.out.is_closed() => Ok(()),
            _ => Err(self.not_executed()),
        }
    }

    /// Sends a message without an answer if the queue has space for it now.
    pub(crate) fn try_post(&self, message: &Outgoing) -> bool {
        self.out.try_send(self.line_of(message)).is_ok()
    }

    /// Sends what waits to be written, ends the input of the server, and waits for the end of its
    /// output: the way to end a child process (MCP basic/transports, "stdio").
    pub(crate) async fn close(&self) {
        let ended = async {
            let _ = self.out.send(Vec::new()).await;
            self.out.closed().await;
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, ended).await;
    }

    /// Waits for the end of the connection.
    pub(crate) async fn closed(&self) {
        self.out.closed().await;
    }

    fn line_of(&self, message: &Outgoing) -> Vec<u8> {
        self.settings.show(Traffic::Sent(&message.text));
        let mut line = Vec::new();
        write_line(&mut line, &message.text);
        line
    }

    fn not_executed(&self) -> Error {
        Error::NotExecuted {
            target: self.target.clone(),
            reason: "the connection has ended".to_owned(),
        }
    }
}

fn locked(pending: &Pending) -> std::sync::MutexGuard<'_, HashMap<u64, mpsc::Sender<Incoming>>> {
    // The map is whole after each operation, so a panic elsewhere leaves it usable.
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes messages until an empty one, which ends the stream but not the task.
async fn write_messages<W>(mut writer: W, mut messages: mpsc::Receiver<Vec<u8>>)
where
    W: AsyncWrite + Unpin,
{
    while let Some(message) = messages.recv().await {
        if message.is_empty() {
            let _ = writer.shutdown().await;
            drop(writer);
            return std::future::pending().await;
        }
        if writer.write_all(&message).await.is_err() || writer.flush().await.is_err() {
            return;
        }
    }
    let _ = writer.shutdown().await;
}

async fn read_lines<R>(mut reader: R, router: &Router)
where
    R: AsyncRead + Unpin,
{
    let mut framer = Framer::default();
    let mut unread = Vec::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let bytes = match reader.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(bytes) => bytes,
        };
        unread.extend_from_slice(&buffer[..bytes]);
        let mut at = 0;
        loop {
            match framer.step(&unread[at..], MESSAGE_BYTES_MAX) {
                Step::NeedMore { consumed } => {
                    at += consumed;
                    break;
                }
                Step::Line { line, consumed } => {
                    // Text that is no message is noise of a server that logs to its output.
                    router.settings.show(Traffic::Received(line));
                    if let Ok(message) = Incoming::read(line) {
                        router.route(message).await;
                    }
                    at += consumed;
                }
                Step::TooLong { consumed, .. } => at += consumed,
            }
            if at == unread.len() {
                break;
            }
        }
        unread.drain(..at);
    }
}

/// Gives each message to its reader.
struct Router {
    pending: Arc<Pending>,
    settings: Arc<Settings>,
    others: mpsc::Sender<Incoming>,
}

impl Router {
    async fn route(&self, message: Incoming) {
        let reader = match &message {
            Incoming::Response { id, .. } => id.and_then(|id| locked(&self.pending).remove(&id)),
            Incoming::Notification { method, params } => {
                let id = request_of(method, params);
                id.and_then(|id| locked(&self.pending).get(&id).cloned())
            }
            Incoming::Request { .. } => None,
        };
        match (reader, message) {
            // An answer waits for its reader apart: it is the last message of its call.
            (Some(reader), message @ Incoming::Response { .. }) => {
                if let Err(mpsc::error::TrySendError::Full(message)) = reader.try_send(message) {
                    tokio::spawn(async move { reader.send(message).await });
                }
            }
            (Some(reader), message) => {
                if let Err(mpsc::error::TrySendError::Full(message)) = reader.try_send(message) {
                    self.on_late_reader(&reader, &message);
                }
            }
            (None, Incoming::Response { .. }) => {}
            (None, message) => drop(self.others.send(message).await),
        }
    }

    /// Progress is dropped. A subscription ends: its reader subscribes again, and knows that it has
    /// missed changes.
    fn on_late_reader(&self, late: &mpsc::Sender<Incoming>, message: &Incoming) {
        let is_progress = matches!(message, Incoming::Notification { method, .. }
            if method == "notifications/progress");
        if !is_progress {
            locked(&self.pending).retain(|_, reader| !reader.same_channel(late));
        }
    }
}

/// The request that a notification belongs to.
fn request_of(method: &str, params: &Value) -> Option<u64> {
    match method {
        "notifications/progress" => params.get("progressToken")?.as_u64(),
        "notifications/cancelled" => params.get("requestId")?.as_u64(),
        _ => params.get("_meta")?.get(SUBSCRIPTION_ID)?.as_u64(),
    }
}

/// One request on lines.
#[derive(Debug)]
pub(crate) struct LineExchange {
    id: u64,
    messages: mpsc::Receiver<Incoming>,
    pending: Arc<Pending>,
    target: String,
}

impl LineExchange {
    pub(crate) async fn next(&mut self) -> Result<Incoming, Error> {
        match self.messages.recv().await {
            Some(message) => Ok(message),
            None => Err(Error::Unknown {
                target: self.target.clone(),
                reason: "the connection ended before the answer".to_owned(),
            }),
        }
    }
}

impl Drop for LineExchange {
    fn drop(&mut self) {
        locked(&self.pending).remove(&self.id);
    }
}
