//! The limits: the order of eviction, and refusals.

use super::{
    CreateError, LIMITS, NOW_MS, NotKept, Outcome, RunningStatus, TaskError, TaskLimits, TaskOwner,
    TaskStatus, TaskTable, Waiter, complete, create, holder_of, principal, session, status, table,
};
use crate::mcp::task_id::TaskId;
use crate::mcp::task_table::store::{INPUT_OVERHEAD_BYTES, TASK_OVERHEAD_BYTES, WAITERS_MAX};

fn refusal(table: &mut TaskTable, owner: &TaskOwner) -> CreateError {
    let holder = holder_of(owner);
    table
        .create(owner.clone(), holder, None, NOW_MS)
        .unwrap_err()
}

#[test]
fn at_the_cap_the_task_that_ended_first_makes_room_and_a_running_one_never_does() {
    let mut table = table(TaskLimits {
        tasks_max: 3,
        ..LIMITS
    });
    let owner = session(1);
    let [running, late, early] = [(); 3].map(|()| create(&mut table, &owner));
    complete(&mut table, early);
    complete(&mut table, late);
    let fourth = create(&mut table, &session(2));
    assert_eq!(status(&table, early, &owner), None);
    assert_eq!(status(&table, late, &owner), Some(TaskStatus::Completed));
    create(&mut table, &session(2));
    assert_eq!(status(&table, late, &owner), None);
    assert_eq!(table.evicted(), 2);
    let full = CreateError::Full { tasks_max: 3 };
    assert_eq!(refusal(&mut table, &owner), full);
    assert_eq!(status(&table, running, &owner), Some(TaskStatus::Working));
    complete(&mut table, fourth);
    create(&mut table, &owner);
    assert_eq!(table.len(), 3);
}

#[test]
fn past_a_lowered_limit_finished_tasks_go_one_at_a_time_and_running_ones_stay() {
    let mut table = table(LIMITS);
    let owner = session(1);
    let tasks = [(); 6].map(|()| create(&mut table, &owner));
    for over in &tasks[2..] {
        complete(&mut table, *over);
    }
    table.set_limits(TaskLimits {
        tasks_max: 3,
        ..LIMITS
    });
    for left in [5, 4, 3] {
        assert!(table.is_shrinking());
        table.shrink();
        assert_eq!(table.len(), left);
    }
    assert!(!table.is_shrinking());
    assert_eq!(table.evicted(), 3);
    // Fewer than run: the last finished one goes.
    table.set_limits(TaskLimits {
        tasks_max: 1,
        ..LIMITS
    });
    table.shrink();
    assert!(!table.is_shrinking());
    for running in &tasks[..2] {
        let found = status(&table, *running, &owner);
        assert_eq!(found, Some(TaskStatus::Working));
    }
    assert_eq!(
        refusal(&mut table, &owner),
        CreateError::Full { tasks_max: 1 }
    );
}

#[test]
fn an_owner_at_its_cap_makes_room_of_its_own() {
    let mut table = table(TaskLimits {
        per_owner_max: 2,
        ..LIMITS
    });
    let (one, other) = (principal("ann"), principal("bob"));
    let theirs = create(&mut table, &other);
    complete(&mut table, theirs);
    let [over, _running] = [(); 2].map(|()| create(&mut table, &one));
    complete(&mut table, over);
    create(&mut table, &one);
    assert_eq!(status(&table, over, &one), None);
    let full = CreateError::OwnerFull { tasks_max: 2 };
    assert_eq!(refusal(&mut table, &one), full);
    assert_eq!(status(&table, theirs, &other), Some(TaskStatus::Completed));
    for _ in 0..5 {
        create(&mut table, &TaskOwner::Nobody);
    }
}

#[test]
fn a_holder_at_its_share_makes_room_of_its_own_and_leaves_some_to_others() {
    let mut table = table(TaskLimits {
        tasks_max: 90,
        ..LIMITS
    });
    let other = principal("bob");
    let theirs = create(&mut table, &other);
    complete(&mut table, theirs);
    let first = create(&mut table, &TaskOwner::Nobody);
    complete(&mut table, first);
    let mut held = 1;
    while status(&table, first, &TaskOwner::Nobody).is_some() {
        create(&mut table, &TaskOwner::Nobody);
        held += 1;
    }
    // The finished one was evicted.
    held -= 1;
    assert!((75..=80).contains(&held), "{held} of 90");
    let full = CreateError::HolderFull {
        held,
        tasks_max: 90,
    };
    assert_eq!(refusal(&mut table, &TaskOwner::Nobody), full);
    assert_eq!(status(&table, theirs, &other), Some(TaskStatus::Completed));
    create(&mut table, &other);
    create(&mut table, &session(1));
}

