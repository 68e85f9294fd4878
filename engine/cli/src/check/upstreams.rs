//! The probe of upstreams: the faults with which a server in front of them does not start.

use std::fs;
use std::path::Path;

use corelane::Server;
use corelane::gateway::config::{self, Upstream};

use super::finding::{Fault, Outcome, Probe};

const UPSTREAMS: Probe = Probe {
    name: "upstreams",
    examine: |_, _| None,
    reason: "a server does not start with such an upstream",
};

/// The outcome for the sections `[[upstream]]` of the file at `path`. It opens no connection.
pub(super) fn examine(path: &Path) -> Outcome {
    let text = fs::read_to_string(path).map_err(|error| vec![error.to_string()]);
    let upstreams = text.and_then(|text| {
        config::parse(&text).map_err(|error| {
            let findings = error.0.iter();
            findings.map(ToString::to_string).collect::<Vec<_>>()
        })
    });
    outcome(path, upstreams)
}

/// The outcome for the file of a desktop client at `path`.
pub(super) fn examine_desktop(path: &Path) -> Outcome {
    let upstreams = crate::serve::desktop_upstreams(path);
    outcome(path, upstreams.map_err(|error| vec![error.to_string()]))
}

fn outcome(path: &Path, upstreams: Result<Vec<Upstream>, Vec<String>>) -> Outcome {
    let found = match upstreams {
        Ok(upstreams) => upstreams.into_iter().filter_map(fault_of).collect(),
        Err(found) => found,
    };
    let fix = format!("correct {}", path.display());
    let faults = found.into_iter();
    Outcome {
        probe: &UPSTREAMS,
        faults: Some(faults.map(|it| Fault::change(it, fix.clone())).collect()),
    }
}

/// The fault of an upstream that no server can be in front of.
fn fault_of(upstream: Upstream) -> Option<String> {
    let server = Server::new("check", env!("CARGO_PKG_VERSION")).with_upstreams(vec![upstream]);
    server.err().map(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::{examine, examine_desktop};

    /// The findings of a file with this text.
    fn found(text: &str, is_desktop: bool) -> Vec<String> {
        let mut file = tempfile::NamedTempFile::new().expect("a file can be made");
        file.write_all(text.as_bytes()).expect("there is space");
        let outcome = match is_desktop {
            true => examine_desktop(file.path()),
            false => examine(file.path()),
        };
        let faults = outcome.faults.expect("it was examined");
        faults.into_iter().map(|fault| fault.found).collect()
    }

    #[test]
    fn each_fault_of_each_upstream_is_found_with_its_remedy() {
        let text = "[[upstream]]\nname = \"one\"\nurl = \"http://127.0.0.1:1/\"\n\
                    headers = { \"X-Key\" = \"env:CORELANE_NO_SUCH_VARIABLE\" }\n\
                    [[upstream]]\nname = \"two\"\nurl = \"http://127.0.0.1/\"\n\
                    [[upstream]]\nname = \"three\"\nurl = \"http://127.0.0.1/\"\n\
                    headers = { \"X-Key\" = \"file:/none\" }\n";
        let found = found(text, false);
        assert_eq!(found.len(), 2, "{found:?}");
        let part = "upstream \"one\": the value of the header \"x-key\": CORELANE_NO_SUCH";
        assert!(found[0].starts_with(part), "{found:?}");
        assert!(found[1].contains("\"three\"") && found[1].contains("x-key"));
    }

    #[test]
    fn faults_of_the_text_come_with_their_lines() {
        let text = "[[upstream]]\nname = \"a b\"\nurl = \"http://127.0.0.1/\"\n\n\
                    [[upstream]]\nname = \"two\"\n";
        let found = found(text, false);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("line 2: invalid name"), "{found:?}");
        assert!(
            found[1].starts_with("line 6: give exactly one"),
            "{found:?}"
        );
    }

    #[test]
    fn a_file_of_a_desktop_client_is_examined_too() {
        let valid = r#"{"mcpServers": {"a": {"type": "http", "url": "http://127.0.0.1/mcp"}}}"#;
        assert!(found(valid, true).is_empty());
        assert_eq!(found("{}", true).len(), 1);
        assert_eq!(found("", false).len(), 0, "a file without upstreams");
    }
}
