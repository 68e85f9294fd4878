//! The command line of `corelane-load`.

use super::compare::BASELINE;
use super::error::LoadError;
use super::mix::{MIX_BYTES_MAX, MIX_EXAMPLE, Mix, RequestKind};
use super::pace::Rate;
use super::script::Revision;
use super::target::Target;
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::{Map, Value as Json};
use std::fs;
use std::io::Read;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The most threads of a run.
pub const THREADS_MAX: u32 = 1024;
/// The longest run.
const DURATION_MAX: Duration = Duration::from_secs(24 * 3600);
/// Bytes of the message that `echo` is called with by default.
const MESSAGE_BYTES: usize = 100;

/// Drives an MCP server over HTTP, WebSocket or lines, with or without TLS, and measures it: open
/// or closed loop, free of coordinated omission, every answer checked.
///
/// Exit codes: 0 success; 1 requests failed, or a threshold was not kept; 2 wrong usage; 3 no MCP
/// server there; 4 the generator was the bottleneck, the figures are invalid; 5 the server went
/// away; 130 ended by Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "corelane-load", version)]
pub struct Cli {
    /// The commands.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Makes calls and measures throughput and latency.
    #[command(after_long_help = format!("A --mix file with every key:\n{MIX_EXAMPLE}"))]
    Call(CallArguments),
    /// Holds connections and measures the memory of each and connections per second.
    #[command(alias = "hold")]
    Soak(SoakArguments),
    /// Opens streams, triggers a change, and times its arrival on all of them.
    #[command(alias = "fan")]
    Fanout(FanoutArguments),
    /// Raises the rate until latency breaks.
    Sweep(SweepArguments),
    /// Compares reports of two sides: ratios of B to A, with spread.
    Compare(CompareArguments),
    /// Prints the JSON Schema of reports.
    Schema,
}

/// Flags of all runs.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// The server's endpoint, as http://127.0.0.1:8080/mcp.
    pub url: Target,
    /// Revision of MCP.
    #[arg(long, value_enum, default_value = "2026-07-28")]
    pub revision: Revision,
    /// A field for the head of each request, as 'Authorization: Bearer x'; repeatable.
    #[arg(long = "header", value_parser = header)]
    pub headers: Vec<(String, String)>,
    /// Threads, each with a ring of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: u32,
    /// Cores for the threads, as 1,3; default: the last ones this process may use.
    #[arg(long, value_delimiter = ',')]
    pub cores: Vec<usize>,
    /// How long a request may take.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub timeout: Duration,
    /// The server answers everything with the same bytes, as the baseline does: answers are
    /// compared with the first one instead of with their requests.
    #[arg(long)]
    pub fixed_answers: bool,
    /// With TLS: the file with the certificates, in PEM, of the authorities that sign the server's.
    #[arg(long, conflicts_with = "insecure")]
    pub ca_file: Option<PathBuf>,
    /// With TLS: the server's certificate is not checked.
    #[arg(long)]
    pub insecure: bool,
    /// With TLS: connections use the keys of earlier ones where the server lets them; default: each
    /// makes a full handshake, as those of different clients do.
    #[arg(long)]
    pub resume: bool,
    /// The server's process, if it is not the one that listens on the port.
    #[arg(long)]
    pub server_pid: Option<u32>,
    /// Name of the server's tuning profile, for the report.
    #[arg(long)]
    pub server_profile: Option<String>,
    /// Writes the report as JSON.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Writes the report as a page with plots.
    #[arg(long)]
    pub html: Option<PathBuf>,
    /// Writes the latencies for HdrHistogram's plotters.
    #[arg(long)]
    pub hgrm: Option<PathBuf>,
}

/// Flags that choose the requests.
#[derive(Clone, Debug, Args)]
pub struct Sending {
    /// The tool to call.
    #[arg(long, default_value = "echo")]
    pub tool: String,
    /// Its arguments: an object, or the file with one; default: for `echo` a message of 100 bytes.
    #[arg(long)]
    pub arguments: Option<String>,
    /// A TOML file with weighted requests, think time, aborts and churn, instead of one tool.
    #[arg(long, conflicts_with_all = ["tool", "arguments"])]
    pub mix: Option<PathBuf>,
    /// Requests after which a connection is closed and another is opened.
    #[arg(long)]
    pub requests_per_connection: Option<NonZeroU64>,
}

