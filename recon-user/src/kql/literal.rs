//! Constants: numbers, timespans, strings, dates.
//!
//! In: text that begins with one. Out: its value and length in bytes, or an error with its place.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::value::Literal;
use crate::duration::{TICKS_PER_SECOND, ticks, unit};

/// What is wrong with a constant, and where, in bytes from its start.
#[derive(Debug)]
pub(super) struct Malformed {
    pub(super) at: usize,
    pub(super) end: usize,
    pub(super) message: String,
    pub(super) hint: Option<&'static str>,
}

type Read = (Result<Literal, Malformed>, usize);

const UNIT_HINT: &str =
    "a timespan's unit is d, h, m, s, ms, microsecond or tick, as in 1h and 500ms";
const DATE_HINT: &str = "as in datetime(2026-01-31) and datetime(2026-01-31 23:59:59.5)";
const SPAN_HINT: &str = "as in timespan(90s) and timespan(1.12:00:00)";
const ESCAPE_HINT: &str = "write \\\\ for a backslash, or @\"...\" for a string without escapes";

fn malformed(length: usize, message: String, hint: Option<&'static str>) -> Read {
    let error = Malformed {
        at: 0,
        end: length,
        message,
        hint,
    };
    (Err(error), length)
}

/// The length in bytes of the leading characters for which `is_part` holds.
fn run(text: &str, is_part: impl Fn(char) -> bool) -> usize {
    text.find(|letter| !is_part(letter)).unwrap_or(text.len())
}

fn is_word_part(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn is_digit(letter: char) -> bool {
    letter.is_ascii_digit()
}

/// A number or a timespan, which begins with a digit.
pub(super) fn number(text: &str) -> Read {
    let word = &text[..run(text, is_word_part)];
    if let Some(digits) = word.strip_prefix("0x").or(word.strip_prefix("0X")) {
        return match i64::from_str_radix(digits, 16) {
            Ok(value) => (Ok(Literal::Long(value)), word.len()),
            Err(_) => malformed(word.len(), format!("`{word}` is not a long"), None),
        };
    }
    let mut length = run(text, is_digit);
    // `1..5` is a range, not a fraction.
    if text[length..].starts_with('.') && text[length + 1..].starts_with(is_digit) {
        length += 1 + run(&text[length + 1..], is_digit);
    }
    length += exponent(&text[length..]);
    let (digits, rest) = text.split_at(length);
    let name = &rest[..run(rest, is_word_part)];
    if !name.is_empty() {
        let whole = length + name.len();
        let Some(size) = unit(name).filter(|_| !digits.contains(['e', 'E'])) else {
            let message = format!("`{digits}{name}` is neither a number nor a timespan");
            return malformed(whole, message, Some(UNIT_HINT));
        };
        return match ticks(digits, size) {
            Some(ticks) => (Ok(Literal::Timespan(ticks)), whole),
            None => malformed(whole, format!("`{digits}{name}` is too long"), None),
        };
    }
    let value = if digits.bytes().all(|digit| digit.is_ascii_digit()) {
        digits.parse().ok().map(Literal::Long)
    } else {
        let real: Option<f64> = digits.parse().ok();
        real.filter(|real| real.is_finite()).map(Literal::Real)
    };
    match value {
        Some(value) => (Ok(value), length),
        None => malformed(length, format!("`{digits}` is too large"), None),
    }
}

/// The length in bytes of a leading exponent such as `e-5`.
fn exponent(text: &str) -> usize {
    let Some(rest) = text.strip_prefix(['e', 'E']) else {
        return 0;
    };
    let digits = rest.strip_prefix(['+', '-']).unwrap_or(rest);
    match run(digits, is_digit) {
        0 => 0,
        length => text.len() - digits.len() + length,
    }
}

/// A string, if the text begins with one: in double or single quotes, with escapes, or without them
/// after `@`.
pub(super) fn string(text: &str) -> Option<Read> {
    let is_verbatim = text.starts_with('@');
    let prefix = usize::from(is_verbatim);
    let quote = text[prefix..]
        .chars()
        .next()
        .filter(|&letter| letter == '"' || letter == '\'')?;
    let mut value = String::new();
    let mut wrong: Option<Malformed> = None;
    let mut at = prefix + 1;
    while let Some(letter) = text[at..]
        .chars()
        .next()
        .filter(|letter| !"\r\n".contains(*letter))
    {
        let rest = &text[at..];
        if letter == quote {
            at += 1;
            if !(is_verbatim && rest[1..].starts_with(quote)) {
                let read = wrong.map_or_else(|| Ok(Literal::String(value.into())), Err);
                return Some((read, at));
            }
            value.push(quote);
            at += 1;
        } else if letter == '\\' && !is_verbatim {
            let length = match escape(&rest[1..]) {
                Ok((letter, length)) => {
                    value.push(letter);
                    1 + length
                }
                Err(length) => {
                    wrong.get_or_insert_with(|| Malformed {
                        at,
                        end: at + 1 + length,
                        message: format!("no escape `{}`", &rest[..1 + length]),
                        hint: Some(ESCAPE_HINT),
                    });
                    1 + length
                }
            };
            at += length;
        } else {
            value.push(letter);
            at += letter.len_utf8();
        }
    }
    let message = "this string does not end on its line".to_owned();
    Some(malformed(at, message, None))
}

/// The character that an escape after its backslash stands for, and its length in bytes; otherwise
/// the length of what is not an escape.
fn escape(text: &str) -> Result<(char, usize), usize> {
    let letter = text
        .chars()
        .next()
        .filter(|letter| !"\r\n".contains(*letter));
    let letter = letter.ok_or(0_usize)?;
    let hexadecimal = |digits: usize| {
        let wrong = letter.len_utf8();
        let digits = text.get(1..=digits).ok_or(wrong)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wrong);
        }
        let code = u32::from_str_radix(digits, 16).map_err(|_| wrong)?;
        let letter = char::from_u32(code).ok_or(wrong)?;
        Ok((letter, 1 + digits.len()))
    };
    let meant = match letter {
        '\\' | '"' | '\'' => letter,
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        '0' => '\0',
        'x' => return hexadecimal(2),
        'u' => return hexadecimal(4),
        _ => return Err(letter.len_utf8()),
    };
    Ok((meant, letter.len_utf8()))
}

