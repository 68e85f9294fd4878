//! The bytes of a connection, with or without TLS.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection};

use crate::certificates;

/// A socket, and the TLS connection on it if there is one.
#[derive(Debug)]
pub struct Link {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

impl Link {
    /// The bytes of `socket` as they are.
    pub(crate) fn plain(socket: TcpStream) -> Link {
        Link { socket, tls: None }
    }

    /// With TLS by `config`. The handshake is part of the first read or write.
    pub(crate) fn secured(socket: TcpStream, config: &Arc<ClientConfig>) -> Link {
        let tls = Some(Box::new(certificates::connection(config)));
        Link { socket, tls }
    }

    /// The socket itself.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// The TLS connection.
    pub(crate) fn tls(&self) -> Option<&ClientConnection> {
        self.tls.as_deref()
    }

    /// Ends the sending side, as the transport does it.
    pub(crate) fn finish_sending(&mut self) {
        // A connection that is closed already has finished sending.
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            let _ = tls.write_tls(&mut self.socket);
        }
        let _ = self.socket.shutdown(Shutdown::Write);
    }
}

impl Read for Link {
    /// With TLS, the end of the socket without the end of the TLS connection is an error.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.socket.read(buffer),
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.socket).read(buffer),
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.socket.write(bytes),
            Some(tls) => {
                let mut stream = rustls::Stream::new(&mut **tls, &mut self.socket);
                let written = stream.write(bytes)?;
                stream.flush()?;
                Ok(written)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
