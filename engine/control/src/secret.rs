//! Secrets, from files or from the environment, never from the configuration itself.
//!
//! A file is refused if others than its owner and its group can read it, or others than its owner
//! can write it. Links are followed: Kubernetes mounts secrets as such.

use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretSlice};

use crate::file::open_at_once;

/// Longest secret, in bytes.
pub const SECRET_BYTES_MAX: usize = 4096;
/// The start of the name of a variable of the environment.
const ENVIRONMENT: &str = "env:";
/// The bits of a mode that let a file be written by its group, and used by others.
const MODE_REFUSED: u32 = 0o027;

/// A secret. It is overwritten when it is dropped, and never shown.
#[derive(Clone, Debug)]
pub struct Secret(SecretSlice<u8>);

/// Why a secret is not usable. The secret itself is never shown.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("{}: {error}: name a file that this process can read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// A directory, a device or a pipe.
    #[error("{} is no regular file: name one", .0.display())]
    NotRegular(PathBuf),
    /// Others can use it.
    #[error(
        "{} has mode {mode:04o}, so that others can use it: chmod 0400; in Kubernetes, set \
         defaultMode: 0440", path.display()
    )]
    LooseMode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A variable is not set.
    #[error("the environment has no variable {0}: set it, or name a file")]
    NoVariable(String),
    /// There is nothing in it, or too much.
    #[error("{0} has no secret of 1 to {SECRET_BYTES_MAX} bytes")]
    Length(String),
}

impl Secret {
    /// Reads a secret from the file at a path, relative to `base`, or from the environment for
    /// `env:NAME`. White space at its end is no part of it. Adds the file to `files`.
    ///
    /// # Errors
    /// It is absent, empty, too long, or others can use its file.
    ///
    /// ```
    /// use corelane_control::secret::Secret;
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("secret");
    /// std::fs::write(&path, "s3cret\n")?;
    /// # use std::os::unix::fs::PermissionsExt;
    /// std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400))?;
    /// let secret = Secret::read("secret", folder.path(), &mut Vec::new())?;
    /// assert_eq!(secret.expose(), b"s3cret");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read(
        source: &str,
        base: &Path,
        files: &mut Vec<PathBuf>,
    ) -> Result<Secret, SecretError> {
        let bytes = match source.strip_prefix(ENVIRONMENT) {
            Some(name) => {
                let value = std::env::var_os(name);
                let value = value.ok_or_else(|| SecretError::NoVariable(name.to_owned()))?;
                Zeroizing::new(value.into_encoded_bytes())
            }
            None => {
                let path = base.join(source);
                files.push(path.clone());
                read_file(path)?
            }
        };
        let bytes = bytes.trim_ascii_end();
        match bytes.len() {
            1..=SECRET_BYTES_MAX => Ok(Secret(bytes.to_vec().into())),
            _ => Err(SecretError::Length(source.to_owned())),
        }
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

fn read_file(path: PathBuf) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let unreadable = |error| SecretError::Unreadable {
        path: path.clone(),
        error,
    };
    let file = open_at_once(&path).map_err(unreadable)?;
    // Of the file that is read, and not of another one that has its name later.
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(SecretError::NotRegular(path));
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & MODE_REFUSED != 0 {
        return Err(SecretError::LooseMode { path, mode });
    }
    // One more byte than a secret and its line end have: more is too long. The buffer does not
    // grow, so no copy of it is left.
    let bytes_max = SECRET_BYTES_MAX + 3;
    let mut bytes = Zeroizing::new(Vec::with_capacity(bytes_max));
    let read = file.take(bytes_max as u64).read_to_end(&mut bytes);
    read.map_err(unreadable)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{SECRET_BYTES_MAX, Secret, SecretError};
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn files_that_others_can_use_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        fs::write(&path, "secret\r\n").expect("a file");
        symlink("secret", folder.path().join("link")).expect("a link");
        for (mode, is_right) in [
            (0o400, true),
            (0o600, true),
            (0o440, true),
            (0o460, false),
            (0o404, false),
            (0o644, false),
            (0o602, false),
        ] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("a mode");
            for name in ["secret", "link"] {
                let mut files = Vec::new();
                let secret = Secret::read(name, folder.path(), &mut files);
                assert_eq!(files, [folder.path().join(name)]);
                match secret {
                    Ok(secret) => {
                        assert!(is_right, "{mode:o}");
                        assert_eq!(secret.expose(), b"secret");
                        assert!(!format!("{secret:?}").contains("115"), "{secret:?}");
                    }
                    Err(error) => {
                        assert!(!is_right, "{mode:o}");
                        let text = error.to_string();
                        assert!(text.contains("set defaultMode: 0440"), "{text}");
                    }
                }
            }
        }
    }

    #[test]
    fn secrets_have_bounds_and_files_are_regular() {
        let folder = tempfile::tempdir().expect("a folder");
        let read = |name: &str| Secret::read(name, folder.path(), &mut Vec::new());
        for (bytes, is_right) in [
            (0, false),
            (1, true),
            (SECRET_BYTES_MAX, true),
            (SECRET_BYTES_MAX + 1, false),
            (3 * SECRET_BYTES_MAX, false),
        ] {
            let path = folder.path().join(bytes.to_string());
            fs::write(&path, "a".repeat(bytes) + "\n").expect("a file");
            fs::set_permissions(&path, Permissions::from_mode(0o400)).expect("a mode");
            assert_eq!(read(&bytes.to_string()).is_ok(), is_right, "{bytes}");
        }
        assert!(matches!(read("."), Err(SecretError::NotRegular(_))));
        assert!(matches!(read("/dev/null"), Err(SecretError::NotRegular(_))));
        assert!(matches!(
            read("absent"),
            Err(SecretError::Unreadable { .. })
        ));
        let name = "env:CORELANE_NO_SUCH_VARIABLE";
        assert!(matches!(read(name), Err(SecretError::NoVariable(_))));
        let path = read("env:PATH").expect("a variable");
        assert_eq!(
            path.expose(),
            std::env::var("PATH").expect("set").as_bytes()
        );
    }
}
