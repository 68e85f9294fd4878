//! The verifier of the audit log: no text panics, and no change of a whole log is overlooked.
//!
//! The first byte chooses the part. The others are the lines of a log, or changes of a whole one,
//! three bytes each: the place in the log, of two bytes, and what is flipped there.
#![no_main]

use std::sync::LazyLock;

use corelane_guard::audit::{Broken, Chain, Event, Head, LastRecord, Record, Summary, Verifier};
use libfuzzer_sys::fuzz_target;

const RECORDS: u64 = 4;

static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut chain = Chain::new("host", Head::GENESIS, None);
    let mut log = Vec::new();
    for time_us in 1..=RECORDS {
        let record = Record {
            shard: Some(0),
            principal: Some("jwt:corp:alice"),
            name: Some("get_x\"\u{7f}"),
            ..Record::new(Event::Call, time_us)
        };
        chain.append(&record, &mut log);
    }
    log
});

fuzz_target!(|data: &[u8]| {
    let Some((part, input)) = data.split_first() else {
        return;
    };
    if part % 2 == 0 {
        let mut lines = input.split(|byte| *byte == b'\n');
        // A log without a record is whole.
        if let (Some(last), Ok(summary)) = (lines.rfind(|it| !it.is_empty()), verify(input)) {
            let last = LastRecord::read(last).expect("a record");
            assert_eq!((last.head, last.node), (summary.head, summary.node));
        }
        return;
    }
    let mut log = WHOLE.clone();
    for change in input.chunks_exact(3) {
        let place = usize::from(u16::from_be_bytes([change[0], change[1]]));
        let length = log.len();
        log[place % length] ^= change[2];
    }
    let found = verify(&log);
    if log == *WHOLE {
        assert_eq!(found.expect("the log is whole").head.seq, RECORDS);
    } else if let Ok(summary) = found {
        // An end of a line that became another byte joins two lines, or hides the end of the last.
        assert!(log.strip_suffix(b"\n").is_none(), "{summary:?}: {log:?}");
    }
});

fn verify(log: &[u8]) -> Result<Summary, Broken> {
    let mut verifier = Verifier::default();
    for line in log
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        verifier.line(line)?;
    }
    verifier.finish()
}
