//! Server processes on standard input and output: a message on each line, both ways.

use std::io;
use std::ops::{Deref, DerefMut};
use std::process::ExitStatus;
use std::time::Instant;

use crate::client::{Channel, Client};
use crate::lines::Lines;
use crate::process::Process;
use crate::server::Setup;

pub use crate::client::{call, cancelled, initialize, legacy, modern};

/// A running server, with a client on the parent's ends of standard input and output.
#[derive(Debug)]
pub struct StdioServer {
    process: Process,
    client: Client<Lines>,
    is_output_open: bool,
}

impl Setup {
    /// Starts a server that speaks on standard input and output.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start_stdio(self) -> StdioServer {
        let (process, input, output) = self.arguments(&["--stdio"]).spawn_piped();
        StdioServer {
            process,
            client: Client::over(Lines::over_pipes(input.into(), output.into())),
            is_output_open: true,
        }
    }
}

impl StdioServer {
    /// The process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The channel, which ends the process when it is dropped.
    #[must_use]
    pub fn into_channel(self) -> Box<dyn Channel> {
        Box::new(ProcessChannel {
            lines: self.client.into_channel(),
            _process: self.process,
        })
    }

    /// Ends standard input.
    pub fn close_input(&mut self) {
        self.client.finish();
    }

    /// Closes the parent's end of standard output.
    pub fn close_output(&mut self) {
        self.is_output_open = false;
        self.client.channel().close_output();
    }

    /// Waits for the process to end by itself, and checks that it has written nothing else.
    ///
    /// # Panics
    /// If it goes on for longer than [`PATIENCE`](crate::PATIENCE), or has written something else.
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        if self.is_output_open {
            self.client.expect_end();
        }
        self.process.wait_for_exit()
    }
}

/// Lines, and the process that they belong to.
#[derive(Debug)]
struct ProcessChannel {
    lines: Lines,
    _process: Process,
}

impl Channel for ProcessChannel {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.lines.send(message)
    }

    fn receive(&mut self, deadline: Instant) -> io::Result<Option<Vec<u8>>> {
        self.lines.receive(deadline)
    }

    fn finish(&mut self) {
        self.lines.finish();
    }
}

impl Deref for StdioServer {
    type Target = Client<Lines>;

    fn deref(&self) -> &Client<Lines> {
        &self.client
    }
}

impl DerefMut for StdioServer {
    fn deref_mut(&mut self) -> &mut Client<Lines> {
        &mut self.client
    }
}
