//! Limits of shards that pass messages to each other.

use std::sync::Arc;

use super::{Client, LimitName, Limited, ShardLimits};
use crate::holder::Holders;
use crate::limit::SECOND;
use crate::limit::file::Limits;
use crate::limit::quota::{read_snapshot, snapshot_head};

const UNIX_S: u64 = 86_400 * 20_000 + 3600;

fn server(shards: u16, text: &str) -> Vec<ShardLimits> {
    let limits = Arc::new(Limits::parse(text).unwrap());
    let shard = |number| {
        let mut shard = ShardLimits::new((number, shards), Arc::clone(&limits), 1000);
        shard.handle_time(0, UNIX_S);
        shard
    };
    (0..shards).map(shard).collect()
}

fn pass_messages(shards: &mut [ShardLimits], now_ns: u64) {
    let next = |shards: &mut [ShardLimits]| {
        let mut numbers = 0..shards.len();
        numbers.find_map(|shard| Some((shard, shards[shard].poll_message()?)))
    };
    while let Some((from, (to, message))) = next(shards) {
        shards[usize::from(to)].handle_message(from as u16, message, now_ns);
    }
}

fn client<'a>(principal: Option<&'a str>, source: &str) -> Client<'a> {
    Client {
        principal,
        tenant: None,
        holder: Holders::default().of_principal(principal.unwrap_or(source)),
    }
}

#[track_caller]
fn assert_limited(admitted: Result<(), Limited>, name: LimitName) {
    assert_eq!(admitted.map_err(|it| it.limit), Err(name));
}

#[test]
fn principals_have_rates_of_their_own_and_anonymous_clients_by_source() {
    let text = "[limits]\nprincipal = { rate = \"1/s\", burst = 2 }\n\
                source = { rate = \"1/s\", burst = 1 }";
    let mut shard = server(1, text).remove(0);
    for (principal, source, admitted, name) in [
        (Some("ann"), "a", 2, LimitName::Principal),
        (Some("bob"), "a", 2, LimitName::Principal),
        (None, "a", 1, LimitName::Source),
        (None, "b", 1, LimitName::Source),
    ] {
        let client = client(principal, source);
        for _ in 0..admitted {
            assert_eq!(shard.admit_request(client, 0), Ok(()));
        }
        assert_limited(shard.admit_request(client, 0), name);
        assert_eq!(shard.admit_request(client, SECOND), Ok(()));
    }
}

#[test]
fn a_refused_request_takes_nothing_from_other_limits() {
    let text = "[limits]\nprincipal = { rate = \"1/h\", burst = 1 }\n\
                global = { rate = \"1/s\", burst = 1 }\n\
                quota = { calls_per_day = 1 }\n\
                [[limits.tool]]\ntools = [\"t\"]\nrate = \"1/h\"\nburst = 1\n";
    let mut shard = server(1, text).remove(0);
    let (ann, bob) = (client(Some("ann"), "s"), client(Some("bob"), "s"));
    assert_eq!(shard.admit_request(ann, 0), Ok(()));
    assert_limited(shard.admit_request(bob, 0), LimitName::Global);
    assert_eq!(shard.admit_request(bob, SECOND), Ok(()));
    assert_limited(shard.admit_request(ann, 2 * SECOND), LimitName::Principal);

    assert_eq!(shard.admit_call(ann, None, 10, 0), Ok(()));
    assert_limited(shard.admit_call(ann, Some("t"), 10, 0), LimitName::Quota);
    assert_eq!(shard.admit_call(bob, Some("t"), 10, 0), Ok(()));
    let eve = client(Some("eve"), "s");
    assert_limited(shard.admit_call(eve, Some("t"), 10, 0), LimitName::Tool);
    assert_eq!(shard.admit_call(eve, Some("u"), 10, 0), Ok(()));
}

#[test]
fn a_tool_may_have_a_rate_for_each_principal() {
    let text = "[[limits.tool]]\ntools = [\"t*\"]\nrate = \"1/h\"\nburst = 1\nper = \"principal\"";
    let mut shard = server(1, text).remove(0);
    let (ann, bob) = (client(Some("ann"), "s"), client(Some("bob"), "s"));
    for who in [ann, bob] {
        assert_eq!(shard.admit_call(who, Some("t1"), 1, 0), Ok(()));
        assert_limited(shard.admit_call(who, Some("t2"), 1, 0), LimitName::Tool);
        assert_eq!(shard.admit_call(who, Some("u"), 1, 0), Ok(()));
    }
}

#[test]
fn sessions_and_unlimited_requests() {
    let text = "[limits]\nsessions = { rate = \"1/min\", burst = 3 }";
    let mut shard = server(1, text).remove(0);
    let ann = client(Some("ann"), "s");
    for _ in 0..3 {
        assert_eq!(shard.admit_session(ann, 0), Ok(()));
    }
    assert_limited(shard.admit_session(ann, 0), LimitName::Sessions);
    for _ in 0..1000 {
        assert_eq!(shard.admit_request(ann, 0), Ok(()));
    }
}

#[test]
fn another_configuration_keeps_the_buckets_of_limits_that_are_the_same() {
    let text = "[limits]\nprincipal = { rate = \"1/h\", burst = 1 }\n\
                source = { rate = \"1/h\", burst = 1 }";
    let mut shard = server(1, text).remove(0);
    let (ann, anonymous) = (client(Some("ann"), "s"), client(None, "s"));
    for client in [ann, anonymous] {
        assert_eq!(shard.admit_request(client, 0), Ok(()));
    }
    let changed = text.replace("source = { rate = \"1/h\"", "source = { rate = \"2/h\"");
    shard.configure(Arc::new(Limits::parse(&changed).unwrap()));
    assert_limited(shard.admit_request(ann, 0), LimitName::Principal);
    assert_eq!(shard.admit_request(anonymous, 0), Ok(()));
}

#[test]
fn quotas_are_of_tenants_and_outlive_the_process() {
    let text = "[limits]\nquota = { per = \"tenant\", calls_per_day = 3 }";
    let mut shards = server(2, text);
    let in_tenant = |principal| Client {
        tenant: Some(("corp", "acme")),
        ..client(Some(principal), "s")
    };
    for (shard, principal) in [(0, "ann"), (1, "bob")] {
        let admission = shards[shard].admit_call(in_tenant(principal), None, 1, 0);
        assert_eq!(admission, Ok(()));
        pass_messages(&mut shards, 0);
    }
    let lines: String = shards.iter().map(|it| it.snapshot().1).collect();
    assert_eq!(lines, "2 2 tenant:corp:acme\n");
    let text_of = |day| snapshot_head(day) + &lines;
    for (day, left) in [(20_000, 1), (19_999, 3)] {
        let snapshot = text_of(day);
        let mut after = server(1, text).remove(0);
        after.restore(&read_snapshot(&snapshot).unwrap());
        for _ in 0..left {
            let admission = after.admit_call(in_tenant("eve"), None, 1, 0);
            assert_eq!(admission, Ok(()));
        }
        let refused = after.admit_call(in_tenant("eve"), None, 1, 0);
        assert_limited(refused, LimitName::Quota);
        let of_another_issuer = Client {
            tenant: Some(("partner", "acme")),
            ..in_tenant("eve")
        };
        assert_eq!(after.admit_call(of_another_issuer, None, 1, 0), Ok(()));
    }
}
