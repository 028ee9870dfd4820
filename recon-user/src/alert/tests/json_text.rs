//! JSON of alerts against that of `serde_json`, byte for byte.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Serialize;

use super::super::json::write_json;
use super::schema::lines;
use super::*;

fn written(value: &impl Serialize) -> serde_json::Result<String> {
    let mut line = b"before".to_vec();
    write_json(&mut line, value)?;
    let text = String::from_utf8(line).expect("text");
    Ok(text
        .strip_prefix("before")
        .expect("what was there")
        .to_owned())
}

#[track_caller]
fn check(value: &impl Serialize) {
    let expected = serde_json::to_string(value).expect("plain data");
    assert_eq!(written(value).expect("plain data"), expected);
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct Unit;

#[derive(Serialize)]
struct Wrapped(&'static str);

#[derive(Serialize)]
struct Pair(u8, Option<bool>);

#[derive(Serialize)]
enum Kind {
    Plain,
    One(u16),
    Two(i8, char),
    Named { a: f64, b: Option<u8> },
}

#[derive(Serialize)]
struct Inner {
    deep: Vec<Kind>,
    none: Option<u8>,
}

#[derive(Serialize)]
struct Outer {
    first: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    absent: Option<u8>,
    #[serde(flatten)]
    inner: Option<Inner>,
    map: BTreeMap<String, [Option<i64>; 2]>,
    #[serde(rename = "@last")]
    last: (Unit, Wrapped, Pair, Nothing),
}

#[test]
fn values_of_all_kinds_are_those_of_serde_json() {
    for inner in [None, Some(Vec::new()), Some(vec![Kind::Plain])] {
        let inner = inner.map(|deep| Inner { deep, none: None });
        check(&Outer {
            first: "a",
            absent: None,
            inner,
            map: BTreeMap::from([("\u{1}".to_owned(), [Some(-1), None])]),
            last: (Unit, Wrapped("\\"), Pair(255, Some(true)), Nothing {}),
        });
    }
    check(&[
        Kind::Plain,
        Kind::One(7),
        Kind::Two(-8, '"'),
        Kind::Named { a: 0.1, b: None },
        Kind::Named {
            a: f64::NAN,
            b: Some(0),
        },
    ]);
    check(&(u64::MAX, i64::MIN, u128::MAX, i128::MIN, f32::MAX, -0.0));
    check(&(Nothing {}, [0_u8; 0], BTreeMap::<String, u8>::new(), ()));
    check(&(LOCAL.to_ip(), Timestamp::UNIX_EPOCH, AsText("\t")));
    check(&json!({ "": [null, true, 1.5, -3, "é\n\"", {}], "a\tb": {} }));
}

#[test]
fn lines_are_those_of_serde_json() {
    for line in lines() {
        check(&line);
    }
}

/// `serde_json` makes a text of a number; no alert has such a key.
#[test]
fn a_key_is_a_text() {
    let refused = written(&BTreeMap::from([(1, 2)])).expect_err("a number");
    assert_eq!(refused.to_string(), "key must be a string");
}

proptest! {
    #[test]
    fn any_text_is_that_of_serde_json(
        text in "[ -~]{0,40}",
        odd in any::<String>(),
        parts in proptest::collection::vec(any::<char>(), 0..4),
    ) {
        for text in [&text, &odd, &format!("{text}{odd}{text}")] {
            check(text);
            check(&AsText(text));
            check(&Value::from(text.as_str()));
        }
        check(&AsText(format_args!("{text}{:?}{odd}", parts)));
    }
}
