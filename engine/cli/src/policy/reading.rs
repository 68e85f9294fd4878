//! Files that the commands of policies read, and why there is no answer.

use std::io;
use std::path::{Path, PathBuf};

use corelane::guard::policy::{EntryKind, Policy, PolicyError};
use corelane_control::config::ConfigError;

/// The exit code of a policy with faults, and of an entry that is denied.
pub(super) const NO: u8 = 1;
/// The exit code of an entry that needs more scopes.
pub(super) const ACQUIRABLE: u8 = 2;

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    #[error("{}: {error}: name the file with --config, --claims or --catalog", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("{}", with_path(path, error))]
    Policy { path: PathBuf, error: PolicyError },
    #[error("{0}")]
    Configuration(#[from] ConfigError),
    #[error("{0}")]
    Section(#[from] corelane::Error),
    #[error(
        "{}: {error}: write one JSON object with method, issuer, subject, client, roles, groups, \
         scopes, tenant or address", path.display()
    )]
    Claims {
        path: PathBuf,
        error: serde_json::Error,
    },
    #[error(
        "{}: {error}: write the output of `corelane list all TARGET --json` there, or name a demo: \
         basic, conformance", path.display()
    )]
    Catalog {
        path: PathBuf,
        error: serde_json::Error,
    },
    #[error("the catalog has no {} {name:?}: no policy can allow it", word(*kind))]
    Unknown { kind: EntryKind, name: String },
}

/// Each finding on its line, behind the path.
fn with_path(path: &Path, error: &PolicyError) -> String {
    let lines = error.0.iter().map(|it| format!("{}: {it}", path.display()));
    lines.collect::<Vec<_>>().join("\n")
}

/// Reads a file of text.
pub(super) fn read(path: &Path) -> Result<String, CommandError> {
    std::fs::read_to_string(path).map_err(|error| {
        let path = path.to_owned();
        CommandError::Read { path, error }
    })
}

/// Reads a policy.
pub(super) fn policy(path: &Path) -> Result<Policy, CommandError> {
    Policy::parse(&read(path)?).map_err(|error| {
        let path = path.to_owned();
        CommandError::Policy { path, error }
    })
}

/// The word for a kind in a sentence.
fn word(kind: EntryKind) -> String {
    format!("{kind:?}").to_lowercase()
}

#[cfg(test)]
pub(super) mod samples {
    use std::path::PathBuf;

    pub(in crate::policy) const POLICY: &str = r#"
[auth]
resource = "https://mcp.example.com/mcp"
[[auth.issuer]]
alias = "corp"
issuer = "https://login.example.com"
roles_claim = "roles"
[[role]]
name = "ops"
claim_roles = ["platform-ops"]
[[grant]]
role = "ops"
tools = ["echo"]
[[grant]]
role = "ops"
tools = ["sl*"]
scopes = ["mcp:write"]
"#;

    pub(in crate::policy) fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        std::fs::write(&path, text).unwrap();
        (directory, path)
    }
}
