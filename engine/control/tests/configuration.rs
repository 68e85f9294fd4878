//! Configurations: those that are refused, each with its line and its remedy, and the values of
//! those that are not.

#[path = "configuration/accepted.rs"]
mod accepted;
#[path = "configuration/facts.rs"]
mod facts;
#[path = "configuration/refused.rs"]
mod refused;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use corelane_control::config::{Config, Limits, ServerFacts};
use tempfile::TempDir;

/// A server with these endpoints.
fn server(paths: &[&str]) -> ServerFacts {
    ServerFacts {
        endpoint_paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        loopback_origin: None,
        has_client_certificates: false,
        has_public_header: false,
        methods: Vec::new(),
        catalog: None,
        limits: Limits::default(),
    }
}

/// A folder with a configuration and the files that configurations of tests name.
struct Folder(TempDir);

impl Folder {
    fn new(configuration: &str) -> Folder {
        let folder = Folder(tempfile::tempdir().expect("a folder"));
        folder.write("corelane.toml", configuration, 0o644);
        folder.write("keys.json", r#"{"keys":[]}"#, 0o644);
        folder.write("broken.json", r#"{"keys":{}}"#, 0o644);
        folder.write("writable.json", r#"{"keys":[]}"#, 0o646);
        folder.write("loose", &"s".repeat(64), 0o644);
        folder.write("short", "hunter2", 0o400);
        folder.write("good", &format!("{}\n", "s".repeat(64)), 0o440);
        folder
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// The configuration, or the text of its faults.
    fn read(&self, server: &ServerFacts) -> Result<Config, String> {
        let path = self.path().join("corelane.toml");
        Config::read(&path, server, &mut Vec::new()).map_err(|error| error.to_string())
    }
}
