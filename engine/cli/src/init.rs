//! `corelane init`: the files of a new server.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Args;

/// The exit code if a file is there already.
const REFUSED: u8 = 1;
/// The exit code if a file cannot be written.
const IO: u8 = 74;
/// The bytes of a key for `server.state_key_files`.
const KEY_BYTES: usize = 32;
/// The place of the folder in the profile.
const FOLDER: &str = "{folder}";

/// The arguments of `corelane init`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  corelane init ~/corelane")]
pub(crate) struct InitArguments {
    /// The folder, which is made if it is missing.
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
}

/// Why there is no new server.
#[derive(Debug, thiserror::Error)]
enum InitError {
    #[error("{} is there already, and nothing was written: name another folder", .0.display())]
    Exists(PathBuf),
    #[error("the path {0:?} cannot be written into a profile: name a folder without \" and \\")]
    Folder(PathBuf),
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("there are no random bytes: {0}")]
    Random(getrandom::Error),
}

impl InitError {
    fn file(path: &Path, error: io::Error) -> InitError {
        match error.kind() {
            io::ErrorKind::AlreadyExists => InitError::Exists(path.to_owned()),
            _ => InitError::File {
                path: path.to_owned(),
                error,
            },
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            InitError::Exists(_) | InitError::Folder(_) => REFUSED,
            InitError::File { .. } | InitError::Random(_) => IO,
        }
    }
}

/// Runs the command.
pub(crate) fn run(arguments: &InitArguments) -> ExitCode {
    match write_files(&arguments.folder) {
        Ok(folder) => {
            let folder = folder.display();
            println!(
                "wrote profile.toml, corelane.toml and state.key to {folder}\n\
                 next: corelane serve --profile {folder}/profile.toml\n\
                 then: corelane status --socket {folder}/control.sock\n\
                 and:  corelane list http://127.0.0.1:8080/mcp"
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("corelane init: {error}");
            error.exit_code().into()
        }
    }
}

/// Writes the files of a new server; none if one of them is there already. The folder is absolute,
/// so that the server may be started from anywhere.
fn write_files(path: &Path) -> Result<PathBuf, InitError> {
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(0o750).create(path);
    let folder = made.and_then(|()| path.canonicalize());
    let folder = folder.map_err(|error| InitError::file(path, error))?;
    let is_fit = |text: &&str| !text.contains(['"', '\\']) && !text.contains(char::is_control);
    let Some(text) = folder.to_str().filter(is_fit) else {
        return Err(InitError::Folder(folder));
    };
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(InitError::Random)?;
    let profile = include_str!("init/profile.toml").replace(FOLDER, text);
    let configuration = include_str!("init/corelane.toml").to_owned();
    let files = [
        ("profile.toml", 0o640, profile),
        ("corelane.toml", 0o640, configuration),
        ("state.key", 0o600, BASE64_STANDARD.encode(key) + "\n"),
    ]
    .map(|(name, mode, text)| (folder.join(name), mode, text));
    if let Some((path, ..)) = files.iter().find(|file| file.0.symlink_metadata().is_ok()) {
        return Err(InitError::Exists(path.clone()));
    }
    for (path, mode, text) in &files {
        write(path, *mode, text).map_err(|error| InitError::file(path, error))?;
    }
    Ok(folder)
}

/// Writes a file that is not there yet.
fn write(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
