//! The common properties of refusals: one answer, the end, and no leaked resource.

use corelane_tests::{Connection, PATIENCE, Request, Server, wait_until};
use serde_json::json;

/// A small table of connections, so that a leaked one soon shows.
pub(crate) const SMALL: &str = "[ring]\ndescriptors = 64";

/// Sent behind every refused input: it must never be answered.
pub(crate) const SMUGGLED: &[u8] = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";

/// Sends `bytes` on a connection of their own and expects one refusal and the end.
pub(crate) fn check_refused(server: &Server, name: &str, bytes: &[u8], status: u16) {
    let mut connection = server.connect();
    // The server may have closed before it read everything.
    let _ = connection.try_send_bytes(bytes);
    let response = connection
        .try_read_response(PATIENCE)
        .unwrap_or_else(|error| panic!("{name}: no answer: {error:?}"));
    assert_eq!(response.status(), status, "{name}: {response:?}");
    assert!(response.head.says_close(), "{name}: {response:?}");
    assert!(
        response.json()["error"]["code"].is_i64(),
        "{name}: {response:?}"
    );
    let rest = connection.read_to_close(PATIENCE);
    assert_eq!(rest, Ok(Vec::new()), "{name}: one answer, then the end");
}

/// Fills all but a few slots of [`SMALL`], which works only if none leaked.
pub(crate) fn check_all_places_are_free(server: &Server) {
    wait_until("every place free", || {
        let mut connections: Vec<Connection> = (0..60).map(|_| server.connect()).collect();
        connections
            .iter_mut()
            .all(|connection| {
                let list = Request::modern(1, "tools/list", json!({})).to_bytes(server.address());
                connection.try_send_bytes(&list).is_ok()
                    && connection.try_read_response(PATIENCE / 10).is_ok()
            })
            .then_some(())
    });
}
