//! Pins: the hashes of the definitions of a catalog's entries that someone has reviewed.
//!
//! A client shows a tool to its user once, and the model reads its description at each use. A
//! definition that changes after the review is found by its pin, and so is an entry with a new
//! name, because a renamed tool has no pin. Pins do not find a handler that does something else.
//!
//! The hash is SHA-256 of the canonical JSON (RFC 8785) of the members in [`MEMBERS`].

mod unique;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::policy::EntryKind;

/// The members of a definition that are pinned: those that a model or a person reads, and those
/// that a client relies on.
pub const MEMBERS: [&str; 9] = [
    "annotations",
    "arguments",
    "description",
    "inputSchema",
    "mimeType",
    "name",
    "outputSchema",
    "title",
    "uriTemplate",
];
/// The longest file of pins that is read, in bytes.
pub const FILE_BYTES_MAX: usize = 16 << 20;

const VERSION: u32 = 1;

/// `[pins]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinsSettings {
    /// The file with the pins.
    pub file: PathBuf,
    /// The action on an entry that differs.
    #[serde(default)]
    pub on_mismatch: OnMismatch,
}

/// The pins of a catalog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins(BTreeMap<(Kind, Box<str>), [u8; 32]>);

/// The action on an entry that differs from its pin, or has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnMismatch {
    /// Pins are not compared.
    Off,
    /// It is logged and recorded, and the entry is served.
    Warn,
    /// It is logged and recorded, and the entry is not served; at a change of the catalog, the
    /// entry before stays.
    #[default]
    Refuse,
}

/// A difference between a catalog and its pins.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// The entry has another definition.
    #[error("{kind} {name:?} differs from its pin")]
    Changed {
        /// The kind: `tool`, `prompt` or `template`.
        kind: &'static str,
        /// The name.
        name: Box<str>,
    },
    /// The entry has no pin: it is new, or has another name than before.
    #[error("{kind} {name:?} has no pin")]
    Unpinned {
        /// The kind.
        kind: &'static str,
        /// The name.
        name: Box<str>,
    },
    /// There is a pin and no entry.
    #[error("{kind} {name:?} is pinned and not there")]
    Absent {
        /// The kind.
        kind: &'static str,
        /// The name.
        name: Box<str>,
    },
}

/// Pins that cannot be made or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PinsError {
    /// A definition cannot be pinned.
    #[error("the definition of {name:?} cannot be pinned: {reason}")]
    Definition {
        /// The name of the entry.
        name: Box<str>,
        /// The fault.
        reason: String,
    },
    /// The text is no file of pins.
    #[error("no file of pins: {0}; make one with: corelane pins write")]
    File(String),
    /// The hash of a pin is malformed.
    #[error("the pin of {kind} {name:?} is no SHA-256 in 64 hexadecimal digits")]
    Hash {
        /// The kind.
        kind: &'static str,
        /// The name.
        name: Box<str>,
    },
}

/// The kinds of entries that are pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Tool,
    Prompt,
    Template,
}

/// A file of pins: a table for each kind, with a hash for each name.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    #[serde(default)]
    tool: BTreeMap<String, String>,
    #[serde(default)]
    prompt: BTreeMap<String, String>,
    #[serde(default)]
    template: BTreeMap<String, String>,
}

impl Pins {
    /// Adds the pin of an entry with this definition, as `tools/list` and the other lists show it.
    /// Resources have none: their contents change by nature.
    ///
    /// # Errors
    /// The definition is not JSON, has a member twice, or a number that JSON cannot have.
    ///
    /// ```
    /// use corelane_guard::pins::{Difference, Pins};
    /// use corelane_guard::policy::EntryKind;
    ///
    /// let mut pins = Pins::default();
    /// pins.add(EntryKind::Tool, "add", br#"{"name":"add","description":"Adds."}"#)?;
    /// let mut changed = Pins::default();
    /// changed.add(EntryKind::Tool, "add", br#"{"name":"add","description":"Reads files."}"#)?;
    /// let (kind, name) = ("tool", "add".into());
    /// assert_eq!(pins.differences(&changed), [Difference::Changed { kind, name }]);
    /// # Ok::<(), corelane_guard::pins::PinsError>(())
    /// ```
    pub fn add(&mut self, kind: EntryKind, name: &str, definition: &[u8]) -> Result<(), PinsError> {
        let Some(kind) = Kind::of(kind) else {
            return Ok(());
        };
        let hash = hash(definition).map_err(|reason| PinsError::Definition {
            name: name.into(),
            reason,
        })?;
        self.0.insert((kind, name.into()), hash);
        Ok(())
    }

