//! Whole chains pass, and each kind of change is found.

use super::{Broken, Fault, LastRecord, Summary, Verifier};
use crate::audit::chain::{Chain, Head};
use crate::audit::event::Event;
use crate::audit::key::SigningKey;
use crate::audit::record::Record;
use crate::audit::{CHECKPOINT_RECORDS_MAX, LINE_BYTES_MAX, STOPPED, test_key};

fn key() -> SigningKey {
    SigningKey::from_pem(&test_key()).expect("a key")
}

/// A call at a time, in microseconds since 1970.
fn call(time_us: u64) -> Record<'static> {
    Record {
        shard: Some(0),
        principal: Some("jwt:corp:alice"),
        session: Some(b"session"),
        name: Some("get_x"),
        outcome: Some("ok"),
        ..Record::new(Event::Call, time_us)
    }
}

/// The lines of ten calls, of which the fifth and the last line are checkpoints.
fn lines() -> Vec<Vec<u8>> {
    lines_of("host", Head::GENESIS)
}

fn lines_of(node: &str, head: Head) -> Vec<Vec<u8>> {
    let (mut chain, key) = (Chain::new(node, head, None), key());
    let mut lines = Vec::new();
    for number in 1..=12 {
        let mut line = Vec::new();
        match number {
            5 => chain.checkpoint(&Record::new(Event::Checkpoint, 5), &key, &mut line),
            11 => chain.append(&Record::new(Event::AuditStopped, 11), &mut line),
            12 => {
                let mut record = Record::new(Event::Checkpoint, 12);
                record.outcome = Some(STOPPED);
                chain.checkpoint(&record, &key, &mut line);
            }
            number => chain.append(&call(number), &mut line),
        }
        assert_eq!(line.pop(), Some(b'\n'));
        lines.push(line);
    }
    lines
}

fn verifier() -> Verifier {
    Verifier::default().with_key(key().verifying_key())
}

fn verify(mut verifier: Verifier, lines: &[Vec<u8>]) -> Result<Summary, Broken> {
    lines.iter().try_for_each(|line| verifier.line(line))?;
    verifier.finish()
}

fn head(line: &[u8]) -> Head {
    LastRecord::read(line).expect("a record").head
}

#[track_caller]
fn check(lines: &[Vec<u8>], seq: u64, fault: Fault) {
    assert_eq!(verify(verifier(), lines), Err(Broken { seq, fault }));
}

#[test]
fn a_whole_chain_passes_with_a_key_an_anchor_and_neither() {
    let lines = lines();
    let expected = Summary {
        node: "host".to_owned(),
        first_seq: 1,
        head: head(&lines[11]),
        signed_seq: Some(11),
        lost: 0,
        is_stopped: true,
        is_cut: false,
    };
    assert_eq!(verify(verifier(), &lines), Ok(expected.clone()));
    for line in &lines {
        let anchored = verifier().with_anchor(head(line));
        assert_eq!(verify(anchored, &lines), Ok(expected.clone()));
    }
    let without = Summary {
        signed_seq: None,
        ..expected
    };
    assert_eq!(verify(Verifier::default(), &lines), Ok(without));
}

#[test]
fn every_flipped_bit_is_found() {
    let lines = lines();
    let (number, line) = (7, &lines[6]);
    for at in 0..line.len() {
        for bit in 0..8 {
            let mut changed = lines.clone();
            changed[6][at] ^= 1 << bit;
            let broken = verify(verifier(), &changed).expect_err("it was changed");
            assert!(broken.seq == number, "{at} {bit}: {broken}");
        }
    }
}

