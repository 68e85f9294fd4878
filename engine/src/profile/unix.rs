//! Knobs of Unix sockets.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::knobs::{Value, anything, knobs};

knobs! {
    /// The files of Unix sockets that are listened on. Abstract names are no files: every process
    /// of the network namespace can connect to them.
    Unix as "unix" {
        /// Permissions of the file, in octal: by default only the user of the server may connect.
        /// Connecting takes the permission to write (unix(7)).
        mode: FileMode = FileMode(0o600), anything(), restart;
        /// User that the file belongs to, a name of /etc/passwd or a number, as "65534"; default
        /// the user of the server. Another one takes the capability CAP_CHOWN.
        owner: Option<String> = None, anything(), restart;
        /// Group that the file belongs to, a name of /etc/group or a number, as "33"; default the
        /// group of the server. With the mode "0660" all members of it may connect.
        group: Option<String> = None, anything(), restart;
        /// Whether the principal of a client is the user of its process, as "unix:uid=1000", which
        /// the kernel reports. Sessions and tasks belong to that user then. Over HTTP, a principal
        /// that a proxy names in `server.principal_header` counts instead. False suits a proxy that
        /// names none: all of its clients would be one principal.
        user_is_principal: bool = true, anything(), restart;
    }
}

impl Value for FileMode {}

/// Permissions of a file, written in octal, such as "0660".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileMode(u32);

impl FileMode {
    /// The permission bits, as chmod(2) has them.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }
}

/// A text that is no mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("give permissions in octal, from \"0000\" to \"0777\", such as \"0660\"")]
pub struct FileModeError;

impl FromStr for FileMode {
    type Err = FileModeError;

    fn from_str(text: &str) -> Result<FileMode, FileModeError> {
        let is_octal = text.bytes().all(|byte| byte.is_ascii_digit());
        let bits = u32::from_str_radix(text, 8).map_err(|_| FileModeError)?;
        match is_octal && bits <= 0o777 {
            true => Ok(FileMode(bits)),
            false => Err(FileModeError),
        }
    }
}

impl TryFrom<String> for FileMode {
    type Error = FileModeError;

    fn try_from(text: String) -> Result<FileMode, FileModeError> {
        text.parse()
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:04o}", self.0)
    }
}

impl From<FileMode> for String {
    fn from(mode: FileMode) -> String {
        mode.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::FileMode;

    #[test]
    fn a_mode_is_octal_and_has_permissions_only() {
        for (text, bits) in [("0600", 0o600), ("660", 0o660), ("0", 0), ("00777", 0o777)] {
            let mode: FileMode = text.parse().expect(text);
            assert_eq!(mode.bits(), bits);
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        for text in ["", "rw", "+600", "-1", "0800", "1777", "0x1"] {
            assert!(text.parse::<FileMode>().is_err(), "{text}");
        }
    }
}
