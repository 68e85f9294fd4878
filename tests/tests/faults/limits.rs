//! Faults of the host: a resource of the kernel ends.

use std::fs::{self, OpenOptions};
use std::time::Duration;

use corelane_tests::{Request, Setup, binary, wait_until};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::{Value, json};

use crate::client::{Client, call, echo};
use crate::trial::{Trial, in_namespaces, scaled, succeed};

/// A server with one shard that a shell script starts.
fn started_by(script: &str) -> Setup {
    let program = binary();
    let program = program.to_str().expect("UTF-8");
    let served = ["serve", "--demo", "conformance", "--shards", "1"];
    let arguments = [&["-c", script, program][..], &served].concat();
    Setup::program("/bin/sh".into(), &arguments)
}

/// The profile's bounds act long before the limit of the system.
#[test]
fn a_limit_on_memory() {
    const BODY_BYTES: usize = 15 << 20;
    let clients = scaled(60, 600);
    let profile = "[connection]\ninput_bytes_max = 67108864\n\
        output_bytes_per_shard_max = 33554432\n[calls]\nbytes_max = 33554432\n\
        [tasks]\nbytes_max = 33554432";
    let setup = started_by("ulimit -d 300000 && exec \"$0\" \"$@\"").profile(profile);
    let trial = Trial::of("a limit on memory", setup).with_buffers_of(2 * BODY_BYTES);
    let totals = trial.run(|server| {
        let head = Request::post("").head_start(server.address());
        let mut bytes = format!("{head}Content-Length: {BODY_BYTES}\r\n\r\n").into_bytes();
        bytes.resize(bytes.len() + BODY_BYTES - 1, b' ');
        let mut clients: Vec<Client> = (0..clients)
            .map(|_| {
                let mut client = Client::open(server.address());
                // It may be refused before all is sent.
                let _ = client.send(&bytes);
                client
            })
            .collect();
        let mut refused = 0;
        for client in &mut clients {
            match client.answer_within(Duration::from_millis(1)) {
                Ok(None) => {}
                Ok(Some((503, _))) | Err(_) => refused += 1,
                Ok(Some((status, _))) => panic!("status {status}"),
            }
        }
        assert!(refused > 0, "{} bodies fit", clients.len());
    });
    let refused = totals.value("requests_refused", "framing");
    let shed = totals.value("connections_shed", "");
    assert!(refused + shed > 0, "{totals:?}");
}

/// Sockets go on; a file that cannot be opened is an error of its own request.
#[test]
fn a_process_without_descriptors() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    fs::write(folder.path().join("file.txt"), "contents").expect("written");
    let served = format!("docs://={}", folder.path().display());
    let setup = Setup::shards(1).arguments(&["--directory", &served]);
    let trial = Trial::of("no free descriptor", setup);
    trial.run(|server| {
        let pid = i32::try_from(server.process_id())
            .ok()
            .and_then(Pid::from_raw);
        let usual = getrlimit(Resource::Nofile);
        let none = Rlimit {
            current: Some(3),
            ..usual
        };
        let mut client = Client::open(server.address());
        let read = |id: u64| {
            let params = json!({ "uri": "docs://file.txt" });
            let request = Request::modern(id, "resources/read", params);
            request
                .field("Mcp-Name", "docs://file.txt")
                .to_bytes(server.address())
        };
        prlimit(pid, Resource::Nofile, none).expect("the process is our child");
        for id in 0..scaled(100, 10_000) {
            client.send(&read(id)).expect("the connection goes on");
            let (_, body) = client.answer().expect("an answer");
            let answer: Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!(answer["id"], id, "{answer}");
            assert!(answer["error"].is_object(), "{answer}");
            let mut other = Client::open(server.address());
            other
                .send(&echo(server.address(), &json!(id), "hello"))
                .expect("sent");
            other.expect_result(&json!(id));
        }
        prlimit(pid, Resource::Nofile, usual).expect("the process is our child");
        client.send(&read(1)).expect("the connection goes on");
        let read = client.expect_result(&json!(1));
        assert_eq!(read["contents"][0]["text"], "contents", "{read}");
    });
}

/// The kernel keeps the rest, and nothing is lost.
#[test]
fn a_completion_queue_that_overflows() {
    let clients = scaled(1000, 15_000);
    let profile = "[budget]\ncompletions_per_turn = 128\n\
        [ring]\ncompletion_entries = 128\nsubmission_entries = 64\nbuffer_count = 16";
    let trial = Trial::of(
        "an overflow of completions",
        Setup::shards(1).profile(profile),
    );
    let totals = trial.stalling().run(|server| {
        let address = server.address();
        let mut clients: Vec<Client> = (0..clients).map(|_| Client::open(address)).collect();
        for round in 0..2 {
            // First all of them are busy, then all are.
            server.signal("STOP");
            for (id, client) in clients.iter_mut().enumerate() {
                client
                    .send(&echo(
                        address,
                        &json!([round, id].map(|it| it.to_string()).join("/")),
                        "x",
                    ))
                    .expect("the kernel takes it");
            }
            server.signal("CONT");
            for (id, client) in clients.iter_mut().enumerate() {
                client.expect_result(&json!(format!("{round}/{id}")));
            }
        }
    });
    let overflows = totals.value("ring_completions_overflowed", "");
    let exhausted = totals.value("ring_buffers_exhausted", "");
    println!("{overflows} overflows, {exhausted} times without a buffer");
    assert!(overflows > 0, "{totals:?}");
}

/// Records that cannot be written are lost, and nothing else is.
#[test]
fn a_full_disk_for_logs() {
    in_namespaces("limits::a_full_disk_for_logs", &["--mount"], || {
        const DISK: &str = "size=64k";
        let panics = scaled(500, 50_000);
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().to_str().expect("UTF-8").to_owned();
        succeed("mount", &["-t", "tmpfs", "-o", DISK, "none", &path]);
        let log = folder.path().join("log");
        let script = format!("exec \"$0\" \"$@\" 2>>{}", log.display());
        let setup = started_by(&script).profile("[tools]\nfailures_max = 0");
        let trial = Trial::of("a full disk", setup).log_file(log.clone());
        let log_bytes = || fs::metadata(&log).expect("it exists").len();
        trial.run(|server| {
            let mut client = Client::open(server.address());
            let mut panics_once = |id: u64| {
                let request = call(server.address(), &json!(id), "test_panic", json!({}));
                client.send(&request).expect("the connection goes on");
                assert_eq!(client.answer().expect("an answer").0, 200);
            };
            (0..panics).for_each(&mut panics_once);
            wait_until("a full disk", || (log_bytes() > 60_000).then_some(()));
            (0..panics).for_each(&mut panics_once);
            let opened = OpenOptions::new().write(true).open(&log);
            opened.expect("it exists").set_len(0).expect("it is a file");
            wait_until("records of later events", || {
                panics_once(0);
                (log_bytes() > 0).then_some(())
            });
        });
        succeed("umount", &[&path]);
    });
}
