//! Faults of a profile. The author of the file is at fault, so every message names the key, the
//! value and the allowed values.

use std::io;
use std::path::PathBuf;

use super::lines::lines_of;
use crate::guard::origin::OriginPolicyError;

/// Why a profile was refused. Nothing of the process has started yet.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The file at `path` has the fault `source`.
    #[error("profile {}: {source}", path.display())]
    File {
        /// The file as it was named by the caller.
        path: PathBuf,
        /// The fault in or with the file.
        source: Box<ProfileError>,
    },
    /// The file cannot be opened or read, or is not UTF-8.
    #[error("cannot be read: {0}")]
    Read(#[source] io::Error),
    /// The file is longer than any profile has reason to be.
    #[error("file exceeds limit of {bytes_max} bytes")]
    FileTooLong {
        /// The limit, in bytes.
        bytes_max: u64,
    },
    /// Values that are wrong, and are in these lines of the text.
    #[error("line{} {}: {source}", if lines.len() == 1 { "" } else { "s" }, list(lines))]
    AtLines {
        /// The lines, from 1.
        lines: Vec<usize>,
        /// The fault of the values.
        source: Box<ProfileError>,
    },
    /// Not TOML, an unknown key, or a value of another type than the key's.
    #[error("line {line}, column {column}, `{excerpt}`: {message}")]
    Syntax {
        /// Line of the offending text, from 1.
        line: usize,
        /// Column of the offending text in characters, from 1.
        column: usize,
        /// The offending line, without its indentation, cut to 80 characters.
        excerpt: String,
        /// The parser's message.
        message: String,
    },
    /// A number outside its range.
    #[error("{key} = {value} is outside the allowed range {min} to {max}")]
    OutOfRange {
        /// Section and name of the knob.
        key: String,
        /// The value given.
        value: u64,
        /// The smallest allowed value.
        min: u64,
        /// The largest allowed value.
        max: u64,
    },
    /// A number the kernel would silently round or refuse.
    #[error("{key} = {value} is not a power of two; the nearest below is {below}")]
    NotPowerOfTwo {
        /// Section and name of the knob.
        key: String,
        /// The value given.
        value: u64,
        /// The largest power of two below the value.
        below: u64,
    },
    /// A number of bytes that does not fill whole pages.
    #[error("{key} = {value} is not a multiple of {multiple}")]
    NotMultiple {
        /// Section and name of the knob.
        key: String,
        /// The value given.
        value: u64,
        /// The number that the value must be a multiple of.
        multiple: u64,
    },
    /// Two knobs that contradict each other.
    #[error(
        "{key} = {value} must be at most {}{other} = {other_value}: lower the first to {} or raise \
         the second to {}",
        if *times == 1 { String::new() } else { format!("1/{times} of ") },
        other_value / times,
        value.saturating_mul(*times)
    )]
    Exceeds {
        /// So many times the value of `key` is at most that of `other`.
        times: u64,
        /// Section and name of the knob that is too large.
        key: String,
        /// Its value.
        value: u64,
        /// Section and name of the knob that bounds it.
        other: &'static str,
        /// The value that bounds it.
        other_value: u64,
    },
    /// Certificates of clients are requested without an authority for them, or the reverse.
    #[error(
        "tls.client_certificates and tls.client_ca_files contradict each other: {}",
        match requests_any {
            true => "name the authorities of clients in client_ca_files, or \
                     set client_certificates = \"off\"",
            false => "set client_certificates to \"required\" or \
                      \"optional\", or remove client_ca_files",
        }
    )]
    ClientAuthorities {
        /// Clients are to present certificates.
        requests_any: bool,
    },
    /// Addresses that cannot all be listened on.
    #[error("server.listen {fault}")]
    Listen {
        /// The fault, and the remedy.
        fault: String,
    },
    /// An entry of `server.allowed_hosts` or `server.allowed_origins` that no request could match.
    #[error(transparent)]
    Access(#[from] OriginPolicyError),
    /// A text that does not fit its key.
    #[error("{key} = {value:?} is not {expected}")]
    Text {
        /// Section and name of the knob.
        key: String,
        /// The value given.
        value: String,
        /// The allowed values.
        expected: &'static str,
    },
    /// A key that no knob has.
    #[error("there is no knob {key:?}; near it are {near}")]
    UnknownKnob {
        /// The key.
        key: String,
        /// Keys of knobs, or of sections.
        near: String,
    },
    /// Two `[[core]]` sections with one id.
    #[error("core {id} has two [[core]] sections; merge them into one")]
    CoreTunedTwice {
        /// The id of both sections.
        id: usize,
    },
    /// A `[[core]]` section without effect.
    #[error(
        "core {id} has a [[core]] section but is not in server.cores or --cores: add it there, or \
         remove the section"
    )]
    CoreUnused {
        /// The id of the section.
        id: usize,
    },
    /// A core that has another role is to have a shard.
    #[error(
        "core {id} has role = \"{role}\" but is in server.cores or --cores: remove it there, or \
         write role = \"shard\""
    )]
    CoreRoleUsed {
        /// The id of the section.
        id: usize,
        /// The role as it was written.
        role: &'static str,
    },
    /// Knobs of a shard on a core without one.
    #[error(
        "core {id} has role = \"{role}\" and knobs of a shard, which it has not: remove \
         [core.ring], [core.executor] and [core.budget], or write role = \"shard\""
    )]
    CoreRoleTuned {
        /// The id of the section.
        id: usize,
        /// The role as it was written.
        role: &'static str,
    },
}

