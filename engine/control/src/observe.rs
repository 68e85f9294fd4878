//! The listener for metrics and the dashboard: HTTP, GET and HEAD only, on a thread of its own.
//!
//! It changes nothing in the server, so that a loopback address needs no token. A request for a
//! name other than the address itself or "localhost" is refused there: a page of a browser could
//! have let its own name point here (DNS rebinding). Connections and their time are bounded. It
//! deliberately lacks TLS, and everything that changes the server.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::net::TcpStream;

use crate::dashboard;
use crate::http_thread::{Answer, HttpThread, Times};

/// The times of a connection: a scraper keeps its own from one scrape to the next.
const TIMES: Times = Times {
    head_max: Duration::from_secs(90),
    connection_max: Duration::from_secs(600),
};

/// A request for a page.
#[derive(Debug, Clone, Copy)]
pub struct PageRequest<'a> {
    /// The path, such as "/metrics".
    pub path: &'a str,
    /// The query without its question mark; empty without one.
    pub query: &'a str,
    /// The header `Accept`; empty without one.
    pub accept: &'a str,
}

/// A page that answers a request.
#[derive(Debug, Clone)]
pub struct PageAnswer {
    /// Its `Content-Type`.
    pub content_type: &'static str,
    /// Its text.
    pub body: String,
}

type Pages = dyn Fn(PageRequest<'_>) -> Option<PageAnswer> + Send + Sync;

/// A listener and its thread, which end when this is dropped.
#[derive(Debug)]
pub struct Observer {
    address: SocketAddr,
    /// Of the listener.
    socket: OwnedFd,
    _thread: HttpThread,
}

impl Observer {
    /// Listens at `address` and answers with `pages`, and where that gives none with the dashboard
    /// or 404. They are made one at a time.
    ///
    /// # Errors
    /// The address cannot be listened on, or the thread cannot be started.
    ///
    /// ```
    /// use corelane_control::observe::{Observer, PageAnswer};
    ///
    /// let address = ([127, 0, 0, 1], 0).into();
    /// let observer = Observer::start(address, |request| {
    ///     (request.path == "/metrics").then(|| PageAnswer {
    ///         content_type: "text/plain",
    ///         body: "up 1\n".to_owned(),
    ///     })
    /// })?;
    /// assert_ne!(observer.address().port(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn start(
        address: SocketAddr,
        pages: impl Fn(PageRequest<'_>) -> Option<PageAnswer> + Send + Sync + 'static,
    ) -> io::Result<Observer> {
        Observer::start_on(TcpListener::bind(address)?, pages)
    }

    /// The same with a socket that listens already.
    ///
    /// # Errors
    /// It is none, or the thread cannot be started.
    pub fn start_on(
        listener: TcpListener,
        pages: impl Fn(PageRequest<'_>) -> Option<PageAnswer> + Send + Sync + 'static,
    ) -> io::Result<Observer> {
        listener.set_nonblocking(true)?;
        let socket = listener.as_fd().try_clone_to_owned()?;
        let address = listener.local_addr()?;
        let site = Site {
            is_loopback: address.ip().to_canonical().is_loopback(),
            pages: Box::new(pages),
        };
        let listen = move || tokio::net::TcpListener::from_std(listener);
        let thread = HttpThread::start("metrics", listen, site, TIMES)?;
        Ok(Observer {
            address,
            socket,
            _thread: thread,
        })
    }

    /// Its listening socket, for a process that takes over from this one.
    #[must_use]
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Where it listens, with the port that was bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// What the listener shows.
struct Site {
    is_loopback: bool,
    pages: Box<Pages>,
}

impl Answer<TcpStream> for Site {
    type Client = ();

    fn client(&self, _: &TcpStream) {}

    async fn answer(self: Arc<Site>, (): (), request: Request<Incoming>) -> Response<Full<Bytes>> {
        self.page(&request)
    }
}

impl Site {
    fn page(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD");
            let methods = HeaderValue::from_static("GET, HEAD");
            answer.headers_mut().insert(ALLOW, methods);
            return answer;
        }
        if self.is_loopback && !is_own_name(text_of(request.headers(), HOST)) {
            let text = "Host must be the address of the listener or localhost";
            return refusal(StatusCode::FORBIDDEN, text);
        }
        let uri = request.uri();
        let page = (self.pages)(PageRequest {
            path: uri.path(),
            query: uri.query().unwrap_or_default(),
            accept: text_of(request.headers(), ACCEPT),
        });
        let Some(page) = page else {
            let missing = || refusal(StatusCode::NOT_FOUND, "there are / and /metrics");
            return dashboard::answer(uri.path()).unwrap_or_else(missing);
        };
        let mut answer = Response::new(Full::from(page.body));
        let content_type = HeaderValue::from_static(page.content_type);
        answer.headers_mut().insert(CONTENT_TYPE, content_type);
        answer
    }
}

/// Whether `Host` names an address or "localhost", with or without a port.
fn is_own_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => host.split(':').next(),
    };
    name.is_some_and(|name| {
        name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
    })
}

