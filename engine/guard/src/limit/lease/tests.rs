//! Leases among shards with late, lost and stalled messages, on a virtual clock.

use std::collections::VecDeque;

use super::{LeaseKind, LeaseMessage, Limiter, Spend, share_of};
use crate::holder::HolderKey;
use crate::limit::bucket::{Bucket, Rate};
use crate::limit::{LimitKey, MS, SECOND};
use corelane_io::rng::Rng;

const STEP_NS: u64 = MS / 5;

/// The shards of a server.
struct Server {
    limiters: Vec<Limiter>,
    /// By receiver: when a message arrives, and its sender.
    lanes: Vec<VecDeque<(u64, u16, LeaseMessage)>>,
    stalled_until_ns: Vec<u64>,
    now_ns: u64,
    delay_ns: u64,
}

impl Server {
    fn new(shards: u16, delay_ns: u64) -> Server {
        let limiter = |shard| Limiter::new((shard, shards), 64);
        Server {
            limiters: (0..shards).map(limiter).collect(),
            lanes: vec![VecDeque::new(); usize::from(shards)],
            stalled_until_ns: vec![0; usize::from(shards)],
            now_ns: 0,
            delay_ns,
        }
    }

    fn runs(&self, shard: usize) -> bool {
        self.stalled_until_ns[shard] <= self.now_ns
    }

    /// Lets a step pass: messages arrive at all shards that run.
    fn step(&mut self) {
        self.now_ns += STEP_NS;
        for shard in 0..self.limiters.len() {
            if !self.runs(shard) {
                continue;
            }
            let lane = std::mem::take(&mut self.lanes[shard]);
            let has_come = |(due_ns, ..): &(u64, u16, LeaseMessage)| *due_ns <= self.now_ns;
            let (come, later): (VecDeque<_>, VecDeque<_>) = lane.into_iter().partition(has_come);
            self.lanes[shard] = later;
            for (_, from, message) in come {
                self.limiters[shard].handle_message(from, message, self.now_ns);
            }
            self.limiters[shard].handle_time(self.now_ns);
            self.send(shard);
        }
    }

    fn send(&mut self, shard: usize) {
        while let Some((to, message)) = self.limiters[shard].poll_message() {
            let due_ns = self.now_ns + self.delay_ns;
            self.lanes[usize::from(to)].push_back((due_ns, shard as u16, message));
        }
    }

    fn spend(&mut self, shard: usize, key: LimitKey, rate: Rate) -> bool {
        let spend = self.limiters[shard].spend(key, rate, self.now_ns);
        self.send(shard);
        spend == Spend::Admitted
    }

    /// A shard dies with its state, and maybe with the messages on their way to it.
    fn kill(&mut self, dead: usize, loses_messages: bool) {
        let shards = self.limiters.len() as u16;
        let mut next = Limiter::new((dead as u16, shards), 64);
        next.follow_death(self.now_ns);
        self.limiters[dead] = next;
        if loses_messages {
            self.lanes[dead].clear();
        }
        for (shard, limiter) in self.limiters.iter_mut().enumerate() {
            if shard != dead {
                limiter.handle_shard_gone(dead as u16);
            }
        }
    }
}

/// Checks that each request is within the bound: the burst, the rate, and for each shard a share as
/// a lease and a share as a debt.
struct Bound {
    rate: Rate,
    bucket: Bucket,
    extra: u32,
    admitted: u64,
    share: u32,
}

impl Bound {
    fn new(requests: u64, burst: u32, shards: u16) -> Bound {
        let share = share_of(Rate::new(requests, 1, burst).unwrap(), shards);
        let burst = burst + u32::from(shards) * 2 * share;
        Bound {
            rate: Rate::new(requests, 1, burst).unwrap(),
            bucket: Bucket::default(),
            extra: 0,
            admitted: 0,
            share,
        }
    }

    /// A shard dies: another share for each of so many shards is within the bound.
    fn add_shares(&mut self, shards: u16) {
        self.extra += u32::from(shards) * self.share;
    }

    #[track_caller]
    fn admit(&mut self, now_ns: u64) {
        if !self.bucket.take(self.rate, now_ns) {
            assert!(self.extra > 0, "at {now_ns} ns");
            self.extra -= 1;
        }
        self.admitted += 1;
    }
}

fn key_of(number: u64, rate: Rate) -> LimitKey {
    LimitKey::new((rate, number), HolderKey::ANONYMOUS)
}

