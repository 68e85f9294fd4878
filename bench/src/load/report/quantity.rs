//! Quantities as people read them: three digits that count, and a unit.

const KIB: f64 = 1024.0;
const UNITS_OF_BYTES: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];

/// A time in the unit that leaves one to three digits before the point.
pub(crate) fn time(time_ns: f64) -> String {
    match time_ns {
        ns if ns < 1e3 => format!("{ns:.0} ns"),
        ns if ns < 1e6 => format!("{} us", three_digits(ns / 1e3)),
        ns if ns < 1e9 => format!("{} ms", three_digits(ns / 1e6)),
        ns => format!("{} s", three_digits(ns / 1e9)),
    }
}

/// An amount of memory in units of 1024; a slope of memory may be negative.
pub(crate) fn bytes(bytes: f64) -> String {
    if bytes.abs() < KIB {
        return format!("{bytes:.0} B");
    }
    let mut scaled = bytes / KIB;
    let mut unit = 0;
    while scaled.abs() >= KIB && unit + 1 < UNITS_OF_BYTES.len() {
        scaled /= KIB;
        unit += 1;
    }
    format!("{} {}", three_digits(scaled), UNITS_OF_BYTES[unit])
}

/// A whole number with commas between thousands.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate or an average count, whole from 100 on.
pub(crate) fn number(number: f64) -> String {
    if number >= 100.0 {
        count(number.round() as u64)
    } else {
        three_digits(number)
    }
}

fn three_digits(number: f64) -> String {
    match number.abs() {
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes, count, number, time};

    #[test]
    fn quantities_have_three_digits_and_a_unit() {
        let cases = [
            (time(0.0), "0 ns"),
            (time(999.0), "999 ns"),
            (time(1_000.0), "1.00 us"),
            (time(59_140.0), "59.1 us"),
            (time(327_000.0), "327 us"),
            (time(12_345_678.0), "12.3 ms"),
            (time(90e9), "90.0 s"),
            (bytes(44.0), "44 B"),
            (bytes(-44.0), "-44 B"),
            (bytes(7_577.6), "7.40 KiB"),
            (bytes(-2_048.0), "-2.00 KiB"),
            (bytes(49.0 * 1024.0 * 1024.0), "49.0 MiB"),
            (bytes(2e18), "1818989 TiB"),
            (count(0), "0"),
            (count(999), "999"),
            (count(1_000), "1,000"),
            (count(1_234_567), "1,234,567"),
            (number(203_400.4), "203,400"),
            (number(4.654), "4.65"),
            (number(0.0), "0.00"),
        ];
        for (text, expected) in cases {
            assert_eq!(text, expected);
        }
    }
}