#[test]
fn memory_is_made_from_tasks_that_are_over_and_only_if_that_suffices() {
    let bytes_max = 3 * TASK_OVERHEAD_BYTES + 1_000;
    let mut table = table(TaskLimits {
        bytes_max,
        result_bytes_max: bytes_max,
        ..LIMITS
    });
    let owners = [1, 2, 3].map(session);
    let [running, first, second] = [0, 1, 2].map(|at| create(&mut table, &owners[at]));
    let content = |bytes| vec![b'x'; bytes];
    table.complete(first, content(900), false, NOW_MS).unwrap();
    table.complete(second, content(100), false, NOW_MS).unwrap();
    assert_eq!(table.bytes(), bytes_max);
    // Without either of the two there would be a byte too little: both stay.
    let bytes_free = 2 * TASK_OVERHEAD_BYTES + 1_000;
    let bytes = bytes_free + 1;
    let made = table.request(running, "", content(bytes - INPUT_OVERHEAD_BYTES), NOW_MS);
    let no_room = NotKept::NoRoom { bytes, bytes_free };
    assert_eq!(made, Err(TaskError::NotKept(no_room)));
    assert_eq!((table.len(), table.bytes()), (3, bytes_max));
    // One byte costs the task that ended first.
    table
        .set_status(running, RunningStatus::Working, Some("."), NOW_MS)
        .unwrap();
    assert_eq!(status(&table, first, &owners[1]), None);
    let kept = status(&table, second, &owners[2]);
    assert_eq!(kept, Some(TaskStatus::Completed));
    assert_eq!(table.bytes(), 2 * TASK_OVERHEAD_BYTES + 101);
}

/// A table for nine results of `bytes`, with some more for the tasks themselves.
fn table_for_nine(bytes: usize) -> TaskTable {
    table(TaskLimits {
        bytes_max: 9 * (TASK_OVERHEAD_BYTES + bytes),
        result_bytes_max: bytes,
        ..LIMITS
    })
}

/// Makes a task with a result of `bytes`.
fn completed(table: &mut TaskTable, owner: &TaskOwner, bytes: usize) -> TaskId {
    let id = create(table, owner);
    table
        .complete(id, vec![b'x'; bytes], false, NOW_MS)
        .unwrap();
    id
}

#[test]
fn a_holder_past_its_share_of_bytes_loses_its_own_results_and_no_other_does() {
    let mut table = table_for_nine(100_000);
    let (greedy, other) = (principal("ann"), principal("bob"));
    let theirs = completed(&mut table, &other, 100);
    let made: Vec<TaskId> = (0..30)
        .map(|_| completed(&mut table, &greedy, 100_000))
        .collect();
    assert_eq!(status(&table, theirs, &other), Some(TaskStatus::Completed));
    let is_kept = |id: &&TaskId| status(&table, **id, &greedy).is_some();
    let kept: Vec<_> = made.iter().filter(is_kept).copied().collect();
    assert_eq!(
        kept,
        made[30 - 7..],
        "its newest, eight ninths of the whole"
    );
}

#[test]
fn the_holder_furthest_past_its_share_makes_room_for_the_others() {
    let mut table = table_for_nine(100_000);
    let (greedy, other) = (principal("ann"), principal("bob"));
    let theirs = completed(&mut table, &other, 10_000);
    let made: Vec<TaskId> = (0..8)
        .map(|_| completed(&mut table, &greedy, 100_000))
        .collect();
    let mut kept = made
        .iter()
        .filter(|id| status(&table, **id, &greedy).is_some());
    let first = *kept.next().expect("its newest are kept");
    for newcomer in [1, 2, 3].map(session) {
        let id = completed(&mut table, &newcomer, 90_000);
        assert_eq!(status(&table, id, &newcomer), Some(TaskStatus::Completed));
    }
    assert_eq!(status(&table, first, &greedy), None);
    assert_eq!(status(&table, theirs, &other), Some(TaskStatus::Completed));
}

#[test]
fn a_result_larger_than_a_share_is_kept_in_a_table_full_of_small_holders() {
    let mut table = table_for_nine(100_000);
    let owners: Vec<TaskOwner> = (1..=90).map(session).collect();
    let small: Vec<TaskId> = owners
        .iter()
        .map(|owner| completed(&mut table, owner, 10_000 - 200))
        .collect();
    let large = principal("ann");
    let first = completed(&mut table, &large, 100_000);
    assert_eq!(status(&table, first, &large), Some(TaskStatus::Completed));
    let kept_of = |table: &TaskTable| {
        let pairs = small.iter().zip(&owners);
        pairs
            .filter(|(id, owner)| status(table, **id, owner).is_some())
            .count()
    };
    let kept = kept_of(&table);
    let second = completed(&mut table, &large, 100_000);
    assert_eq!(status(&table, first, &large), None, "its own goes next");
    assert_eq!(status(&table, second, &large), Some(TaskStatus::Completed));
    assert_eq!(kept_of(&table), kept);
}

#[test]
fn a_table_without_tasks_owns_nothing() {
    let mut table = table(LIMITS);
    for round in 0..2 {
        let owners = [session(1), principal("ann"), TaskOwner::Nobody];
        for owner in owners.iter().cycle().take(30) {
            let id = create(&mut table, owner);
            table.request(id, "key", vec![1; 10], NOW_MS).unwrap();
            if round == 0 {
                complete(&mut table, id);
            }
        }
        let removed = table.expire(NOW_MS + LIMITS.ttl_default_ms, 100);
        assert_eq!(removed.len(), 30);
        assert_eq!((table.len(), table.bytes()), (0, 0));
        assert!(table.store.owns_nothing());
    }
}

