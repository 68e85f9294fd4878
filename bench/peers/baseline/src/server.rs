//! The loop: one ring, one thread, every socket a direct descriptor.
//!
//! A turn submits the queue of the last one and waits for completions, takes each completion in,
//! and then steps every connection something happened to, once: all answers of a turn to one
//! connection leave in one send. Completion handlers submit nothing for a connection except its
//! next receive.
//!
//! There is no way to stop it: it is killed.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use baseline::buffers::Buffers;
use baseline::ring::{self, Accepted, Ring, Step};
use baseline::token::{Operation, Token};
use io_uring::types::Fd;
use io_uring::{cqueue, opcode};
use rustls::ServerConfig;

use crate::connection::{Connection, Kind};
use crate::fanout::Fanout;
use crate::secured::Secured;

/// The work of a server.
#[derive(Clone, Default)]
pub(crate) struct Service<'r> {
    pub(crate) kind: Kind,
    /// That of TLS, if connections have it.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// A broadcast to take part in.
    pub(crate) fanout: Option<&'r Fanout>,
}

/// Accepts from `listener` and answers for ever, holding at most `connections_max` at once. Calls
/// `on_ready` when connections can be made.
///
/// # Errors
/// The kernel refuses the ring, a registration, an `enter`, or to accept for another
/// reason than a full table.
pub(crate) fn serve(
    listener: &TcpListener,
    connections_max: u32,
    service: Service<'_>,
    on_ready: impl FnOnce(),
) -> io::Result<Infallible> {
    // Declared before the ring, so dropped after it.
    let mut buffers = Buffers::map()?;
    let mut ring = ring::build()?;
    ring.submitter().register_files_sparse(connections_max)?;
    buffers.register(&ring.submitter())?;
    let ring_fd = ring.as_raw_fd();
    if let Some(fanout) = service.fanout {
        fanout.join(ring_fd);
    }

    let (mut submitter, submissions, mut completions) = ring.split();
    // Saves looking the ring's own descriptor up at each `enter` (io_uring_register(2)).
    submitter.register_ring_fd()?;
    let mut server = Server {
        ring: Ring::new(submitter, submissions),
        buffers: &mut buffers,
        connections: Vec::with_capacity(connections_max as usize),
        queued: Vec::with_capacity(connections_max as usize),
        listener: listener.as_raw_fd(),
        is_accepting: false,
        ring_fd,
        service,
    };
    server.arm_accept()?;
    server.ring.submit(0)?;
    on_ready();
    loop {
        server.ring.submit(1)?;
        completions.sync();
        for completion in &mut completions {
            server.complete(&completion)?;
        }
        server.settle()?;
    }
}

struct Server<'r> {
    ring: Ring<'r>,
    buffers: &'r mut Buffers,
    /// Indexed by direct descriptor; grows to the highest index used.
    connections: Vec<Connection>,
    /// Slots to step when the turn ends, each at most once.
    queued: Vec<u32>,
    listener: RawFd,
    is_accepting: bool,
    ring_fd: RawFd,
    service: Service<'r>,
}

