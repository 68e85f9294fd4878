//! The commands of an administrator: a running server's state, its lists, and a few changes,
//! through its control socket.

mod cluster;
mod doctor;
mod keys;
mod lists;
mod reload;
mod slow;
mod socket;
mod status;
mod top;
mod upgrade;
mod upstreams;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::client::output::escaped;
use socket::{Failure, SocketArguments};

/// Between two looks at a server that is to end or to become ready.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// How long ago the doctor looks back to, the shortest first.
const WINDOWS_S: [u64; 2] = [60, 3600];
/// The exit code when a deadline is over.
const LATE: u8 = 5;

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Show the state of a running server. Exits with 0 if it is ready, 1 if it is not, 3 if no
    /// server runs, 4 if this user may not see it.
    Status(StatusArguments),
    /// List the connections of a running server.
    Connections(ListArguments),
    /// List the open streams of events of a running server.
    Streams(ListArguments),
    /// List the sessions of a running server.
    Sessions(ListArguments),
    /// Show the other servers that a running server is in front of. Exits with 1 if one of them has
    /// a condition.
    Upstreams(upstreams::UpstreamsArguments),
    /// Show the cluster of a running node, change it, or make the buckets of one.
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Show the state keys of the nodes of a cluster.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Show the slow requests of a running server, the newest first, with their parts.
    Slow(SlowArguments),
    /// Say which conditions hold on a running server, and what went wrong in the last minute and in
    /// the last hour, from its counters. Exits with 0 if nothing did, 1 otherwise.
    Doctor(DoctorArguments),
    /// Show the shards of a running server, again each second.
    Top(TopArguments),
    /// Set the level of the log of a running server for a time.
    Log(LogArguments),
    /// Drain a running server: its calls get server.drain_timeout_ms to end.
    Drain(SocketArguments),
    /// Drain a running server and wait until it has ended.
    Stop(StopArguments),
    /// Let a running server read its profile, its file of access control, its certificates and its
    /// keys again. All of it is used or nothing. Exits with 0 if every shard uses it, 1 if nothing
    /// changed.
    Reload(ReloadArguments),
    /// Let another process take over from a running server, such as one of the next release: with
    /// its listening sockets, its connections and its sessions. Exits with 0 if it serves, 1 if
    /// nothing changed, 2 if it was rolled back, 3 if connections or sessions were lost.
    Upgrade(upgrade::UpgradeArguments),
}

/// The arguments of `corelane status`.
#[derive(Debug, Clone, Args)]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    at: SocketArguments,
    /// Wait until the server is ready, at most so long, such as 30s.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    wait_ready: Option<Duration>,
}

/// The arguments of a command that lists.
#[derive(Debug, Clone, Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    at: SocketArguments,
    /// The most rows.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
}

/// The arguments of `corelane slow`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SlowArguments {
    #[command(flatten)]
    at: SocketArguments,
    /// The most rows.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Forget them instead.
    #[arg(long)]
    reset: bool,
}

/// The arguments of `corelane doctor`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DoctorArguments {
    #[command(flatten)]
    at: SocketArguments,
    /// Look for so long from here on instead, such as 10s.
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    time: Option<Duration>,
}

/// The arguments of `corelane top`.
#[derive(Debug, Clone, Args)]
pub(crate) struct TopArguments {
    #[command(flatten)]
    at: SocketArguments,
    /// Print the figures of one second and end.
    #[arg(long)]
    once: bool,
}

/// The arguments of `corelane log`.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogArguments {
    #[command(flatten)]
    at: SocketArguments,
    /// off, error, warn, info, debug or trace, or a level for each module, such as
    /// info,corelane=debug.
    level: String,
    /// After this time the level of the start is back; at most 24h.
    #[arg(long = "for", value_name = "TIME", default_value = "15m",
        value_parser = humantime::parse_duration)]
    time: Duration,
}

/// The arguments of `corelane stop`.
#[derive(Debug, Clone, Args)]
pub(crate) struct StopArguments {
    #[command(flatten)]
    at: SocketArguments,
    /// Give calls in flight no time to end.
    #[arg(long)]
    now: bool,
    /// Wait at most so long; then exit with 5, and the server goes on draining.
    #[arg(long, value_name = "TIME", default_value = "60s",
        value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// The arguments of `corelane reload`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReloadArguments {
    #[command(flatten)]
    at: SocketArguments,
    /// Read and check everything, and change nothing.
    #[arg(long)]
    check: bool,
    /// Wait for a reload that is under way, and do not fail because of it.
    #[arg(long)]
    wait: bool,
    /// Put the profile back that a reload has replaced in the last 60 s.
    #[arg(long)]
    rollback: bool,
    /// The time that shards get to use other settings; past it the profile of before is put back.
    /// At most 20s.
    #[arg(long, value_name = "TIME", default_value = "1s",
        value_parser = humantime::parse_duration)]
    within: Duration,
}