fn text_of(headers: &HeaderMap, name: HeaderName) -> &str {
    let value = headers.get(name);
    value.and_then(|it| it.to_str().ok()).unwrap_or_default()
}

fn refusal(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(Bytes::from_static(text.as_bytes())));
    *answer.status_mut() = status;
    answer
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};

    use super::{Observer, PageAnswer};
    use crate::dashboard::FILES;
    use crate::http_thread::CONNECTIONS_MAX;

    fn observer() -> Observer {
        let address: SocketAddr = ([127, 0, 0, 1], 0).into();
        let started = Observer::start(address, |request| {
            let body = format!("query={} accept={}\n", request.query, request.accept);
            (request.path == "/metrics").then_some(PageAnswer {
                content_type: "text/plain",
                body,
            })
        });
        started.expect("a free port")
    }

    fn exchange(observer: &Observer, head: &str) -> String {
        let mut stream = TcpStream::connect(observer.address()).expect("it listens");
        let head = format!("{head}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }

    #[test]
    fn a_page_is_read_and_nothing_can_be_changed() {
        let observer = observer();
        let get = |host: &str| format!("GET /metrics?a=b HTTP/1.1\r\nAccept: x/y\r\nHost: {host}");
        let port = observer.address().port();
        for host in [
            "localhost",
            "127.0.0.1",
            "[::1]:80",
            &format!("LocalHost:{port}"),
        ] {
            let answer = exchange(&observer, &get(host));
            assert!(answer.starts_with("HTTP/1.1 200 "), "{host}: {answer}");
            assert!(answer.ends_with("query=a=b accept=x/y\n"), "{answer}");
        }
        for (head, status) in [
            (get("evil.example"), "403"),
            ("GET /metrics HTTP/1.1\r\nHost:".to_owned(), "403"),
            ("GET /other HTTP/1.1\r\nHost: localhost".to_owned(), "404"),
            (
                "POST /metrics HTTP/1.1\r\nHost: localhost".to_owned(),
                "405",
            ),
            (
                "DELETE /metrics HTTP/1.1\r\nHost: localhost".to_owned(),
                "405",
            ),
            ("nonsense".to_owned(), "400"),
        ] {
            let answer = exchange(&observer, &head);
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{head}: {answer}"
            );
        }
        let answer = exchange(&observer, "HEAD /metrics HTTP/1.1\r\nHost: localhost");
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"));
    }

    #[test]
    fn the_dashboard_is_served_with_its_policy() {
        let observer = observer();
        for file in FILES {
            let answer = exchange(
                &observer,
                &format!("GET {} HTTP/1.1\r\nHost: localhost", file.path),
            );
            let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            assert_eq!(body, file.text, "{}", file.path);
            for field in [
                &format!("content-type: {}", file.content_type),
                "content-security-policy: default-src 'none'; script-src 'self'; ",
                "x-content-type-options: nosniff",
                "x-frame-options: DENY",
                "connection: close",
            ] {
                assert!(head.contains(&format!("\r\n{field}")), "{field}: {head}");
            }
        }
        let head = exchange(&observer, "HEAD / HTTP/1.1\r\nHost: localhost");
        assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"));
        for (head, status) in [
            ("GET / HTTP/1.1\r\nHost: evil.example", "403"),
            ("POST / HTTP/1.1\r\nHost: localhost", "405"),
            ("GET /../app.js HTTP/1.1\r\nHost: localhost", "404"),
        ] {
            let answer = exchange(&observer, head);
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{answer}"
            );
        }
    }

    #[test]
    fn connections_past_the_limit_wait_until_another_ends() {
        let observer = observer();
        let connect = || TcpStream::connect(observer.address()).expect("it listens");
        let mut held: Vec<TcpStream> = (0..CONNECTIONS_MAX).map(|_| connect()).collect();
        for stream in &mut held {
            stream
                .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
                .expect("read");
            let mut first = [0; 9];
            stream.read_exact(&mut first).expect("an answer");
        }
        drop(held.pop());
        let answer = exchange(&observer, "GET /metrics HTTP/1.1\r\nHost: localhost");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        drop(observer);
    }
}
