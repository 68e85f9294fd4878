//! Serves the files of a directory as resources, and notifies clients of changes: `cargo run
//! --release --example files`.

use std::process::ExitCode;

use corelane::{DirectoryLimits, Server};

fn main() -> corelane::Result<ExitCode> {
    let server = Server::new("files", "1.0.0").with_directory(
        "docs://",
        "docs",
        ".",
        DirectoryLimits::default(),
    )?;
    Ok(server.run_from_args())
}
