//! Keys that seal request states, read from files so that several processes have the same.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use corelane_protocol::request_state::Sealer;

/// The longest file that is read, in bytes: a key takes 44 characters.
const FILE_BYTES_MAX: u64 = 256;
/// The bits of a file's mode that let its group write it, or others use it.
const MODE_OF_OTHERS: u32 = 0o027;

/// Why a key is not usable. The key itself is never shown.
#[derive(Debug, thiserror::Error)]
pub enum StateKeyError {
    /// The file cannot be read.
    #[error("state key file {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// Others can use it: they could make states and ids of sessions.
    #[error(
        "state key file {} has mode {mode:04o}, so that others can use it: chmod 0400; in \
         Kubernetes, set defaultMode: 0440",
        path.display()
    )]
    LooseMode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file holds no key.
    #[error(
        "state key file {} does not hold 32 bytes in base64: \
         make one with: openssl rand -base64 32",
        path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

/// Checks that a server can use the keys in `files`, those of `server.state_key_files`.
///
/// # Errors
/// One cannot be read, has no key, or others can use it.
pub fn check_state_keys(files: &[PathBuf]) -> Result<(), StateKeyError> {
    files.iter().try_for_each(|path| read_key(path).map(drop))
}

/// The key of a process for states, if no file has one. It goes to the process that takes over from
/// this one.
#[derive(Clone)]
pub(super) struct OwnKey([u8; 32]);

impl OwnKey {
    /// A random one.
    ///
    /// # Panics
    /// If the operating system has no random bits: there is no safe way to continue.
    pub(super) fn random() -> OwnKey {
        let mut key = [0; 32];
        getrandom::fill(&mut key).expect("the operating system has random bits");
        OwnKey(key)
    }

    /// In Base64.
    pub(super) fn to_text(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Reads it from its text.
    pub(super) fn parse(text: &str) -> Option<OwnKey> {
        let key = STANDARD.decode(text).ok()?;
        key.try_into().ok().map(OwnKey)
    }
}

/// A sealer with the keys in `files`, the first of which seals; with that of the process if there
/// are no files.
pub(super) fn sealer(files: &[PathBuf], own: &OwnKey) -> Result<Sealer, StateKeyError> {
    if files.is_empty() {
        return Ok(Sealer::new(&[own.0]));
    }
    let keys: Result<Vec<_>, _> = files.iter().map(|path| read_key(path)).collect();
    Ok(Sealer::new(&keys?))
}

fn read_key(path: &Path) -> Result<[u8; 32], StateKeyError> {
    let unreadable = |error| StateKeyError::Unreadable {
        path: path.to_owned(),
        error,
    };
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    // Of the file that is read, and not of another one that has its name later.
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & MODE_OF_OTHERS != 0 {
        let path = path.to_owned();
        return Err(StateKeyError::LooseMode { path, mode });
    }
    file.take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    let key = STANDARD.decode(text.trim_ascii()).ok();
    key.and_then(|key| key.try_into().ok())
        .ok_or_else(|| StateKeyError::Malformed {
            path: path.to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).expect("a file can be written");
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, mode).expect("it is ours");
    }

    /// Checks the error for a file with `text` in it.
    #[track_caller]
    fn check(text: &str, is_key: bool) {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let path = directory.path().join("key");
        write(&path, text, 0o600);
        match sealer(&[path], &OwnKey::random()) {
            Ok(_) => assert!(is_key, "{text:?} is taken"),
            Err(error) => {
                assert!(!is_key && !text.trim().is_empty(), "{error}");
                let said = error.to_string();
                assert!(
                    said.contains("openssl") && !said.contains(text.trim()),
                    "{said}"
                );
            }
        }
    }

    #[test]
    fn a_key_is_32_bytes_in_base64() {
        let key = STANDARD.encode([7; 32]);
        check(&key, true);
        check(&format!("\n {key} \n"), true);
        check(&STANDARD.encode([7; 31]), false);
        check(&STANDARD.encode([7; 33]), false);
        check(&key[1..], false);
        check(&key.repeat(10), false);
    }

    #[test]
    fn a_file_that_others_can_use_is_refused() {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let path = directory.path().join("key");
        for (mode, is_right) in [
            (0o400, true),
            (0o600, true),
            (0o440, true),
            (0o460, false),
            (0o644, false),
            (0o602, false),
        ] {
            write(&path, &STANDARD.encode([7; 32]), mode);
            match check_state_keys(std::slice::from_ref(&path)) {
                Ok(()) => assert!(is_right, "{mode:o}"),
                Err(error) => {
                    let error = error.to_string();
                    assert!(!is_right && error.contains("chmod 0400"), "{error}");
                }
            }
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let Err(error) = sealer(&["/nowhere/state.key".into()], &OwnKey::random()) else {
            panic!("there is no such file");
        };
        assert!(error.to_string().contains("/nowhere/state.key"), "{error}");
    }
}
