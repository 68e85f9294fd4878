//! A trial: a fault happens to a server for real, and everything that must hold is checked.

use std::fs;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use corelane_tests::{Server, Setup, Totals, wait_until};

use crate::probe::{Probe, ProbeKind};

/// How often the fault happens at least: a round is compared with the one before.
const ROUNDS_MIN: usize = 2;
/// How often it happens at most. A leak grows in each round; pools and the allocator, which keep
/// freed memory for a while, do not.
const ROUNDS_MAX: usize = 4;
/// The time within which a server must be as before the fault.
const RECOVERY_MAX: Duration = Duration::from_secs(5);
/// Milliseconds of latency that are not slow, for the short and the long form. An unoptimised
/// server, as the gate has it, takes 0.1 to 0.4 ms for a request, and as long for each of a burst.
const NOISE_MS: [u64; 2] = [100, 10];
/// How many times its quiet latency, or that of a server without a fault, the probe may find.
const SLOWDOWN_MAX: u32 = 3;
/// Memory that may be kept after another such fault: pools fill up by chance.
const KEPT_BYTES_MAX: usize = 4 << 20;

/// Trials run one after the other, because they measure.
static TURN: Mutex<()> = Mutex::new(());

/// A fault and the server that it happens to.
pub(crate) struct Trial {
    name: &'static str,
    setup: Setup,
    is_stalling: bool,
    probe: ProbeKind,
    kept_bytes_max: usize,
    log_file: Option<PathBuf>,
}

/// The end of a trial.
#[derive(Debug)]
pub(crate) struct TrialEnd {
    totals: Totals,
    /// How often the fault happened.
    pub(crate) rounds: u64,
}

impl Deref for TrialEnd {
    type Target = Totals;

    fn deref(&self) -> &Totals {
        &self.totals
    }
}

/// The short form of a number for the gate, or the long one if `CORELANE_FAULTS` is `long`.
pub(crate) fn scaled(short: u64, long: u64) -> u64 {
    match std::env::var("CORELANE_FAULTS").as_deref() {
        Err(_) => short,
        Ok("long") => long,
        Ok(other) => panic!("CORELANE_FAULTS={other}: write long, or leave it out"),
    }
}

impl Trial {
    /// `name` is the event; it completes the sentence "under ...".
    pub(crate) fn of(name: &'static str, setup: Setup) -> Trial {
        Trial {
            name,
            setup,
            is_stalling: false,
            probe: ProbeKind::CallsAndPings,
            kept_bytes_max: KEPT_BYTES_MAX,
            log_file: None,
        }
    }

    /// The fault stops the process for a time, or keeps it busy, so that calls are late by that.
    pub(crate) fn stalling(mut self) -> Trial {
        self.is_stalling = true;
        self
    }

    /// Pings alone must be quick meanwhile, and calls may wait.
    pub(crate) fn probing_with_pings(mut self) -> Trial {
        self.probe = ProbeKind::Pings;
        self
    }

    /// The fault may leave some more buffers, of this size, to later requests each time.
    pub(crate) fn with_buffers_of(mut self, bytes: usize) -> Trial {
        self.kept_bytes_max += bytes;
        self
    }

    /// The server logs to this file instead of to its standard error.
    pub(crate) fn log_file(mut self, path: PathBuf) -> Trial {
        self.log_file = Some(path);
        self
    }

