//! The model of the kernel against the kernel: one script leads to the same completions on both.

use super::server::{ROUND, ROUNDS_MAX, SMALL, Server};
use crate::chunk::Chunk;
use crate::ring::fake::FakePeer;
use crate::ring::{Completion, Received, Ring, Wait};
use crate::slots::SlotKey;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;

/// One thing that the owner of a ring or its peer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Watch,
    Receive,
    RecvMultishot,
    CancelMultishot,
    Send,
    ShutdownWrite,
    Close,
    PeerSends(usize),
    PeerFinishes,
    PeerResets,
}

use Step::{
    CancelMultishot, Close, PeerFinishes, PeerResets, PeerSends, Receive, RecvMultishot, Send,
    ShutdownWrite, Watch,
};

/// Scripts of one connection. A buffer holds 512 bytes.
const SCRIPTS: [&[Step]; 11] = [
    &[Watch, PeerSends(3), Receive, Receive, Close],
    &[Watch, PeerSends(700), Receive, Receive, Receive, Close],
    &[Watch, PeerFinishes, Receive, Receive, Close],
    &[
        Watch,
        PeerSends(3),
        Receive,
        PeerResets,
        Receive,
        Receive,
        Close,
    ],
    &[PeerSends(3), Watch, Receive, PeerSends(3), Receive, Close],
    &[
        RecvMultishot,
        PeerSends(3),
        PeerSends(700),
        CancelMultishot,
        PeerSends(5),
        Watch,
        Close,
    ],
    &[RecvMultishot, PeerSends(3), PeerFinishes, Close],
    &[RecvMultishot, PeerSends(3), PeerResets, Close],
    &[Watch, RecvMultishot, Send, Close],
    &[Send, ShutdownWrite, Send, Close],
    &[Send, PeerResets, Send, Send, Close],
];

enum Peer {
    Socket(Option<TcpStream>),
    Model(FakePeer),
}

impl Peer {
    fn act(&mut self, step: Step) {
        match (step, self) {
            (PeerSends(bytes), Peer::Model(peer)) => peer.sends(&vec![b'x'; bytes]),
            (PeerFinishes, Peer::Model(peer)) => peer.finishes(),
            (PeerResets, Peer::Model(peer)) => peer.resets(),
            (_, Peer::Model(_)) => unreachable!("{step:?} is not of a peer"),
            (step, Peer::Socket(socket)) => match (step, socket.as_mut()) {
                (PeerSends(bytes), Some(socket)) => socket.write_all(&vec![b'x'; bytes]).unwrap(),
                (PeerFinishes, Some(socket)) => socket.shutdown(Shutdown::Write).unwrap(),
                _ => super::reset(socket.take().unwrap()),
            },
        }
    }
}

fn describe(ring: &mut Ring, completion: Completion) -> String {
    match completion {
        Completion::Received {
            outcome:
                Received::Data {
                    buffer,
                    bytes,
                    more_waiting,
                },
            ..
        } => {
            ring.buffers().recycle(buffer);
            format!("received {bytes}, more: {more_waiting}")
        }
        Completion::Streamed {
            outcome:
                Received::Data {
                    buffer,
                    bytes,
                    more_waiting,
                },
            armed,
            ..
        } => {
            ring.buffers().recycle(buffer);
            format!("streamed {bytes}, more: {more_waiting}, armed: {armed}")
        }
        Completion::Readable { hangup, armed, .. } => format!("readable {hangup:?} {armed}"),
        Completion::Received { outcome, .. } => format!("received {outcome:?}"),
        Completion::Streamed { outcome, armed, .. } => format!("streamed {outcome:?} {armed}"),
        Completion::Sent { outcome, .. } => format!("sent {outcome:?}"),
        Completion::Closed { .. } => "closed".to_owned(),
        other => panic!("{other:?}"),
    }
}

/// Does one step, and lets the ring complete at least `expected` times.
fn act(
    ring: &mut Ring,
    key: SlotKey,
    peer: &mut Peer,
    (step, expected): (Step, usize),
) -> Vec<String> {
    let in_flight_max = ring.in_flight() + usize::from(step != ShutdownWrite);
    match step {
        Watch => ring.watch(key),
        Receive => ring.receive(key),
        RecvMultishot => ring.recv_multishot(key),
        CancelMultishot => ring.cancel_multishot(key),
        Send => ring.send(key, Chunk::from(b"answer".to_vec()), 0),
        ShutdownWrite => ring.shutdown_write(key),
        Close => ring.close(key),
        PeerSends(_) | PeerFinishes | PeerResets => peer.act(step),
    }
    let mut completions = Vec::new();
    let mut entries = 0;
    // A shutdown reports nothing, and has to be over before the next step. Completions
    // beyond the expected ones come in the entries after that.
    while entries < 3 || completions.len() < expected || ring.in_flight() > in_flight_max {
        let wait = match entries < 3 {
            true => Wait::No,
            false => Wait::For(ROUND),
        };
        ring.enter(wait).unwrap();
        ring.reap(&mut completions, usize::MAX);
        entries += 1;
        assert!(entries < ROUNDS_MAX, "{step:?}: {completions:?}");
    }
    let mut described: Vec<String> = Vec::new();
    for completion in completions {
        described.push(describe(ring, completion));
    }
    described
}

#[test]
fn the_model_of_the_kernel_completes_as_the_kernel_does() {
    for script in SCRIPTS {
        let (mut model, network) = Ring::over_network(&SMALL).unwrap();
        let mut server = Server::open(&SMALL);
        let (socket, key) = server.pair();
        model.accept(0, server.listener.as_fd());
        let mut on_model = Peer::Model(network.connect(0));
        model.enter(Wait::No).unwrap();
        assert_eq!(model.reap(&mut Vec::new(), 1), 1, "an accept");
        let mut on_kernel = Peer::Socket(Some(socket));
        for step in script {
            let expected = act(&mut model, key, &mut on_model, (*step, 0));
            let step = (*step, expected.len());
            let outcome = act(&mut server.ring, key, &mut on_kernel, step);
            assert_eq!(outcome, expected, "{step:?} of {script:?}");
        }
    }
}
