//! The request for `/live`: HTTP/1.1, on a connection that is there.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The status line has its code within so many bytes (RFC 9112 4).
const STATUS_BYTES: usize = "HTTP/1.1 200".len();

/// Requests `/live`.
///
/// # Errors
/// The text for people, if the answer is not that of a server that lives.
pub(super) async fn request(mut stream: TcpStream, host: &str) -> Result<(), String> {
    let broken = |error: std::io::Error| format!("the connection broke: {error}");
    let request = format!("GET /live HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let written = stream.write_all(request.as_bytes()).await;
    written.map_err(broken)?;
    let mut line = [0; STATUS_BYTES];
    stream.read_exact(&mut line).await.map_err(broken)?;
    let line = String::from_utf8_lossy(&line);
    match line.strip_prefix("HTTP/1.1 ") {
        Some("200") => Ok(()),
        Some(status) => Err(format!("/live has the status {status}")),
        None => Err("the answer is not HTTP/1.1".to_owned()),
    }
}