impl ProfileError {
    /// The error with the lines of `text` that set its keys. Defaults have no line.
    pub(super) fn at_lines(self, text: &str) -> Self {
        let (key, other) = match &self {
            Self::OutOfRange { key, .. }
            | Self::NotPowerOfTwo { key, .. }
            | Self::NotMultiple { key, .. }
            | Self::Text { key, .. } => (key.clone(), None),
            Self::Listen { .. } => ("server.listen".to_owned(), None),
            Self::Access(OriginPolicyError::Origin { .. }) => {
                ("server.allowed_origins".to_owned(), None)
            }
            Self::Access(_) => ("server.allowed_hosts".to_owned(), None),
            Self::Exceeds { key, other, .. } => (key.clone(), Some(*other)),
            Self::CoreTunedTwice { id } => (format!("core {id} id"), None),
            Self::CoreUnused { id } => (format!("core {id} id"), Some("server.cores")),
            Self::CoreRoleUsed { id, .. } => (format!("core {id} role"), Some("server.cores")),
            Self::CoreRoleTuned { id, .. } => (format!("core {id} role"), None),
            _ => return self,
        };
        let lines = lines_of(text, &key, other);
        match lines.is_empty() {
            true => self,
            false => Self::AtLines {
                lines,
                source: Box::new(self),
            },
        }
    }

    /// The parser's error with its place in `text` counted out. A value that its key does not take
    /// is reported with the key in full, and with the allowed numbers if it takes numbers.
    pub(super) fn syntax(
        text: &str,
        source: &toml::de::Error,
        key: Option<(&str, Option<String>)>,
    ) -> Self {
        let offset = source.span().map_or(0, |span| span.start).min(text.len());
        let offset = (0..=offset)
            .rev()
            .find(|&at| text.is_char_boundary(at))
            .unwrap_or(0);
        let before = &text[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[line_start..].lines().next().unwrap_or("");
        Self::Syntax {
            line: before.matches('\n').count() + 1,
            column: text[line_start..offset].chars().count() + 1,
            excerpt: line.trim().chars().take(80).collect(),
            message: message_with_key(source.message(), key),
        }
    }
}

fn list(lines: &[usize]) -> String {
    let lines: Vec<String> = lines.iter().map(usize::to_string).collect();
    lines.join(" and ")
}

/// The parser's message in one line, with the key if its value is the fault.
fn message_with_key(message: &str, key: Option<(&str, Option<String>)>) -> String {
    let message = message.trim_end().replace('\n', ", ");
    match (key, message.split_once(", expected ")) {
        // The line is of the unknown key itself, or of the section that lacks one.
        (None, _) => message,
        _ if message.starts_with("unknown field") || message.starts_with("missing field") => {
            message
        }
        // The parser expects a type of the Rust language.
        (Some((key, Some(allowed))), Some((found, _))) => {
            format!("{key}: {found}; allowed: {allowed}")
        }
        (Some(("core", _)), _) if message.starts_with("invalid type: map") => {
            "core: write [[core]], in two brackets, once for each core".to_owned()
        }
        (Some((key, _)), _) => format!("{key}: {message}"),
    }
}
