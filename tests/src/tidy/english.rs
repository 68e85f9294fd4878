//! Words of comments and names: no riddles, and one meaning for each word.
//!
//! A comment is plain if its sentences have nouns. Relative words such as `what` and `whoever` in
//! place of nouns make riddles, so each folder may have few of them. Some words are not used at
//! all, because each of them has several meanings here.

use std::collections::BTreeMap;

use super::source::{Finding, Source};

/// Words that stand in place of a noun.
const RIDDLE_WORDS: &[&str] = &[
    "who",
    "whom",
    "whoever",
    "what",
    "whatever",
    "whichever",
    "nobody",
    "somebody",
];
/// Such words for each 100 comment lines of a folder.
const RIDDLE_WORDS_MAX: usize = 2;

/// Words that are not used, the start of the paths where they are not, and the words to use.
const UNUSED_WORDS: &[(&[&str], &[&str], &str)] = &[
    (
        &["ask", "asks", "asked", "asking", "asker"],
        &[""],
        "elicit, sample, query or request",
    ),
    (
        &["tell", "tells", "told", "telling"],
        &[""],
        "notify, broadcast, report or send",
    ),
    (
        &["listener", "listeners"],
        &[
            "protocol/",
            "engine/src/mcp",
            "engine/src/catalog",
            "engine/src/handler",
        ],
        "subscription or stream: a listener is a listening TCP socket",
    ),
];
/// Names that are not used any more, and their successors.
const OLD_NAMES: &[(&str, &str)] = &[
    ("Adoption", "Rollout"),
    ("Bystander", "LivenessProbe"),
    ("CallWishes", "RequestOptions"),
    ("ListenerName", "SubscriptionId"),
    ("Mailbox", "EventQueue"),
    ("Promise", "OutputValidator"),
    ("TaskInterest", "TaskSubscription"),
    ("TaskWish", "TaskOptions"),
    ("Verdict", "CheckResult"),
    ("WatchNote", "TaskWatchMessage"),
    ("Witness", "SchemaChecker"),
    ("breathe", "yield_to_reactor"),
    ("go_on_idling", "rearm_idle_timer"),
    ("judge", "check"),
    ("provenance", "caller_info"),
    ("put_in_terms_of", "downgrade_to"),
    ("send_surely", "send_or_queue"),
    ("take_in", "on_recv"),
    ("verdict", "result"),
];
/// Names that stay: where, the name, and why.
const KEPT_NAMES: &[(&str, &str, &str)] =
    &[("bench/src/load/", "asked", "a member of written reports")];

/// Each folder has few riddle words in its comments.
#[must_use]
pub fn riddles_are_rare(sources: &[Source]) -> Vec<Finding> {
    let mut folders: BTreeMap<String, (usize, Vec<Finding>)> = BTreeMap::new();
    for source in sources {
        let (lines, riddles) = folders.entry(folder_of(&source.path)).or_default();
        for (line, comment) in comments(source) {
            *lines += 1;
            for word in words(comment).filter(|word| is_any(RIDDLE_WORDS, word)) {
                let fault = format!("\"{word}\" stands in place of a noun: {}", comment.trim());
                riddles.push(Finding::at(source, line, fault));
            }
        }
    }
    let is_full = |lines: usize, riddles: usize| riddles > (lines * RIDDLE_WORDS_MAX).div_ceil(100);
    let full = folders
        .into_values()
        .filter(|(lines, riddles)| is_full(*lines, riddles.len()));
    full.flat_map(|(_, riddles)| riddles).collect()
}

/// No comment and no name has a word or a name that is not used.
#[must_use]
pub fn words_are_in_use(source: &Source) -> Vec<Finding> {
    if source.path.ends_with("tidy/english.rs") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (line, comment) in comments(source) {
        for word in words(comment) {
            if let Some(instead) = instead_of(source, word) {
                let fault = format!("\"{word}\" is not used: write {instead}");
                findings.push(Finding::at(source, line, fault));
            }
        }
    }
    for (at, line) in source.code.lines().enumerate() {
        for name in names(line).filter(|name| !is_kept(source, name)) {
            let mut parts = parts(name).into_iter();
            let unused = parts.find_map(|part| instead_of(source, part));
            let old = OLD_NAMES.iter().find(|(old, _)| *old == name);
            let instead = unused.or(old.map(|(_, instead)| *instead));
            if let Some(instead) = instead {
                let fault = format!("name {name} is not used: write {instead}");
                findings.push(Finding::at(source, at + 1, fault));
            }
        }
    }
    findings
}

