//! Connections with TLS to other servers in a library without the feature `tls`: there are none, as
//! `https` is refused at the start.

use std::fmt;

/// No settings.
#[derive(Clone, Debug)]
pub(crate) enum OutgoingTls {}

/// No connection.
#[derive(Debug)]
pub(crate) enum OutgoingSession {}

/// No error.
#[derive(Debug)]
pub(crate) enum Error {}

impl fmt::Display for Error {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl OutgoingTls {
    pub(crate) fn of_shard(&self) -> OutgoingTls {
        match *self {}
    }

    pub(crate) fn connect(&self) -> Result<OutgoingSession, Error> {
        match *self {}
    }
}

impl OutgoingSession {
    pub(crate) fn read(&mut self, _: &[u8], _: &mut Vec<u8>) -> Result<(), Error> {
        match *self {}
    }

    pub(crate) fn write(&mut self, _: &[u8]) -> Result<(), Error> {
        match *self {}
    }

    pub(crate) fn take_output(&mut self, _: &mut Vec<u8>) {
        match *self {}
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        match *self {}
    }

    pub(crate) fn is_closed(&self) -> bool {
        match *self {}
    }
}