#[test]
fn running_tasks_may_hold_all_the_memory() {
    let mut table = table(TaskLimits {
        bytes_max: 2 * TASK_OVERHEAD_BYTES + 10,
        ..LIMITS
    });
    let owner = session(1);
    let [one, other] = [(); 2].map(|()| create(&mut table, &owner));
    let no_room = |bytes, bytes_free| NotKept::NoRoom { bytes, bytes_free };
    let refused = refusal(&mut table, &owner);
    assert_eq!(
        refused,
        CreateError::NotKept(no_room(TASK_OVERHEAD_BYTES, 10))
    );
    let long = "12345678901";
    let said = table.set_status(one, RunningStatus::Working, Some(long), NOW_MS);
    assert_eq!(said, Err(TaskError::NotKept(no_room(11, 10))));
    // A task ends whether its outcome fits or not.
    table.wait(one, &owner, Waiter(1), NOW_MS).unwrap();
    let waiters = table.complete(one, long.into(), false, NOW_MS).unwrap();
    assert_eq!(waiters, [Waiter(1)]);
    let task = table.get(one, &owner, NOW_MS).unwrap();
    assert_eq!(task.status, TaskStatus::Failed);
    assert_eq!(task.outcome, Some(Outcome::Lost(no_room(11, 10))));
    // The finished one is evicted for the other one's outcome.
    table.complete(other, long.into(), false, NOW_MS).unwrap();
    assert_eq!(status(&table, one, &owner), None);
    assert_eq!(status(&table, other, &owner), Some(TaskStatus::Completed));
}

#[test]
fn one_piece_is_limited() {
    let mut table = table(LIMITS);
    let owner = session(1);
    let id = create(&mut table, &owner);
    let much = |bytes| vec![b'x'; bytes];
    let too_large = |bytes| NotKept::TooLarge {
        bytes,
        bytes_max: 1_000,
    };
    let made = table.request(id, "k", much(1_000), NOW_MS);
    assert_eq!(made, Err(TaskError::NotKept(too_large(1_001))));
    table.request(id, "k", much(999), NOW_MS).unwrap();
    let answered = table.answer(id, &owner, "k", much(1_001), NOW_MS);
    assert_eq!(answered, Err(TaskError::NotKept(too_large(1_001))));
    assert_eq!(status(&table, id, &owner), Some(TaskStatus::InputRequired));
    table.answer(id, &owner, "k", much(1_000), NOW_MS).unwrap();
    for (bytes, outcome) in [
        (1_000, Outcome::Error(much(1_000).into())),
        (1_001, Outcome::Lost(too_large(1_001))),
    ] {
        let id = create(&mut table, &owner);
        table.fail(id, much(bytes), NOW_MS).unwrap();
        let task = table.get(id, &owner, NOW_MS).unwrap();
        assert_eq!(task.status, TaskStatus::Failed);
        assert_eq!(task.outcome, Some(outcome));
    }
}

#[test]
fn a_limited_number_waits() {
    let mut table = table(LIMITS);
    let owner = session(1);
    let id = create(&mut table, &owner);
    let mut wait = |waiter| table.wait(id, &owner, Waiter(waiter), NOW_MS);
    for waiter in 0..WAITERS_MAX {
        wait(waiter as u64).unwrap();
    }
    let refused = TaskError::TooManyWaiters {
        waiters_max: WAITERS_MAX,
    };
    assert_eq!(wait(99), Err(refused));
    table.leave(id, Waiter(0));
    table.wait(id, &owner, Waiter(99), NOW_MS).unwrap();
}

#[test]
fn limits_of_nothing_refuse_everything() {
    let none = TaskLimits {
        tasks_max: 0,
        ..LIMITS
    };
    let refused = refusal(&mut table(none), &TaskOwner::Nobody);
    assert_eq!(refused, CreateError::Full { tasks_max: 0 });
    let none = TaskLimits {
        per_owner_max: 0,
        ..LIMITS
    };
    let refused = refusal(&mut table(none), &session(1));
    assert_eq!(refused, CreateError::OwnerFull { tasks_max: 0 });
}

#[test]
fn errors_state_the_fact_and_the_limit() {
    let cases = [
        (
            CreateError::OwnerFull { tasks_max: 4 }.to_string(),
            "owner has 4 running tasks, which is the limit",
        ),
        (
            TaskError::Transition {
                from: TaskStatus::Cancelled,
                to: TaskStatus::InputRequired,
            }
            .to_string(),
            "task cannot go from cancelled to input_required",
        ),
        (
            TaskError::NotKept(NotKept::TooLarge {
                bytes: 11,
                bytes_max: 10,
            })
            .to_string(),
            "content of 11 bytes exceeds limit of 10",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(text, expected);
    }
}