/// `call`.
#[derive(Clone, Debug, Args)]
pub struct CallArguments {
    /// Flags of all runs.
    #[command(flatten)]
    pub common: Common,
    /// Flags that choose the requests.
    #[command(flatten)]
    pub sending: Sending,
    /// Connections.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub connections: u32,
    /// Requests in flight on each connection.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub in_flight: u32,
    /// Requests per second, as 20k or the ramp 1k..50k: an open loop; without it, a closed one.
    #[arg(long)]
    pub rate: Option<Rate>,
    /// How long to measure.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub duration: Duration,
    /// How long to make requests before that.
    #[arg(long, default_value = "1s", value_parser = duration)]
    pub warmup: Duration,
}

/// The state in which a connection is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SoakKind {
    /// It made one call and is kept alive.
    Idle,
    /// It holds the GET stream of a session of 2025-11-25.
    Session,
    /// It holds a `subscriptions/listen` of 2026-07-28.
    Listen,
}

impl SoakKind {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            SoakKind::Idle => "idle",
            SoakKind::Session => "session",
            SoakKind::Listen => "listen",
        }
    }
}

/// `soak`.
#[derive(Clone, Debug, Args)]
pub struct SoakArguments {
    /// Flags of all runs.
    #[command(flatten)]
    pub common: Common,
    /// Flags that choose the requests.
    #[command(flatten)]
    pub sending: Sending,
    /// Connections to hold.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=4_000_000))]
    pub connections: u32,
    /// The state in which each is held.
    #[arg(long, value_enum, default_value = "idle")]
    pub kind: SoakKind,
    /// Connections begun per second; default: as many as the server takes.
    #[arg(long)]
    pub ramp: Option<Rate>,
    /// At how many steps memory is read.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub steps: u32,
    /// Calls while all are held: this share of them each second, as 1%; idle connections only.
    #[arg(long, value_parser = percent)]
    pub active: Option<f64>,
    /// How long to hold, and to make those calls.
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub duration: Duration,
}

/// `fanout`.
#[derive(Clone, Debug, Args)]
pub struct FanoutArguments {
    /// Flags of all runs.
    #[command(flatten)]
    pub common: Common,
    /// Streams to open: listens of 2026-07-28, GET streams of 2025-11-25.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=4_000_000))]
    pub streams: u32,
    /// The tool that makes the change when it is called.
    #[arg(long)]
    pub trigger: String,
    /// Its arguments: an object, or the file with one.
    #[arg(long)]
    pub arguments: Option<String>,
    /// How often.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rounds: u32,
}

/// `sweep`.
#[derive(Clone, Debug, Args)]
pub struct SweepArguments {
    /// Flags of all runs.
    #[command(flatten)]
    pub common: Common,
    /// Flags that choose the requests.
    #[command(flatten)]
    pub sending: Sending,
    /// Connections.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub connections: u32,
    /// The first rate, in requests per second.
    #[arg(long, default_value = "1k")]
    pub from: Rate,
    /// Factor from one rate to the next.
    #[arg(long, default_value_t = 1.5, value_parser = growth)]
    pub growth: f64,
    /// The latency that 99 % of requests must keep.
    #[arg(long, default_value = "10ms", value_parser = duration)]
    pub p99: Duration,
    /// How long each rate is measured.
    #[arg(long, default_value = "3s", value_parser = duration)]
    pub duration: Duration,
    /// How long requests are made before that.
    #[arg(long, default_value = "500ms", value_parser = duration)]
    pub warmup: Duration,
}

/// `compare`.
#[derive(Clone, Debug, Args)]
pub struct CompareArguments {
    /// Reports of side A, one after another; without B, a record of `perf-scripts/compare.sh`,
    /// where one server is compared with each of the others.
    pub a: PathBuf,
    /// Reports of side B.
    pub b: Option<PathBuf>,
    /// The server of a record that the others are compared with.
    #[arg(long, default_value = BASELINE, conflicts_with = "b")]
    pub base: String,
    /// A bound on a ratio, as 'p99<=1.25' or 'answers_per_s>=0.95'; repeatable.
    #[arg(long = "threshold")]
    pub thresholds: Vec<String>,
}

