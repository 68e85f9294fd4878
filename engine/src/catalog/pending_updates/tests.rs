//! Changes on their way to the shards: coalescing, wakes, and the order of plan and broadcast.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::*;
use crate::catalog::Entries;
use corelane_io::wake::WakeFd;
use std::collections::HashSet;

fn plan() -> Arc<Plan> {
    Arc::new(Plan::new(Entries::default(), 10).unwrap())
}

#[test]
fn nothing_can_be_changed_before_the_start() {
    let updates = PendingUpdates::default();
    assert!(matches!(
        updates.updated("a:b", true),
        Err(ChangeError::NotRunning)
    ));
}

#[test]
fn changes_coalesce_until_each_shard_takes_them() {
    let updates = PendingUpdates::default();
    let shards = updates.open(&plan(), 2);
    assert!(shards[0].take(true).is_none());
    for _ in 0..3 {
        updates.updated("a:b", true).unwrap();
    }
    let edit = |_: &Plan| Ok(Some(Plan::new(Entries::default(), 10)?));
    assert!(updates.change(ListKind::Tools, edit).unwrap());
    assert!(!updates.change(ListKind::Prompts, |_| Ok(None)).unwrap());
    for shard in &shards {
        let changes = shard.take(true).unwrap();
        assert_eq!(changes.resources.uris().len(), 1);
        assert!(changes.plan.is_some());
    }
    for shard in &shards {
        let lists = shard.take(true).unwrap().lists;
        assert!(lists.contains(ListKind::Tools));
        assert!(!lists.contains(ListKind::Prompts));
        assert!(shard.take(true).is_none());
    }
}

#[test]
fn a_change_wakes_a_shard_that_has_taken_the_one_before() {
    let updates = PendingUpdates::default();
    let shards = updates.open(&plan(), 1);
    let wake = WakeFd::open().unwrap();
    shards[0].set_waker(wake.waker());
    for round in 0..3 {
        updates.updated("a:b", true).unwrap();
        assert!(takes_wake(&wake), "round {round}");
        updates.updated("a:c", true).unwrap();
        assert!(!takes_wake(&wake), "it has not looked yet");
        assert_eq!(shards[0].take(true).unwrap().resources.uris().len(), 2);
    }
    change(&updates, ListKind::Tools);
    assert!(takes_wake(&wake), "a new plan");
    drop(shards[0].take(true).unwrap());
    assert!(takes_wake(&wake), "the list that changed with it");
}

/// Whether there was a wake since the last look.
fn takes_wake(wake: &WakeFd) -> bool {
    let mut look = [PollFd::new(wake, PollFlags::IN)];
    let woken = poll(&mut look, Some(&Timespec::default())).unwrap() == 1;
    wake.clear();
    woken
}

#[test]
fn a_list_is_broadcast_when_every_shard_has_it() {
    let updates = PendingUpdates::default();
    let shards = updates.open(&plan(), 2);
    change(&updates, ListKind::Tools);
    let first = shards[0].take(true).unwrap();
    let second = shards[1].take(true).unwrap();
    assert!(first.lists.is_empty() && second.lists.is_empty());
    drop(first);
    assert!(
        shards[0].take(true).is_none(),
        "the other uses the old plan"
    );
    drop(second);
    check_broadcast(&shards, &[ListKind::Tools]);
}

#[test]
fn each_of_several_changes_is_broadcast_once() {
    let updates = PendingUpdates::default();
    let shards = updates.open(&plan(), 2);
    change(&updates, ListKind::Tools);
    drop(shards[0].take(true).unwrap());
    // The second shard never takes the first plan.
    change(&updates, ListKind::Prompts);
    change(&updates, ListKind::Resources);
    drop(shards[1].take(true).unwrap());
    check_broadcast(&shards[1..], &[ListKind::Tools]);
    let first = shards[0].take(true).unwrap();
    assert!(first.plan.is_some() && first.lists.contains(ListKind::Tools));
    drop(first);
    check_broadcast(&shards, &[ListKind::Prompts, ListKind::Resources]);
}

#[test]
fn a_change_is_broadcast_although_its_handle_is_gone() {
    let updates = PendingUpdates::default();
    let shards = updates.open(&plan(), 2);
    change(&updates, ListKind::Tools);
    drop(updates);
    for shard in &shards {
        drop(shard.take(true).unwrap());
    }
    check_broadcast(&shards, &[ListKind::Tools]);
}

