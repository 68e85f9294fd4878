//! Servers of each kind, as tables: the requests they get, and the end of the probe.

use super::{EraChoice, EraProbe, ProbeError, ProbeOutcome, ProbeRequest, Wire};
use crate::mcp::revision::Revision;

const LEGACY: Revision = Revision::V2025_11_25;
const MODERN: Revision = Revision::V2026_07_28;

/// One answer of a scripted server.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Versions(&'static [&'static str]),
    Version(&'static str),
    Error(i64),
    Unsupported(&'static [&'static str]),
    Status(u16),
    Unreadable,
    Silence,
    Closed,
}

/// Plays a server; returns the requests it got, by their first letter, and the end.
fn play(wire: Wire, choice: EraChoice, answers: &[Answer]) -> (String, Result<Revision, String>) {
    let mut probe = EraProbe::new(wire, choice);
    let mut requests = String::new();
    for answer in answers {
        let Some(request) = probe.poll_request() else {
            break;
        };
        requests.push(match request {
            ProbeRequest::Discover(_) => 'd',
            ProbeRequest::Initialize(_) => 'i',
        });
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let names: Vec<String> = match answer {
            Answer::Versions(names) | Answer::Unsupported(names) => owned(names),
            _ => Vec::new(),
        };
        let outcome = match *answer {
            Answer::Versions(_) => ProbeOutcome::Discovered(&names),
            Answer::Version(name) => ProbeOutcome::Initialized(name),
            Answer::Error(code) => ProbeOutcome::Error {
                code,
                supported: &[],
            },
            Answer::Unsupported(_) => ProbeOutcome::Error {
                code: -32022,
                supported: &names,
            },
            Answer::Status(status) => ProbeOutcome::Status(status),
            Answer::Unreadable => ProbeOutcome::Unreadable,
            Answer::Silence => ProbeOutcome::Silence,
            Answer::Closed => ProbeOutcome::Closed,
        };
        if let Err(error) = probe.handle_outcome(outcome) {
            assert_eq!(probe.poll_request(), None);
            assert_eq!(probe.agreed(), None);
            return (requests, Err(error.to_string()));
        }
    }
    (requests, probe.agreed().ok_or_else(|| "no end".to_owned()))
}

#[test]
fn each_server_has_its_era_after_few_requests() {
    use Answer::*;
    let init = Version("2025-11-25");
    for (wire, answers, requests, expected) in [
        // Modern servers.
        (
            Wire::Http,
            &[Versions(&["2026-07-28"])][..],
            "d",
            Ok(MODERN),
        ),
        (
            Wire::Http,
            &[Versions(&["2025-11-25", "2026-07-28"])],
            "d",
            Ok(MODERN),
        ),
        (
            Wire::Lines,
            &[Versions(&["2027-01-01", "2026-07-28"])],
            "d",
            Ok(MODERN),
        ),
        // A refusal that only the modern era has; the same revision is tried once more.
        (
            Wire::Http,
            &[Unsupported(&["2026-07-28"]), Versions(&["2026-07-28"])],
            "dd",
            Ok(MODERN),
        ),
        (Wire::Http, &[Error(-32020)], "d", Ok(MODERN)),
        (Wire::Lines, &[Error(-32021)], "d", Ok(MODERN)),
        // A dual-era list without a common modern revision.
        (
            Wire::Http,
            &[Unsupported(&["2025-11-25"]), init],
            "di",
            Ok(LEGACY),
        ),
        (
            Wire::Lines,
            &[Versions(&["2025-06-18"]), Version("2025-06-18")],
            "di",
            Ok(Revision::V2025_06_18),
        ),
        // Legacy servers.
        (Wire::Http, &[Status(400), init], "di", Ok(LEGACY)),
        (Wire::Http, &[Status(404), init], "di", Ok(LEGACY)),
        (Wire::Http, &[Status(405), init], "di", Ok(LEGACY)),
        (Wire::Http, &[Error(-32601), init], "di", Ok(LEGACY)),
        (Wire::Http, &[Error(-32602), init], "di", Ok(LEGACY)),
        (Wire::Http, &[Unreadable, init], "di", Ok(LEGACY)),
        (Wire::Lines, &[Silence, init], "di", Ok(LEGACY)),
        (Wire::Lines, &[Closed, init], "di", Ok(LEGACY)),
        (
            Wire::Lines,
            &[Unreadable, Version("2024-11-05")],
            "di",
            Ok(Revision::V2024_11_05),
        ),
    ] {
        let expected = (requests.to_owned(), expected);
        assert_eq!(
            play(wire, EraChoice::Auto, answers),
            expected,
            "{wire:?} {answers:?}"
        );
    }
}

