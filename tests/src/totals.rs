//! The counters that a server logs at its end.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::server::Server;
use crate::timeouts::wait_until;

/// Counters of things that exist.
const LEVELS: [&str; 9] = [
    "connections_open",
    "output_bytes",
    "calls_in_flight",
    "sessions_open",
    "tasks_kept",
    "tasks_watched",
    "streams_open",
    "websockets_open",
    "events_bytes",
];

/// The counters by name and label; those at zero are not among them.
#[derive(Debug)]
pub struct Totals(BTreeMap<(String, String), u64>);

impl Totals {
    /// Ends a server that has sent something, whose log `log` reads, and returns its counters.
    ///
    /// # Panics
    /// If the server fails, or if anything is left: a connection, call, session, stream, event,
    /// task or byte of output.
    #[track_caller]
    pub fn of_end(server: &Server, log: impl Fn() -> String) -> Totals {
        server.signal("TERM");
        let status = server.wait_for_exit();
        assert!(status.success(), "{status}");
        // The log is read by a thread of its own.
        let totals = wait_until("the counters in the log", || {
            let totals = Totals::of_log(&log());
            totals.value("bytes", "out").gt(&0).then_some(totals)
        });
        for level in LEVELS {
            assert_eq!(totals.value(level, ""), 0, "{level}: {totals:?}");
        }
        let accepted = totals.value("connections_accepted", "");
        let closed = totals.sum("connections_closed");
        assert_eq!(accepted, closed, "{totals:?}");
        totals
    }

    fn of_log(log: &str) -> Totals {
        let mut totals = BTreeMap::new();
        for line in log.lines() {
            let Ok(record) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            let fields = &record["fields"];
            if fields["message"] == "total" {
                let text = |key: &str| fields[key].as_str().unwrap_or_default().to_owned();
                let value = fields["value"].as_u64().expect("a number");
                totals.insert((text("name"), text("label")), value);
            }
        }
        Totals(totals)
    }

    /// All counters of this name, whatever their labels are.
    #[must_use]
    pub fn sum(&self, name: &str) -> u64 {
        let rows = self.0.iter().filter(|((own, _), _)| own == name);
        rows.map(|(_, value)| value).sum()
    }

    /// One counter.
    #[must_use]
    pub fn value(&self, name: &str, label: &str) -> u64 {
        let key = (name.to_owned(), label.to_owned());
        self.0.get(&key).copied().unwrap_or_default()
    }
}

/// A line for each counter.
impl fmt::Display for Totals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = self.0.iter();
        rows.try_for_each(|((name, label), value)| writeln!(formatter, "{name} {label} {value}"))
    }
}