#[test]
fn removed_moved_and_repeated_records_are_found() {
    let whole = lines();
    for at in 0..whole.len() - 1 {
        let mut lines = whole.clone();
        lines.remove(at);
        let seq = at as u64 + 1;
        if at > 0 {
            check(&lines, seq, Fault::Seq { found: seq + 1 });
        }
        let mut lines = whole.clone();
        lines.swap(at, at + 1);
        let broken = verify(verifier(), &lines).expect_err("they were exchanged");
        // The first record that is there may have any number.
        assert!(broken.seq <= seq + 2, "{broken}");
        let mut lines = whole.clone();
        lines.insert(at, whole[at].clone());
        check(&lines, seq + 1, Fault::Seq { found: seq });
    }
}

#[test]
fn a_removed_segment_is_found_and_a_removed_start_is_one_that_the_writer_removed() {
    let lines = lines();
    let without = [&lines[..3], &lines[6..]].concat();
    check(&without, 4, Fault::Seq { found: 7 });
    check(&lines[6..], 7, Fault::StartMissing);
    let anchored = verifier().with_anchor(head(&lines[8]));
    let summary = verify(anchored, &lines[6..]).expect("the anchor is there");
    assert_eq!(summary.first_seq, 7);
    for (removed, is_whole) in [
        (&[(1, 2)][..], true),
        (&[(1, 1), (2, 1)], true),
        (&[(1, 1)], false),
        (&[], false),
    ] {
        let mut chain = Chain::new("host", Head::GENESIS, None);
        let mut lines = Vec::new();
        let mut append = |record: &Record<'_>| {
            let mut line = Vec::new();
            chain.append(record, &mut line);
            line.pop();
            lines.push(line);
        };
        (1..=3).for_each(|time_us| append(&call(time_us)));
        for (first, count) in removed {
            append(&Record {
                name: Some(&format!("audit-host-{first:012}.jsonl")),
                count: Some(*count),
                ..Record::new(Event::AuditRemoved, 4)
            });
        }
        let found = verify(Verifier::default(), &lines[2..]);
        assert_eq!(found.is_ok(), is_whole, "{removed:?}: {found:?}");
    }
    let early = verifier().with_anchor(head(&lines[2]));
    let fault = Fault::AnchorBefore;
    assert_eq!(verify(early, &lines[6..]), Err(Broken { seq: 7, fault }));
}

#[test]
fn a_removed_end_is_found_by_an_anchor() {
    let lines = lines();
    for end in 0..lines.len() {
        let anchored = verifier().with_anchor(head(&lines[11]));
        let (seq, fault) = (end as u64 + 1, Fault::AnchorMissing);
        assert_eq!(verify(anchored, &lines[..end]), Err(Broken { seq, fault }));
    }
}

#[test]
fn a_chain_made_anew_is_found_by_signatures_and_by_an_anchor() {
    let whole = lines();
    // Without the key: the second call was never there, and all hashes are right.
    let mut chain = Chain::new("host", Head::GENESIS, None);
    let mut forged = Vec::new();
    for time_us in [1, 3, 4, 4] {
        let mut line = Vec::new();
        chain.append(&call(time_us), &mut line);
        line.pop();
        forged.push(line);
    }
    let mut line = Vec::new();
    chain.append(&Record::new(Event::Checkpoint, 5), &mut line);
    line.pop();
    let unsigned = [&forged[..], &[line]].concat();
    check(&unsigned, 5, Fault::Malformed);
    let anchored = Verifier::default().with_anchor(head(&whole[2]));
    let (seq, fault) = (3, Fault::Anchor);
    assert_eq!(verify(anchored, &forged), Err(Broken { seq, fault }));
}