/// A constant with its type, such as `datetime(2026-01-31)`, if the word of that length names such
/// a type and a parenthesis follows.
pub(super) fn typed(text: &str, word: usize) -> Option<Read> {
    type ReadInner = fn(&str) -> Option<Literal>;
    let (read, kind, hint) = match &text[..word] {
        "datetime" => (datetime as ReadInner, "datetime", DATE_HINT),
        "timespan" | "time" => (timespan as ReadInner, "timespan", SPAN_HINT),
        _ => return None,
    };
    let open = word + run(&text[word..], |letter| letter == ' ' || letter == '\t');
    let inner = text[open..].strip_prefix('(')?;
    let length = run(inner, |letter| !")\r\n".contains(letter));
    let whole = open + 1 + length;
    if !inner[length..].starts_with(')') {
        let message = format!("`{}` has no `)` on its line", &text[..=open]);
        return Some(malformed(whole, message, None));
    }
    let whole = whole + 1;
    Some(match read(inner[..length].trim()) {
        Some(literal) => (Ok(literal), whole),
        None => {
            let message = format!("`{}` is not a {kind}", &inner[..length]);
            malformed(whole, message, Some(hint))
        }
    })
}

/// ISO 8601, in UTC if no offset is written.
fn datetime(text: &str) -> Option<Literal> {
    let text = text.trim_matches(['"', '\'']);
    let timestamp = match text.parse::<Timestamp>() {
        Ok(timestamp) => timestamp,
        Err(_) => {
            let civil = text.parse::<DateTime>().ok()?;
            TimeZone::UTC.to_timestamp(civil).ok()?
        }
    };
    Some(Literal::DateTime(timestamp))
}

/// `90s`, days such as `2`, or `[days.]hours:minutes[:seconds]`.
fn timespan(text: &str) -> Option<Literal> {
    let (is_negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let ticks = match text.contains(':') {
        true => clock(text)?,
        false => {
            let digits = run(text, |letter| is_digit(letter) || letter == '.');
            let name = text[digits..].trim();
            let size = unit(if name.is_empty() { "d" } else { name })?;
            ticks(&text[..digits], size)?
        }
    };
    Some(Literal::Timespan(if is_negative { -ticks } else { ticks }))
}

fn clock(text: &str) -> Option<i64> {
    const LIMITS: [(i64, i64); 2] = [(24, 3_600), (60, 60)];
    let (head, rest) = text.split_once(':')?;
    let (days, hours) = head.split_once('.').unwrap_or(("0", head));
    let (minutes, seconds) = rest.split_once(':').unwrap_or((rest, "0"));
    let mut total = ticks(days, unit("d")?)?;
    for (part, (limit, seconds)) in [hours, minutes].into_iter().zip(LIMITS) {
        let value: i64 = part
            .parse()
            .ok()
            .filter(|value| (0..limit).contains(value))?;
        total = total.checked_add(value * seconds * TICKS_PER_SECOND)?;
    }
    total.checked_add(ticks(seconds, TICKS_PER_SECOND)?)
}
