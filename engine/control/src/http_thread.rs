//! A thread that serves HTTP on a listener of its own, for pages and commands about the server.
//!
//! Connections and their time are bounded: one past the bound waits in the backlog until another
//! ends. It deliberately lacks the listener and the answers, which are of its users.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, Semaphore, oneshot, watch};

/// Most connections at once of one thread, and most answers that are made at once.
pub(crate) const CONNECTIONS_MAX: usize = 16;
/// Most bytes of the heads of a connection that are kept.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// After a failure to accept, the next try comes after this time.
const RETRY_DELAY: Duration = Duration::from_millis(100);
/// At the end, answers that are being made get this time.
const ENDING_TIME_MAX: Duration = Duration::from_millis(500);

/// The times of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// Within this time a head must arrive, also the next one of the connection.
    pub(crate) head_max: Duration,
    /// The connection is closed after this time, whatever it does.
    pub(crate) connection_max: Duration,
}

/// A listener that accepts connections.
pub(crate) trait Accept: Send + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next connection.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>>;
}

impl Accept for tokio::net::TcpListener {
    type Stream = tokio::net::TcpStream;

    async fn accept(&self) -> io::Result<Self::Stream> {
        Ok(tokio::net::TcpListener::accept(self).await?.0)
    }
}

impl Accept for tokio::net::UnixListener {
    type Stream = tokio::net::UnixStream;

    async fn accept(&self) -> io::Result<Self::Stream> {
        Ok(tokio::net::UnixListener::accept(self).await?.0)
    }
}

/// Answers the requests of connections of one kind.
pub(crate) trait Answer<S>: Send + Sync + 'static {
    /// What is known of the client of a connection.
    type Client: Copy + Send + 'static;

    /// The client of a connection.
    fn client(&self, stream: &S) -> Self::Client;

    /// The answer to a request.
    fn answer(
        self: Arc<Self>,
        client: Self::Client,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Full<Bytes>>> + Send;
}

/// A running thread, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct HttpThread {
    /// Dropped first: then the thread ends.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Notified when it is to accept no more.
    retired: Arc<Notify>,
}

impl HttpThread {
    /// Serves the connections of the listener that `listen` makes on the thread.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn start<L: Accept>(
        name: &'static str,
        listen: impl FnOnce() -> io::Result<L> + Send + 'static,
        site: impl Answer<L::Stream>,
        times: Times,
    ) -> io::Result<HttpThread> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(CONNECTIONS_MAX)
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let retired = Arc::new(Notify::new());
        let retires = Arc::clone(&retired);
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    match listen() {
                        Ok(listener) => {
                            serve(listener, Arc::new(site), times, stopped, retires).await;
                        }
                        Err(error) => tracing::error!(thread = name, %error, "it cannot be served"),
                    }
                });
                // An answer that is being made has a time of its own.
                runtime.shutdown_background();
            })?;
        Ok(HttpThread {
            stop: Some(stop),
            thread: Some(thread),
            retired,
        })
    }

    /// Accepts no more, and answers those that are connected.
    pub(crate) fn retire(&self) {
        self.retired.notify_one();
    }
}

impl Drop for HttpThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It fails only after a panic, which was logged then.
            let _ = thread.join();
        }
    }
}

async fn serve<L: Accept, A: Answer<L::Stream>>(
    listener: L,
    site: Arc<A>,
    times: Times,
    mut stopped: oneshot::Receiver<()>,
    retired: Arc<Notify>,
) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (ending, ends) = watch::channel(());
    let mut is_retired = false;
    loop {
        let accept = async {
            let permit = Arc::clone(&connections).acquire_owned().await;
            let accepted = listener.accept().await;
            (permit, accepted)
        };
        let (permit, accepted) = tokio::select! {
            biased;
            () = retired.notified() => {
                is_retired = true;
                break;
            }
            _ = &mut stopped => break,
            accepted = accept => accepted,
        };
        match accepted {
            Ok(stream) => {
                let (site, ends) = (Arc::clone(&site), ends.clone());
                tokio::spawn(async move {
                    let _permit = permit;
                    let served = serve_connection(stream, site, times.head_max, ends);
                    // A client that is too slow, or breaks the protocol, ends its connection.
                    let _ = tokio::time::timeout(times.connection_max, served).await;
                });
            }
            Err(_) => tokio::time::sleep(RETRY_DELAY).await,
        }
    }
    drop(listener);
    if is_retired {
        let _ = stopped.await;
    }
    // Answers that are being made are sent, as that to the request which ends the server.
    drop(ending);
    let all = connections.acquire_many(CONNECTIONS_MAX as u32);
    let _ = tokio::time::timeout(ENDING_TIME_MAX, all).await;
}

/// Serves a connection until it ends, or until the other end of `ends` is dropped, and the answer
/// that is being made is sent.
async fn serve_connection<S, A>(
    stream: S,
    site: Arc<A>,
    head_max: Duration,
    mut ends: watch::Receiver<()>,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Answer<S>,
{
    let client = site.client(&stream);
    let service = service_fn(move |request| {
        let answer = Arc::clone(&site).answer(client, request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_max)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        served = connection.as_mut() => return served,
        _ = ends.changed() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}
