//! `corelane profile`: shows, explains, compares and checks tuning profiles.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use corelane::Profile;
use corelane::profile::ProfileError;
use corelane::profile::cores::CoreError;

/// The exit code of a profile that is wrong, of an unknown knob, and of profiles that differ.
const NO: u8 = 1;
/// The exit code of `diff` for a profile that is wrong.
const CANNOT_COMPARE: u8 = 2;

/// The commands of `corelane profile`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ProfileCommand {
    /// Print every knob with its value, and the default of those that differ from it.
    Show {
        /// The profile; the defaults without one.
        file: Option<PathBuf>,
    },
    /// Print the reason for a knob, its range and its default, or all knobs of a section.
    Explain {
        /// The knob, such as server.backlog, or the section, such as overload.
        key: String,
    },
    /// Print the knobs that differ. Exits with 0 if none do, 1 if some do, 2 if a profile is wrong.
    Diff {
        /// One profile.
        one: PathBuf,
        /// The other profile.
        other: PathBuf,
    },
    /// Check a profile: unknown keys, ranges, and values that contradict each other.
    Check {
        /// The profile.
        file: PathBuf,
    },
}

/// Runs the command.
pub(crate) fn run(command: &ProfileCommand) -> ExitCode {
    let failed = match command {
        ProfileCommand::Diff { .. } => CANNOT_COMPARE,
        _ => NO,
    };
    match answer(command) {
        Ok((text, code)) => {
            print!("{text}");
            code
        }
        Err(error) => {
            eprintln!("corelane profile: {error}");
            failed.into()
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Profile(#[from] ProfileError),
    #[error("profile {}: {error}", path.display())]
    Cores { path: PathBuf, error: CoreError },
}

fn answer(command: &ProfileCommand) -> Result<(String, ExitCode), CommandError> {
    let text = match command {
        ProfileCommand::Check { file } => check(file)?,
        ProfileCommand::Show { file } => show(&read(file.as_deref())?),
        ProfileCommand::Explain { key } => Profile::explain(key)?,
        ProfileCommand::Diff { one, other } => {
            let text = diff(&Profile::from_file(one)?, &Profile::from_file(other)?);
            let code = if text.is_empty() { 0 } else { NO };
            return Ok((text, code.into()));
        }
    };
    Ok((text, ExitCode::SUCCESS))
}

/// Checks the profile in `file`. It may be for another machine, with cores that this one lacks.
fn check(file: &Path) -> Result<String, CommandError> {
    let profile = Profile::from_file(file)?;
    let note = match profile.choose_cores() {
        Ok(_) => String::new(),
        Err(error @ CoreError::NoneForShards) => {
            let path = file.to_owned();
            return Err(CommandError::Cores { path, error });
        }
        Err(error) => format!("note, if it is for this machine: {error}\n"),
    };
    Ok(format!("{} is valid\n{note}", file.display()))
}

fn read(file: Option<&Path>) -> Result<Profile, ProfileError> {
    file.map_or_else(|| Ok(Profile::default()), Profile::from_file)
}

/// The value of a key in [`Profile::settings`], if it has one.
pub(crate) fn value_in<'s>(
    settings: &'s [(String, Option<String>)],
    key: &str,
) -> Option<&'s String> {
    let (_, value) = settings.iter().find(|(other, _)| other == key)?;
    value.as_ref()
}

/// A value as it is printed.
fn value_of(value: Option<&String>) -> &str {
    value.map_or("(not set)", String::as_str)
}

fn show(profile: &Profile) -> String {
    let defaults = Profile::default().settings();
    let lines = profile.settings().into_iter().map(|(key, value)| {
        let default = value_in(&defaults, &key);
        let own = value_of(value.as_ref());
        match value.as_ref() == default {
            true => format!("{key} = {own}\n"),
            false => format!("{key} = {own}  # default: {}\n", value_of(default)),
        }
    });
    lines.collect()
}

/// The knobs that differ, each with both values.
fn diff(one: &Profile, other: &Profile) -> String {
    let (one, other) = (one.settings(), other.settings());
    let of_other = other
        .iter()
        .filter(|it| !one.iter().any(|own| own.0 == it.0));
    let keys = one.iter().chain(of_other).map(|(key, _)| key);
    let lines = keys.map(|key| {
        let (before, after) = (value_in(&one, key), value_in(&other, key));
        match before == after {
            true => String::new(),
            false => format!("{key} = {} -> {}\n", value_of(before), value_of(after)),
        }
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::{Profile, diff, show};

    fn profile(text: &str) -> Profile {
        Profile::from_toml(text).expect("valid")
    }

    #[test]
    fn shows_each_knob_and_the_default_of_a_changed_one() {
        let text = show(&profile(
            "[server]\nbacklog = 100\nshards = 2\n[[core]]\nid = 1\nring.buffer_bytes = 4096",
        ));
        for line in [
            "server.backlog = 100  # default: 4096",
            "server.shards = 2  # default: (not set)",
            "server.cores = (not set)",
            "http.body_bytes_max = 16_777_216",
            "core 1 ring.buffer_bytes = 4096  # default: (not set)",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}: {text}");
        }
        assert!(!show(&Profile::default()).contains('#'));
    }

    #[test]
    fn compares_all_knobs_of_both() {
        let one = profile("[server]\nbacklog = 100\n[[core]]\nid = 1\nring.buffer_bytes = 4096");
        let other = profile("[server]\nshards = 2\n[[core]]\nid = 0\nbudget.lane_batch = 8");
        let expected = "server.shards = (not set) -> 2\nserver.backlog = 100 -> 4096\n\
            core 1 ring.buffer_bytes = 4096 -> (not set)\n\
            core 0 budget.lane_batch = (not set) -> 8\n";
        assert_eq!(diff(&one, &other), expected);
        assert_eq!(diff(&one, &one), "");
    }
}
