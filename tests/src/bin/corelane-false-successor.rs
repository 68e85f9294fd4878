//! A program that a server is upgraded to, which fails at a step of the hand-over.
//!
//! The variable `FALSE_SUCCESSOR` names the step, and whether the program ends, hangs or talks
//! nonsense there: `STEP:FAULT`.

use std::io::{IoSliceMut, stdin};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::process::exit;
use std::thread;

use rustix::net::{RecvAncillaryBuffer, RecvFlags, SendFlags, recvmsg, send};
use serde_json::{Value, json};

/// The longest frame.
const FRAME_BYTES_MAX: usize = 128 * 1024;

fn main() {
    let plan = std::env::var("FALSE_SUCCESSOR").expect("a step and a fault");
    let (step, fault) = plan.split_once(':').expect("a step and a fault");
    fail_at("start", (step, fault));
    match fault {
        "version" => say(&json!({ "frame": "hello", "oldest": 7, "newest": 9, "release": "7.1" })),
        _ => say(&json!({ "frame": "hello", "oldest": 1, "newest": 3, "release": "0.9" })),
    }
    fail_at("hello", (step, fault));
    let mut addresses = 0;
    loop {
        let frame = hear();
        let name = frame["frame"].as_str().unwrap_or_default().to_owned();
        if name == "begin" {
            addresses = frame["addresses"].as_array().map_or(0, Vec::len);
            fail_at("begin", (step, fault));
        } else if name == "sockets" {
            say(&json!({ "frame": "ready", "takes": vec![true; addresses] }));
            fail_at("ready", (step, fault));
        } else {
            fail_at(&name, (step, fault));
            say(&json!({ "frame": "taken" }));
        }
    }
}

/// Fails if this is the step.
fn fail_at(here: &str, (step, fault): (&str, &str)) {
    if here != step {
        return;
    }
    match fault {
        "ends" => exit(9),
        "hangs" => loop {
            thread::park();
        },
        "nonsense" => say(&json!({ "frame": "taken", "refused": [1, 0, 999] })),
        "garbage" => send_bytes(b"\xff{"),
        "refuses" => say(&json!({ "frame": "failed", "reason": "a reason of its own" })),
        _ => {}
    }
}

fn say(frame: &Value) {
    send_bytes(frame.to_string().as_bytes());
}

fn send_bytes(bytes: &[u8]) {
    if send(stdin().as_fd(), bytes, SendFlags::NOSIGNAL).is_err() {
        exit(1);
    }
}

/// The next frame; its descriptors are closed, which changes nothing for their sender.
fn hear() -> Value {
    let mut bytes = vec![0; FRAME_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let pieces = &mut [IoSliceMut::new(&mut bytes)];
    let received = recvmsg(stdin().as_fd(), pieces, &mut ancillary, RecvFlags::empty());
    let count = received.map_or(0, |it| it.bytes);
    if count == 0 {
        exit(0);
    }
    serde_json::from_slice(&bytes[..count]).expect("a frame")
}
