//! The records of an established connection.

use crate::connection::context::Context;
use crate::connection::http::Connection;
use crate::transport::tls::fault::Fault;
use crate::transport::tls::record::HEADER_BYTES;
use crate::transport::tls::session::{Opened, Session};

/// The effect of received bytes on their connection.
#[derive(Debug)]
pub(in crate::shard) enum Effect {
    /// It goes on.
    None,
    /// Its peer sends no more.
    Ended,
    /// It is of no further use.
    Close,
    /// It ends after these bytes, which are not sealed.
    Refuse(&'static [u8]),
    /// It ends for this fault of its peer.
    Fail(Fault),
}

/// An established connection.
pub(super) struct Records {
    pub(super) session: Session,
    /// The start of a record, which counts as input that was not handled.
    partial: Vec<u8>,
}

impl Records {
    pub(super) fn new(session: Session) -> Records {
        Records {
            session,
            partial: Vec::new(),
        }
    }

    /// Bytes of memory that the start of a record holds.
    pub(super) fn held_bytes(&self) -> usize {
        self.partial.capacity()
    }

    /// Opens the records in `bytes` in place, and lets the connection handle their content.
    pub(super) fn received(
        &mut self,
        connection: &mut Connection,
        mut bytes: &mut [u8],
        context: &mut Context<'_>,
    ) -> Effect {
        // Bytes after the end are ignored (RFC 8446 6.1).
        while !bytes.is_empty() && !self.session.is_read_closed() {
            let step = match self.partial.is_empty() {
                true => self.open_next(connection, bytes, context),
                false => self.complete(connection, bytes, context),
            };
            match step {
                Ok(taken) => bytes = &mut bytes[taken..],
                Err(fault) => return Effect::Fail(fault),
            }
        }
        match self.session.is_read_closed() {
            true => Effect::Ended,
            false => Effect::None,
        }
    }

    /// Opens the record at the start of `bytes`, or keeps the part of it that is there. Returns how
    /// many bytes that took.
    fn open_next(
        &mut self,
        connection: &mut Connection,
        bytes: &mut [u8],
        context: &mut Context<'_>,
    ) -> Result<usize, Fault> {
        match self.session.record_bytes(bytes)? {
            Some(length) if length <= bytes.len() => {
                open(&mut self.session, &mut bytes[..length], connection, context)?;
                Ok(length)
            }
            length => {
                self.keep(bytes, length.unwrap_or(HEADER_BYTES));
                context.pool.input_bytes += self.partial.capacity();
                Ok(bytes.len())
            }
        }
    }

    /// Adds bytes to the record that began before, and opens it when it is whole. Returns how many
    /// bytes that took.
    fn complete(
        &mut self,
        connection: &mut Connection,
        bytes: &[u8],
        context: &mut Context<'_>,
    ) -> Result<usize, Fault> {
        let needed = self
            .session
            .record_bytes(&self.partial)?
            .unwrap_or(HEADER_BYTES);
        let taken = bytes.len().min(needed - self.partial.len());
        context.pool.input_bytes -= self.partial.capacity();
        self.keep(&bytes[..taken], needed);
        let known = self.session.record_bytes(&self.partial);
        if known == Ok(Some(self.partial.len())) {
            let mut record = std::mem::take(&mut self.partial);
            open(&mut self.session, &mut record, connection, context)?;
        }
        context.pool.input_bytes += self.partial.capacity();
        known.map(|_| taken)
    }

    /// Adds bytes to the start of a record of `needed` bytes. It takes memory for twice what has
    /// arrived at most: a header that announces a long record takes none.
    fn keep(&mut self, bytes: &[u8], needed: usize) {
        let known = self.partial.len() + bytes.len();
        if self.partial.capacity() < known {
            let capacity = needed.min(2 * known);
            self.partial.reserve_exact(capacity - self.partial.len());
        }
        self.partial.extend_from_slice(bytes);
    }
}

fn open(
    session: &mut Session,
    record: &mut [u8],
    connection: &mut Connection,
    context: &mut Context<'_>,
) -> Result<(), Fault> {
    if let Opened::Data(plaintext) = session.open(record)? {
        connection.received(plaintext, context);
    }
    Ok(())
}