/// Runs the command.
pub(crate) fn run(command: &AdminCommand) -> ExitCode {
    let (is_json, done) = match command {
        AdminCommand::Status(arguments) => (arguments.at.json, show_status(arguments)),
        AdminCommand::Connections(arguments) => (arguments.at.json, list("connections", arguments)),
        AdminCommand::Streams(arguments) => (arguments.at.json, list("streams", arguments)),
        AdminCommand::Sessions(arguments) => (arguments.at.json, list("sessions", arguments)),
        AdminCommand::Upstreams(arguments) => (arguments.socket().json, upstreams::run(arguments)),
        AdminCommand::Cluster(command) => (command.is_json(), cluster::run(command)),
        AdminCommand::Keys(command) => (command.is_json(), keys::run(command)),
        AdminCommand::Slow(arguments) => (arguments.at.json, show_slow(arguments)),
        AdminCommand::Doctor(arguments) => (arguments.at.json, examine(arguments)),
        AdminCommand::Top(arguments) => (arguments.at.json, top(arguments)),
        AdminCommand::Log(arguments) => (arguments.at.json, set_level(arguments)),
        AdminCommand::Drain(at) => (
            at.json,
            change(at, "drain", &json!({}), "the server drains"),
        ),
        AdminCommand::Stop(arguments) => (arguments.at.json, stop(arguments)),
        AdminCommand::Reload(arguments) => (arguments.at.json, reload(arguments)),
        AdminCommand::Upgrade(arguments) => (arguments.socket().json, upgrade::run(arguments)),
    };
    done.unwrap_or_else(|failure| {
        match is_json {
            true => println!("{}", json!({ "error": failure.to_string() })),
            false => eprintln!("corelane: {failure}"),
        }
        failure.exit_code()
    })
}

fn reload(arguments: &ReloadArguments) -> Result<ExitCode, Failure> {
    let request = json!({
        "check": arguments.check,
        "rollback": arguments.rollback,
        "wait": arguments.wait,
        "within_ms": arguments.within.as_millis() as u64,
    });
    reload::run(&arguments.at.open(), &request, arguments.at.json)
}

fn show_status(arguments: &StatusArguments) -> Result<ExitCode, Failure> {
    let socket = arguments.at.open();
    let began = Instant::now();
    loop {
        let answer = socket.get("status");
        let is_ready = answer.as_ref().is_ok_and(|it| it["state"] == "ready");
        let is_over = arguments
            .wait_ready
            .is_none_or(|time| began.elapsed() >= time);
        if !is_ready && !is_over {
            std::thread::sleep(LOOK_INTERVAL);
            continue;
        }
        let status = answer?;
        match arguments.at.json {
            true => println!("{status}"),
            false => print!("{}", status::text(&status)),
        }
        return Ok(ExitCode::from(u8::from(!is_ready)));
    }
}

fn list(what: &str, arguments: &ListArguments) -> Result<ExitCode, Failure> {
    let found = lists::read(&arguments.at.open(), what, arguments.limit)?;
    match arguments.at.json {
        true => println!("{}", found.json()),
        false => print!("{}", found.text()),
    }
    Ok(ExitCode::from(u8::from(!found.silent.is_empty())))
}

fn top(arguments: &TopArguments) -> Result<ExitCode, Failure> {
    top::run(&arguments.at.open(), arguments.once, arguments.at.json)
}

fn show_slow(arguments: &SlowArguments) -> Result<ExitCode, Failure> {
    let at = &arguments.at;
    if arguments.reset {
        return change(at, "slow/reset", &json!({}), "they are forgotten");
    }
    let slow = at.open().get("slow")?;
    match at.json {
        true => println!("{slow}"),
        false => print!("{}", escaped(&slow::text(&slow, arguments.limit))),
    }
    Ok(ExitCode::SUCCESS)
}

fn examine(arguments: &DoctorArguments) -> Result<ExitCode, Failure> {
    let socket = arguments.at.open();
    let (looks, after) = match arguments.time {
        Some(time) => {
            let (mut before, began) = (socket.get("counters")?, Instant::now());
            std::thread::sleep(time);
            let after = socket.get("counters")?;
            before["age_s"] = json!(began.elapsed().as_secs_f64());
            (vec![before], after)
        }
        None => {
            let looks = WINDOWS_S.map(|ago_s| socket.get(&format!("counters?ago_s={ago_s}")));
            let looks: Result<Vec<Value>, Failure> = looks.into_iter().collect();
            (looks?, socket.get("counters")?)
        }
    };
    if looks.iter().any(|before| before["pid"] != after["pid"]) {
        let text = "the server was started again meanwhile: try again";
        return Err(Failure::Refused(text.to_owned()));
    }
    let mut findings = doctor::conditions(&socket.get("status")?);
    findings.extend(doctor::findings(&looks, &after));
    match arguments.at.json {
        true => println!("{}", doctor::json(&findings)),
        false => print!("{}", doctor::text(&findings)),
    }
    Ok(ExitCode::from(u8::from(!findings.is_empty())))
}

fn set_level(arguments: &LogArguments) -> Result<ExitCode, Failure> {
    let seconds = arguments.time.as_secs();
    let body = json!({ "level": arguments.level, "seconds": seconds });
    let text = format!("the level is {} for {seconds} s", arguments.level);
    change(&arguments.at, "log", &body, &text)
}

/// Requests a change, and prints its answer or `text`.
fn change(at: &SocketArguments, name: &str, body: &Value, text: &str) -> Result<ExitCode, Failure> {
    let answer = at.open().post(name, body)?;
    match at.json {
        true => println!("{answer}"),
        false => println!("{text}"),
    }
    Ok(ExitCode::SUCCESS)
}

fn stop(arguments: &StopArguments) -> Result<ExitCode, Failure> {
    let (at, socket) = (&arguments.at, arguments.at.open());
    let began = Instant::now();
    socket.post("stop", &json!({ "now": arguments.now }))?;
    // The socket is the last thing that a server closes.
    while began.elapsed() < arguments.timeout {
        if let Err(Failure::NotRunning { .. }) = socket.get("status") {
            let ended_ms = began.elapsed().as_millis();
            match at.json {
                true => println!("{}", json!({ "ended_ms": ended_ms as u64 })),
                false => println!("the server has ended after {ended_ms} ms"),
            }
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    eprintln!("corelane: the server drains and has not ended yet");
    Ok(LATE.into())
}
