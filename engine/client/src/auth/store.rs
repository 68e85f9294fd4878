//! Credentials between two runs: a file that its owner alone may read.
//!
//! Entries are kept by issuer and resource. The file is replaced as a whole, so that a reader sees
//! the old one or the new one, and a lock beside it orders the writers of several processes.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use corelane_oauth::discovery::Discovered;
use corelane_oauth::token::{Registered, Token};

use super::AuthError;

/// The most bytes of the file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The most entries; the oldest goes first.
const ENTRIES_MAX: usize = 256;

/// A file with credentials.
#[derive(Clone, Debug)]
pub(super) struct FileStore(pub PathBuf);

/// The credentials of one server.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The URL of the MCP server.
    pub server: String,
    pub discovered: Discovered,
    pub client: Registered,
    pub token: Option<Token>,
    pub scopes: BTreeSet<String>,
}

impl Entry {
    fn key(&self) -> (&str, &str) {
        let Discovered { issuer, resource } = &self.discovered;
        (&issuer.issuer, &resource.resource)
    }
}

impl FileStore {
    /// The credentials of a server.
    pub(super) fn load(&self, server: &str) -> Result<Option<Entry>, AuthError> {
        let entries = self.read()?;
        let mut newest_first = entries.into_iter().rev();
        Ok(newest_first.find(|entry| entry.server == server))
    }

    /// Adds or replaces credentials.
    pub(super) fn save(&self, entry: Entry) -> Result<(), AuthError> {
        self.change(|entries| {
            entries.retain(|other| other.key() != entry.key());
            entries.push(entry);
            let surplus = entries.len().saturating_sub(ENTRIES_MAX);
            entries.drain(..surplus);
        })
    }

    /// Removes the credentials of a server; whether there were any.
    pub(super) fn remove(&self, server: &str) -> Result<bool, AuthError> {
        let mut has_removed = false;
        self.change(|entries| {
            let before = entries.len();
            entries.retain(|entry| entry.server != server);
            has_removed = entries.len() < before;
        })?;
        Ok(has_removed)
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Entry>)) -> Result<(), AuthError> {
        let folder = self.0.parent().unwrap_or(Path::new("."));
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| self.fault(&error))?;
        let lock = own_file(&self.0.with_extension("lock"), false);
        let lock = lock.and_then(|lock| lock.lock().map(|()| lock));
        let _lock = lock.map_err(|error| self.fault(&error))?;
        let mut entries = self.read()?;
        change(&mut entries);
        let text = serde_json::to_vec(&entries).map_err(|error| self.fault(&error))?;
        self.replace(&text).map_err(|error| self.fault(&error))
    }

    fn replace(&self, text: &[u8]) -> io::Result<()> {
        // The writer holds the lock, so the name is its own.
        let new = self.0.with_extension("new");
        let mut file = own_file(&new, true)?;
        file.write_all(text)?;
        file.sync_all()?;
        std::fs::rename(&new, &self.0)
    }

    fn read(&self) -> Result<Vec<Entry>, AuthError> {
        let file = match File::open(&self.0) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.fault(&error)),
        };
        let metadata = file.metadata().map_err(|error| self.fault(&error))?;
        if metadata.mode() & 0o077 != 0 {
            return Err(self.fault(&"other users may use it: chmod 600 it"));
        }
        let mut text = Vec::new();
        let read = file.take(FILE_BYTES_MAX).read_to_end(&mut text);
        read.map_err(|error| self.fault(&error))?;
        serde_json::from_slice(&text).map_err(|error| self.fault(&error))
    }

    fn fault(&self, fault: &dyn std::fmt::Display) -> AuthError {
        AuthError(format!("{}: {fault}", self.0.display()))
    }
}

/// Opens a file to write that its owner alone may use.
fn own_file(path: &Path, is_emptied: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(is_emptied);
    options.mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::{Entry, FileStore};
    use serde_json::json;
    use std::os::unix::fs::PermissionsExt as _;

    fn entry(server: &str, issuer: &str, token: &str) -> Entry {
        let entry = json!({
            "server": server, "scopes": [],
            "discovered": {"resource": {"resource": server, "authorization_servers": []},
                "issuer": {"issuer": issuer, "token_endpoint": "https://x/token"}},
            "client": {"client_id": "c"},
            "token": {"access": token},
        });
        serde_json::from_value(entry).expect("an entry")
    }

    #[test]
    fn entries_are_kept_by_issuer_and_resource_in_a_file_of_the_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/credentials.json");
        let store = FileStore(path.clone());
        assert!(store.load("https://a").unwrap().is_none());
        for (server, issuer, token) in [
            ("https://a", "https://x", "1"),
            ("https://b", "https://x", "2"),
            ("https://a", "https://x", "3"),
            ("https://a", "https://y", "4"),
        ] {
            store.save(entry(server, issuer, token)).unwrap();
        }
        let found = |server| {
            let entry = store.load(server).unwrap();
            entry
                .and_then(|entry| entry.token)
                .map(|token| token.header())
        };
        assert_eq!(found("https://a").as_deref(), Some("Bearer 4"));
        assert_eq!(found("https://b").as_deref(), Some("Bearer 2"));
        let mode =
            |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert!(store.remove("https://a").unwrap() && !store.remove("https://a").unwrap());
        assert!(found("https://a").is_none() && found("https://b").is_some());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = store.load("https://b").err().unwrap().to_string();
        assert!(refused.contains("chmod 600"), "{refused}");
    }
}