    /// The pins in the text of a file.
    ///
    /// # Errors
    /// The text is no file of pins.
    pub fn parse(text: &str) -> Result<Pins, PinsError> {
        let file: File =
            toml::from_str(text).map_err(|error| PinsError::File(error.to_string()))?;
        if file.version != VERSION {
            return Err(PinsError::File(format!("its version is {}", file.version)));
        }
        let mut pins = BTreeMap::new();
        for (kind, entries) in [
            (Kind::Tool, file.tool),
            (Kind::Prompt, file.prompt),
            (Kind::Template, file.template),
        ] {
            for (name, hash) in entries {
                let name: Box<str> = name.into();
                let hash = from_hex(&hash).ok_or_else(|| PinsError::Hash {
                    kind: kind.name(),
                    name: name.clone(),
                })?;
                pins.insert((kind, name), hash);
            }
        }
        Ok(Pins(pins))
    }

    /// The text of a file with these pins.
    pub fn to_text(&self) -> String {
        let of_kind = |wanted: Kind| {
            let own = self.0.iter().filter(move |((kind, _), _)| *kind == wanted);
            own.map(|((_, name), hash)| (name.to_string(), hex(hash)))
                .collect()
        };
        let file = File {
            version: VERSION,
            tool: of_kind(Kind::Tool),
            prompt: of_kind(Kind::Prompt),
            template: of_kind(Kind::Template),
        };
        let toml = toml::to_string(&file).expect("names and hashes are TOML");
        format!(
            "# SHA-256 of the canonical definition (RFC 8785) of each entry, written by\n\
             # corelane pins write. Review a changed entry before you write its pin again.\n{toml}"
        )
    }

    /// The difference of one entry with this definition. Resources have none.
    ///
    /// # Errors
    /// See [`Pins::add`].
    pub fn difference(
        &self,
        kind: EntryKind,
        name: &str,
        definition: &[u8],
    ) -> Result<Option<Difference>, PinsError> {
        let mut entry = Pins::default();
        entry.add(kind, name, definition)?;
        let found = entry.0.into_iter().next();
        Ok(found.and_then(|((kind, name), hash)| self.difference_of(kind, name, &hash)))
    }

    fn difference_of(&self, kind: Kind, name: Box<str>, hash: &[u8; 32]) -> Option<Difference> {
        let pinned = self.0.get(&(kind, name.clone()));
        let kind = kind.name();
        match pinned {
            Some(pinned) if pinned == hash => None,
            Some(_) => Some(Difference::Changed { kind, name }),
            None => Some(Difference::Unpinned { kind, name }),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The differences of a catalog, given as its own pins, by kind and name.
    pub fn differences(&self, catalog: &Pins) -> Vec<Difference> {
        let differs = |((kind, name), hash): (&(Kind, Box<str>), &[u8; 32])| {
            self.difference_of(*kind, name.clone(), hash)
        };
        let mut differences: Vec<Difference> = catalog.0.iter().filter_map(differs).collect();
        for (kind, name) in self.0.keys() {
            if !catalog.0.contains_key(&(*kind, name.clone())) {
                let (kind, name) = (kind.name(), name.clone());
                differences.push(Difference::Absent { kind, name });
            }
        }
        differences
    }
}

impl Difference {
    /// The kind of the entry.
    pub fn kind(&self) -> &'static str {
        match self {
            Difference::Changed { kind, .. }
            | Difference::Unpinned { kind, .. }
            | Difference::Absent { kind, .. } => kind,
        }
    }

    /// The name of the entry.
    pub fn name(&self) -> &str {
        match self {
            Difference::Changed { name, .. }
            | Difference::Unpinned { name, .. }
            | Difference::Absent { name, .. } => name,
        }
    }
}

impl Kind {
    fn of(kind: EntryKind) -> Option<Kind> {
        match kind {
            EntryKind::Tool => Some(Kind::Tool),
            EntryKind::Prompt => Some(Kind::Prompt),
            EntryKind::Template => Some(Kind::Template),
            EntryKind::Resource => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Tool => "tool",
            Kind::Prompt => "prompt",
            Kind::Template => "template",
        }
    }
}

/// The hash of the pinned members of a definition.
fn hash(definition: &[u8]) -> Result<[u8; 32], String> {
    let value = unique::read(definition).map_err(|error| error.to_string())?;
    let serde_json::Value::Object(members) = value else {
        return Err("it is no JSON object".to_owned());
    };
    let pinned = members
        .into_iter()
        .filter(|(name, _)| MEMBERS.contains(&name.as_str()));
    let pinned: serde_json::Map<String, serde_json::Value> = pinned.collect();
    let text = serde_json_canonicalizer::to_vec(&pinned).map_err(|error| error.to_string())?;
    Ok(Sha256::digest(&text).into())
}

fn hex(hash: &[u8; 32]) -> String {
    let mut digits = String::with_capacity(64);
    for byte in hash {
        write!(digits, "{byte:02x}").expect("a string takes all");
    }
    digits
}

fn from_hex(digits: &str) -> Option<[u8; 32]> {
    let is_hex = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let pair = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..64).step_by(2).map(pair).collect();
    bytes?.try_into().ok().filter(|_| is_hex)
}

