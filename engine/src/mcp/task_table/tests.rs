//! Each rule of the table, and all of them together against a model that is slow and plain.

mod input;
mod limits;
mod model;

use std::sync::LazyLock;

use super::{
    CreateError, ListCursor, NotKept, Outcome, Removed, RunningStatus, TaskError, TaskLimits,
    TaskOwner, TaskStatus, TaskTable, UnknownCursor, Wait, Waiter,
};
use crate::guard::holder::{HolderKey, Holders};
use crate::mcp::session_id::SessionId;
use crate::mcp::task_id::TaskId;

const LIMITS: TaskLimits = TaskLimits {
    tasks_max: 100,
    per_owner_max: 50,
    ttl_default_ms: 60_000,
    ttl_max_ms: 600_000,
    result_bytes_max: 1_000,
    bytes_max: 1_000_000,
    poll_interval_ms: 500,
};

/// When the tasks of most tests are made.
const NOW_MS: u64 = 1_795_281_600_000;

fn table(limits: TaskLimits) -> TaskTable {
    TaskTable::new(3, limits)
}

fn principal(name: &str) -> TaskOwner {
    TaskOwner::Principal(name.into())
}

fn session(random: u128) -> TaskOwner {
    TaskOwner::Session(SessionId { home: 3, random })
}

/// The holder of an owner's tasks: each owner has one, and all anonymous clients share one.
fn holder_of(owner: &TaskOwner) -> HolderKey {
    static HOLDERS: LazyLock<Holders> = LazyLock::new(Holders::default);
    match owner {
        TaskOwner::Nobody => HolderKey::ANONYMOUS,
        TaskOwner::Principal(name) => HOLDERS.of_principal(name),
        TaskOwner::Session(id) => HOLDERS.of_principal(&format!("session {}", { id.random })),
    }
}

fn create(table: &mut TaskTable, owner: &TaskOwner) -> TaskId {
    let holder = holder_of(owner);
    table.create(owner.clone(), holder, None, NOW_MS).unwrap()
}

fn complete(table: &mut TaskTable, id: TaskId) {
    table.complete(id, b"{}".to_vec(), false, NOW_MS).unwrap();
}

fn status(table: &TaskTable, id: TaskId, owner: &TaskOwner) -> Option<TaskStatus> {
    table.get(id, owner, NOW_MS).map(|task| task.status)
}

#[test]
fn a_task_is_working_and_shows_when_it_was_made() {
    let mut table = table(LIMITS);
    let owner = session(1);
    let id = create(&mut table, &owner);
    assert_eq!(id.home, 3);
    let task = table.get(id, &owner, NOW_MS).unwrap();
    assert_eq!((task.id, task.status), (id, TaskStatus::Working));
    assert_eq!((task.created_ms, task.updated_ms), (NOW_MS, NOW_MS));
    assert_eq!((&task.message, &task.outcome), (&None, &None));
    assert_eq!(task.ttl_ms, LIMITS.ttl_default_ms);
    assert_eq!(table.poll_interval_ms(), 500);
}

#[test]
fn a_task_of_another_owner_is_unknown() {
    let mut table = table(LIMITS);
    let owners = [
        principal("ann"),
        principal("bob"),
        session(1),
        session(2),
        TaskOwner::Nobody,
    ];
    for owner in &owners {
        let id = create(&mut table, owner);
        for other in owners.iter().filter(|other| *other != owner) {
            assert!(table.get(id, other, NOW_MS).is_none());
            let unknown = TaskError::Unknown;
            assert_eq!(table.cancel(id, other, NOW_MS), Err(unknown));
            assert_eq!(table.wait(id, other, Waiter(1), NOW_MS), Err(unknown));
            let answered = table.answer(id, other, "key", vec![], NOW_MS);
            assert_eq!(answered, Err(unknown));
            let page = table.list(other, None, 100, NOW_MS).unwrap();
            assert!(page.tasks.iter().all(|task| task.id != id));
        }
        assert_eq!(status(&table, id, owner), Some(TaskStatus::Working));
    }
}

#[test]
fn an_id_that_was_never_given_is_unknown() {
    let mut table = table(LIMITS);
    create(&mut table, &TaskOwner::Nobody);
    let id = TaskId { home: 3, random: 1 };
    let unknown = TaskError::Unknown;
    assert!(table.get(id, &TaskOwner::Nobody, NOW_MS).is_none());
    assert_eq!(table.fail(id, vec![], NOW_MS), Err(unknown));
    assert_eq!(table.complete(id, vec![], false, NOW_MS), Err(unknown));
    assert_eq!(table.request(id, "key", vec![], NOW_MS), Err(unknown));
    let working = table.set_status(id, RunningStatus::Working, None, NOW_MS);
    assert_eq!(working, Err(unknown));
    assert!(table.take_answers(id).is_empty());
}

