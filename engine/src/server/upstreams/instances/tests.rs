//! Sets of upstreams that follow each other, with a virtual clock.

use std::time::{Duration, Instant};

use corelane_gateway::config;

use super::{INSTANCES_MAX, Instances, TooManyDrain};
use crate::profile::Gateway;
use crate::server::reload_result::UpstreamChangeKind::{Added, Changed, Removed};
use crate::server::upstreams::{ServedUpstream, check_upstream};
use crate::upstream::endpoint::Standing;

const SHARDS: u16 = 2;

/// The upstreams with these names, and further lines of their sections.
fn set(sections: &[(&str, &str)]) -> Vec<ServedUpstream> {
    let text: String = sections
        .iter()
        .map(|(name, lines)| {
            let url = format!("http://127.0.0.1/{name}");
            format!("[[upstream]]\nname = \"{name}\"\nurl = \"{url}\"\n{lines}\n")
        })
        .collect();
    let upstreams = config::parse(&text).expect("valid");
    let checked = upstreams.into_iter().map(|it| check_upstream(it, &[]));
    checked.map(|it| it.expect("supported")).collect()
}

/// Instances with a virtual clock.
struct Case {
    instances: Instances,
    settings: Gateway,
    now: Instant,
}

impl Case {
    fn start(sections: &[(&str, &str)]) -> Case {
        let now = Instant::now();
        Case {
            instances: Instances::new(set(sections), SHARDS.into(), now),
            settings: Gateway::default(),
            now,
        }
    }

    /// Exchanges the set. Returns the changes as text.
    fn exchange(&mut self, sections: &[(&str, &str)]) -> String {
        let changes = self.instances.changes_to(&set(sections));
        let changes = changes.expect("there is room");
        self.instances
            .exchange(set(sections), self.now, &self.settings);
        let words = changes.iter().map(|it| {
            let sign = match it.kind {
                Added => '+',
                Changed => '~',
                Removed => '-',
            };
            format!("{sign}{}", it.name)
        });
        words.collect::<Vec<_>>().join(" ")
    }

    /// Lets time pass. Returns whether others are served.
    fn wait(&mut self, ms: u64) -> bool {
        self.now += Duration::from_millis(ms);
        self.instances.advance(self.now, &self.settings)
    }

    /// Names, ids and standings by number.
    fn table(&self) -> Vec<(String, u64, Standing)> {
        let endpoints = self.instances.endpoints().into_iter();
        let row = |it: crate::upstream::endpoint::Endpoint| {
            (it.name.to_string(), it.instance, it.standing)
        };
        endpoints.map(row).collect()
    }

    fn drain(&mut self, number: u16, id: u64) {
        for shard in 0..SHARDS {
            self.instances.handle_drained(number, id, shard);
        }
    }
}

fn row(name: &str, id: u64, standing: Standing) -> (String, u64, Standing) {
    (name.to_owned(), id, standing)
}

#[test]
fn an_upstream_that_did_not_change_is_untouched_and_another_order_is_no_change() {
    let mut case = Case::start(&[("a", ""), ("b", "schemes = [\"s\"]")]);
    let before = case.table();
    assert_eq!(case.exchange(&[("b", "schemes = [\"s\"]"), ("a", "")]), "");
    assert_eq!(case.table(), before);
    assert_eq!(case.instances.order, [1, 0]);
    assert_eq!(case.instances.schemes(), [(1, "s".into())]);
    assert!(!case.wait(3_600_000));
}

