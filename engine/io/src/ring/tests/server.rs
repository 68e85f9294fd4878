//! The server side of the ring's tests: one ring, its listener, and waits for completions.

use crate::chunk::Chunk;
use crate::ring::{Completion, Hangup, Received, Ring, RingSettings, Wait};
use crate::slots::{SlotKey, Slots};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

pub(super) const ROUND: Duration = Duration::from_millis(50);
pub(super) const ROUNDS_MAX: usize = 400;

pub(super) const SMALL: RingSettings = RingSettings {
    submission_entries: 64,
    completion_entries: 256,
    descriptors: 64,
    dialled: 0,
    buffer_count: 16,
    buffer_bytes: 512,
};

/// A ring with a listener and the slots of its connections.
pub(super) struct Server {
    pub(super) ring: Ring,
    pub(super) slots: Slots<()>,
    pub(super) listener: socket2::Socket,
    pub(super) waiting: Vec<Completion>,
}

impl Server {
    pub(super) fn open(settings: &RingSettings) -> Server {
        Server::listening_on(SocketAddr::from(([127, 0, 0, 1], 0)), settings)
    }

    pub(super) fn listening_on(any_port: SocketAddr, settings: &RingSettings) -> Server {
        let (domain, kind) = (
            socket2::Domain::for_address(any_port),
            socket2::Type::STREAM,
        );
        let listener = socket2::Socket::new(domain, kind, None).unwrap();
        listener.set_send_buffer_size(8 * 1024).unwrap();
        listener.bind(&any_port.into()).unwrap();
        listener.listen(1024).unwrap();
        let mut ring = Ring::open(settings).unwrap();
        ring.accept(0, listener.as_fd());
        Server {
            ring,
            slots: Slots::new(settings.descriptors),
            listener,
            waiting: Vec::new(),
        }
    }

    pub(super) fn connect(&self) -> TcpStream {
        let address = self.listener.local_addr().unwrap().as_socket().unwrap();
        let client = TcpStream::connect(address).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        client
    }

    /// Runs the ring until a completion fits, and keeps the others for later calls.
    pub(super) fn take(&mut self, what: &str, fits: impl Fn(&Completion) -> bool) -> Completion {
        for _ in 0..ROUNDS_MAX {
            if let Some(position) = self.waiting.iter().position(&fits) {
                return self.waiting.remove(position);
            }
            self.ring.enter(Wait::For(ROUND)).unwrap();
            self.ring.reap(&mut self.waiting, usize::MAX);
        }
        panic!("no {what}, but {:?}", self.waiting);
    }

    pub(super) fn accepted(&mut self) -> SlotKey {
        let fits = |completion: &Completion| matches!(completion, Completion::Accepted { .. });
        let Completion::Accepted { index, more, .. } = self.take("accept", fits) else {
            unreachable!("take returns what fits");
        };
        if !more {
            self.ring.accept(0, self.listener.as_fd());
        }
        self.slots.insert_at(index, ())
    }

    /// A client and the key of its connection.
    pub(super) fn pair(&mut self) -> (TcpStream, SlotKey) {
        let client = self.connect();
        (client, self.accepted())
    }

    /// Waits for `Readable` and returns how much of the connection its peer has ended.
    pub(super) fn readable(&mut self, wanted: SlotKey) -> Hangup {
        let fits = |completion: &Completion| match *completion {
            Completion::Readable { key, .. } => key == wanted,
            _ => false,
        };
        let Completion::Readable { hangup, .. } = self.take("readable", fits) else {
            unreachable!("take returns what fits");
        };
        hangup
    }

    /// Receives once.
    pub(super) fn received(&mut self, wanted: SlotKey) -> Received {
        self.ring.receive(wanted);
        let fits = |completion: &Completion| match completion {
            Completion::Received { key, .. } => *key == wanted,
            _ => false,
        };
        let Completion::Received { outcome, .. } = self.take("receive", fits) else {
            unreachable!("take returns what fits");
        };
        outcome
    }

    /// Waits for a `Streamed`: bytes received or errno, and whether it continues.
    pub(super) fn streamed(&mut self, wanted: SlotKey) -> (Result<usize, i32>, bool) {
        let fits = |completion: &Completion| match completion {
            Completion::Streamed { key, .. } => *key == wanted,
            _ => false,
        };
        match self.take("stream", fits) {
            Completion::Streamed {
                outcome: Received::Data { buffer, bytes, .. },
                armed,
                ..
            } => {
                self.ring.buffers().recycle(buffer);
                (Ok(bytes), armed)
            }
            Completion::Streamed {
                outcome: Received::Failed { errno },
                armed,
                ..
            } => (Err(errno), armed),
            Completion::Streamed {
                outcome: Received::NoBuffers,
                armed,
                ..
            } => (Err(libc::ENOBUFS), armed),
            other => panic!("neither data nor a failure: {other:?}"),
        }
    }

    /// Waits for any send to end.
    pub(super) fn sent(&mut self) -> (Chunk, usize, Result<usize, i32>) {
        self.sent_where(|completion| matches!(completion, Completion::Sent { .. }))
    }

    fn sent_where(
        &mut self,
        fits: impl Fn(&Completion) -> bool,
    ) -> (Chunk, usize, Result<usize, i32>) {
        match self.take("send", fits) {
            Completion::Sent {
                chunk,
                from,
                outcome,
                ..
            } => (chunk, from, outcome),
            other => unreachable!("take returns what fits, not {other:?}"),
        }
    }

    /// Sends until a send waits, because the peer reads nothing; returns the start of that send.
    /// One that waits on another connection may have sent more meanwhile.
    pub(super) fn block_a_send(&mut self, wanted: SlotKey, bytes: usize) -> usize {
        let (mut chunk, mut from) = (Chunk::from(vec![1; bytes]), 0);
        loop {
            self.ring.send(wanted, chunk, from);
            self.ring.enter(Wait::For(ROUND)).unwrap();
            self.ring.reap(&mut self.waiting, usize::MAX);
            let fits =
                |it: &Completion| matches!(it, Completion::Sent { key, .. } if *key == wanted);
            if !self.waiting.iter().any(fits) {
                return from;
            }
            let outcome;
            (chunk, _, outcome) = self.sent_where(fits);
            from += outcome.unwrap();
        }
    }

    /// Empties the slot and closes the connection.
    pub(super) fn close(&mut self, wanted: SlotKey) {
        assert!(self.slots.remove(wanted).is_some());
        self.ring.close(wanted);
        self.take(
            "closed",
            |completion| matches!(completion, Completion::Closed { key } if *key == wanted),
        );
    }

    /// The errno with which accepting ended.
    pub(super) fn accept_ended(&mut self) -> i32 {
        let fits = |completion: &Completion| matches!(completion, Completion::AcceptEnded { .. });
        let Completion::AcceptEnded { errno, .. } = self.take("end of accepting", fits) else {
            unreachable!("take returns what fits");
        };
        errno
    }

    pub(super) fn woken(&mut self) {
        self.take("wake", |completion| matches!(completion, Completion::Woken));
    }
}
