//! Upgrades that fail: the process that serves goes on with everything.

use std::fs;
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};

use corelane_tests::{PATIENCE, Request, Setup, binary, wait_until};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
    SocketType, recv, sendmsg, socketpair,
};
use serde_json::{Value, json};

use crate::upgraded::{Clients, Upgraded};

#[test]
fn a_process_that_fails_at_any_step_changes_nothing() {
    let program = env!("CARGO_BIN_EXE_corelane-false-successor");
    let plans = [
        ("start:ends", 1, "has ended"),
        ("start:hangs", 1, "was silent"),
        ("start:garbage", 1, "invalid frame"),
        ("hello:version", 1, "hands over in the versions 7 to 9"),
        ("hello:ends", 1, "has ended"),
        ("hello:refuses", 1, "a reason of its own"),
        ("begin:nonsense", 1, "said \"taken\""),
        ("begin:hangs", 1, "was silent"),
        ("ready:ends", 2, "rolled back"),
        ("ready:garbage", 2, "invalid frame"),
        ("sessions:ends", 2, "has ended"),
        ("sessions:refuses", 2, "a reason of its own"),
        ("connections:ends", 2, "has ended"),
        ("connections:nonsense", 2, "do not fit"),
        ("connections:hangs", 2, "was silent"),
        ("commit:ends", 2, "has ended"),
        ("commit:garbage", 2, "invalid frame"),
        ("commit:nonsense", 2, "said \"taken\""),
    ];
    for (round, (plan, code, said)) in plans.into_iter().enumerate() {
        let setup = Setup::shards(2).variable("FALSE_SUCCESSOR", plan);
        let upgraded = Upgraded::start(setup);
        let mut client = Clients::connect(&upgraded.server);
        client.check();
        let before = upgraded.server.open_files();
        let (found, answer) = upgraded.upgrade(&["--binary", program, "--timeout", "1s"]);
        assert_eq!(found, Some(code), "{plan}: {answer}");
        let text = answer.to_string();
        assert!(text.contains(&said.replace('"', "\\\"")), "{plan}: {text}");
        assert!(upgraded.is_first_process(), "{plan}");
        // On the same connections and streams, and on others.
        client.check();
        let ping = client.session.request(9, "ping", Value::Null);
        assert_eq!(client.unused.exchange(&ping).status(), 200, "{plan}");
        let mut other = upgraded.server.connect();
        assert_eq!(other.exchange(&ping).status(), 200, "{plan}");
        drop(other);
        wait_until("as many open files as before", || {
            (upgraded.server.open_files() <= before).then_some(())
        });
        // The real program still takes over. It has all that a false one was offered.
        if round % 6 == 5 {
            upgraded.upgrade_well();
            client.check();
        }
    }
}

#[test]
fn a_program_that_does_not_start_and_a_wrong_configuration_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().expect("a directory");
    let profile = folder.path().join("profile.toml");
    fs::write(&profile, "[server]\nshards = 1\n").expect("a file");
    let path = profile.to_str().expect("text");
    let upgraded = Upgraded::start(Setup::bare(&["--profile", path]));
    let refusal = |arguments: &[&str]| {
        let (code, answer) = upgraded.upgrade(arguments);
        assert_eq!(code, Some(1), "{answer}");
        assert!(upgraded.is_first_process());
        answer["error"].as_str().expect("a reason").to_owned()
    };
    assert!(refusal(&["--binary", "/nowhere/corelane"]).contains("/nowhere/corelane"));
    assert!(refusal(&["--binary", "/bin/false"]).contains("has ended"));
    assert!(refusal(&["--timeout", "1h"]).contains("45 s"));
    assert!(refusal(&["--linger", "25h"]).contains("24 h"));
    fs::write(&profile, "[server]\nshards = 0\n").expect("a file");
    // It ends before its first message: its reason is in the log.
    assert!(refusal(&[]).contains("has ended"));
    assert!(upgraded.server.log().contains("shards"));
    fs::write(&profile, "[server]\nshards = 2\n").expect("a file");
    let (code, answer) = upgraded.upgrade(&["--dry-run"]);
    assert_eq!(
        (code, &answer["result"]),
        (Some(0), &json!("ready")),
        "{answer}"
    );
    assert!(upgraded.is_first_process());
    let mut client = Clients::connect(&upgraded.server);
    // More shards, and fewer again: no listener is closed.
    upgraded.upgrade_well();
    client.check();
    fs::write(&profile, "[server]\nshards = 1\n").expect("a file");
    upgraded.upgrade_well();
    client.check();
    for _ in 0..20 {
        let ping = client.session.request(9, "ping", Value::Null);
        assert_eq!(upgraded.server.connect().exchange(&ping).status(), 200);
    }
}

#[test]
fn a_control_socket_that_is_gone_changes_nothing() {
    let upgraded = Upgraded::start(Setup::shards(1));
    let mut connection = upgraded.server.connect();
    let request = Request::modern_call("test_simple_text", json!({}));
    assert_eq!(connection.exchange(&request).status(), 200);
    fs::remove_file(&upgraded.socket).expect("it is there");
    upgraded.server.signal("USR2");
    wait_until("the end of the upgrade", || {
        let log = upgraded.server.log();
        log.contains("no upgrade").then_some(())
    });
    assert_eq!(connection.exchange(&request).status(), 200);
    assert_eq!(upgraded.server.connect().exchange(&request).status(), 200);
    upgraded.server.signal("TERM");
    assert!(upgraded.server.wait_for_exit().success());
}

#[test]
fn the_new_process_serves_when_the_old_one_dies_before_it_lets_go() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut waiting = TcpStream::connect(address).expect("it listens");
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .expect("a pair");
    let text = format!("http://{address}");
    let mut command = Command::new(binary());
    command
        .args(["serve", "--shards", "1", "--listen", &text])
        .env("CORELANE_HAND_OVER", std::process::id().to_string())
        .stdin(theirs)
        .stdout(Stdio::null());
    let mut child = command.spawn().expect("the program");
    let mut bytes = [0; 4096];
    let (count, _) = recv(&ours, &mut bytes[..], RecvFlags::empty()).expect("hello");
    assert!(String::from_utf8_lossy(&bytes[..count]).contains("hello"));
    let say = |frame: Value, descriptors: &[&OwnedFd]| {
        let text = frame.to_string();
        let descriptors: Vec<_> = descriptors.iter().map(|it| it.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        }
        let pieces = [IoSlice::new(text.as_bytes())];
        sendmsg(&ours, &pieces, &mut ancillary, SendFlags::NOSIGNAL).expect("it reads");
    };
    say(
        json!({
            "frame": "begin", "version": 1, "addresses": [text], "sockets": 1, "key": "none",
        }),
        &[],
    );
    let row = json!({ "socket": "listener", "address": 0, "shard": 0 });
    let listener = OwnedFd::from(listener);
    say(json!({ "frame": "sockets", "rows": [row] }), &[&listener]);
    let (count, _) = recv(&ours, &mut bytes[..], RecvFlags::empty()).expect("ready");
    assert!(String::from_utf8_lossy(&bytes[..count]).contains("ready"));
    // Without a word.
    drop((ours, listener));
    let request = Request::modern("1", "tools/list", json!({})).to_bytes(address);
    waiting.write_all(&request).expect("the kernel takes it");
    waiting.set_read_timeout(Some(PATIENCE)).expect("a time");
    let mut head = [0; 15];
    waiting.read_exact(&mut head).expect("it is answered");
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    child.kill().expect("it runs");
    child.wait().expect("it is our child");
}
