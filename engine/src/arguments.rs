//! The command line of a program that is a server.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Command, FromArgMatches};

use crate::profile::{CoreList, ListenAddress, Profile, SHARDS_MAX};
use crate::server::{Error, Result, Server};

/// The options of a server on the command line; all other settings are in the profile.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeArguments {
    /// Where to listen; repeatable. It wins over `server.listen` and `server.stdio` of the profile.
    #[arg(long, value_name = "ADDRESS", help = listen_help())]
    pub listen: Vec<ListenAddress>,
    /// How many shards to run [default: one for each core].
    #[arg(long, value_name = "N", value_parser = shards_range())]
    pub shards: Option<usize>,
    /// The cores to run shards on, such as 0-3,6 [default: all].
    #[arg(long, value_name = "LIST")]
    pub cores: Option<CoreList>,
    /// A name that clients may use for the server in Host, as name or name:port, beside those of
    /// the profile; repeatable.
    #[arg(long = "allow-host", value_name = "HOST")]
    pub allow_hosts: Vec<String>,
    /// Where metrics are read at /metrics, such as 127.0.0.1:9464. It wins over `metrics.listen` of
    /// the profile.
    #[arg(long, value_name = "HOST:PORT")]
    pub metrics: Option<std::net::SocketAddr>,
    /// The control socket for corelane status and its like, such as /run/corelane/control.sock. It
    /// wins over `admin.socket` of the profile.
    #[arg(long, value_name = "PATH")]
    pub control_socket: Option<PathBuf>,
    /// Serves the parent of the process on standard input and output, and listens nowhere.
    #[arg(long, conflicts_with_all = ["listen", "shards", "allow_hosts"])]
    pub stdio: bool,
    /// The tuning profile, such as tuning/profiles/production.toml.
    #[arg(long, value_name = "FILE")]
    pub profile: Option<PathBuf>,
    /// The file of access control, such as corelane.toml. It wins over `server.access_file` of the
    /// profile.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

fn listen_help() -> String {
    let default = Profile::default().server.listen;
    let default = default.first().map(ToString::to_string);
    format!(
        "Where to listen: HOST:PORT or http://, https://, ws://, wss://, tcp:// or tcps:// with \
         HOST:PORT, unix:// or http+unix:// with a path or @NAME. TLS needs [tls] in the profile. \
         Port 0 takes a free one; repeatable [default: {}]",
        default.unwrap_or_default()
    )
}

fn shards_range() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=SHARDS_MAX as u64)
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
        if !self.listen.is_empty() {
            profile.server.listen = self.listen;
            profile.server.stdio = false;
        }
        if profile.server.stdio {
            // As for `--stdio`, which clap refuses together with these.
            let option = match (&self.shards, self.allow_hosts.is_empty()) {
                (Some(_), _) => Some("--shards"),
                (None, false) => Some("--allow-host"),
                (None, true) => None,
            };
            option.map_or(Ok(()), |option| Err(Error::NothingListens { option }))?;
        }
        if self.shards.is_some() {
            profile.server.shards = self.shards;
        }
        if self.cores.is_some() {
            profile.server.cores = self.cores;
        }
        if self.metrics.is_some() {
            profile.metrics.listen = self.metrics;
        }
        if self.control_socket.is_some() {
            profile.admin.socket = self.control_socket;
        }
        if self.config.is_some() {
            profile.server.access_file = self.config;
        }
        profile.server.stdio |= self.stdio;
        profile.server.allowed_hosts.extend(self.allow_hosts);
        profile.validate()?;
        Ok(profile)
    }
}

impl Server {
    /// Runs the server as its program's command line sets: `--listen`, `--stdio`, `--shards`,
    /// `--cores`, `--allow-host` and `--profile` as `corelane serve` takes them, `--help`, and
    /// `--version`, which prints the name and version of the server. A wrong command line ends the
    /// program.
    ///
    /// Returns when the server has drained, see [`Server::run`]. If it does not start, or fails,
    /// the reason is printed on standard error and the code is that of a failure.
    ///
    /// ```no_run
    /// # use corelane::{Server, tool};
    /// # use std::process::ExitCode;
    /// /// Adds two numbers.
    /// #[tool]
    /// async fn add(a: f64, b: f64) -> f64 {
    ///     a + b
    /// }
    ///
    /// fn main() -> ExitCode {
    ///     Server::new("calculator", "1.0.0").with_tool(add()).run_from_args()
    /// }
    /// ```
    pub fn run_from_args(self) -> ExitCode {
        self.run_from_args_with(|_| ())
    }

    /// [`Server::run_from_args`] with a profile that `adjust` changes before the server starts, and
    /// again after each read of its file for a reload.
    ///
    /// ```no_run
    /// # use corelane::Server;
    /// # fn start(server: Server) -> std::process::ExitCode {
    /// server.run_from_args_with(|profile| {
    ///     profile.server.principal_header = Some("x-user".to_owned());
    /// })
    /// # }
    /// ```
    pub fn run_from_args_with(
        self,
        adjust: impl Fn(&mut Profile) + Send + Sync + 'static,
    ) -> ExitCode {
        let name = self.name().to_owned();
        let matches = ServeArguments::augment_args(Command::new(name.clone()))
            .version(self.version().to_owned())
            .about(self.title().unwrap_or_default().to_owned())
            .get_matches();
        let arguments = ServeArguments::from_arg_matches(&matches).unwrap_or_else(|it| it.exit());
        let has_file = arguments.profile.is_some();
        let read = move || {
            let mut profile = arguments.clone().into_profile()?;
            adjust(&mut profile);
            Ok(profile)
        };
        let ended = read().and_then(|profile| match has_file {
            true => self.with_profile_source(read).run(profile),
            false => self.run(profile),
        });
        exit_code(&name, ended)
    }
}

/// The exit code of a start that fails because of the host: EX_CONFIG of sysexits.h.
const HOST_REFUSES: u8 = 78;

/// The exit code of the program `name` whose server ended like this; prints the reason of a failure
/// on standard error. For programs with a command line of their own. It is 0, 78 if the host does
/// not let the process have its rings or pin its threads, or 1.
///
/// ```no_run
/// # use corelane::{Profile, Server, exit_code};
/// # use std::process::ExitCode;
/// fn main() -> ExitCode {
///     let server = Server::new("calculator", "1.0.0");
///     exit_code("calculator", server.run(Profile::default()))
/// }
/// ```
pub fn exit_code(name: &str, ended: Result<()>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            match error {
                Error::Shard(error) if error.is_of_host() => HOST_REFUSES.into(),
                _ => ExitCode::FAILURE,
            }
        }
    }
}