#[cfg(test)]
mod tests {
    use super::{Difference, OnMismatch, Pins, PinsError, PinsSettings, hash, hex};
    use crate::policy::EntryKind;

    fn pins(entries: &[(EntryKind, &str, &str)]) -> Pins {
        let mut pins = Pins::default();
        for (kind, name, definition) in entries {
            let added = pins.add(*kind, name, definition.as_bytes());
            added.expect("a definition");
        }
        pins
    }

    const ADD: &str = r#"{"name":"add","description":"Adds.","inputSchema":{"type":"object"}}"#;

    #[test]
    fn the_hash_is_that_of_the_canonical_members() {
        // printf '{"description":"Adds.","inputSchema":{"a":1,"b":1e+30},"name":"add"}' | sha256sum
        let expected = "0e527e6d9f371e42a02bbd2ca6ec36766b88b4aa558d326fe4bec7b618bee308";
        let text = r#"{ "name": "add", "inputSchema": {"b": 1E30, "a": 1.0},
            "description": "\u0041dds.", "icons": [], "_meta": {"x": 1} }"#;
        assert_eq!(
            hash(text.as_bytes()).map(|hash| hex(&hash)),
            Ok(expected.to_owned())
        );
    }

    #[test]
    fn changed_renamed_new_and_removed_entries_are_found() {
        let kind = "tool";
        let name = |name: &str| Box::from(name);
        let pinned = pins(&[
            (EntryKind::Tool, "add", ADD),
            (EntryKind::Prompt, "add", ADD),
        ]);
        assert_eq!(pinned.differences(&pinned), []);
        let changed = ADD.replace("Adds", "Reads");
        let changed = pins(&[
            (EntryKind::Tool, "add", &changed),
            (EntryKind::Prompt, "add", ADD),
        ]);
        let expected = [Difference::Changed {
            kind,
            name: name("add"),
        }];
        assert_eq!(pinned.differences(&changed), expected);
        let renamed = pins(&[
            (EntryKind::Tool, "add2", &ADD.replace("\"add\"", "\"add2\"")),
            (EntryKind::Prompt, "add", ADD),
        ]);
        let expected = [
            Difference::Unpinned {
                kind,
                name: name("add2"),
            },
            Difference::Absent {
                kind,
                name: name("add"),
            },
        ];
        assert_eq!(pinned.differences(&renamed), expected);
    }

    #[test]
    fn other_members_and_resources_are_not_pinned() {
        let with_icon = ADD.replace("{\"name\"", "{\"icons\":[{\"src\":\"x\"}],\"name\"");
        let pinned = pins(&[(EntryKind::Tool, "add", ADD)]);
        let found = pins(&[
            (EntryKind::Tool, "add", &with_icon),
            (EntryKind::Resource, "docs://a", "{}"),
        ]);
        assert_eq!(pinned.differences(&found), []);
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let pins = pins(&[
            (EntryKind::Tool, "add", ADD),
            (EntryKind::Prompt, "gr\u{fc}\u{df} \"dich\"\\", ADD),
            (EntryKind::Template, "docs://{path}", ADD),
        ]);
        let text = pins.to_text();
        assert_eq!(Pins::parse(&text), Ok(pins), "{text}");
        assert_eq!(Pins::parse("version = 1"), Ok(Pins::default()));
    }

    #[test]
    fn the_section_has_a_file_and_refuses_without_another_word() {
        let read = |text: &str| toml::from_str::<PinsSettings>(text).ok();
        let with = |on_mismatch| {
            let file = "a.pins".into();
            Some(PinsSettings { file, on_mismatch })
        };
        for (text, expected) in [
            ("file = \"a.pins\"", with(OnMismatch::Refuse)),
            (
                "file = \"a.pins\"\non_mismatch = \"warn\"",
                with(OnMismatch::Warn),
            ),
            (
                "file = \"a.pins\"\non_mismatch = \"off\"",
                with(OnMismatch::Off),
            ),
            ("file = \"a.pins\"\non_mismatch = \"no\"", None),
            ("file = \"a.pins\"\nmode = \"off\"", None),
            ("", None),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn other_files_and_definitions_are_refused() {
        for text in ["", "x", "version = 2", "version = 1\n[tools]\n"] {
            assert!(
                matches!(Pins::parse(text), Err(PinsError::File(_))),
                "{text}"
            );
        }
        for hash in ["", "ab", &"g".repeat(64), &"\u{e4}".repeat(32)] {
            let text = format!("version = 1\n[tool]\nadd = \"{hash}\"\n");
            let (kind, name) = ("tool", "add".into());
            assert_eq!(Pins::parse(&text), Err(PinsError::Hash { kind, name }));
        }
        for text in [
            "",
            "[]",
            "{",
            r#"{"name":"a","name":"b"}"#,
            r#"{"inputSchema":{"a":1,"a":2}}"#,
        ] {
            let added = Pins::default().add(EntryKind::Tool, "a", text.as_bytes());
            assert!(added.is_err(), "{text}");
        }
    }
}
