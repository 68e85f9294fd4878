//! Readers that are too slow, and the memory that their output takes.

use super::test_shard::{TestShard, chunk};
use crate::meter::Counter;

#[test]
fn a_peer_has_to_take_the_minimum_rate_and_not_just_any_byte() {
    for (bytes_each_time, closes_at_s) in [(0, 10), (110, 10), (112, 18), (2000, 18)] {
        let mut shard = TestShard::single(|profile| {
            profile.connection.write_timeout_ms = 10_000;
            profile.connection.write_bytes_per_second_min = 100;
        });
        let key = shard.insert_sending(3, 100_000);
        // Takes some each second for nine of them, and nothing after that.
        for second in 1..=40 {
            let is_open = shard.phase(key).is_some();
            assert_eq!(
                is_open,
                second <= closes_at_s,
                "{bytes_each_time}, {second} s"
            );
            if is_open && second < 10 && bytes_each_time > 0 {
                shard.take(key, bytes_each_time, 100_000);
            }
            shard.advance_to(second * 1000 + 100);
        }
        assert_eq!(shard.count(Counter::TimeoutsWrite), 1);
    }
}

#[test]
fn output_behind_a_send_is_part_of_what_a_peer_must_take_in_time() {
    let mut shard = TestShard::single(|profile| {
        profile.connection.write_timeout_ms = 10_000;
        profile.connection.write_bytes_per_second_min = 100;
    });
    let key = shard.insert_sending(3, 10);
    // A peer that takes one small event after the other, and never all there is.
    for second in 1..=9 {
        shard.advance_to(second * 1000);
        shard.shard.finish_step(key, Some(chunk(10)));
        shard.take(key, 10, 10);
        assert!(shard.phase(key).is_some(), "{second} s");
    }
    shard.advance_to(10_100);
    assert_eq!(shard.phase(key), None);
    // One that takes all has its whole time for the next.
    let key = shard.insert_sending(4, 10);
    shard.advance_to(20_000);
    shard.take(key, 10, 10);
    shard.shard.finish_step(key, Some(chunk(10)));
    shard.advance_to(29_900);
    assert!(shard.phase(key).is_some());
}

#[test]
fn a_request_gives_a_peer_no_more_time_to_read() {
    let mut shard = TestShard::single(|profile| profile.connection.write_timeout_ms = 10_000);
    let key = shard.insert_sending(3, 1000);
    for second in 1..=9 {
        shard.advance_to(second * 1000);
        shard.receive(key, "DELETE /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    shard.advance_to(10_100);
    assert_eq!(shard.phase(key), None);
}

#[test]
fn the_longest_stalled_readers_are_closed_when_output_takes_too_much_memory() {
    let limit = 1 << 20;
    let mut shard = TestShard::single(|profile| {
        profile.connection.output_bytes_per_shard_max = limit;
    });
    let mut open = Vec::new();
    for (index, began_ms) in [(5, 0), (3, 500), (4, 1500)] {
        shard.advance_to(began_ms);
        open.push(shard.insert_sending(index, 400_000));
    }
    shard.advance_to(2000);
    shard.shard.shed_output();
    let is_open = |shard: &TestShard| [0, 1, 2].map(|at| shard.phase(open[at]).is_some());
    assert_eq!(is_open(&shard), [false, true, true]);
    assert_eq!(shard.shard.handling.output_bytes, 800_000);
    // Between the last seven eighths and the limit no connection is closed.
    shard.insert_sending(6, limit - 800_001);
    shard.advance_to(3000);
    shard.shard.shed_output();
    assert_eq!(is_open(&shard), [false, true, true]);
    shard.insert_sending(7, 1);
    shard.shard.shed_output();
    assert_eq!(is_open(&shard), [false, false, true]);
    // A connection that has not stalled for long enough is not closed, for any amount of output.
    let fresh = shard.insert_sending(8, 4 * limit);
    shard.advance_to(3900);
    shard.shard.shed_output();
    assert!(shard.phase(fresh).is_some());
    assert_eq!(is_open(&shard), [false, false, false]);
    shard.advance_to(4100);
    shard.shard.shed_output();
    assert_eq!(shard.phase(fresh), None);
    assert_eq!(shard.count(Counter::ConnectionsShed), 6);
    assert_eq!(shard.shard.handling.output_bytes, 0);
}

#[test]
fn the_memory_of_output_is_counted_until_it_is_sent_or_its_connection_ends() {
    let mut shard = TestShard::single(|_| ());
    let first = shard.insert_sending(3, 1000);
    shard.shard.finish_step(first, Some(chunk(500)));
    let second = shard.insert_sending(4, 100);
    assert_eq!(shard.shard.handling.output_bytes, 1600);
    shard.take(first, 999, 1000);
    assert_eq!(
        shard.shard.handling.output_bytes, 1600,
        "the chunk is held whole"
    );
    shard.take(first, 1000, 1000);
    assert_eq!(shard.shard.handling.output_bytes, 600);
    shard.shard.close(first);
    assert_eq!(shard.shard.handling.output_bytes, 100);
    shard.take(second, 100, 100);
    assert_eq!(shard.shard.handling.output_bytes, 0);
}
