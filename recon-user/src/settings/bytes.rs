//! Amounts of memory in settings.
//!
//! In: text such as `256MiB`. Out: bytes, and text again.
//! The decision held here: units are powers of 1024, and their names say so.

/// The memory if the settings name none.
pub(super) const DEFAULT_MEMORY: u64 = 256 << 20;
/// With less, the rules would forget what a small flood does.
pub(super) const LEAST_MEMORY: u64 = 64 << 20;
/// The units, the largest first, and the bits that they shift a number by.
const UNITS: [(&str, u32); 3] = [("GiB", 30), ("MiB", 20), ("KiB", 10)];

/// The bytes of an amount. None if it is malformed or too large.
pub(super) fn parse(text: &str) -> Option<u64> {
    let unit = |&(name, shift): &(&str, u32)| Some((text.strip_suffix(name)?, shift));
    let (number, shift) = UNITS.iter().find_map(unit)?;
    // `parse` accepts a sign.
    let is_number = number.bytes().all(|digit| digit.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|_| is_number)?;
    number.checked_mul(1 << shift)
}

/// The text for an amount of bytes. None if no unit divides it.
pub(super) fn text(bytes: u64) -> Option<String> {
    let divides = |(_, shift): &&(&str, u32)| bytes.trailing_zeros() >= *shift;
    let (name, shift) = UNITS.iter().find(divides)?;
    Some(format!("{}{name}", bytes >> shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_written() {
        for (written, bytes, again) in [
            ("1KiB", Some(1024), Some("1KiB")),
            ("64MiB", Some(LEAST_MEMORY), Some("64MiB")),
            ("1024MiB", Some(1 << 30), Some("1GiB")),
            ("1025MiB", Some(1025 << 20), Some("1025MiB")),
            (
                "17179869183GiB",
                Some(u64::MAX << 30),
                Some("17179869183GiB"),
            ),
            ("17179869184GiB", None, None),
            ("", None, None),
            ("MiB", None, None),
            ("64", None, None),
            ("64MB", None, None),
            ("64 MiB", None, None),
            ("+64MiB", None, None),
            ("-64MiB", None, None),
            ("6.4MiB", None, None),
        ] {
            assert_eq!(parse(written), bytes, "{written}");
            assert_eq!(bytes.and_then(text).as_deref(), again, "{written}");
        }
        assert_eq!(text(LEAST_MEMORY + 1), None);
    }
}
