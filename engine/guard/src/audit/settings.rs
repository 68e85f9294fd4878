//! `[audit]` of the configuration: which events are recorded, and where.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::{NODE_BYTES_MAX, is_node_name};

/// The most tools with chosen arguments.
pub const TOOLS_MAX: usize = 1024;
/// The most chosen arguments of a tool.
pub const FIELDS_MAX: usize = 16;

/// The section as a configuration has it. [`AuditText::check`] makes settings of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditText {
    directory: PathBuf,
    node: Option<Spanned<String>>,
    #[serde(default)]
    calls: RecordedCalls,
    #[serde(default)]
    on_failure: OnFailure,
    #[serde(default)]
    sync: Sync,
    signing_key_file: Option<PathBuf>,
    keep_segments: Option<Spanned<u32>>,
    #[serde(default = "off")]
    args: Spanned<ArgsText>,
    args_key_file: Option<Spanned<PathBuf>>,
    fields: Option<Spanned<BTreeMap<String, Vec<String>>>>,
}

fn off() -> Spanned<ArgsText> {
    Spanned::new(0..0, ArgsText::Off)
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum ArgsText {
    Off,
    Digest,
    Fields,
}

/// The settings of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// Where the files are.
    pub directory: PathBuf,
    /// The name of this server in records and in names of files; that of the host without it.
    pub node: Option<Box<str>>,
    /// Which calls are recorded.
    pub calls: RecordedCalls,
    /// What happens when records cannot be written.
    pub on_failure: OnFailure,
    /// When files are synchronised with their disk.
    pub sync: Sync,
    /// The PEM file with the Ed25519 key of checkpoints; there are none without it.
    pub signing_key_file: Option<PathBuf>,
    /// How many segments stay; all without it.
    pub keep_segments: Option<u32>,
    /// How arguments are recorded.
    pub arguments: RecordedArguments,
}

/// Which calls are recorded at their end. Denied ones always are.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum RecordedCalls {
    /// No other.
    #[default]
    Denied,
    /// Those of tools that are marked for it, or may destroy something.
    Marked,
    /// All.
    All,
}

/// The action when records cannot be written.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Requests are served. Records that do not fit into the queue are lost and counted.
    #[default]
    Drop,
    /// Calls that would be recorded are refused until records are written again.
    Refuse,
}

/// When files are synchronised with their disk.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub enum Sync {
    /// `audit.sync_interval_ms` of the profile after a record, which is a second by default.
    #[default]
    #[serde(rename = "1s")]
    Interval,
    /// After each batch of records.
    #[serde(rename = "always")]
    Always,
}

/// How the arguments of calls are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordedArguments {
    /// Not at all.
    Off,
    /// As a digest under the key in this file.
    Digest(PathBuf),
    /// Copies of these arguments, by tool.
    Fields(BTreeMap<Box<str>, Vec<Box<str>>>),
}

/// A fault of the section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsFault {
    /// The node cannot be part of a file's name.
    #[error(
        "use 1 to {NODE_BYTES_MAX} letters, digits, dots, underscores and hyphens for node, and no \
         dot at the start"
    )]
    Node,
    /// No segment stays.
    #[error("keep_segments is 1 at least: remove the key to keep all")]
    KeepNone,
    /// There is no key for digests.
    #[error(
        "args = \"digest\" needs args_key_file: without a key, arguments can be guessed from their \
         digest"
    )]
    NoArgsKey,
    /// The key has no use.
    #[error("args_key_file is for args = \"digest\" only: remove it, or write that")]
    UnusedArgsKey,
    /// There are no fields.
    #[error("args = \"fields\" needs [audit.fields] with a list of arguments for each tool")]
    NoFields,
    /// The fields have no use.
    #[error("[audit.fields] is for args = \"fields\" only: remove it, or write that")]
    UnusedFields,
    /// There are too many fields.
    #[error("use at most {TOOLS_MAX} tools with 1 to {FIELDS_MAX} arguments each")]
    TooManyFields,
}

