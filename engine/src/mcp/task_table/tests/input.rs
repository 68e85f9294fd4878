//! Input requests: made once, answered once, taken once.

use super::{
    LIMITS, NOW_MS, RunningStatus, TaskError, TaskId, TaskOwner, TaskStatus, TaskTable, complete,
    create, session, status, table,
};
use crate::mcp::task_table::INPUTS_MAX;

fn request_all(table: &mut TaskTable, id: TaskId, keys: &[&str]) {
    for key in keys {
        let request = format!("request {key}").into_bytes();
        table.request(id, key, request, NOW_MS).unwrap();
    }
}

fn requests(table: &TaskTable, id: TaskId, owner: &TaskOwner) -> Vec<String> {
    let task = table.get(id, owner, NOW_MS).unwrap();
    let requests = task.requests().map(|(key, request)| {
        assert_eq!(request, format!("request {key}").as_bytes());
        key.to_owned()
    });
    requests.collect()
}

fn answers(table: &mut TaskTable, id: TaskId) -> Vec<(String, Vec<u8>)> {
    let answers = table.take_answers(id).into_iter();
    answers
        .map(|(key, answer)| (key.into(), answer.into()))
        .collect()
}

#[test]
fn answers_may_come_one_by_one_and_the_last_sets_the_task_to_work() {
    let mut table = table(LIMITS);
    let owner = session(1);
    let id = create(&mut table, &owner);
    request_all(&mut table, id, &["a", "b", "c"]);
    assert_eq!(status(&table, id, &owner), Some(TaskStatus::InputRequired));
    assert_eq!(requests(&table, id, &owner), ["a", "b", "c"]);
    for (key, is_taken) in [("b", true), ("b", false), ("z", false), ("a", true)] {
        let taken = table.answer(id, &owner, key, key.into(), NOW_MS);
        assert_eq!(taken, Ok(is_taken), "{key}");
    }
    assert_eq!(requests(&table, id, &owner), ["c"]);
    assert_eq!(status(&table, id, &owner), Some(TaskStatus::InputRequired));
    let expected = [("a".to_owned(), b"a".to_vec()), ("b".into(), b"b".into())];
    assert_eq!(answers(&mut table, id), expected);
    assert_eq!(table.answer(id, &owner, "c", vec![], NOW_MS + 9), Ok(true));
    let task = table.get(id, &owner, NOW_MS).unwrap();
    assert_eq!(task.status, TaskStatus::Working);
    assert_eq!(task.updated_ms, NOW_MS + 9);
    assert_eq!(answers(&mut table, id), [("c".to_owned(), vec![])]);
    assert_eq!(answers(&mut table, id), []);
}

#[test]
fn a_key_is_not_used_again_while_the_task_lives() {
    let mut table = table(LIMITS);
    let owner = session(1);
    let id = create(&mut table, &owner);
    request_all(&mut table, id, &["a"]);
    assert_eq!(
        table.request(id, "a", vec![], NOW_MS),
        Err(TaskError::KeyUsed)
    );
    table.answer(id, &owner, "a", vec![], NOW_MS).unwrap();
    assert_eq!(
        table.request(id, "a", vec![], NOW_MS),
        Err(TaskError::KeyUsed)
    );
    table.take_answers(id);
    assert_eq!(
        table.request(id, "a", vec![], NOW_MS),
        Err(TaskError::KeyUsed)
    );
    assert_eq!(status(&table, id, &owner), Some(TaskStatus::Working));
    let other = create(&mut table, &owner);
    request_all(&mut table, other, &["a"]);
}

#[test]
fn a_task_that_works_on_withdraws_its_requests() {
    let mut table = table(LIMITS);
    let owner = session(1);
    let id = create(&mut table, &owner);
    request_all(&mut table, id, &["a", "b"]);
    table
        .answer(id, &owner, "b", b"yes".into(), NOW_MS)
        .unwrap();
    table
        .set_status(id, RunningStatus::Working, None, NOW_MS)
        .unwrap();
    assert!(requests(&table, id, &owner).is_empty());
    assert_eq!(table.answer(id, &owner, "a", vec![], NOW_MS), Ok(false));
    assert_eq!(answers(&mut table, id), [("b".to_owned(), b"yes".to_vec())]);
}

#[test]
fn a_task_that_is_over_has_neither_requests_nor_answers() {
    let mut table = table(LIMITS);
    let owner = session(1);
    let id = create(&mut table, &owner);
    let bytes = table.bytes();
    request_all(&mut table, id, &["a", "b"]);
    table.answer(id, &owner, "b", vec![1; 99], NOW_MS).unwrap();
    complete(&mut table, id);
    assert!(requests(&table, id, &owner).is_empty());
    assert_eq!(table.answer(id, &owner, "a", vec![], NOW_MS), Ok(false));
    assert_eq!(answers(&mut table, id), []);
    assert_eq!(table.bytes(), bytes + b"{}".len());
}

#[test]
fn a_task_makes_a_limited_number_of_input_requests() {
    let mut table = table(LIMITS);
    let owner = session(1);
    let id = create(&mut table, &owner);
    for number in 0..INPUTS_MAX {
        let key = number.to_string();
        table.request(id, &key, vec![], NOW_MS).unwrap();
        table.answer(id, &owner, &key, vec![], NOW_MS).unwrap();
    }
    let refused = TaskError::TooManyInputs {
        inputs_max: INPUTS_MAX,
    };
    assert_eq!(table.request(id, "one more", vec![], NOW_MS), Err(refused));
    assert_eq!(table.take_answers(id).len(), INPUTS_MAX);
}
