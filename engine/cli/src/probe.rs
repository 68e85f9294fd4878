//! `corelane probe`: one synthetic client of a server, for health checks and monitoring.
//!
//! Each probe is a connection of its own, as a new client makes one. The command deliberately keeps
//! no history: Prometheus does, from the file of `--textfile`.

mod address;
mod live;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use corelane_client::Client;
use serde_json::{Map, Value};
use tokio::net::TcpStream;

use crate::client::connection::ConnectionArguments;
use crate::client::failure::Failure;
use crate::client::output::Output;
use report::{Outcome, Report};

/// The server that `--live` looks at.
const LOCAL: &str = "http://127.0.0.1:8080";

/// The arguments of `corelane probe`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    corelane probe http://127.0.0.1:8080/mcp --max 500ms\n  \
    corelane probe --live http://127.0.0.1:8080\n  \
    corelane probe https://mcp.example.com/mcp --watch 15s --textfile /var/lib/mcp.prom")]
pub(crate) struct ProbeArguments {
    /// The server: a URL, 'stdio:PROGRAM ARGUMENTS', unix:PATH, tcp:HOST:PORT or @NAME [default
    /// with --live: http://127.0.0.1:8080].
    #[arg(value_name = "TARGET", required_unless_present = "live")]
    target: Option<String>,
    /// Request nothing but /live, which costs the server next to nothing: the health check of a
    /// container.
    #[arg(long, conflicts_with_all = ["tool", "args"])]
    live: bool,
    /// Call this tool, too.
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
    /// The arguments of the call.
    #[arg(long, value_name = "JSON", requires = "tool", value_parser = object)]
    args: Option<Map<String, Value>>,
    /// A probe that takes longer does not succeed, such as 500ms.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    max: Option<Duration>,
    /// A probe ends after this time.
    #[arg(long, value_name = "TIME", default_value = "10s",
        value_parser = humantime::parse_duration)]
    deadline: Duration,
    /// Probe again this time after the end of each probe, until a signal.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    watch: Option<Duration>,
    /// Write the result to this file for the textfile collector of node_exporter.
    #[arg(long, value_name = "FILE")]
    textfile: Option<PathBuf>,
    #[command(flatten)]
    connection: ConnectionArguments,
}

fn object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("no JSON object: {error}"))
}

/// Runs the command.
pub(crate) fn run(arguments: &ProbeArguments) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) => {
            let done = runtime.block_on(arguments.perform());
            // A resolver may still wait for its answer.
            runtime.shutdown_background();
            done
        }
        Err(error) => Err(Failure::Io(error)),
    };
    match done {
        Ok(outcome) => outcome.exit_code().into(),
        Err(failure) => {
            failure.print("corelane probe", arguments.connection.json);
            failure.exit_code().into()
        }
    }
}

/// Why a probe does not succeed.
enum Fault {
    /// It says so about the server.
    Found(Outcome, String),
    /// There is no probe with these arguments.
    Unusable(Failure),
}

impl ProbeArguments {
    /// Probes once, or again and again.
    async fn perform(&self) -> Result<Outcome, Failure> {
        let output = Output::new();
        loop {
            let report = self.probe().await?;
            let text = match self.connection.json {
                true => report.json(),
                false => report.line(),
            };
            output.line(&text)?;
            if let Some(path) = &self.textfile {
                let written = report.write_to(path);
                written.map_err(|error| Failure::file(path, &error))?;
            }
            let Some(pause) = self.watch else {
                return Ok(report.outcome);
            };
            tokio::time::sleep(pause).await;
        }
    }

    fn target(&self) -> &str {
        self.target.as_deref().unwrap_or(LOCAL)
    }

    /// Probes once.
    async fn probe(&self) -> Result<Report, Failure> {
        let mut report = Report::of(self.target());
        let steps = tokio::time::timeout(self.deadline, self.take_steps(&mut report));
        let fault = match steps.await {
            Ok(Ok(())) => None,
            Ok(Err(Fault::Unusable(failure))) => return Err(failure),
            Ok(Err(Fault::Found(outcome, text))) => Some((outcome, text)),
            Err(_) => {
                let time = humantime::format_duration(self.deadline);
                let text = format!("there was no answer within {time}");
                Some((report.reached(), text))
            }
        };
        report.finish(fault, self.max);
        Ok(report)
    }

    async fn take_steps(&self, report: &mut Report) -> Result<(), Fault> {
        let mut timer = Timer(Instant::now());
        let address = address::of(self.target()).map_err(Fault::Unusable)?;
        if self.live && !self.target().starts_with("http://") {
            let text = "--live speaks plain HTTP: give http://HOST:PORT, or see corelane status";
            return Err(Fault::Unusable(Failure::Usage(text.to_owned())));
        }
        let connected = self.connect(address.as_deref(), &mut timer, report);
        let stream = connected.await?;
        if let (true, Some(stream)) = (self.live, stream) {
            let answered = live::request(stream, address.as_deref().unwrap_or_default()).await;
            report.add("answer", timer.lap());
            return answered.map_err(|text| Fault::Found(Outcome::Failed, text));
        }
        // That connection was for its times alone: those of the client's own are not known.
        let client = self.connection.connect(self.target(), None, None).await;
        let client = client.map_err(|failure| self.fault(failure, report))?;
        report.add("open", timer.lap());
        let used = self.use_client(&client, &mut timer, report).await;
        // The end of a session is no part of the time.
        client.close().await;
        used.map_err(|failure| self.fault(failure, report))
    }

    /// Resolves and connects, if the target has an address.
    async fn connect(
        &self,
        address: Option<&str>,
        timer: &mut Timer,
        report: &mut Report,
    ) -> Result<Option<TcpStream>, Fault> {
        let Some(address) = address else {
            return Ok(None);
        };
        let unreachable = |error: std::io::Error| {
            let text = format!("cannot connect to {address}: {error}");
            Fault::Found(Outcome::Unreachable, text)
        };
        let addresses = tokio::net::lookup_host(address).await;
        let addresses: Vec<_> = addresses.map_err(unreachable)?.collect();
        report.add("resolve", timer.lap());
        let stream = TcpStream::connect(&*addresses).await.map_err(unreachable)?;
        report.add("connect", timer.lap());
        Ok(Some(stream))
    }

    async fn use_client(
        &self,
        client: &Client,
        timer: &mut Timer,
        report: &mut Report,
    ) -> Result<(), Failure> {
        report.revision = Some(client.revision().as_str());
        if client.capabilities().get("tools").is_some() {
            report.tools = Some(client.tools().await?.len());
            report.add("list", timer.lap());
        }
        let Some(tool) = &self.tool else {
            return Ok(());
        };
        let arguments = Value::Object(self.args.clone().unwrap_or_default());
        let result = client.call(tool, arguments).await?;
        report.add("call", timer.lap());
        match result.is_error {
            true => Err(Failure::Tool),
            false => Ok(()),
        }
    }

    /// What a failure of the client says about the server.
    fn fault(&self, failure: Failure, report: &Report) -> Fault {
        match failure.kind() {
            "usage" | "configuration" | "io" => Fault::Unusable(failure),
            "connect" => Fault::Found(report.reached(), failure.to_string()),
            _ => Fault::Found(Outcome::Failed, failure.to_string()),
        }
    }
}

/// The times of the steps.
struct Timer(Instant);

impl Timer {
    /// The time since the last step.
    fn lap(&mut self) -> Duration {
        let now = Instant::now();
        now.duration_since(std::mem::replace(&mut self.0, now))
    }
}