#[test]
fn another_upstream_takes_the_place_of_one_that_drains() {
    let mut case = Case::start(&[("a", ""), ("b", "")]);
    let changed = [("a", "headers = { \"X-A\" = \"1\" }"), ("b", "")];
    assert_eq!(case.exchange(&changed), "~a");
    assert_eq!(case.instances.order, [0, 1], "its lists are not read");
    let serves = [("a", 1), ("b", 2), ("a", 3)];
    let serves = serves.map(|(name, id)| row(name, id, Standing::Serves));
    assert_eq!(case.table(), serves);
    // The same set once more changes nothing.
    assert_eq!(case.exchange(&changed), "");
    assert_eq!(case.table(), serves);
    assert!(!case.wait(9_999));
    assert!(case.wait(1));
    assert_eq!(case.instances.order, [2, 1]);
    assert_eq!(case.table()[0], row("a", 1, Standing::Drains));
    assert!(case.instances.active(0).is_none());
    case.wait(25_000);
    assert_eq!(case.table()[0], row("a", 1, Standing::Ends));
    case.instances.handle_drained(0, 1, 0);
    assert_eq!(case.table()[0].0, "a", "another shard has it");
    case.instances.handle_drained(0, 1, 0);
    assert_eq!(case.table()[0].0, "a", "it was that shard again");
    case.instances.handle_drained(0, 7, 1);
    assert_eq!(case.table()[0].0, "a", "that is about another one");
    case.instances.handle_drained(0, 1, 1);
    assert_eq!(case.table()[0], row("", 1, Standing::Ends));
    // Its number is used again, with an id of its own.
    assert_eq!(case.exchange(&[("c", "")]), "+c -a -b");
    assert_eq!(case.table()[0], row("c", 4, Standing::Serves));
}

#[test]
fn what_clients_see_of_an_upstream_changes_in_place() {
    let mut case = Case::start(&[("a", "")]);
    let lines = "prefix = \"x_\"\ntools = { exclude = [\"y\"] }\nschemes = [\"s\"]\n\
                 trust_annotations = true";
    assert_eq!(case.exchange(&[("a", lines)]), "~a");
    assert_eq!(case.table(), [row("a", 1, Standing::Serves)]);
    assert_eq!(case.instances.schemes(), [(0, "s".into())]);
    let due = case.instances.due().expect("its lists are read again");
    assert!(due <= case.now + Duration::from_secs(1));
}

#[test]
fn one_that_has_not_begun_to_serve_gives_way_to_the_next_one_or_to_that_of_before() {
    let mut case = Case::start(&[("a", "")]);
    for (version, id) in [("1", 2), ("2", 3)] {
        let lines = format!("headers = {{ \"X-A\" = \"{version}\" }}");
        assert_eq!(case.exchange(&[("a", &lines)]), "~a");
        let last = case.table().pop();
        assert_eq!(last, Some(row("a", id, Standing::Serves)));
    }
    assert_eq!(case.table()[1], row("a", 2, Standing::Drains));
    assert_eq!(case.exchange(&[("a", "")]), "~a");
    assert_eq!(case.table()[2], row("a", 3, Standing::Drains));
    assert!(!case.wait(60_000), "that of before serves all the time");
    assert_eq!(case.table()[0], row("a", 1, Standing::Serves));
    assert_eq!(case.exchange(&[("a", "era = \"legacy\"")]), "~a");
    assert_eq!(case.exchange(&[]), "-a");
    let table = case.table();
    let mut left = table.iter().map(|(.., standing)| *standing);
    assert!(left.all(|it| it != Standing::Serves), "{table:?}");
    assert!(case.instances.order.is_empty());
}

#[test]
fn a_number_is_not_used_again_while_an_address_is_looked_up() {
    let mut case = Case::start(&[("a", "")]);
    let lookups = &mut case.instances.active(0).expect("it serves").lookups;
    *lookups += 1;
    case.exchange(&[]);
    case.drain(0, 1);
    assert_eq!(case.table()[0].0, "a");
    case.instances.handle_looked_up(0);
    assert_eq!(case.table()[0].0, "");
    case.instances.handle_looked_up(0);
}

#[test]
fn instances_are_bounded() {
    let mut case = Case::start(&[("a", "")]);
    let lines = |number: usize| format!("headers = {{ \"X-A\" = \"{number}\" }}");
    for number in 1..INSTANCES_MAX {
        case.exchange(&[("a", &lines(number))]);
    }
    let set = set(&[("a", &lines(0))]);
    let refused = case.instances.changes_to(&set);
    assert!(matches!(refused, Err(TooManyDrain)));
    assert!(case.table()[1].2 == Standing::Drains);
    case.drain(1, 2);
    assert!(case.instances.changes_to(&set).is_ok());
}
