//! `corelane upgrade`: lets another process take over from a running server, and prints the result.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::socket::{Failure, SocketArguments};

/// The exit code when the old process goes on with everything.
const ROLLED_BACK: u8 = 2;
/// The exit code when the new process serves, and something was lost.
const LOST: u8 = 3;

/// The arguments of `corelane upgrade`.
#[derive(Debug, Clone, Args)]
pub(crate) struct UpgradeArguments {
    #[command(flatten)]
    at: SocketArguments,
    /// The program of the new process [default: the file that the server was started from, as it is
    /// now].
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// The time that the new process gets to be ready; past it nothing changes. At most 45s.
    #[arg(long, value_name = "TIME", default_value = "30s",
        value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// The time that the old process gets for what does not move, such as calls that run; past it
    /// they are answered with an error.
    #[arg(long, value_name = "TIME", default_value = "10m",
        value_parser = humantime::parse_duration)]
    linger: Duration,
    /// Start the new process until it is ready, end it, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

impl UpgradeArguments {
    pub(super) fn socket(&self) -> &SocketArguments {
        &self.at
    }
}

/// Sends the request to the server, and prints the result for people or as JSON.
///
/// # Errors
/// No server listens there, or nothing changed.
pub(super) fn run(arguments: &UpgradeArguments) -> Result<ExitCode, Failure> {
    let binary = arguments.binary.as_ref();
    let binary = binary.map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
    let request = json!({
        "binary": binary,
        "timeout_ms": arguments.timeout.as_millis() as u64,
        "linger_ms": arguments.linger.as_millis() as u64,
        "dry_run": arguments.dry_run,
    });
    let answer = arguments.at.open().post("upgrade", &request);
    let answer = answer.map_err(|failure| match failure {
        // Its code means something else here.
        Failure::NotRunning { .. } => Failure::Refused(failure.to_string()),
        failure => failure,
    })?;
    match arguments.at.json {
        true => println!("{answer}"),
        false => println!("{}", text(&answer)),
    }
    Ok(ExitCode::from(code(&answer)))
}

fn code(answer: &Value) -> u8 {
    let lost = |what: &str, which: &str| answer[what][which].as_u64().unwrap_or_default();
    match answer["result"].as_str() {
        Some("rolled_back") => ROLLED_BACK,
        _ if lost("sessions", "lost") > 0 => LOST,
        _ => 0,
    }
}

/// The result for people.
fn text(answer: &Value) -> String {
    let (pid, release) = (&answer["pid"], answer["release"].as_str());
    let release = release.unwrap_or_default();
    let (connections, sessions) = (&answer["connections"], &answer["sessions"]);
    match answer["result"].as_str() {
        Some("rolled_back") => answer["reason"].as_str().unwrap_or_default().to_owned(),
        Some("ready") => format!(
            "process {pid}, release {release}, was ready after {} ms: nothing changed",
            answer["start_ms"]
        ),
        _ => format!(
            "process {pid}, release {release}, serves\n\
             ready after {} ms; those that moved waited for {} us at most\n\
             connections: {} moved, {} end in the old process\n\
             sessions: {} copied, {} lost",
            answer["start_ms"],
            answer["stall_us"],
            connections["moved"],
            connections["left"],
            sessions["copied"],
            sessions["lost"],
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{LOST, ROLLED_BACK, code, text};

    #[test]
    fn a_result_has_its_figures_and_its_code() {
        let mut done = json!({
            "result": "done", "pid": 7, "release": "0.2.0", "start_ms": 30, "stall_us": 900,
            "connections": { "moved": 5, "left": 1, "refused": 0 },
            "sessions": { "copied": 4, "lost": 0 },
        });
        let expected = "process 7, release 0.2.0, serves\n\
                        ready after 30 ms; those that moved waited for 900 us at most\n\
                        connections: 5 moved, 1 end in the old process\n\
                        sessions: 4 copied, 0 lost";
        assert_eq!((text(&done), code(&done)), (expected.to_owned(), 0));
        done["sessions"]["lost"] = json!(1);
        assert_eq!(code(&done), LOST);
        done["result"] = json!("ready");
        done["sessions"]["lost"] = json!(0);
        assert!(text(&done).ends_with("was ready after 30 ms: nothing changed"));
        let back = json!({ "result": "rolled_back", "reason": "it hangs" });
        assert_eq!(
            (text(&back).as_str(), code(&back)),
            ("it hangs", ROLLED_BACK)
        );
    }
}
