//! Measures a setting: starts `corelane serve` with it and drives it with `corelane-load`.
//!
//! Both are programs of their own, so that the server is the real one and the generator takes no
//! time of its cores. A server is started anew for each measurement: where its memory lies belongs
//! to the noise.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use corelane::Profile;
use serde_json::Value;

use super::knobs::with_point;
use super::plan::{Goal, HostPlan};
use super::report::settings_text;
use super::search::{Figure, Measure};

/// Connections of the generator.
const CONNECTIONS: &str = "64";
/// The rate of measurements, in percent of the highest one: the server is busy, and not full.
const RATE_PERCENT: f64 = 60.0;
/// How long requests are made before figures count.
const WARM_UP: Duration = Duration::from_millis(100);

/// How often a measurement is made anew in which the generator was late: another program had its
/// core for a moment.
const ATTEMPTS: u32 = 5;
/// The generator's exit code for a run in which it was the bottleneck.
const GENERATOR_BUSY: i32 = 4;

/// The host as a bench.
pub(super) struct HostBench<'a> {
    pub(super) profile: &'a Profile,
    pub(super) plan: &'a HostPlan,
    pub(super) generator: PathBuf,
    /// For the profile and the report of one measurement.
    pub(super) directory: PathBuf,
    pub(super) window: Duration,
    pub(super) end: Instant,
    /// Requests per second; none sends the next when the last was answered.
    pub(super) rate_per_s: Option<f64>,
    pub(super) measured: u32,
    pub(super) spent: Duration,
}

/// The figures of one run of the generator.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) answers_per_s: f64,
    pub(super) cpu_us: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
}

/// A server, until it is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Measure for HostBench<'_> {
    fn measure(&mut self, point: &[u64]) -> Result<Figure, String> {
        let load = self.load(point)?;
        Ok(match self.plan.goal {
            Goal::Cpu => Figure {
                cost: load.cpu_us,
                guard: load.p99_us,
            },
            Goal::Latency => Figure {
                cost: load.p50_us,
                guard: load.p99_us,
            },
        })
    }

    fn allows(&self, point: &[u64]) -> bool {
        with_point(self.profile, &self.plan.cores, point)
            .validate()
            .is_ok()
    }

    fn left(&self) -> usize {
        let each = self.spent / self.measured.max(1);
        let left = self.end.saturating_duration_since(Instant::now());
        (left.as_secs_f64() / each.as_secs_f64().max(0.001)) as usize
    }
}