impl Sending {
    /// The mix of these flags.
    ///
    /// # Errors
    /// A file cannot be read, or the arguments are wrong.
    pub fn mix(&self) -> Result<Mix, LoadError> {
        let mut mix = match &self.mix {
            Some(path) => {
                let text = read_bounded(path)?;
                Mix::from_toml(&text).map_err(|source| LoadError::Mix {
                    path: path.clone(),
                    source,
                })?
            }
            None => Mix::of(RequestKind::call(
                &self.tool,
                arguments(&self.tool, self.arguments.as_deref())?,
            )),
        };
        if self.requests_per_connection.is_some() {
            mix.connection.requests = self.requests_per_connection;
        }
        Ok(mix)
    }
}

/// The arguments of a tool: an object, or the name of the file with one.
///
/// # Errors
/// The file cannot be read, or the text is not a JSON object.
pub fn arguments(tool: &str, given: Option<&str>) -> Result<Map<String, Json>, LoadError> {
    let text = match given {
        None if tool == "echo" => {
            let mut echo = Map::new();
            echo.insert("message".to_owned(), "x".repeat(MESSAGE_BYTES).into());
            return Ok(echo);
        }
        None => return Ok(Map::new()),
        Some(text) if text.trim_start().starts_with('{') => text.to_owned(),
        Some(path) => read_bounded(Path::new(path))?,
    };
    serde_json::from_str(&text)
        .map_err(|error| LoadError::Usage(format!("--arguments is not a JSON object: {error}")))
}

/// A file of at most [`MIX_BYTES_MAX`] bytes.
fn read_bounded(path: &Path) -> Result<String, LoadError> {
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|file| {
        file.take(MIX_BYTES_MAX as u64 + 1)
            .read_to_string(&mut text)
    });
    read.map_err(|source| LoadError::File {
        path: path.to_owned(),
        source,
    })?;
    Ok(text)
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let is_fine = duration <= DURATION_MAX;
    is_fine
        .then_some(duration)
        .ok_or_else(|| "give at most 24 hours".to_owned())
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse::<f64>();
    let number = number.map_err(|error| error.to_string())?;
    let is_fine = number > 0.0 && number <= 100.0;
    is_fine
        .then_some(number)
        .ok_or_else(|| "give a share above 0% and up to 100%, such as 1%".to_owned())
}

fn growth(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().map_err(|error| error.to_string())?;
    let is_fine = (1.01..=10.0).contains(&number);
    is_fine
        .then_some(number)
        .ok_or_else(|| "give a factor from 1.01 to 10".to_owned())
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("give it as 'Name: value'")?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_text = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    if name.is_empty() || !name.bytes().all(is_token) || !value.bytes().all(is_text) {
        return Err("it has bytes that an HTTP field cannot have".to_owned());
    }
    Ok((name.to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{Cli, arguments};
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn errors_name_bad_flags() {
        let check = |line: &str, message: &str| {
            let words = line.split(' ');
            let error = Cli::try_parse_from(words).expect_err(line).to_string();
            assert!(error.contains(message), "{line}: {error}");
        };
        let url = "http://127.0.0.1:1/";
        check("load call", "<URL>");
        check("load call ftp://a", "https://");
        check(
            "load call https://a --ca-file b --insecure",
            "cannot be used with",
        );
        check(&format!("load call {url} --rate x"), "ramp 1k..50k");
        check(&format!("load call {url} --duration 1"), "--duration");
        check(&format!("load call {url} --header a"), "Name: value");
        check(
            &format!("load call {url} --revision 2020-01-01"),
            "2026-07-28",
        );
        check(&format!("load call {url} --threads 0"), "--threads");
        check(
            &format!("load soak {url} --connections 5 --active 0%"),
            "above 0%",
        );
        check(
            &format!("load soak {url} --connections 5 --kind line"),
            "session",
        );
        check(&format!("load sweep {url} --growth 1"), "1.01");
        check(
            &format!("load call {url} --mix a --tool b"),
            "cannot be used with",
        );
    }

    #[test]
    fn arguments_are_an_object_or_a_file() {
        assert_eq!(
            arguments("echo", None).unwrap()["message"]
                .as_str()
                .unwrap()
                .len(),
            100
        );
        assert!(arguments("add", None).unwrap().is_empty());
        assert_eq!(arguments("add", Some(r#"{"a":1}"#)).unwrap()["a"], 1);
        let error = arguments("add", Some("/no/such/file")).unwrap_err();
        assert!(error.to_string().contains("/no/such/file"));
        assert!(
            arguments("add", Some("{]"))
                .unwrap_err()
                .to_string()
                .contains("not a JSON object")
        );
    }
}