#[test]
fn a_modern_server_that_starts_slowly_is_modern() {
    use Answer::*;
    let late = [Silence, Error(-32022), Versions(&["2026-07-28"])];
    let modern = ("did".to_owned(), Ok(MODERN));
    assert_eq!(play(Wire::Lines, EraChoice::Auto, &late), modern);
    let silent = [Silence, Error(-32601), Silence, Version("2025-11-25")];
    let legacy = ("didi".to_owned(), Ok(LEGACY));
    assert_eq!(play(Wire::Lines, EraChoice::Auto, &silent), legacy);
}

#[test]
fn a_server_that_is_away_has_no_era() {
    use Answer::*;
    for (wire, answers, requests, error) in [
        (Wire::Http, &[Status(401)][..], "d", "status 401"),
        (Wire::Http, &[Status(403)], "d", "status 403"),
        (Wire::Http, &[Status(408)], "d", "not available: status 408"),
        (Wire::Http, &[Status(429)], "d", "not available: status 429"),
        (Wire::Http, &[Status(500)], "d", "not available: status 500"),
        (Wire::Http, &[Status(503)], "d", "not available: status 503"),
        (Wire::Http, &[Silence], "d", "no answer in time"),
        (Wire::Http, &[Closed], "d", "the connection ended"),
        (
            Wire::Http,
            &[Status(404), Status(404)],
            "di",
            "handshake: status 404",
        ),
        (
            Wire::Http,
            &[Error(-32601), Error(-32602)],
            "di",
            "handshake: error -32602",
        ),
        (Wire::Http, &[Status(400), Status(401)], "di", "status 401"),
        (Wire::Lines, &[Silence, Silence], "di", "no answer in time"),
        (Wire::Lines, &[Closed, Closed], "di", "the connection ended"),
        (
            Wire::Lines,
            &[Silence, Unreadable],
            "di",
            "no message of MCP",
        ),
        (
            Wire::Http,
            &[Status(400), Version("2026-07-28")],
            "di",
            "the server offers 2026-07-28",
        ),
        (
            Wire::Http,
            &[Versions(&["2027-01-01"])],
            "d",
            "the server offers 2027-01-01",
        ),
        (
            Wire::Http,
            &[Unsupported(&["x"])],
            "d",
            "the server offers x",
        ),
        // The loop of a server that names a revision and refuses it ends.
        (
            Wire::Http,
            &[Unsupported(&["2026-07-28"]), Unsupported(&["2026-07-28"])],
            "dd",
            "handshake: error -32022",
        ),
    ] {
        let (sent, end) = play(wire, EraChoice::Auto, answers);
        assert_eq!(sent, requests, "{answers:?}");
        let found = end.expect_err("no revision");
        assert!(found.contains(error), "{answers:?}: {found}");
    }
}

#[test]
fn a_choice_leaves_the_other_era_out() {
    use Answer::*;
    let legacy = play(Wire::Http, EraChoice::Legacy, &[Version("2025-11-25")]);
    assert_eq!(legacy, ("i".to_owned(), Ok(LEGACY)));
    let modern = |answers: &[Answer]| play(Wire::Lines, EraChoice::Modern, answers);
    assert_eq!(
        modern(&[Versions(&["2026-07-28"])]),
        ("d".to_owned(), Ok(MODERN))
    );
    for answer in [
        Status(404),
        Error(-32601),
        Silence,
        Versions(&["2025-11-25"]),
    ] {
        let (requests, end) = modern(&[answer]);
        assert_eq!(requests, "d");
        assert!(end.is_err(), "{answer:?}");
    }
}

#[test]
fn a_long_list_of_revisions_is_cut() {
    let mut probe = EraProbe::new(Wire::Http, EraChoice::Auto);
    let offered = vec!["x".repeat(1 << 16)];
    let error = probe.handle_outcome(ProbeOutcome::Discovered(&offered));
    let Err(ProbeError::NoCommonRevision { offered }) = error else {
        panic!("{error:?}");
    };
    assert_eq!(offered.len(), super::OFFERED_BYTES_MAX);
}
