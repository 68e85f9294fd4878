//! Logging never stands in the way of serving.

use corelane_tests::{LivenessProbe, Request, Setup};
use serde_json::json;

/// Two records a call, each of more than 100 bytes: several times the 64 KiB of a pipe, pipe(7).
const PANICS: usize = 1500;

#[test]
fn a_full_pipe_of_standard_error_stops_neither_shards_nor_the_end() {
    // The tool must not be refused for its panics.
    let server = Setup::shards(1).profile("[tools]\nfailures_max = 0\n");
    let server = server.leave_log_unread().start();
    let mut probe = LivenessProbe::of(&server);
    let mut connection = server.connect();
    for at in 0..PANICS {
        let response = connection.exchange(&Request::modern_call("test_panic", json!({})));
        assert_eq!(response.status(), 200, "panic {at}: {response:?}");
    }
    probe.check("more records than the pipe takes");
    server.signal("TERM");
    let status = server.wait_for_exit();
    assert!(status.success(), "{status}");
}

#[test]
fn a_panic_is_logged_with_the_name_of_its_tool() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    let _ = connection.exchange(&Request::modern_call("test_panic", json!({})));
    server.signal("TERM");
    let _ = server.wait_for_exit();
    let log = server.log();
    assert!(log.contains(r#""handler":"tool test_panic""#), "{log}");
}