/// The requests admitted in ten seconds to connections that send ten times the rate together, after
/// the burst is over.
fn admitted_in_ten_seconds(shards: u16, connections: usize, requests: u64) -> u64 {
    let burst = (requests / 10).max(1) as u32;
    let rate = Rate::new(requests, 1, burst).unwrap();
    let mut rng = Rng::printed();
    let key = key_of(rng.below(1 << 40), rate);
    let homes: Vec<usize> = (0..connections)
        .map(|_| rng.below(u64::from(shards)) as usize)
        .collect();
    let mut server = Server::new(shards, MS / 10);
    let mut bound = Bound::new(requests, burst, shards);
    let mut due = 0.0;
    let mut before = 0;
    while server.now_ns < 11 * SECOND {
        server.step();
        due += 10.0 * requests as f64 * STEP_NS as f64 / SECOND as f64;
        while due >= 1.0 {
            due -= 1.0;
            let shard = homes[rng.below(connections as u64) as usize];
            if server.spend(shard, key, rate) {
                bound.admit(server.now_ns);
            }
        }
        if server.now_ns <= SECOND {
            before = bound.admitted;
        }
    }
    bound.admitted - before
}

#[test]
fn ten_times_the_rate_is_cut_to_the_rate_on_any_number_of_shards_and_connections() {
    for shards in [1, 2, 4] {
        for connections in [1, 100] {
            for requests in [20, 100, 500] {
                let found = admitted_in_ten_seconds(shards, connections, requests);
                let expected = 10 * requests;
                let error = found.abs_diff(expected) as f64 / expected as f64;
                let case = format!("{shards} shards, {connections} connections, {requests}/s");
                assert!(error <= 0.05, "{case}: {found} of {expected}");
            }
        }
    }
}

#[test]
fn each_shard_gets_its_part_of_a_rate_that_is_exceeded() {
    let rate = Rate::new(400, 1, 40).unwrap();
    let key = key_of(7, rate);
    let mut server = Server::new(4, MS / 10);
    let mut admitted = [0_u32; 4];
    while server.now_ns < 10 * SECOND {
        server.step();
        for (shard, admitted) in admitted.iter_mut().enumerate() {
            *admitted += u32::from(server.spend(shard, key, rate));
        }
    }
    let least = admitted.iter().min().unwrap();
    assert!(*least >= 800, "of 1000 each: {admitted:?}");
}

#[test]
fn one_shard_alone_has_the_whole_rate_and_nothing_is_refused_below_it() {
    let rate = Rate::new(1000, 1, 100).unwrap();
    for number in 0..8 {
        let key = key_of(number, rate);
        let mut server = Server::new(4, MS / 10);
        let mut refused = 0;
        while server.now_ns < 3 * SECOND {
            server.step();
            if server.now_ns.is_multiple_of(5 * STEP_NS) {
                refused += u32::from(!server.spend(2, key, rate));
            }
        }
        assert_eq!(refused, 0, "the home is {}", key.home(4));
    }
}

#[test]
fn faults_never_admit_more_than_the_bound() {
    let mut rng = Rng::printed();
    for _ in 0..20 {
        let shards = [1, 2, 4][rng.below(3) as usize];
        let requests = [5, 100, 3000][rng.below(3) as usize];
        let burst = 1 + rng.below(2 * requests) as u32;
        let rate = Rate::new(requests, 1, burst).unwrap();
        let key = key_of(rng.below(1 << 40), rate);
        let mut server = Server::new(shards, rng.below(30) * MS / 10);
        let mut bound = Bound::new(requests, burst, shards);
        while server.now_ns < 5 * SECOND {
            server.step();
            let shard = rng.below(u64::from(shards)) as usize;
            match rng.below(1000) {
                0 => {
                    server.kill(shard, rng.below(2) == 0);
                    bound.add_shares(shards);
                }
                1 => server.stalled_until_ns[shard] = server.now_ns + rng.below(1500) * MS,
                2 => server.now_ns += rng.below(3000) * MS,
                _ => {}
            }
            for _ in 0..rng.below(2 + requests / 500) {
                let shard = rng.below(u64::from(shards)) as usize;
                if server.runs(shard) && server.spend(shard, key, rate) {
                    bound.admit(server.now_ns);
                }
            }
        }
        assert!(bound.admitted > 0);
    }
}

#[test]
fn a_shard_spends_its_share_ahead_until_the_home_reports_an_empty_bucket() {
    let rate = Rate::new(100, 1, 20).unwrap();
    let key = (0..).map(|number| key_of(number, rate));
    let key = key.into_iter().find(|key| key.home(2) == 1).unwrap();
    let mut limiter = Limiter::new((0, 2), 64);
    for _ in 0..10 {
        assert_eq!(limiter.spend(key, rate, MS), Spend::Admitted);
    }
    let refused = Spend::Refused { retry_after_ms: 20 };
    assert_eq!(limiter.spend(key, rate, MS), refused);
    let (home, message) = limiter.poll_message().unwrap();
    assert!(matches!(message.kind, LeaseKind::Request { owed: 1, .. }));
    assert_eq!((home, limiter.poll_message()), (1, None), "requested once");
    limiter.handle_shard_gone(1);
    assert_eq!(limiter.spend(key, rate, 30 * MS), refused);
    let (_, message) = limiter.poll_message().unwrap();
    assert!(matches!(message.kind, LeaseKind::Request { owed: 10, .. }));
    // The home spends the rest: it books the debt, and then a lease ahead.
    let mut home = Limiter::new((1, 2), 64);
    while home.spend(key, rate, 30 * MS) == Spend::Admitted {}
    home.handle_message(0, message, 30 * MS);
    let (_, grant) = home.poll_message().unwrap();
    limiter.handle_message(1, grant, 30 * MS);
    assert_eq!(
        limiter.spend(key, rate, 31 * MS),
        Spend::Refused {
            retry_after_ms: 149
        },
        "the debt and a lease of five"
    );
    assert_eq!(limiter.spend(key, rate, 180 * MS), Spend::Admitted);
}