/// The words to use instead of `word` in this file, if it is not used there.
fn instead_of(source: &Source, word: &str) -> Option<&'static str> {
    let is_unused = |(words, places, _): &&(&[&str], &[&str], &str)| {
        is_any(words, word) && places.iter().any(|place| source.path.starts_with(place))
    };
    let unused = UNUSED_WORDS.iter().find(is_unused);
    unused.map(|(_, _, instead)| *instead)
}

fn is_kept(source: &Source, name: &str) -> bool {
    let is =
        |(place, kept, _): &(&str, &str, &str)| source.path.starts_with(place) && *kept == name;
    KEPT_NAMES.iter().any(is)
}

/// The folder whose comments are counted together: a module of the engine, or a crate.
fn folder_of(path: &str) -> String {
    let parts: Vec<&str> = path.trim_end_matches(".rs").split('/').collect();
    let depth = match parts[..] {
        ["engine", "src", ..] => 3,
        ["engine" | "tests", ..] => 2,
        _ => 1,
    };
    parts[..depth.min(parts.len())].join("/")
}

/// The comments that have lines of their own, with their lines and without their marks.
fn comments(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let lines = source.text.lines().enumerate();
    lines.filter_map(|(at, line)| {
        let comment = line.trim_start().strip_prefix("//")?;
        Some((at + 1, comment.trim_start_matches(['/', '!'])))
    })
}

/// The words of a comment, without code between backticks.
fn words(comment: &str) -> impl Iterator<Item = &str> {
    let prose = comment.split('`').step_by(2);
    prose.flat_map(|text| text.split(|c: char| !(c.is_alphanumeric() || c == '_')))
}

fn names(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !(c.is_alphanumeric() || c == '_'))
}

/// The parts of a name in snake case or camel case.
fn parts(name: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for part in name.split('_') {
        let mut start = 0;
        let is_camel = part.chars().any(char::is_lowercase);
        for (at, c) in part.char_indices().skip(1) {
            if c.is_uppercase() && is_camel {
                parts.push(&part[start..at]);
                start = at;
            }
        }
        parts.push(&part[start..]);
    }
    parts
}

fn is_any(words: &[&str], word: &str) -> bool {
    words.iter().any(|other| other.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::{Source, parts, riddles_are_rare, words_are_in_use};

    #[test]
    fn finds_folders_of_riddles() {
        let plain = "// A noun.\n".repeat(98);
        let cases = [
            (
                format!("{plain}// What is there.\n// `what` and a string.\n"),
                0,
            ),
            (format!("{plain}// What is there.\n/// Who it is.\n"), 0),
            (
                format!("{plain}// What is there, and who.\n//! Whoever comes.\n"),
                3,
            ),
            ("let what = 1;\nlet who = \"// nobody\";\n".to_owned(), 0),
        ];
        for (text, count) in cases {
            let sources = [
                Source::new("engine/src/mcp/a.rs", &text),
                Source::new("engine/src/shard.rs", "// A noun.\n"),
            ];
            assert_eq!(riddles_are_rare(&sources).len(), count, "{text}");
        }
    }

    #[test]
    fn finds_words_and_names_that_are_not_used() {
        let cases = [
            ("// Sends a request.\nlet task = flask;\n", 0),
            ("// Asks the client.\n", 1),
            ("/// What it was told.\n", 1),
            ("fn ask_again() {}\n", 1),
            ("struct TellAll;\nconst ASKS_MAX: u8 = 1;\n", 2),
            ("let verdict = \"ask\";\n", 1),
            ("// A listener accepts.\n", 0),
        ];
        for (text, count) in cases {
            let found = words_are_in_use(&Source::new("engine/src/shard.rs", text));
            assert_eq!(found.len(), count, "{text}: {found:?}");
        }
        let reserved = Source::new("engine/src/mcp/a.rs", "// The listeners of a task.\n");
        assert_eq!(words_are_in_use(&reserved).len(), 1);
        let kept = Source::new("bench/src/load/model.rs", "asked: u64\n");
        assert!(words_are_in_use(&kept).is_empty());
    }

    #[test]
    fn takes_names_apart() {
        assert_eq!(parts("ask_OVER_TaskTold"), ["ask", "OVER", "Task", "Told"]);
    }
}
