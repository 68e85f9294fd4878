//! The control socket: HTTP on a Unix socket, for the commands of an administrator on this host.
//!
//! The kernel names the user of each client (SO_PEERCRED, unix(7)): root and the user of the server
//! are served, and others get 403. A change is a POST in JSON with the header [`HEADER`], and a
//! request with an `Origin` is refused: a page of a browser that reaches the socket through some
//! proxy changes nothing. Connections, bodies, and requests at once are bounded.
//!
//! Requests are answered on threads for blocking work, so that one that waits for a shard delays no
//! other.

use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, ORIGIN};
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::UnixStream;

use crate::http_thread::{Answer, HttpThread, Times};

/// The header without which nothing is changed; its value is "1".
pub const HEADER: &str = "corelane-admin";

/// The times of a connection: commands send and read at once.
const TIMES: Times = Times {
    head_max: Duration::from_secs(5),
    connection_max: Duration::from_secs(60),
};
/// Most bytes of a body.
const BODY_BYTES_MAX: usize = 64 << 10;

/// A request of an administrator.
#[derive(Debug, Clone)]
pub struct AdminRequest {
    /// Whether it may change the server: a POST that keeps the rules of this module. Otherwise it
    /// is a GET.
    pub is_change: bool,
    /// The path, such as "/api/v1/status".
    pub path: String,
    /// The query without its question mark; empty without one.
    pub query: String,
    /// The body of a change.
    pub body: Bytes,
    /// The user of the client.
    pub uid: u32,
}

/// An answer, in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminAnswer {
    /// Its status, such as 200.
    pub status: u16,
    /// The text.
    pub body: String,
}

type Answers = dyn Fn(AdminRequest) -> AdminAnswer + Send + Sync;

/// A control socket and its thread, which end when this is dropped.
#[derive(Debug)]
pub struct AdminSocket {
    thread: HttpThread,
}

impl AdminSocket {
    /// Serves the clients of `listener` whose user is root or `owner`.
    ///
    /// # Errors
    /// The thread cannot be started.
    ///
    /// ```no_run
    /// use std::os::unix::net::UnixListener;
    /// use corelane_control::admin::{AdminAnswer, AdminSocket};
    ///
    /// let listener = UnixListener::bind("/run/corelane/control.sock")?;
    /// let socket = AdminSocket::start(listener, 1000, |request| AdminAnswer {
    ///     status: if request.is_change { 403 } else { 200 },
    ///     body: format!("{{\"path\":{:?}}}", request.path),
    /// })?;
    /// # drop(socket);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn start(
        listener: UnixListener,
        owner: u32,
        answers: impl Fn(AdminRequest) -> AdminAnswer + Send + Sync + 'static,
    ) -> io::Result<AdminSocket> {
        listener.set_nonblocking(true)?;
        let site = Site {
            owner,
            answers: Arc::new(answers),
        };
        let listen = move || tokio::net::UnixListener::from_std(listener);
        let thread = HttpThread::start("admin", listen, site, TIMES)?;
        Ok(AdminSocket { thread })
    }

    /// Accepts no more: another process does. Requests that have come are answered.
    pub fn retire(&self) {
        self.thread.retire();
    }
}

/// The answers of the socket, and the user that may have them besides root.
struct Site {
    owner: u32,
    answers: Arc<Answers>,
}

impl Answer<UnixStream> for Site {
    /// Its user. One whose user is not known is none that is served.
    type Client = Option<u32>;

    fn client(&self, stream: &UnixStream) -> Option<u32> {
        stream.peer_cred().ok().map(|peer| peer.uid())
    }

    async fn answer(
        self: Arc<Site>,
        uid: Option<u32>,
        request: Request<Incoming>,
    ) -> Response<Full<Bytes>> {
        answer(&self, uid, request).await
    }
}

