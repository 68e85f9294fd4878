//! The conversation of the old process with the new one in an upgrade.

use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use crate::handover::channel::{Channel, ChannelFault, Received};
use crate::handover::frame::Frame;
use crate::handover::steps::{Fault, OldSide};

/// The variable that names this process to the new one: it is for a child of this process only.
pub(super) const VARIABLE: &str = "CORELANE_HAND_OVER";
/// A step of the new process, or of a shard, takes no longer.
pub(super) const STEP_TIME: Duration = Duration::from_secs(5);

/// The conversation with the new process.
pub(super) struct Talk {
    channel: Channel,
    side: OldSide,
    child: Child,
}

impl Talk {
    /// Starts the new process with its end of the channel as standard input, where no other child
    /// of this process gets it. This one has so many addresses.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn start(path: &Path, addresses: usize) -> io::Result<Talk> {
        let (channel, other) = Channel::pair()?;
        let mut command = Command::new(path);
        command
            .args(std::env::args_os().skip(1))
            .stdin(other)
            .env(VARIABLE, std::process::id().to_string())
            // It names this process; without it the variable beside it is for any.
            .env_remove("WATCHDOG_PID");
        Ok(Talk {
            channel,
            side: OldSide::new(addresses),
            child: command.spawn()?,
        })
    }

    /// The number of the new process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a frame with its descriptors.
    ///
    /// # Errors
    /// Why the hand-over is over.
    pub(super) fn send(
        &mut self,
        frame: Frame,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), Fault> {
        let step = self.side.step();
        match self.channel.send(&frame, descriptors) {
            Ok(()) => self.side.on_sent(&frame),
            // It may have said why.
            Err(ChannelFault::System(error)) if error.kind() == ErrorKind::BrokenPipe => {
                if let Received::Frame(frame, _) = self.channel.receive(Some(Duration::ZERO))? {
                    self.side.on_frame(frame)?;
                }
                return Err(Fault::Gone(step));
            }
            Err(fault) => return Err(fault.into()),
        }
        Ok(())
    }

    /// The frame that is due.
    ///
    /// # Errors
    /// Why the hand-over is over.
    pub(super) fn receive(&mut self, time: Duration) -> Result<Frame, Fault> {
        let step = self.side.step();
        match self.channel.receive(Some(time))? {
            Received::Frame(frame, _) => self.side.on_frame(frame),
            Received::Gone => Err(Fault::Gone(step)),
            Received::Silent => Err(Fault::Silent(step)),
        }
    }

    /// Sends rows, and returns the places of those that the new process does not serve.
    ///
    /// # Errors
    /// Why the hand-over is over.
    pub(super) fn exchange(
        &mut self,
        frame: Frame,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Vec<usize>, Fault> {
        self.send(frame, descriptors)?;
        match self.receive(STEP_TIME)? {
            Frame::Taken { refused } => Ok(refused),
            _ => Err(Fault::Nonsense("rows")),
        }
    }

    /// Waits until the new process serves. After an error it does not, and cannot begin to.
    ///
    /// # Errors
    /// Why the hand-over is over.
    pub(super) fn commit(&mut self, lists: Vec<u64>, time: Duration) -> Result<(), Fault> {
        self.send(Frame::Commit { lists }, &[])?;
        match self.receive(time) {
            Err(Fault::Silent(step)) => {
                // It serves once its answer is sent, so that one just now counts, and none later.
                self.channel.refuse_more()?;
                match self.receive(Duration::ZERO) {
                    Err(Fault::Gone(_)) => Err(Fault::Silent(step)),
                    answered => answered.map(drop),
                }
            }
            answered => answered.map(drop),
        }
    }

    /// Ends the new process, which has served no client.
    pub(super) fn abort(mut self) {
        let _ = self.send(Frame::Abort, &[]);
        self.end();
    }

    /// Kills the new process, which has served no client.
    pub(super) fn end(mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl From<ChannelFault> for Fault {
    fn from(fault: ChannelFault) -> Fault {
        match fault {
            ChannelFault::Frame(fault) => Fault::Frame(fault),
            ChannelFault::System(error) => Fault::System(error),
        }
    }
}
