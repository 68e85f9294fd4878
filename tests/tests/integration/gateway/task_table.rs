//! The outcome of each course of a task of an upstream, between all eras.
//!
//! The table is in `docs/gateway-tasks.md`. Written anew with `CORELANE_WRITE_REFERENCE=1`.

use std::path::Path;
use std::sync::Arc;
use std::{env, fs, thread};

use corelane_tests::Setup;
use corelane_tests::mock_upstream::MockUpstream;

use super::Gateway;
use super::task_client::{Client, outcome};
use super::task_upstream::{COURSES, Course, Era, Upstream};

const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];

/// Lets a course happen; gives the answers to the client.
fn run(gateway: &Gateway, era: Era, course: Course) -> String {
    let mut client = Client::new(gateway, era, course != Course::ClientLacks);
    let task = match client.call(course) {
        Ok(task) => task,
        Err(outcome) => return outcome,
    };
    match course {
        Course::Cancelled => {
            let answer = client.about("tasks/cancel", &task);
            assert!(answer.get("error").is_none(), "{answer}");
            match era {
                Era::Legacy => answer["result"]["status"]
                    .as_str()
                    .expect("a state")
                    .to_owned(),
                Era::Modern => client.end(&task),
            }
        }
        Course::CancelledLate => {
            // The first look finds it at work, and the second one over.
            client.about("tasks/get", &task);
            client.about("tasks/get", &task);
            let answer = client.about("tasks/cancel", &task);
            match answer.get("error") {
                Some(_) => outcome(&answer),
                None => "an empty result".to_owned(),
            }
        }
        Course::OfAnother => {
            // Anonymous clients of the modern era are one principal: the other one is of a session.
            let others = match era {
                Era::Legacy => vec![Era::Legacy, Era::Modern],
                Era::Modern => vec![Era::Legacy],
            };
            let answers = others.into_iter().map(|other| {
                let answer = Client::new(gateway, other, true).about("tasks/get", &task);
                outcome(&answer)
            });
            let answers: Vec<String> = answers.collect();
            assert!(answers.iter().all(|it| *it == answers[0]), "{answers:?}");
            answers[0].clone()
        }
        _ => client.end(&task),
    }
}

/// The rows between two eras.
fn rows(client: Era, upstream_era: Era) -> Vec<String> {
    let upstream = Arc::new(Upstream::new(upstream_era));
    let of_mock = Arc::clone(&upstream);
    let mock = MockUpstream::start(move |received| of_mock.answer(received));
    let gateway = Gateway::start_with(&mock.section("up"), Setup::shards(1));
    gateway.wait_for("up_call");
    let rows = COURSES.map(|course| {
        let got = run(&gateway, client, course);
        let case = upstream
            .record
            .change(&format!("{course:?}"), |case| case.clone());
        assert!(case.executed <= 1, "{course:?}: executed twice");
        let (seen, executed) = (case.seen.join(", "), case.executed);
        format!("| {client:?} | {upstream_era:?} | {course:?} | {got} | {seen} | {executed} |\n")
    });
    rows.to_vec()
}

#[test]
fn each_course_has_one_outcome_and_nothing_is_executed_twice() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/gateway-tasks.md");
    let before = fs::read_to_string(&path).expect("the page is there");
    let (text, _) = before.split_once("| client |").expect("it has a table");
    let mut table = format!(
        "{text}| client | upstream | course | the client gets | the upstream sees | executed |\n\
         |---|---|---|---|---|--:|\n"
    );
    let eras = ERAS
        .into_iter()
        .flat_map(|client| ERAS.map(|upstream| (client, upstream)));
    let running = eras.map(|(client, upstream)| thread::spawn(move || rows(client, upstream)));
    let running: Vec<_> = running.collect();
    let rows = running.into_iter();
    table.extend(rows.flat_map(|run| run.join().expect("its cases can be seen")));
    if env::var_os("CORELANE_WRITE_REFERENCE").is_some() {
        fs::write(&path, &table).expect("it can be written");
    }
    let present = fs::read_to_string(&path).expect("the page is there");
    let others = table.lines().filter(|row| !present.contains(row));
    assert_eq!(
        others.collect::<Vec<_>>(),
        [""; 0],
        "rows that the page lacks"
    );
    assert!(present == table, "the page has rows that are none");
}
