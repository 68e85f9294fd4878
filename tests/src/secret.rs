//! Files with secrets.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Writes a file that only its owner can use.
pub fn write_secret(path: &Path, text: &str) {
    fs::write(path, text).expect("there is space");
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("it is ours");
}
