//! The command line of a program that is a server: arguments to a profile.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser};

use crate::profile::{CoreList, Profile, parse_listen};
use crate::server::Result;

/// The options of a server on the command line; all other settings are in the profile.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeArguments {
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:8080].
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_listen)]
    pub listen: Option<SocketAddr>,
    /// How many shards to run [default: one for each core].
    #[arg(long, value_name = "N")]
    pub shards: Option<usize>,
    /// The cores to run shards on, such as 0-3,6 [default: all].
    #[arg(long, value_name = "LIST")]
    pub cores: Option<CoreList>,
    /// A name that clients may use for the server in Host, as name or name:port, beside those of
    /// the profile; repeatable.
    #[arg(long = "allow-host", value_name = "HOST")]
    pub allow_hosts: Vec<String>,
    /// Serves the parent of the process on standard input and output, and listens nowhere.
    #[arg(long, conflicts_with_all = ["listen", "shards", "allow_hosts"])]
    pub stdio: bool,
    /// The tuning profile, such as tuning/profiles/production.toml.
    #[arg(long, value_name = "FILE")]
    pub profile: Option<PathBuf>,
}

impl ServeArguments {
    /// The profile for these arguments.
    ///
    /// # Errors
    /// The profile cannot be read, or is wrong together with the arguments.
    pub fn into_profile(self) -> Result<Profile> {
        let mut profile = match &self.profile {
            Some(path) => Profile::from_file(path)?,
            None => Profile::default(),
        };
        if let Some(listen) = self.listen {
            profile.server.listen = listen;
        }
        if self.shards.is_some() {
            profile.server.shards = self.shards;
        }
        if self.cores.is_some() {
            profile.server.cores = self.cores;
        }
        profile.server.stdio |= self.stdio;
        profile.server.allowed_hosts.extend(self.allow_hosts);
        profile.validate()?;
        Ok(profile)
    }
}

/// The arguments of a program that is only a server.
#[derive(Debug, Parser)]
#[command(version = "")]
struct ProgramArguments {
    #[command(flatten)]
    serve: ServeArguments,
}

impl Profile {
    /// The profile for the program's own command line: `--listen`, `--stdio`, `--shards`,
    /// `--cores`, `--allow-host` and `--profile`, as `corelane serve` takes them. Ends the program
    /// with a message when the command line is wrong.
    ///
    /// # Errors
    /// The profile cannot be read, or is wrong together with the arguments.
    pub fn from_args() -> Result<Profile> {
        ProgramArguments::parse().serve.into_profile()
    }
}