#[test]
fn the_end_is_kept_as_it_came() {
    let mut table = table(LIMITS);
    let owner = session(1);
    for is_error in [false, true] {
        let id = create(&mut table, &owner);
        let result = b"{\"content\":[]}".to_vec();
        table.complete(id, result, is_error, NOW_MS + 5).unwrap();
        let task = table.get(id, &owner, NOW_MS + 5).unwrap();
        let expected = Outcome::Result {
            result: (*b"{\"content\":[]}").into(),
            is_error,
        };
        assert_eq!(task.status, TaskStatus::Completed);
        assert_eq!(task.outcome, Some(expected));
        assert_eq!((task.created_ms, task.updated_ms), (NOW_MS, NOW_MS + 5));
    }
    let id = create(&mut table, &owner);
    table.fail(id, b"{}".to_vec(), NOW_MS).unwrap();
    let task = table.get(id, &owner, NOW_MS).unwrap();
    assert_eq!(task.status, TaskStatus::Failed);
    assert_eq!(task.outcome, Some(Outcome::Error((*b"{}").into())));
    let id = create(&mut table, &owner);
    table.cancel(id, &owner, NOW_MS).unwrap();
    let task = table.get(id, &owner, NOW_MS).unwrap();
    assert_eq!((task.status, &task.outcome), (TaskStatus::Cancelled, &None));
}

#[test]
fn nothing_follows_the_end() {
    type End = fn(&mut TaskTable, TaskId);
    let ends: [(TaskStatus, End); 3] = [
        (TaskStatus::Completed, complete),
        (TaskStatus::Failed, |table, id| {
            table.fail(id, vec![], NOW_MS).unwrap();
        }),
        (TaskStatus::Cancelled, |table, id| {
            table.cancel(id, &TaskOwner::Nobody, NOW_MS).unwrap();
        }),
    ];
    for (from, end) in ends {
        let mut table = table(LIMITS);
        let id = create(&mut table, &TaskOwner::Nobody);
        end(&mut table, id);
        let refused = |to| TaskError::Transition { from, to };
        let late = NOW_MS + 1;
        let working = table.set_status(id, RunningStatus::Working, None, late);
        assert_eq!(working, Err(refused(TaskStatus::Working)));
        let made = table.request(id, "key", vec![], late);
        assert_eq!(made, Err(refused(TaskStatus::InputRequired)));
        let completed = table.complete(id, vec![], false, late);
        assert_eq!(completed, Err(refused(TaskStatus::Completed)));
        let failed = table.fail(id, vec![], late);
        assert_eq!(failed, Err(refused(TaskStatus::Failed)));
        let cancelled = table.cancel(id, &TaskOwner::Nobody, late);
        assert_eq!(cancelled, Err(refused(TaskStatus::Cancelled)));
        let task = table.get(id, &TaskOwner::Nobody, NOW_MS).unwrap();
        assert_eq!((task.status, task.updated_ms), (from, NOW_MS));
    }
}

#[test]
fn a_status_comes_with_its_message_and_time_does_not_go_back() {
    let mut table = table(LIMITS);
    let owner = session(1);
    let id = create(&mut table, &owner);
    let steps = [
        (RunningStatus::Working, Some("step 1"), 10, 10),
        (RunningStatus::Working, Some("step 2"), 20, 20),
        (RunningStatus::InputRequired, Some("a question"), 30, 30),
        (RunningStatus::Working, None, 25, 30),
    ];
    for (to, message, at_ms, updated_ms) in steps {
        table.set_status(id, to, message, NOW_MS + at_ms).unwrap();
        let task = table.get(id, &owner, NOW_MS).unwrap();
        assert_eq!(task.status, to.into());
        assert_eq!(task.message.as_deref(), message);
        assert_eq!(task.updated_ms, NOW_MS + updated_ms);
    }
}

#[test]
fn waiters_are_returned_once_at_the_end() {
    let mut table = table(LIMITS);
    let owner = session(1);
    let [completed, failed, cancelled] = [(); 3].map(|()| create(&mut table, &owner));
    for id in [completed, failed, cancelled] {
        for waiter in [1, 2, 3] {
            let waits = table.wait(id, &owner, Waiter(waiter), NOW_MS);
            assert_eq!(waits, Ok(Wait::Registered));
        }
        table.leave(id, Waiter(2));
        let waiters = table.get(id, &owner, NOW_MS).unwrap().waiters();
        assert_eq!(waiters, [Waiter(1), Waiter(3)]);
    }
    let expected = Ok(vec![Waiter(1), Waiter(3)]);
    assert_eq!(table.complete(completed, vec![], false, NOW_MS), expected);
    assert_eq!(table.fail(failed, vec![], NOW_MS), expected);
    assert_eq!(table.cancel(cancelled, &owner, NOW_MS), expected);
    for id in [completed, failed, cancelled] {
        let waits = table.wait(id, &owner, Waiter(4), NOW_MS);
        assert_eq!(waits, Ok(Wait::Over));
        assert!(table.get(id, &owner, NOW_MS).unwrap().waiters().is_empty());
    }
}

