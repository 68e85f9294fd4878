//! The socket between the two processes.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, SocketType,
    recvmsg, sendmsg, shutdown, socketpair,
};

use super::frame::{DESCRIPTORS_MAX, FRAME_BYTES_MAX, Frame, FrameFault};

/// How long the other process may leave the socket full.
const SEND_TIME: Duration = Duration::from_secs(5);
const ANCILLARY_BYTES: usize = rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX));

/// One end of the socket.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: OwnedFd,
}

/// The next frame of the other process.
#[derive(Debug)]
pub(crate) enum Received {
    /// A frame and its descriptors, as many as it needs.
    Frame(Frame, Vec<OwnedFd>),
    /// The other process has closed its end.
    Gone,
    /// There was none in time.
    Silent,
}

/// Why a channel is of no more use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChannelFault {
    #[error(transparent)]
    Frame(#[from] FrameFault),
    #[error("the socket between the processes fails: {0}")]
    System(#[from] io::Error),
}

impl Channel {
    /// A channel, and its other end.
    ///
    /// # Errors
    /// The error of socketpair(2).
    pub(crate) fn pair() -> io::Result<(Channel, OwnedFd)> {
        let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
        let (socket, other) = socketpair(family, kind, SocketFlags::CLOEXEC, None)?;
        Ok((Channel::over(socket)?, other))
    }

    /// The channel over an end of such a socket.
    ///
    /// # Errors
    /// It is no socket.
    pub(crate) fn over(socket: OwnedFd) -> io::Result<Channel> {
        set_socket_timeout(&socket, Timeout::Send, Some(SEND_TIME))?;
        Ok(Channel { socket })
    }

    /// Sends a frame with its descriptors, which stay open here.
    ///
    /// # Errors
    /// It is too long, the other process is gone, or it does not read.
    pub(crate) fn send(
        &self,
        frame: &Frame,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), ChannelFault> {
        let bytes = frame.encode()?;
        let mut space = [MaybeUninit::uninit(); ANCILLARY_BYTES];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors))
        {
            let (rows, descriptors) = (frame.descriptors(), descriptors.len());
            return Err(FrameFault::Descriptors { rows, descriptors }.into());
        }
        let pieces = [IoSlice::new(&bytes)];
        sendmsg(&self.socket, &pieces, &mut ancillary, SendFlags::NOSIGNAL)
            .map_err(io::Error::from)?;
        Ok(())
    }

    /// Lets the other process send nothing more: its next frame fails there. Those that it has
    /// sent can still be received, and after them it is gone.
    ///
    /// # Errors
    /// The error of shutdown(2).
    pub(crate) fn refuse_more(&self) -> io::Result<()> {
        Ok(shutdown(&self.socket, Shutdown::Read)?)
    }

    /// Waits for the next frame, at most so long if there is a time.
    ///
    /// # Errors
    /// The bytes are no frame, or the socket fails.
    pub(crate) fn receive(&self, time: Option<Duration>) -> Result<Received, ChannelFault> {
        let time = time.map(|time| time.max(Duration::from_millis(1)));
        set_socket_timeout(&self.socket, Timeout::Recv, time).map_err(io::Error::from)?;
        let mut bytes = vec![0; FRAME_BYTES_MAX];
        let mut space = [MaybeUninit::uninit(); ANCILLARY_BYTES];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let pieces = &mut [IoSliceMut::new(&mut bytes)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            match recvmsg(&self.socket, pieces, &mut ancillary, flags) {
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(Received::Silent),
                Err(rustix::io::Errno::CONNRESET) => return Ok(Received::Gone),
                Err(error) => return Err(io::Error::from(error).into()),
                Ok(received) => break received,
            }
        };
        let mut descriptors = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                descriptors.extend(received);
            }
        }
        if received.bytes == 0 {
            return Ok(Received::Gone);
        }
        if received.flags.contains(ReturnFlags::TRUNC) {
            let bytes = received.bytes;
            return Err(FrameFault::TooLong { bytes }.into());
        }
        // Descriptors that did not fit are missing here.
        let frame = Frame::decode(&bytes[..received.bytes], descriptors.len())?;
        Ok(Received::Frame(frame, descriptors))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::time::Duration;

    use super::{Channel, Received};
    use crate::handover::frame::{DESCRIPTORS_MAX, Frame};
    use crate::handover::rows::SocketRow;

    #[test]
    fn frames_arrive_with_their_descriptors_and_the_end_is_seen() {
        let (channel, other) = Channel::pair().expect("a pair");
        let other = Channel::over(other).expect("a socket");
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let rows = vec![SocketRow::Metrics; DESCRIPTORS_MAX];
        let frame = Frame::Sockets { rows };
        let all = vec![writer.as_fd(); DESCRIPTORS_MAX];
        channel.send(&frame, &all).expect("it fits");
        channel.send(&Frame::Abort, &[]).expect("it fits");
        drop(writer);
        let Ok(Received::Frame(found, descriptors)) = other.receive(None) else {
            panic!("a frame was sent");
        };
        assert_eq!((found, descriptors.len()), (frame, DESCRIPTORS_MAX));
        let second = other.receive(None).expect("a frame");
        assert!(matches!(second, Received::Frame(Frame::Abort, _)));
        let none = other.receive(Some(Duration::ZERO)).expect("a socket");
        assert!(matches!(none, Received::Silent));
        drop((channel, descriptors));
        assert!(matches!(other.receive(None), Ok(Received::Gone)));
        assert_eq!(reader.read(&mut [0]).expect("it is closed"), 0);
    }

    #[test]
    fn a_frame_is_sent_before_more_are_refused_or_its_sender_knows() {
        let (channel, other) = Channel::pair().expect("a pair");
        let other = Channel::over(other).expect("a socket");
        other.send(&Frame::Committed, &[]).expect("it fits");
        channel.refuse_more().expect("a socket");
        assert!(other.send(&Frame::Committed, &[]).is_err());
        let sent = channel.receive(Some(Duration::ZERO)).expect("a frame");
        assert!(matches!(sent, Received::Frame(Frame::Committed, _)));
        let none = channel.receive(None).expect("a socket");
        assert!(matches!(none, Received::Gone));
        // The other direction stays.
        channel.send(&Frame::Abort, &[]).expect("it is read");
        let abort = other.receive(None).expect("a frame");
        assert!(matches!(abort, Received::Frame(Frame::Abort, _)));
    }

    #[test]
    fn descriptors_that_no_frame_names_are_refused_and_closed() {
        let (channel, other) = Channel::pair().expect("a pair");
        let other = Channel::over(other).expect("a socket");
        let file = File::open("/dev/null").expect("it is there");
        channel.send(&Frame::Abort, &[file.as_fd()]).expect("sent");
        assert!(other.receive(None).is_err());
    }
}
