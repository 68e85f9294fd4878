//! The file of access control of a server under test.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use corelane_guard::api_key;
use corelane_tests::{Ended, Request, Setup};
use tempfile::TempDir;

/// A file of access control, and the key that it has.
pub(crate) struct AccessFile {
    pub(crate) directory: TempDir,
    pub(crate) key: String,
}

impl AccessFile {
    pub(crate) fn new(rules: &str) -> AccessFile {
        let (key, sha256) = api_key::create("ci", &[9; 32]).expect("an id");
        let digits: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        let file = AccessFile {
            directory: TempDir::new().expect("a directory"),
            key,
        };
        file.write(&format!(
            "[auth]\nresource = \"https://mcp.example.com/mcp\"\n\
             [[auth.api_key]]\nid = \"ci\"\nsha256 = \"{digits}\"\nroles = [\"ci\"]\n{rules}"
        ));
        file
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("corelane.toml")
    }

    pub(crate) fn text(&self) -> String {
        fs::read_to_string(self.path()).expect("it was written")
    }

    /// Replaces the file as a whole.
    pub(crate) fn write(&self, text: &str) {
        let other = self.directory.path().join("next");
        let mut file = fs::File::create(&other).expect("the directory is there");
        file.write_all(text.as_bytes()).expect("there is space");
        fs::rename(other, self.path()).expect("the directory is there");
    }

    pub(crate) fn setup(&self, shards: usize) -> Setup {
        let path = self.path();
        let path = path.to_str().expect("a path of text");
        Setup::shards(shards)
            .demo("basic")
            .arguments(&["--config", path])
    }

    /// A server that refuses to start with the file.
    pub(crate) fn run_to_end(&self) -> Ended {
        self.setup(1).listen("127.0.0.1:0").run_to_end()
    }

    /// The request with the key.
    pub(crate) fn sign(&self, request: Request) -> Request {
        request.field("Authorization", &format!("Bearer {}", self.key))
    }
}