#[test]
fn endless_changes_of_a_list_are_broadcast_meanwhile() {
    let updates = PendingUpdates::default();
    let shards = updates.open(&plan(), 2);
    let mut broadcasts = 0;
    for _ in 0..10 {
        // No shard ever has the latest plan.
        for shard in &shards {
            change(&updates, ListKind::Tools);
            broadcasts += usize::from(!shard.take(true).unwrap().lists.is_empty());
        }
    }
    assert!((4..=20).contains(&broadcasts), "{broadcasts}");
}

/// Changes a list.
fn change(updates: &PendingUpdates, kind: ListKind) {
    let edit = |_: &Plan| Ok(Some(Plan::new(Entries::default(), 10)?));
    assert!(updates.change(kind, edit).unwrap());
}

/// Every shard broadcasts exactly these lists, and no plan.
fn check_broadcast(shards: &[Arc<ShardUpdates>], lists: &[ListKind]) {
    for shard in shards {
        let taken_changes = shard.take(true).unwrap();
        assert!(taken_changes.plan.is_none() && taken_changes.new_plan.is_none());
        for kind in ListKind::ALL {
            assert_eq!(
                taken_changes.lists.contains(kind),
                lists.contains(&kind),
                "{kind:?}"
            );
        }
        assert!(shard.take(true).is_none());
    }
}

#[test]
fn each_shard_takes_the_latest_settings_once() {
    let updates = PendingUpdates::default();
    let live = |generation| Live::for_tests(generation, &Default::default());
    assert!(updates.publish(&live(1)).is_none(), "it does not run yet");
    let shards = updates.open(&plan(), 2);
    assert!(updates.live().is_none());
    let first = updates.publish(&live(1)).unwrap();
    shards[0].take(true).unwrap().live.unwrap().adopted();
    let second = updates.publish(&live(2)).unwrap();
    for shard in &shards {
        let taken = shard.take(true).unwrap().live.unwrap();
        assert_eq!(taken.live.generation, 2);
        taken.adopted();
        assert!(shard.take(true).is_none());
    }
    assert_eq!(first.wait(Duration::ZERO), Err(vec![1]));
    assert!(second.wait(Duration::ZERO).is_ok());
    assert_eq!(updates.live().unwrap().generation, 2);
}

#[test]
fn more_resources_than_are_kept_are_refused() {
    let updates = PendingUpdates::default();
    let shards = updates.open(&plan(), 1);
    for at in 0..UPDATES_MAX {
        updates.updated(&format!("a:{at}"), true).unwrap();
    }
    assert!(matches!(
        updates.updated("a:more", true),
        Err(ChangeError::TooMany)
    ));
    updates.updated("a:0", true).unwrap();
    let kept = shards[0].take(false).unwrap();
    assert!(
        kept.resources.is_empty(),
        "they stay while the shard has no room"
    );
    assert!(matches!(
        updates.updated("a:more", true),
        Err(ChangeError::TooMany)
    ));
    assert_eq!(
        shards[0].take(true).unwrap().resources.uris().len(),
        UPDATES_MAX
    );
    updates.updated("a:more", true).unwrap();
}

#[test]
fn resources_stay_while_everything_else_is_taken() {
    let updates = PendingUpdates::default();
    let shards = updates.open(&plan(), 1);
    updates.updated("a:b", true).unwrap();
    let edit = |_: &Plan| Ok(Some(Plan::new(Entries::default(), 10)?));
    assert!(updates.change(ListKind::Tools, edit).unwrap());
    let taken = shards[0].take(false).unwrap();
    assert!(taken.plan.is_some() && taken.resources.is_empty());
    drop(taken);
    updates.updated("a:b", true).unwrap();
    updates.updated("a:c", true).unwrap();
    let taken = shards[0].take(false).unwrap();
    assert!(taken.lists.contains(ListKind::Tools) && taken.resources.is_empty());
    assert!(shards[0].has_changes(), "the shard must not sleep");
    let taken = shards[0].take(true).unwrap();
    assert_eq!(
        *taken.resources.uris(),
        HashSet::from(["a:b".into(), "a:c".into()])
    );
    assert!(taken.lists.is_empty() && !shards[0].has_changes());
}