impl AuditText {
    /// The settings.
    ///
    /// # Errors
    /// All faults, each with its place in the text in bytes.
    ///
    /// ```
    /// use corelane_guard::audit::{AuditText, RecordedCalls};
    ///
    /// let text: AuditText = toml::from_str("directory = \"/var/log/corelane\"")?;
    /// let settings = text.check().expect("no faults");
    /// assert_eq!(settings.calls, RecordedCalls::Denied);
    /// # Ok::<(), toml::de::Error>(())
    /// ```
    pub fn check(self) -> Result<AuditSettings, Vec<(Range<usize>, SettingsFault)>> {
        let mut faults = Vec::new();
        if let Some(node) = self
            .node
            .as_ref()
            .filter(|node| !is_node_name(node.as_ref()))
        {
            faults.push((node.span(), SettingsFault::Node));
        }
        if let Some(keep) = self
            .keep_segments
            .as_ref()
            .filter(|keep| *keep.as_ref() == 0)
        {
            faults.push((keep.span(), SettingsFault::KeepNone));
        }
        let arguments = self.arguments(&mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(AuditSettings {
            directory: self.directory,
            node: self.node.map(|node| node.into_inner().into()),
            calls: self.calls,
            on_failure: self.on_failure,
            sync: self.sync,
            signing_key_file: self.signing_key_file,
            keep_segments: self.keep_segments.map(Spanned::into_inner),
            arguments,
        })
    }

    fn arguments(&self, faults: &mut Vec<(Range<usize>, SettingsFault)>) -> RecordedArguments {
        let args = *self.args.as_ref();
        match &self.args_key_file {
            Some(key) if args != ArgsText::Digest => {
                faults.push((key.span(), SettingsFault::UnusedArgsKey));
            }
            None if args == ArgsText::Digest => {
                faults.push((self.args.span(), SettingsFault::NoArgsKey));
            }
            _ => {}
        }
        match &self.fields {
            Some(fields) if args != ArgsText::Fields => {
                faults.push((fields.span(), SettingsFault::UnusedFields));
            }
            Some(fields) if !is_bounded(fields.as_ref()) => {
                faults.push((fields.span(), SettingsFault::TooManyFields));
            }
            None if args == ArgsText::Fields => {
                faults.push((self.args.span(), SettingsFault::NoFields));
            }
            _ => {}
        }
        match (args, &self.args_key_file, &self.fields) {
            (ArgsText::Digest, Some(key), _) => RecordedArguments::Digest(key.as_ref().clone()),
            (ArgsText::Fields, _, Some(fields)) => {
                let fields = fields.as_ref().iter().map(|(tool, names)| {
                    let names = names.iter().map(|name| name.as_str().into());
                    (tool.as_str().into(), names.collect())
                });
                RecordedArguments::Fields(fields.collect())
            }
            _ => RecordedArguments::Off,
        }
    }
}

fn is_bounded(fields: &BTreeMap<String, Vec<String>>) -> bool {
    fields.len() <= TOOLS_MAX
        && fields
            .values()
            .all(|names| (1..=FIELDS_MAX).contains(&names.len()))
}

#[cfg(test)]
mod tests {
    use super::{AuditSettings, AuditText, OnFailure, RecordedArguments, RecordedCalls};
    use super::{SettingsFault, Sync};

    fn check(text: &str) -> Result<AuditSettings, Vec<(String, SettingsFault)>> {
        let text = format!("directory = \"/d\"\n{text}");
        let read: AuditText = toml::from_str(&text).expect("the section");
        read.check().map_err(|faults| {
            let faults = faults.into_iter();
            faults
                .map(|(span, fault)| (text[span].to_owned(), fault))
                .collect()
        })
    }

    #[test]
    fn a_directory_is_enough_and_each_key_has_its_effect() {
        let defaults = AuditSettings {
            directory: "/d".into(),
            node: None,
            calls: RecordedCalls::Denied,
            on_failure: OnFailure::Drop,
            sync: Sync::Interval,
            signing_key_file: None,
            keep_segments: None,
            arguments: RecordedArguments::Off,
        };
        assert_eq!(check(""), Ok(defaults.clone()));
        let text = "node = \"a-1\"\ncalls = \"all\"\non_failure = \"refuse\"\nsync = \"always\"\n\
                    signing_key_file = \"/k\"\nkeep_segments = 3\nargs = \"digest\"\n\
                    args_key_file = \"/a\"\n";
        let expected = AuditSettings {
            node: Some("a-1".into()),
            calls: RecordedCalls::All,
            on_failure: OnFailure::Refuse,
            sync: Sync::Always,
            signing_key_file: Some("/k".into()),
            keep_segments: Some(3),
            arguments: RecordedArguments::Digest("/a".into()),
            ..defaults.clone()
        };
        assert_eq!(check(text), Ok(expected));
        let fields = [("pay".into(), vec!["sum".into(), "to".into()])].into();
        let expected = AuditSettings {
            calls: RecordedCalls::Marked,
            arguments: RecordedArguments::Fields(fields),
            ..defaults
        };
        let text = "calls = \"marked\"\nargs = \"fields\"\n[fields]\npay = [\"sum\", \"to\"]\n";
        assert_eq!(check(text), Ok(expected));
    }

    #[test]
    fn each_fault_is_found_at_its_place() {
        let long = format!("args = \"fields\"\nfields = {{ a = {:?} }}", ["x"; 17]);
        for (text, place, fault) in [
            ("node = \"a/b\"", "\"a/b\"", SettingsFault::Node),
            ("node = \".a\"", "\".a\"", SettingsFault::Node),
            ("keep_segments = 0", "0", SettingsFault::KeepNone),
            ("args = \"digest\"", "\"digest\"", SettingsFault::NoArgsKey),
            (
                "args_key_file = \"a\"",
                "\"a\"",
                SettingsFault::UnusedArgsKey,
            ),
            ("args = \"fields\"", "\"fields\"", SettingsFault::NoFields),
            ("fields = {}", "{}", SettingsFault::UnusedFields),
            (
                "args = \"fields\"\nfields = { a = [] }",
                "{ a = [] }",
                SettingsFault::TooManyFields,
            ),
            (&long, &long[25..], SettingsFault::TooManyFields),
        ] {
            assert_eq!(check(text), Err(vec![(place.to_owned(), fault)]), "{text}");
        }
        let both = check("node = \"\"\nkeep_segments = 0").expect_err("two faults");
        assert_eq!(both.len(), 2);
    }

    #[test]
    fn unknown_keys_and_words_are_refused() {
        for text in [
            "",
            "directory = \"/d\"\ncals = \"all\"",
            "directory = \"/d\"\ncalls = \"some\"",
            "directory = \"/d\"\non_failure = \"ignore\"",
            "directory = \"/d\"\nsync = \"2s\"",
            "directory = \"/d\"\nargs = \"plain\"",
        ] {
            assert!(toml::from_str::<AuditText>(text).is_err(), "{text}");
        }
    }
}
