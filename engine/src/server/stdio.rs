//! A server on standard input and output: one client, which is the parent of the process.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use super::event::Event;
use super::{Result, RunningServer, Server};
use crate::profile::Profile;
use crate::shard::Intake;
use crate::shard::drain::LAST_OUTPUT_MS;
use crate::shard::kept::Place;
use crate::transport::stdio::{Stdio, StdioError};

impl Server {
    /// Serves the parent of the process on standard input and output, in all revisions at once,
    /// until standard input ends or SIGTERM or SIGINT arrives; then answers the requests in flight,
    /// for `server.drain_timeout_ms` of the profile at most. Those that take longer are answered
    /// with an error, and a second later the process ends, even if its parent does not read.
    /// Nothing is listened on, and one shard serves it all; it is pinned to a core if the profile
    /// names cores.
    ///
    /// Nothing but messages reaches standard output: the output of handlers, libraries and child
    /// processes goes to standard error, where the log is, and standard input is empty for them.
    ///
    /// ```no_run
    /// use corelane::{Profile, Server, tool};
    ///
    /// /// Adds two numbers.
    /// #[tool]
    /// async fn add(a: f64, b: f64) -> f64 {
    ///     println!("on standard error");
    ///     a + b
    /// }
    ///
    /// fn main() -> corelane::Result<()> {
    ///     let server = Server::new("calculator", "1.0.0").with_tool(add());
    ///     server.run_stdio(Profile::default())
    /// }
    /// ```
    ///
    /// # Errors
    /// Everything that keeps the server from starting, and the failure of its shard, of reading
    /// standard input or of writing standard output.
    pub fn run_stdio(self, mut profile: Profile) -> Result<()> {
        profile.server.stdio = true;
        self.run(profile)
    }

    pub(super) fn serve_stdio(self, profile: Profile) -> Result<()> {
        profile.validate()?;
        let calls_time = Duration::from_millis(profile.server.drain_timeout_ms);
        let stdio = Stdio::take_over()?;
        let (socket, inner) = UnixStream::pair().map_err(StdioError::Setup)?;
        let signals = RunningServer::catch_signals()?;
        let mut server = self.start_on_channel(profile, socket.into())?;
        // The end of standard input is a request to end; a signal after it is the second one.
        let is_ending = Arc::new(AtomicBool::new(false));
        server.forward_signals(signals, Arc::clone(&is_ending), None)?;
        let events = server.events();
        let written = stdio.carry(inner, move |error| {
            is_ending.store(true, Ordering::Relaxed);
            // The receiver may be gone.
            let _ = events.send(Event::InputEnded(error));
        })?;
        let (calls_end, read) = server.wait_for_channel(calls_time);
        if Instant::now() >= calls_end {
            server.end_calls();
        }
        server.log_channel_totals()?;
        // The last output of the shard may still be on its way to a parent that reads slowly.
        match written.recv_timeout(output_time(calls_end, Instant::now())) {
            Ok(written) => written?,
            Err(RecvTimeoutError::Timeout) => {
                tracing::warn!("standard output was not read in time: the rest of it is lost");
            }
            Err(RecvTimeoutError::Disconnected) => {}
        }
        Ok(read?)
    }

    /// Starts one shard with `socket` as its only connection. The profile was validated.
    pub(super) fn start_on_channel(
        self,
        mut profile: Profile,
        socket: OwnedFd,
    ) -> Result<RunningServer> {
        profile.server.stdio = true;
        profile.server.shards = Some(1);
        let core = profile.choose_cores()?[0];
        let shard = profile.shard_on(core);
        let intakes = vec![Intake::Channel(Place::of(socket))];
        // A machine may run many such processes: the kernel chooses the core unless it is given.
        let is_pinned = profile.server.cores.is_some();
        self.start_on(profile, (&[shard], is_pinned), Vec::new(), intakes)
    }
}

/// How long the parent gets to take the last output, if the time for calls ends at `calls_end`: the
/// time in which the shard wrote it counts, so that a shutdown has one deadline.
fn output_time(calls_end: Instant, now: Instant) -> Duration {
    let output_end = calls_end + Duration::from_millis(LAST_OUTPUT_MS);
    output_end.saturating_duration_since(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_output_has_no_time_of_its_own_after_the_deadline_of_the_shutdown() {
        let calls_end = Instant::now() + Duration::from_secs(10);
        let last = Duration::from_millis(LAST_OUTPUT_MS);
        let second = Duration::from_secs(1);
        assert_eq!(output_time(calls_end, calls_end - second), second + last);
        assert_eq!(output_time(calls_end, calls_end + last), Duration::ZERO);
        assert_eq!(output_time(calls_end, calls_end + 2 * last), Duration::ZERO);
    }
}