#[test]
fn pages_list_each_task_once_in_order_during_changes() {
    let mut table = table(LIMITS);
    let owner = principal("ann");
    let ids: Vec<_> = (0..7).map(|_| create(&mut table, &owner)).collect();
    create(&mut table, &principal("bob"));
    let listed = |table: &TaskTable, cursor, page_max| {
        let page = table.list(&owner, cursor, page_max, NOW_MS).unwrap();
        let ids: Vec<_> = page.tasks.iter().map(|task| task.id).collect();
        (ids, page.next)
    };
    let (first, cursor) = listed(&table, None, 3);
    assert_eq!(first, ids[..3]);
    complete(&mut table, ids[2]);
    complete(&mut table, ids[4]);
    for id in [ids[2], ids[4]] {
        let index = table.store.index_of(id).unwrap();
        table.store.remove(index);
    }
    let late = create(&mut table, &owner);
    let (second, cursor) = listed(&table, cursor, 3);
    assert_eq!(second, [ids[3], ids[5], ids[6]]);
    assert_eq!(listed(&table, cursor, 3), (vec![late], None));
    assert_eq!(listed(&table, cursor, 0), (vec![late], None));
    let (whole, end) = listed(&table, None, 6);
    assert_eq!((whole.len(), end), (6, None));
}

#[test]
fn an_unknown_cursor_is_refused_and_anonymous_clients_have_no_list() {
    let mut table = table(LIMITS);
    let id = create(&mut table, &TaskOwner::Nobody);
    let future = Some(ListCursor { ordinal: 1 });
    let refused = table.list(&session(1), future, 10, NOW_MS);
    assert_eq!(refused.unwrap_err(), UnknownCursor);
    let page = table.list(&TaskOwner::Nobody, None, 10, NOW_MS).unwrap();
    assert!(page.tasks.is_empty() && page.next.is_none());
    assert_eq!(
        status(&table, id, &TaskOwner::Nobody),
        Some(TaskStatus::Working)
    );
}

#[test]
fn the_time_to_live_counts_from_the_creation_within_bounds() {
    let mut table = table(LIMITS);
    let owner = session(1);
    for (requested_ms, ttl_ms) in [
        (None, 60_000),
        (Some(0), 500),
        (Some(1_000), 1_000),
        (Some(u64::MAX), 600_000),
    ] {
        let id = table
            .create(owner.clone(), holder_of(&owner), requested_ms, NOW_MS)
            .unwrap();
        complete(&mut table, id);
        let end_ms = NOW_MS + ttl_ms;
        let last = table.get(id, &owner, end_ms - 1).unwrap();
        assert_eq!(last.ttl_ms, ttl_ms);
        assert!(table.get(id, &owner, end_ms).is_none());
        let listed = table.list(&owner, None, 10, end_ms).unwrap();
        assert!(listed.tasks.iter().all(|task| task.id != id));
    }
}

#[test]
fn tasks_expire_in_order_within_the_budget_and_return_their_waiters() {
    let mut table = table(LIMITS);
    let owner = session(1);
    let mut make = |ttl_ms| {
        let holder = holder_of(&owner);
        table
            .create(owner.clone(), holder, Some(ttl_ms), NOW_MS)
            .unwrap()
    };
    let [third, first, second] = [3_000, 1_000, 2_000].map(&mut make);
    complete(&mut table, first);
    table.wait(second, &owner, Waiter(7), NOW_MS).unwrap();
    assert_eq!(table.next_expiry_ms(), Some(NOW_MS + 1_000));
    assert_eq!(table.expire(NOW_MS + 999, 10), []);
    let removed = |id, was_running, waiters| Removed {
        id,
        was_running,
        waiters,
    };
    let late_ms = NOW_MS + 2_500;
    assert_eq!(table.expire(late_ms, 1), [removed(first, false, vec![])]);
    let running = removed(second, true, vec![Waiter(7)]);
    assert_eq!(table.expire(late_ms, 10), [running]);
    assert_eq!(table.next_expiry_ms(), Some(NOW_MS + 3_000));
    assert_eq!(
        table.complete(second, vec![], false, late_ms),
        Err(TaskError::Unknown)
    );
    assert_eq!(table.expire(u64::MAX, 10), [removed(third, true, vec![])]);
    assert_eq!((table.next_expiry_ms(), table.bytes()), (None, 0));
}

#[test]
fn forgetting_an_owner_forgets_its_tasks_and_no_others() {
    let mut table = table(LIMITS);
    let [one, other] = [1, 2].map(session);
    let [running, over, kept] = [&one, &one, &other].map(|owner| create(&mut table, owner));
    complete(&mut table, over);
    let removed = table.forget_owner(&one);
    let expected = [(running, true), (over, false)];
    let removed: Vec<_> = removed
        .iter()
        .map(|one| (one.id, one.was_running))
        .collect();
    assert_eq!(removed, expected);
    assert_eq!(status(&table, kept, &other), Some(TaskStatus::Working));
    assert_eq!(table.forget_owner(&TaskOwner::Nobody), []);
    assert_eq!(table.len(), 1);
}
