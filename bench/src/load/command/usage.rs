//! CPU time and memory of generator and server.

use crate::load::process::ProcessSample;
use crate::load::report::ProcessUse;

/// A thread above this share of its core, in percent, is saturated.
const SATURATED_PERCENT: f64 = 95.0;

/// Generator and server at one time.
pub(super) struct UsageSnapshot {
    pub(super) generator: ProcessSample,
    pub(super) server: Option<(u32, ProcessSample)>,
    pub(super) at_ns: u64,
}

impl UsageSnapshot {
    pub(super) fn read(server_pid: Option<u32>, at_ns: u64) -> UsageSnapshot {
        UsageSnapshot {
            generator: ProcessSample::read(std::process::id()),
            server: server_pid.map(|pid| (pid, ProcessSample::read(pid))),
            at_ns,
        }
    }

    /// Usage of both from `self` to `later`.
    pub(super) fn used_until(
        &self,
        later: &UsageSnapshot,
        answers: u64,
    ) -> (ProcessUse, Option<ProcessUse>) {
        let wall_s = (later.at_ns - self.at_ns) as f64 / 1e9;
        let pid = std::process::id();
        let generator = self
            .generator
            .used_until(&later.generator, pid, wall_s, answers);
        let servers = self.server.as_ref().zip(later.server.as_ref());
        let server = servers
            .map(|((pid, before), (_, after))| before.used_until(after, *pid, wall_s, answers));
        (generator, server)
    }
}

/// Explains that the generator was the bottleneck of a closed loop, if so.
pub(super) fn saturation(generator: &ProcessUse, server: Option<&ProcessUse>) -> Option<String> {
    let percent = generator.busiest_thread_percent;
    let server_percent = server.map(|server| server.busiest_thread_percent);
    if percent < SATURATED_PERCENT || server_percent.is_some_and(|it| it >= SATURATED_PERCENT) {
        return None;
    }
    let server = match server_percent {
        Some(percent) => format!("the server's used {percent:.1} %"),
        None => "the server's is not on this machine".to_owned(),
    };
    Some(format!(
        "the generator was the bottleneck: its busiest thread used {percent:.1} % of its core, \
         the limit is {SATURATED_PERCENT} %, and {server}; give it more --threads and --cores"
    ))
}
