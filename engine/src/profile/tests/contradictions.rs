//! Knobs that contradict each other, or that no request could match.

use super::{check, check_start};
use crate::profile::{Profile, RELATIONS};

#[test]
fn relations_are_between_knobs_that_exist() {
    let profile = Profile::default();
    for (_, key, other) in RELATIONS {
        for key in [key, other] {
            assert!(profile.find(key).is_some(), "{key}");
        }
    }
}

#[test]
fn refuses_knobs_that_contradict_each_other() {
    check(
        "[ring]\nsubmission_entries = 32768",
        "ring.submission_entries = 32768 must be at most ring.completion_entries = 16384: lower \
         the first to 16384 or raise the second to 32768",
    );
    check(
        "[http]\ntarget_bytes_max = 65536",
        "http.target_bytes_max = 65536 must be at most http.head_bytes_max = 16384: lower the \
         first to 16384 or raise the second to 65536",
    );
    check(
        "[http]\nhead_bytes_max = 131072",
        "http.head_bytes_max = 131072 must be at most connection.pipelined_bytes_max = 65536: \
         lower the first to 65536 or raise the second to 131072",
    );
    check(
        "[calls]\nbytes_max = 1048576",
        "http.body_bytes_max = 16777216 must be at most 1/2 of calls.bytes_max = 1048576: lower \
         the first to 524288 or raise the second to 33554432",
    );
    check(
        "[http]\nbody_bytes_max = 1000000000",
        "http.body_bytes_max = 1000000000 must be at most 1/2 of connection.input_bytes_max = \
         1073741824: lower the first to 536870912 or raise the second to 2000000000",
    );
    check(
        "[server]\ndrain_timeout_ms = 999",
        "connection.linger_timeout_ms = 1000 must be at most server.drain_timeout_ms = 999: lower \
         the first to 999 or raise the second to 1000",
    );
    check(
        "[connection]\nidle_timeout_ms = 14000",
        "streams.keep_alive_ms = 15000 must be at most connection.idle_timeout_ms = 14000: lower \
         the first to 14000 or raise the second to 15000",
    );
    check(
        "[sessions]\nidle_timeout_ms = 14000",
        "streams.keep_alive_ms = 15000 must be at most sessions.idle_timeout_ms = 14000: lower \
         the first to 14000 or raise the second to 15000",
    );
    check(
        "[calls]\nin_flight_max = 256\n[tools]\nin_flight_max = 8192",
        "tools.in_flight_max = 8192 must be at most calls.in_flight_max = 256: lower the first to \
         256 or raise the second to 8192",
    );
    check(
        "[lanes]\nrequest = 8192",
        "lanes.request = 8192 must be at most lanes.reply = 4096: lower the first to 4096 or \
         raise the second to 8192",
    );
    check(
        "[budget]\ncompletions_per_turn = 20000",
        "budget.completions_per_turn = 20000 must be at most ring.completion_entries = 16384: \
         lower the first to 16384 or raise the second to 20000",
    );
}

#[test]
fn refuses_hosts_and_origins_that_no_request_could_match() {
    check_start(
        "[server]\nallowed_hosts = [\"mcp.example.com\", \"http://x\"]",
        "line 2: allowed host \"http://x\" is not of the form name or name:port",
    );
    check_start(
        "[server]\nallowed_hosts = []\nallowed_origins = [\"example.com\"]",
        "line 3: allowed origin \"example.com\" is not of the form scheme://name",
    );
}

#[test]
fn one_tool_has_half_of_the_calls_unless_the_profile_says_otherwise() {
    for (text, expected) in [
        ("", 8192),
        ("[calls]\nin_flight_max = 256", 128),
        ("[calls]\nin_flight_max = 1", 1),
        (
            "[calls]\nin_flight_max = 256\n[tools]\nin_flight_max = 256",
            256,
        ),
    ] {
        let profile = Profile::from_toml(text).expect("the profile is valid");
        assert_eq!(
            profile.tools.in_flight_max(&profile.calls),
            expected,
            "{text}"
        );
    }
}