#[test]
fn a_checkpoint_of_another_chain_or_key_is_found() {
    // The signature of another node over records of the same numbers.
    let text = String::from_utf8(lines_of("other", Head::GENESIS)[4].clone()).expect("text");
    let member = |name: &str| {
        let (_, rest) = text
            .split_once(&format!("\"{name}\":\""))
            .expect("it is there");
        rest.split('"').next().expect("its value").to_owned()
    };
    for (id, fault) in [
        (member("key"), Fault::Signature),
        (
            "0123456789abcdef".to_owned(),
            Fault::UnknownKey("0123456789abcdef".to_owned()),
        ),
    ] {
        let mut lines = lines()[..4].to_vec();
        let start = String::from_utf8(lines[3].clone()).expect("text");
        let end = format!(
            "\"event\":\"checkpoint\",\"key\":\"{id}\",\"signature\":\"{}\",\"prev\":\"{}\"",
            member("signature"),
            head(&lines[3])
                .to_string()
                .split(':')
                .next_back()
                .expect("a hash")
        );
        let start = start.split("\"shard\"").next().expect("the start");
        let mut line = format!("{}{end}}}", start.replace("\"seq\":4", "\"seq\":5")).into_bytes();
        let hash = crate::audit::chain::hash(&head(&lines[3]).hash, &line);
        crate::audit::line::write_hash(&mut line, &hash);
        line.pop();
        lines.push(line);
        check(&lines, 5, fault);
    }
}

#[test]
fn too_many_records_without_a_signature_are_found() {
    let mut chain = Chain::new("host", Head::GENESIS, None);
    let mut verifier = verifier();
    for number in 1..=CHECKPOINT_RECORDS_MAX + 1 {
        let mut line = Vec::new();
        chain.append(&call(number), &mut line);
        line.pop();
        let expected = Broken {
            seq: number,
            fault: Fault::Unsigned,
        };
        match number > CHECKPOINT_RECORDS_MAX {
            false => assert_eq!(verifier.line(&line), Ok(())),
            true => assert_eq!(verifier.line(&line), Err(expected)),
        }
    }
}

#[test]
fn a_clock_that_was_set_back_is_found_for_each_shard() {
    let mut chain = Chain::new("host", Head::GENESIS, None);
    let mut lines = Vec::new();
    for (shard, time_us) in [(0, 20), (1, 10), (0, 20), (1, 9)] {
        let mut line = Vec::new();
        let shard = Some(shard);
        chain.append(
            &Record {
                shard,
                ..call(time_us)
            },
            &mut line,
        );
        line.pop();
        lines.push(line);
    }
    check(&lines, 4, Fault::ClockBack);
    assert!(verify(verifier(), &lines[..3]).is_ok());
}

#[test]
fn another_node_and_other_texts_are_refused() {
    let mut mixed = lines();
    mixed[1] = lines_of("other", head(&mixed[0]))[0].clone();
    check(&mixed, 2, Fault::Node("other".to_owned()));
    let long = vec![b' '; LINE_BYTES_MAX];
    for (text, fault) in [
        (&b""[..], Fault::Malformed),
        (b"{}", Fault::Malformed),
        (b"null", Fault::Malformed),
        (b"\xff", Fault::Malformed),
        (&long, Fault::TooLong),
    ] {
        check(&[text.to_vec()], 1, fault.clone());
        check(&[lines()[0].clone(), text.to_vec()], 2, fault);
    }
}

#[test]
fn a_cut_line_is_reported_until_the_chain_goes_on() {
    let lines = lines();
    let mut verifier = verifier();
    verifier.line(&lines[0]).expect("whole");
    verifier.cut_line();
    let mut going_on = super::Verifier::default();
    going_on.line(&lines[0]).expect("whole");
    going_on.cut_line();
    going_on.line(&lines[1]).expect("whole");
    assert!(verifier.finish().expect("whole").is_cut);
    assert!(!going_on.finish().expect("whole").is_cut);
}

#[test]
fn lost_records_are_counted() {
    let mut chain = Chain::new("host", Head::GENESIS, None);
    let mut lines = Vec::new();
    for record in [Record::gap(1, 2, 7), call(3), Record::gap(1, 3, u64::MAX)] {
        let mut line = Vec::new();
        chain.append(&record, &mut line);
        line.pop();
        lines.push(line);
    }
    let lost = |lines: &[Vec<u8>]| verify(verifier(), lines).expect("whole").lost;
    assert_eq!((lost(&lines[..2]), lost(&lines)), (7, u64::MAX));
}
