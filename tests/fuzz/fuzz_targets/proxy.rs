//! Headers of the PROXY protocol: the result never depends on how the bytes were split.
#![no_main]

use corelane_protocol::framing::proxy::{HEADER_BYTES_MAX, Step, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let whole = read(input);
    if let Ok(Step::Header { consumed, .. }) = whole {
        assert!(consumed <= input.len().min(HEADER_BYTES_MAX));
        assert_eq!(read(&input[..consumed]), whole);
    }
    // A start is not whole, or has the result of all of it.
    let found = (0..=input.len()).map(|end| read(&input[..end]));
    let decided = found.skip_while(|step| *step == Ok(Step::NeedMore));
    for step in decided {
        assert_eq!(step, whole);
    }
});