impl Server<'_> {
    fn complete(&mut self, completion: &cqueue::Entry) -> io::Result<()> {
        let token = Token::unpack(completion.user_data());
        let result = completion.result();
        let is_last = !cqueue::more(completion.flags());
        match token.operation {
            Operation::Accept => self.accepted(result, is_last),
            Operation::Receive => {
                let buffer = cqueue::buffer_select(completion.flags());
                self.received(token, result, buffer, is_last)
            }
            Operation::Send => {
                // A send of a non-empty slice never completes with zero bytes.
                self.connection(token).sent(usize::try_from(result).ok());
                self.enqueue(token.slot);
                Ok(())
            }
            // The receive it cancelled reports its own end.
            Operation::Cancel | Operation::Notify => Ok(()),
            Operation::Change => {
                self.change();
                Ok(())
            }
            Operation::Close if !self.is_accepting => self.arm_accept(),
            Operation::Close => Ok(()),
        }
    }

    fn accepted(&mut self, result: i32, is_last: bool) -> io::Result<()> {
        if is_last {
            self.is_accepting = false;
        }
        let slot = match Accepted::of(result)? {
            Accepted::Connection(slot) => slot,
            Accepted::Aborted if is_last => return self.arm_accept(),
            Accepted::Aborted | Accepted::TableFull => return Ok(()),
        };
        if slot as usize >= self.connections.len() {
            self.connections
                .resize_with(slot as usize + 1, Connection::default);
        }
        let connection = &mut self.connections[slot as usize];
        assert!(!connection.is_open, "slot {slot} accepted while open");
        let secured = self.service.tls.as_ref().map(Secured::new).transpose();
        let secured = secured.map_err(io::Error::other)?;
        let generation = (connection.generation + 1) % Token::GENERATIONS;
        connection.open(generation, self.service.kind, secured);
        self.arm_receive(slot)?;
        match is_last {
            true => self.arm_accept(),
            false => Ok(()),
        }
    }

    fn received(
        &mut self,
        token: Token,
        result: i32,
        buffer: Option<u16>,
        is_last: bool,
    ) -> io::Result<()> {
        let connection = &mut self.connections[token.slot as usize];
        assert_eq!(connection.generation, token.generation);
        if let Some(id) = buffer {
            let bytes = usize::try_from(result).unwrap_or(0);
            let requests = connection.receive(self.buffers.received(id, bytes));
            self.buffers.hand_back(id);
            match self.service.fanout {
                Some(fanout) if requests > 0 => self.fan_out(fanout, token.slot, requests)?,
                _ => connection.answer(requests),
            }
        }
        let connection = &mut self.connections[token.slot as usize];
        if is_last {
            // Out of buffers is no fault of the peer: those of this turn are back before the next.
            let is_ended = result <= 0 && result != -libc::ENOBUFS;
            connection.received_last(is_ended);
            if !is_ended {
                self.arm_receive(token.slot)?;
            }
        }
        self.enqueue(token.slot);
        Ok(())
    }

    /// Makes a connection that sent a request a stream; when there are as many streams as are
    /// wanted, answers it and sends an event to each of them.
    fn fan_out(&mut self, fanout: &Fanout, slot: u32, requests: usize) -> io::Result<()> {
        let connection = &mut self.connections[slot as usize];
        if connection.is_stream {
            // A client has no reason to send more; its bytes are of no use.
            return Ok(());
        }
        if fanout.is_stream_wanted() {
            connection.open_stream();
            return Ok(());
        }
        connection.answer(requests);
        for ring in fanout.rings() {
            if ring == self.ring_fd {
                self.change();
                continue;
            }
            let change = Token::of_none(Operation::Change).pack();
            let message = opcode::MsgRingData::new(Fd(ring), 0, change, None).build();
            // SAFETY: it points to no memory.
            unsafe { self.ring.push(&message, Token::of_none(Operation::Notify)) }?;
        }
        Ok(())
    }

    /// Owes every stream of this ring an event.
    fn change(&mut self) {
        for slot in 0..self.connections.len() {
            let connection = &mut self.connections[slot];
            if connection.is_stream && connection.is_open {
                connection.change();
                self.enqueue(slot as u32);
            }
        }
    }

    /// Ends the turn: gives the buffers back and submits the next step of each connection.
    fn settle(&mut self) -> io::Result<()> {
        self.buffers.publish();
        for slot in self.queued.drain(..) {
            let connection = &mut self.connections[slot as usize];
            connection.is_queued = false;
            let (generation, is_stream) = (connection.generation, connection.is_stream);
            let step = connection.step();
            if let (Step::Close, true, Some(fanout)) = (&step, is_stream, self.service.fanout) {
                fanout.closed();
            }
            // SAFETY: it sends bytes of the static batch of answers, or sealed bytes and own
            // answers of the connection, which stay as they are until their send has completed
            // (`Secured::seal`, `Outbox::next_send`).
            unsafe { self.ring.step(slot, generation, &step) }?;
        }
        Ok(())
    }

    fn arm_accept(&mut self) -> io::Result<()> {
        self.is_accepting = true;
        self.ring.accept(self.listener)
    }

    fn arm_receive(&mut self, slot: u32) -> io::Result<()> {
        let connection = &mut self.connections[slot as usize];
        connection.is_receiving = true;
        self.ring.receive(slot, connection.generation)
    }

    /// The connection a completion belongs to.
    ///
    /// # Panics
    /// If it is another by now: a descriptor is closed only when nothing in flight names it.
    fn connection(&mut self, token: Token) -> &mut Connection {
        let connection = &mut self.connections[token.slot as usize];
        assert_eq!(connection.generation, token.generation);
        connection
    }

    fn enqueue(&mut self, slot: u32) {
        let connection = &mut self.connections[slot as usize];
        if !std::mem::replace(&mut connection.is_queued, true) {
            self.queued.push(slot);
        }
    }
}

#[cfg(test)]
mod tests;
