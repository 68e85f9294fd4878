//! The cores of the server and of the generator, and the goal.

use std::env;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::check::plan::list_of;

/// The generator's program.
const GENERATOR: &str = "corelane-load";

/// The figure that is to be low.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Goal {
    /// CPU time of the server for each call, while the 99th percentile of latency does not rise.
    Cpu,
    /// The median of latency, while its 99th percentile does not rise.
    Latency,
}

/// The cores of the server and of the generator.
#[derive(Debug)]
pub(super) struct HostPlan {
    pub(super) goal: Goal,
    pub(super) cores: Vec<usize>,
    pub(super) generator_cores: Vec<usize>,
}

impl HostPlan {
    /// Divides `available` cores, of which `wished` may have shards: the generator gets the others,
    /// or else half of them.
    ///
    /// # Errors
    /// There is only one core.
    pub(super) fn new(goal: Goal, available: &[usize], wished: &[usize]) -> Result<Self, String> {
        let is_wished = |core: &usize| wished.contains(core);
        let (mut cores, mut others): (Vec<_>, Vec<_>) =
            available.iter().partition(|it| is_wished(it));
        if others.is_empty() {
            others = cores.split_off(cores.len().div_ceil(2));
        }
        if cores.is_empty() || others.is_empty() {
            return Err(
                "the server and the generator need a core each: run it where the process \
                        may use two cores"
                    .to_owned(),
            );
        }
        Ok(HostPlan {
            goal,
            cores,
            generator_cores: others,
        })
    }

    pub(super) fn server_cores(&self) -> String {
        list_of(&self.cores)
    }

    /// As the generator takes it.
    pub(super) fn generator_list(&self) -> String {
        let cores: Vec<_> = self.generator_cores.iter().map(usize::to_string).collect();
        cores.join(",")
    }
}

/// The generator: beside this program, or in a directory of PATH.
///
/// # Errors
/// How to get it.
pub(super) fn find_generator() -> Result<PathBuf, String> {
    let own = env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent).map(Path::to_owned);
    let paths = env::var_os("PATH").unwrap_or_default();
    find_in(beside.into_iter().chain(env::split_paths(&paths)))
}

fn find_in(directories: impl Iterator<Item = PathBuf>) -> Result<PathBuf, String> {
    let mut programs = directories.map(|directory| directory.join(GENERATOR));
    programs.find(|program| program.is_file()).ok_or_else(|| {
        format!(
            "{GENERATOR} is neither beside this program nor in PATH: install it from the same copy \
             of the repository with `cargo install --locked --profile dist --path bench`"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{GENERATOR, Goal, HostPlan, find_in};

    #[test]
    fn the_generator_gets_the_cores_that_the_server_has_not_or_half() {
        let divide = |available: &[usize], wished: &[usize]| {
            let plan = HostPlan::new(Goal::Cpu, available, wished).ok()?;
            Some((plan.server_cores(), plan.generator_list()))
        };
        let both = |server: &str, generator: &str| Some((server.to_owned(), generator.to_owned()));
        assert_eq!(divide(&[0, 1], &[0, 1]), both("0", "1"));
        assert_eq!(divide(&[0, 1, 2, 3], &[0, 1, 2, 3]), both("0-1", "2,3"));
        assert_eq!(divide(&[0, 1, 2, 3], &[0, 1, 3]), both("0-1,3", "2"));
        assert_eq!(divide(&[0, 1, 2], &[0, 1, 2]), both("0-1", "2"));
        assert_eq!(divide(&[4], &[4]), None);
        assert_eq!(divide(&[0, 1], &[]), None);
    }

    #[test]
    fn the_generator_is_found_in_the_first_directory_that_has_it_or_its_install_is_named() {
        let all = [(); 3].map(|()| tempfile::tempdir().expect("a directory"));
        let paths = || all.iter().map(|it| it.path().to_owned());
        let error = find_in(paths()).expect_err("there is none");
        assert!(
            error.contains("cargo install") && error.contains("--path bench"),
            "{error}"
        );
        // A directory of that name is no program.
        std::fs::create_dir(all[0].path().join(GENERATOR)).expect("a directory");
        for at in [2, 1] {
            let program = all[at].path().join(GENERATOR);
            std::fs::write(&program, "").expect("a file");
            assert_eq!(find_in(paths()), Ok(program));
        }
    }
}