impl HostBench<'_> {
    /// Sets the rate by the highest one, which it returns.
    ///
    /// # Errors
    /// It cannot be measured.
    pub(super) fn calibrate(&mut self, start: &[u64]) -> Result<f64, String> {
        let most = self.load(start)?.answers_per_s;
        self.rate_per_s = Some((most * RATE_PERCENT / 100.0).floor().max(1.0));
        Ok(most)
    }

    /// Starts a server with these values and drives it for the window.
    pub(super) fn load(&mut self, point: &[u64]) -> Result<Load, String> {
        let begun = Instant::now();
        let (server, url) = self.serve(point)?;
        let mut load = Ok(None);
        for _ in 0..ATTEMPTS {
            load = self.drive(&server, &url);
            if !matches!(load, Ok(None)) {
                break;
            }
        }
        drop(server);
        self.measured += 1;
        self.spent += begun.elapsed();
        load?.ok_or_else(|| {
            format!(
                "the generator was late {ATTEMPTS} times: another program uses its cores, or the \
                 server's; end it and try again"
            )
        })
    }

    fn serve(&self, point: &[u64]) -> Result<(Server, String), String> {
        let file = self.directory.join("profile.toml");
        let mut profile = with_point(self.profile, &self.plan.cores, point);
        profile.server.cores = None;
        profile.server.stdio = false;
        profile
            .core
            .retain(|core| self.plan.cores.contains(&core.id));
        let written = std::fs::write(&file, settings_text(&profile, &[]));
        written.map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let child = Command::new(program)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--cores",
                &self.plan.server_cores(),
            ])
            .args(["--shards", &point[point.len() - 1].to_string()])
            .args(["--allow-host", "127.0.0.1", "--profile"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let child = child.map_err(|error| format!("cannot start the server: {error}"))?;
        let mut server = Server(child);
        let mut line = String::new();
        let output = server.0.stdout.take().map(BufReader::new);
        if let Some(mut output) = output {
            let _ = output.read_line(&mut line);
        }
        match line.trim().strip_prefix("listening on ") {
            Some(url) => Ok((server, url.to_owned())),
            None => Err(format!(
                "the server does not start: {}",
                last_line(&mut server.0)
            )),
        }
    }

    /// Nothing if the generator was late.
    fn drive(&self, server: &Server, url: &str) -> Result<Option<Load>, String> {
        let file = self.directory.join("report.json");
        let text = |time: Duration| format!("{}ms", time.as_millis());
        let mut command = Command::new(&self.generator);
        command
            .args(["call", url, "--connections", CONNECTIONS])
            .args(["--duration", &text(self.window), "--warmup", &text(WARM_UP)])
            .args(["--threads", &self.plan.generator_cores.len().to_string()])
            .args(["--cores", &self.plan.generator_list()])
            .args(["--server-pid", &server.0.id().to_string(), "--json"])
            .arg(&file);
        if let Some(rate) = self.rate_per_s {
            command.args(["--rate", &format!("{rate:.0}")]);
        }
        let output = command.stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("cannot start the generator: {error}"))?;
        let report = File::open(&file).map(BufReader::new);
        let report = report.map_err(|error| error.to_string()).and_then(|it| {
            serde_json::from_reader::<_, Value>(it).map_err(|error| error.to_string())
        });
        match output.status.code() {
            Some(0) => read_report(&report?).map(Some),
            // A closed loop may fill the generator: the rate that it reached counts all the same.
            Some(GENERATOR_BUSY) if self.rate_per_s.is_none() => read_report(&report?).map(Some),
            Some(GENERATOR_BUSY) => Ok(None),
            _ => {
                let text = String::from_utf8_lossy(&output.stderr);
                let reason = text.trim().lines().last().unwrap_or("no reason given");
                Err(format!("the generator failed: {reason}"))
            }
        }
    }
}

fn last_line(server: &mut Child) -> String {
    let error = server.stderr.take().map(BufReader::new);
    let lines = error
        .into_iter()
        .flat_map(|it| it.lines().map_while(Result::ok));
    lines
        .last()
        .unwrap_or_else(|| "it gave no reason".to_owned())
}

/// The figures of a report of `corelane-load call`.
fn read_report(report: &Value) -> Result<Load, String> {
    let number = |place: &str| {
        let found = report.pointer(place).and_then(Value::as_f64);
        let found = found.filter(|it| *it > 0.0);
        found.ok_or_else(|| format!("the report of the generator has no {place}"))
    };
    Ok(Load {
        answers_per_s: number("/outcome/answers_per_s")?,
        cpu_us: number("/outcome/server/cpu_us_per_answer")?,
        p50_us: number("/outcome/latency/p50_ns")? / 1000.0,
        p99_us: number("/outcome/latency/p99_ns")? / 1000.0,
    })
}

#[cfg(test)]
mod tests {
    use super::read_report;
    use serde_json::json;

    #[test]
    fn figures_are_read_from_a_report_and_missing_ones_are_named() {
        let mut report = json!({ "outcome": {
            "command": "call",
            "answers_per_s": 1000.5,
            "latency": { "p50_ns": 50_000, "p99_ns": 80_000 },
            "server": { "cpu_us_per_answer": 4.25 },
        }});
        let load = read_report(&report).expect("complete");
        assert_eq!((load.answers_per_s, load.cpu_us), (1000.5, 4.25));
        assert_eq!((load.p50_us, load.p99_us), (50.0, 80.0));
        report["outcome"]["server"] = json!(null);
        let error = read_report(&report).expect_err("no server");
        assert!(
            error.contains("/outcome/server/cpu_us_per_answer"),
            "{error}"
        );
    }
}
