//! The loopback address that an authorization server sends the user back to (RFC 8252 7.3).
//!
//! It takes one request, of its own path, and ends. It shows nothing of the request.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::AuthError;

/// How long the user may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// The most bytes of the head of a request.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// The path of the address.
const PATH: &str = "/callback";

/// An address that waits for the user.
pub(super) struct Loopback {
    socket: TcpListener,
    uri: String,
}

impl Loopback {
    pub(super) async fn bind() -> Result<Loopback, AuthError> {
        let failed = |error: std::io::Error| AuthError(format!("no loopback address: {error}"));
        let socket = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let port = socket.local_addr().map_err(failed)?.port();
        let uri = format!("http://127.0.0.1:{port}{PATH}");
        Ok(Loopback { socket, uri })
    }

    /// The address.
    pub(super) fn uri(&self) -> &str {
        &self.uri
    }

    /// Waits for the user, and returns the URL that was opened.
    pub(super) async fn redirected(self) -> Result<String, AuthError> {
        let origin = self.uri.trim_end_matches(PATH);
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let Ok((stream, _)) = self.socket.accept().await else {
                    continue;
                };
                let target = tokio::time::timeout(REQUEST_TIMEOUT, target_of(stream)).await;
                if let Ok(Some(target)) = target {
                    return format!("{origin}{target}");
                }
            }
        });
        let late = |_| AuthError(format!("the user did not come back in {PATIENCE:?}"));
        waited.await.map_err(late)
    }
}

/// The target of a request, after its answer; none if it is not of this address.
async fn target_of(mut stream: TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let bytes = stream.read_buf(&mut head).await.ok()?;
        if bytes == 0 || head.len() > HEAD_BYTES_MAX {
            return None;
        }
    }
    let head = String::from_utf8(head).ok()?;
    let target = head.strip_prefix("GET ")?.split(' ').next()?;
    let is_own = target.split('?').next() == Some(PATH);
    let (status, text) = match is_own {
        true => ("200 OK", "Done. You can close this page.\n"),
        false => ("404 Not Found", "There is nothing here.\n"),
    };
    let bytes = text.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {bytes}\r\n\
         Connection: close\r\n\r\n{text}"
    );
    stream.write_all(answer.as_bytes()).await.ok()?;
    let _ = stream.shutdown().await;
    is_own.then(|| target.to_owned())
}

#[cfg(test)]
mod tests {
    use super::Loopback;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn the_first_request_of_its_path_is_the_answer() {
        let loopback = Loopback::bind().await.unwrap();
        let uri = loopback.uri().to_owned();
        let address = uri
            .trim_start_matches("http://")
            .trim_end_matches("/callback")
            .to_owned();
        let waiting = tokio::spawn(loopback.redirected());
        for (target, status) in [("/favicon.ico", "404"), ("/callback?code=x&state=y", "200")] {
            let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
            let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{answer}"
            );
        }
        let redirected = waiting.await.unwrap().unwrap();
        assert_eq!(redirected, format!("{uri}?code=x&state=y"));
    }
}
