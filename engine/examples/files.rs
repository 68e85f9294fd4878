//! Serves the files of a directory as resources, and notifies clients of changes: `cargo run
//! --release --example files`.

use corelane::{DirectoryLimits, Profile, Server};

fn main() -> corelane::Result<()> {
    Server::new("files", "1.0.0")
        .with_directory("docs://", "docs", ".", DirectoryLimits::default())?
        .run(Profile::from_args()?)
}