/// Why a request is refused.
type Refusal = (StatusCode, &'static str);

async fn answer(
    site: &Site,
    uid: Option<u32>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let Some(uid) = uid.filter(|uid| *uid == 0 || *uid == site.owner) else {
        let text = "only root and the user of the server are served";
        return refuse((StatusCode::FORBIDDEN, text));
    };
    let is_change = match check(&request) {
        Ok(is_change) => is_change,
        Err(refusal) => return refuse(refusal),
    };
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        return refuse((StatusCode::PAYLOAD_TOO_LARGE, "the body is too long or cut"));
    };
    let request = AdminRequest {
        is_change,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        body: body.to_bytes(),
        uid,
    };
    let path = request.path.clone();
    let answers = Arc::clone(&site.answers);
    let answered = tokio::task::spawn_blocking(move || answers(request)).await;
    let Ok(AdminAnswer { status, body }) = answered else {
        return refuse((StatusCode::INTERNAL_SERVER_ERROR, "the log says why"));
    };
    if is_change {
        // The trail of changes: by whom, what, and with which result.
        tracing::info!(uid, path, status, "a change by the control socket");
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response(status, body)
}

/// Whether a request may change the server.
fn check(request: &Request<Incoming>) -> Result<bool, Refusal> {
    let headers = request.headers();
    if headers.contains_key(ORIGIN) {
        let text = "requests of pages in a browser are refused";
        return Err((StatusCode::FORBIDDEN, text));
    }
    match *request.method() {
        Method::GET => Ok(false),
        Method::POST => {
            let is_json = headers
                .get(CONTENT_TYPE)
                .is_some_and(|it| it == "application/json");
            let is_meant = headers.get(HEADER).is_some_and(|it| it == "1");
            let text = "a change needs Content-Type: application/json and Corelane-Admin: 1";
            match is_json && is_meant {
                true => Ok(true),
                false => Err((StatusCode::FORBIDDEN, text)),
            }
        }
        _ => Err((StatusCode::METHOD_NOT_ALLOWED, "only GET and POST")),
    }
}

fn refuse((status, text): Refusal) -> Response<Full<Bytes>> {
    let mut answer = response(status, format!("{{\"error\":\"{text}\"}}"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        let methods = HeaderValue::from_static("GET, POST");
        answer.headers_mut().insert(ALLOW, methods);
    }
    answer
}

fn response(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    let content_type = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    answer
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::Path;

    use super::{AdminAnswer, AdminSocket, BODY_BYTES_MAX};

    /// A socket in `folder` for the user `owner`.
    fn socket(folder: &Path, owner: u32) -> AdminSocket {
        let listener = UnixListener::bind(folder.join("s")).expect("a path");
        let started = AdminSocket::start(listener, owner, |request| AdminAnswer {
            status: 200,
            body: format!("{} {}", request.is_change, request.path),
        });
        started.expect("a thread")
    }

    fn exchange(folder: &Path, request: &str) -> String {
        let mut stream = UnixStream::connect(folder.join("s")).expect("it listens");
        // A refusal may come before all of it is read.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    fn post(fields: &str, body: &str) -> String {
        let length = body.len();
        format!(
            "POST /x HTTP/1.1\r\nHost: c\r\nConnection: close\r\nContent-Length: {length}\r\n\
             {fields}\r\n{body}"
        )
    }

    /// The user of this process, as a file of its own has it.
    fn own_uid(folder: &Path) -> u32 {
        use std::os::unix::fs::MetadataExt;
        folder.metadata().expect("it is there").uid()
    }

    #[test]
    fn only_a_post_in_json_with_the_header_is_a_change() {
        const FIELDS: &str = "Content-Type: application/json\r\nCorelane-Admin: 1\r\n";
        let folder = tempfile::tempdir().expect("a directory");
        let _socket = socket(folder.path(), own_uid(folder.path()));
        let get = |head: &str| format!("{head}\r\nHost: c\r\nConnection: close\r\n\r\n");
        let long = "x".repeat(BODY_BYTES_MAX + 1);
        for (request, status, body) in [
            (get("GET /x HTTP/1.1"), "200", "false /x"),
            (post(FIELDS, "{}"), "200", "true /x"),
            (post("Corelane-Admin: 1\r\n", "{}"), "403", ""),
            (post("Content-Type: application/json\r\n", "{}"), "403", ""),
            (
                post(&format!("{FIELDS}Origin: http://localhost\r\n"), "{}"),
                "403",
                "",
            ),
            (
                get("GET /x HTTP/1.1\r\nOrigin: http://localhost"),
                "403",
                "",
            ),
            (get("PUT /x HTTP/1.1"), "405", ""),
            (get("DELETE /x HTTP/1.1"), "405", ""),
            (post(FIELDS, &long), "413", ""),
        ] {
            let answer = exchange(folder.path(), &request);
            let start = format!("HTTP/1.1 {status} ");
            let head = &request[..request.len().min(200)];
            assert!(answer.starts_with(&start), "{head}: {answer}");
            assert!(answer.ends_with(body), "{head}: {answer}");
        }
    }

    #[test]
    fn a_user_that_is_neither_root_nor_the_owner_is_refused() {
        let folder = tempfile::tempdir().expect("a directory");
        let own = own_uid(folder.path());
        let _socket = socket(folder.path(), own + 1);
        let request = "GET /x HTTP/1.1\r\nHost: c\r\nConnection: close\r\n\r\n";
        let expected = if own == 0 { "200" } else { "403" };
        let answer = exchange(folder.path(), request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {expected} ")),
            "{answer}"
        );
    }
}
