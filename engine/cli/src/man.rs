//! `corelane man`: the manual pages of the commands, from the arguments that clap has.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, Command};
use clap_mangen::Man;

/// The exit code when a page cannot be written.
const IO: u8 = 74;
/// The name and version at the foot of each page.
const SOURCE: &str = concat!("Corelane ", env!("CARGO_PKG_VERSION"));
/// The seconds of the date of reproducible builds: reproducible-builds.org/specs/source-date-epoch.
const DATE_VARIABLE: &str = "SOURCE_DATE_EPOCH";
/// The last second that RFC 3339 can write.
const SECONDS_MAX: u64 = 253_402_300_799;
/// The length of a date in RFC 3339, without its time.
const DATE_BYTES: usize = "2026-01-01".len();

/// The arguments of `corelane man`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  corelane man ~/.local/share/man/man1")]
pub(crate) struct ManArguments {
    /// The folder, which is made if it is missing. Pages in it are replaced.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// Runs the command.
pub(crate) fn run(arguments: &ManArguments, command: Command) -> ExitCode {
    let folder = &arguments.folder;
    let mut command = command.disable_help_subcommand(true);
    // Names commands by their path, such as corelane-profile-check.
    command.build();
    let made = std::fs::create_dir_all(folder);
    match made.and_then(|()| write_pages(folder, &command, &date())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let folder = folder.display();
            eprintln!("corelane man: cannot write the pages to {folder}: {error}");
            IO.into()
        }
    }
}

/// Today, or the date of the build.
fn date() -> String {
    let seconds = std::env::var(DATE_VARIABLE).ok();
    let seconds = seconds.and_then(|text| text.parse().ok());
    let seconds = seconds.filter(|it| *it <= SECONDS_MAX);
    let time = match seconds {
        Some(seconds) => SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
        None => SystemTime::now(),
    };
    let mut text = humantime::format_rfc3339(time).to_string();
    text.truncate(DATE_BYTES);
    text
}

/// Writes the pages of a command and of those below it.
fn write_pages(folder: &Path, command: &Command, date: &str) -> io::Result<()> {
    for below in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        write_pages(folder, below, date)?;
    }
    let man = Man::new(command.clone());
    let man = man.date(date).source(SOURCE).manual("Corelane");
    let mut page = Vec::new();
    man.render(&mut page)?;
    // Two breaks around an empty line are one empty line, which mandoc(1) warns of.
    let page = String::from_utf8_lossy(&page).replace("\n.br\n\n.br\n", "\n.sp\n");
    std::fs::write(folder.join(man.get_filename()), page)
}