    /// Lets the fault happen, [`ROUNDS_MIN`] times or more, and returns the counters at the end.
    ///
    /// # Panics
    /// If a call of the probe fails, or is late; if the server is not as before within
    /// [`RECOVERY_MAX`]; if it keeps a connection or memory, or any counter of things that exist
    /// is not zero after its drain.
    pub(crate) fn run(self, mut inject: impl FnMut(&Server)) -> TrialEnd {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let server = self.setup.clone().start();
        // It suffers from everything but the fault: from other programs, and from the culprits'
        // use of the processor.
        let other = Setup::shards(1).start();
        let probe = Probe::start(server.address(), self.probe);
        for _ in 0..100 {
            probe.wait_for_answer();
        }
        let mut quiet = probe.stop();
        let connections = wait_for_connections(&server, 0);
        let noise = Duration::from_millis(scaled(NOISE_MS[0], NOISE_MS[1]));
        let mut resident_bytes = Vec::new();
        // Once too late may be the fault of another program.
        let mut was_late = Vec::new();
        for round in 0..ROUNDS_MAX {
            let probes = [&server, &other].map(|it| Probe::start(it.address(), self.probe));
            inject(&server);
            let ended = Instant::now();
            probes[0].wait_for_answer();
            let answered = ended.elapsed();
            let [mut found, mut usual] = probes.map(Probe::stop);
            wait_for_connections(&server, connections);
            let recovery = ended.elapsed();
            server.assert_alive();
            resident_bytes.push(server.resident_bytes());
            println!(
                "{}, round {round}: {} calls, p99 {:?} (quiet {:?}, another server {:?}), \
                 answers after {answered:?}, recovered after {recovery:?}, RSS {} KiB",
                self.name,
                found.count(),
                found.p99(),
                quiet.p99(),
                usual.p99(),
                resident_bytes[round] / 1024
            );
            assert!(recovery <= RECOVERY_MAX, "{}: {recovery:?}", self.name);
            let limit = SLOWDOWN_MAX * quiet.p99().max(usual.p99()).max(noise);
            let is_late = !self.is_stalling && found.p99() > limit;
            if is_late {
                let late = found.late(limit);
                println!("late in these tenths of a second: {late:?}");
            }
            was_late.push(is_late);
            if round + 1 >= ROUNDS_MIN && !self.grows(&resident_bytes) && was_late.contains(&false)
            {
                break;
            }
        }
        assert!(
            was_late.contains(&false),
            "{}: the probe was late each time",
            self.name
        );
        assert!(
            !self.grows(&resident_bytes),
            "{}: each round leaves memory: {resident_bytes:?}",
            self.name
        );
        let totals = Totals::of_end(&server, || match &self.log_file {
            Some(path) => fs::read_to_string(path).expect("the log can be read"),
            None => server.log(),
        });
        TrialEnd {
            totals,
            rounds: resident_bytes.len() as u64,
        }
    }

    /// Whether each round has left more memory than it may.
    fn grows(&self, resident_bytes: &[usize]) -> bool {
        let mut pairs = resident_bytes.windows(2);
        pairs.all(|pair| pair[1].saturating_sub(pair[0]) > self.kept_bytes_max)
    }
}

/// Runs `test`, the path of the calling test, once more in fresh namespaces, which `options` of
/// unshare(1) name; `inside` runs there. Without the permission to make them the test is left out.
///
/// # Panics
/// If the test fails there.
pub(crate) fn in_namespaces(test: &str, options: &[&str], inside: impl FnOnce()) {
    const INSIDE: &str = "CORELANE_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let command = |program: &str, arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command
            .arg("--map-root-user")
            .args(options)
            .arg(program)
            .args(arguments);
        command.env(INSIDE, "yes").output()
    };
    if !command("true", &[]).is_ok_and(|output| output.status.success()) {
        println!("{test} is left out: this user may make no namespaces with unshare(1)");
        return;
    }
    let program = std::env::current_exe().expect("a process knows its program");
    let program = program.to_str().expect("UTF-8");
    let output = command(program, &["--exact", test, "--nocapture"]).expect("it could before");
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{error}"
    );
    println!("{text}");
}

/// Runs a program that succeeds.
///
/// # Panics
/// If it fails.
pub(crate) fn succeed(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status();
    let status = status.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(status.success(), "{program} {arguments:?}: {status}");
}

/// Waits until the server has at most `most` connections, and returns their number.
pub(crate) fn wait_for_connections(server: &Server, most: usize) -> usize {
    let address = server.address();
    wait_until(&format!("at most {most} connections"), || {
        let count = connections(address);
        (count <= most).then_some(count)
    })
}

/// The connections that a server with this address has, as the kernel counts them: established, and
/// those that the peer has left and the server did not close.
pub(crate) fn connections(server: SocketAddr) -> usize {
    // proc_pid_net(5): sl, local_address, rem_address, st, ...
    const HELD_STATES: [&str; 2] = ["01", "08"];
    let table = fs::read_to_string("/proc/self/net/tcp").expect("proc is mounted");
    // The port alone may be that of a client at another address too.
    let SocketAddr::V4(server) = server else {
        panic!("{server}: the table is that of IPv4");
    };
    let address = u32::from_ne_bytes(server.ip().octets());
    let address = format!("{address:08X}:{:04X}", server.port());
    let is_held = |line: &&str| {
        let mut words = line.split_whitespace().skip(1);
        let local = words.next().unwrap_or_default();
        let state = words.nth(1).unwrap_or_default();
        local == address && HELD_STATES.contains(&state)
    };
    table.lines().filter(is_held).count()
}
