//! One node without NATS: only its file outlives it.

use std::path::Path;

use corelane_tests::{Server, Session, Setup, wait_until};
use tempfile::TempDir;

use crate::nodes::{change, check_changed, ping};
use crate::test_cluster::{status_at, write_key};

fn setup(folder: &Path) -> Setup {
    let [key, file, socket] = ["key", "sessions", "control.sock"].map(|name| folder.join(name));
    Setup::shards(2).profile(&format!(
        "[server]\nstate_key_files = [{key:?}]\n[sessions]\nid_max_age_s = 3600\n\
         [admin]\nsocket = {socket:?}\n[cluster]\nname = \"alone\"\nfile = {file:?}\n"
    ))
}

fn folder() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    write_key(&folder.path().join("key"));
    folder
}

fn kill(server: Server) {
    server.signal("KILL");
    let _ = server.wait_for_exit();
}

#[test]
fn changes_and_ends_of_sessions_are_there_after_a_crash() {
    let folder = folder();
    let mut server = setup(folder.path()).start();
    let sessions: Vec<Session> = (0..3)
        .map(|_| Session::open(&mut server.connect()))
        .collect();
    let ended = Session::open(&mut server.connect());
    sessions.iter().for_each(|session| change(&server, session));
    assert_eq!(server.connect().exchange(&ended.delete()).status(), 204);
    for life in 1..=3 {
        wait_until("the changes in the file", || {
            let status = status_at(&folder.path().join("control.sock"));
            assert_eq!(status["start"], life, "{status}");
            (status["sessions_unwritten"] == 0).then_some(())
        });
        kill(server);
        server = setup(folder.path()).start();
        sessions
            .iter()
            .for_each(|session| check_changed(&server, session));
        assert_eq!(ping(&server, &ended), 404);
    }
    // The same after a requested end.
    server.signal("TERM");
    assert!(server.wait_for_exit().success());
    let server = setup(folder.path()).start();
    sessions
        .iter()
        .for_each(|session| check_changed(&server, session));
    assert_eq!(ping(&server, &ended), 404);
}

#[test]
fn a_file_has_one_process_and_is_never_written_over() {
    let folder = folder();
    let server = setup(folder.path()).start();
    let fault = setup(folder.path()).run_to_end().error;
    assert!(fault.contains("another process has it"), "{fault}");
    kill(server);
    std::fs::write(folder.path().join("sessions"), "a text of somebody").expect("a file");
    let fault = setup(folder.path()).run_to_end().error;
    assert!(fault.contains("it is no log of sessions"), "{fault}");
}