#[test]
fn a_share_at_once_on_each_shard_is_admitted_and_then_the_rate() {
    let rate = Rate::new(1, 1, 40).unwrap();
    for number in 0..8 {
        let key = key_of(number, rate);
        let mut server = Server::new(4, MS / 10);
        for shard in 0..4 {
            for _ in 0..10 {
                assert!(
                    server.spend(shard, key, rate),
                    "the home is {}",
                    key.home(4)
                );
            }
        }
        let mut bound = Bound::new(1, 40, 4);
        while server.now_ns < 60 * SECOND {
            server.step();
            for shard in 0..4 {
                if server.now_ns > SECOND && server.spend(shard, key, rate) {
                    bound.admit(server.now_ns);
                }
            }
        }
        assert!((50..=100).contains(&bound.admitted), "{}", bound.admitted);
    }
}

#[test]
fn an_idle_lease_goes_back_and_is_forgotten() {
    let rate = Rate::new(100, 1, 10).unwrap();
    let key = key_of(3, rate);
    let home = usize::from(key.home(2));
    let mut server = Server::new(2, MS / 10);
    assert!(server.spend(1 - home, key, rate));
    for _ in 0..10 {
        server.step();
    }
    assert_eq!(server.limiters[1 - home].count(), 1);
    let now_ns = server.now_ns;
    let place = server.limiters[home].place_of(key, rate, now_ns);
    let entry = server.limiters[home].table.at(place);
    assert!(entry.bucket.credit(rate, now_ns) < 9);
    while server.now_ns < 4 * SECOND {
        server.step();
    }
    assert!(server.limiters.iter().all(|limiter| limiter.count() == 0));
}

#[test]
fn many_keys_take_no_more_than_the_table_and_none_is_refused() {
    let rate = Rate::new(100, 1, 10).unwrap();
    let mut limiter = Limiter::new((0, 2), 1000);
    let exhausted = key_of(u64::MAX, rate);
    let mut now_ns = 0;
    while limiter.spend(exhausted, rate, now_ns) == Spend::Admitted {}
    for number in 0..200_000_u64 {
        now_ns += 1000;
        let key = key_of(number, rate);
        assert_eq!(limiter.spend(key, rate, now_ns), Spend::Admitted);
        while limiter.poll_message().is_some() {}
        if number % 100 == 0 && now_ns < 50 * MS {
            let spend = limiter.spend(exhausted, rate, now_ns);
            assert!(spend != Spend::Admitted || now_ns >= 9 * MS, "it is kept");
        }
    }
    assert_eq!(limiter.count(), 1000);
}

#[test]
fn a_request_that_another_limit_refuses_is_given_back() {
    let rate = Rate::new(1, 1, 1).unwrap();
    for number in 0..4 {
        let key = key_of(number, rate);
        let mut limiter = Limiter::new((0, 2), 64);
        assert_eq!(limiter.spend(key, rate, 0), Spend::Admitted);
        limiter.give_back(key, rate, 0);
        assert_eq!(limiter.spend(key, rate, 0), Spend::Admitted);
        assert_ne!(limiter.spend(key, rate, 0), Spend::Admitted);
    }
}

#[test]
fn all_of_the_burst_of_a_low_rate_is_admitted_while_a_shard_queries_for_it() {
    let rate = Rate::new(1, 3600, 40).unwrap();
    for seed in 0..100 {
        let mut rng = Rng::seeded(seed);
        let shards = 2 + rng.below(3) as usize;
        let mut server = Server::new(shards as u16, rng.below(100) * STEP_NS);
        let key = key_of(seed, rate);
        let last = rng.below(shards as u64) as usize;
        let mut admitted = 0;
        for step in 0..4 * SECOND / STEP_NS {
            server.step();
            // After a second, one shard alone goes on: the others return their leases.
            let shard = match step < SECOND / STEP_NS {
                true => rng.below(shards as u64) as usize,
                false => last,
            };
            if rng.below(20) == 0 {
                admitted += u32::from(server.spend(shard, key, rate));
            }
        }
        assert!(admitted >= rate.burst(), "seed {seed}: {admitted}");
    }
}
