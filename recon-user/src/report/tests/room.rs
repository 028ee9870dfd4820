//! What the page has no room for, and what can't be read.

use super::*;
use crate::capture::tests::written::gzip;
use crate::judge::LONGEST_LINE;
use crate::report::gather::{MOST_BLIND, MOST_HOSTS};

/// Lines of one kind, each with another number.
fn numbered(count: usize, change: impl Fn(usize, &mut Value)) -> Vec<Value> {
    let lines = (0..count).map(|number| {
        let mut line = line(&format!("{number}"), "began", 1, "high", 21);
        change(number, &mut line);
        line
    });
    lines.collect()
}

#[test]
fn what_the_page_has_no_room_for_is_counted() {
    let process = |line: &mut Value, processes: Value| {
        line["network"]["direction"] = json!("egress");
        line["recon"]["processes"] = processes;
    };
    let of_one = |line: &mut Value| line["event"]["id"] = json!("a");
    // (lines, the loss, its number)
    for (lines, what, count) in [
        (
            numbered(MOST_BLIND + 2, |_, line| {
                line["recon"]["blind"] = json!({"part": "table", "lost": 1});
            }),
            "lines about blindness not shown",
            2,
        ),
        (
            numbered(35, |number, line| {
                of_one(line);
                line["recon"]["count"] = json!(number);
            }),
            "phases not shown",
            3,
        ),
        (
            numbered(1, |_, line| {
                let processes: Vec<_> = (0..20).map(|pid| json!({"pid": pid})).collect();
                process(line, json!(processes));
            }),
            "processes not shown",
            4,
        ),
        (
            numbered(70, |number, line| {
                process(line, json!([{"pid": 7}]));
                line["destination"] = json!({"ip": format!("203.0.113.{number}")});
            }),
            "processes with remotes or ports not shown",
            1,
        ),
        (
            numbered(70, |number, line| {
                of_one(line);
                line["recon"]["ports"] = json!([number]);
            }),
            "incidents with ports not shown",
            1,
        ),
        (
            numbered(1005, |number, line| {
                line["recon"]["outcomes"]["open_ports"] = json!([number]);
            }),
            "findings of open ports not shown",
            5,
        ),
        (
            numbered(51, |number, line| {
                line["source"]["ip"] = json!(format!("198.51.100.{number}"));
            }),
            "open ports with sources not shown",
            1,
        ),
        (
            numbered(MOST_HOSTS + 1, |number, line| {
                line["host"]["name"] = json!(format!("web{number}"));
            }),
            "lines of hosts not named",
            1,
        ),
        (
            numbered(203, |number, line| {
                line["source"]["ip"] = json!(format!("198.51.100.{number}"));
            }),
            "ports of sources not drawn",
            9,
        ),
    ] {
        let model = model_of(&lines);
        let losses = losses(&model);
        let found = losses.iter().find(|(name, _)| *name == what);
        assert_eq!(found, Some(&(what, count)), "{losses:?}");
        // What fits is no loss.
        let one = model_of(&lines[..lines.len().min(1)]);
        assert!(one.losses.len() <= 1, "{:?}", one.losses);
    }
}

#[test]
fn a_line_that_is_too_long_is_skipped_wherever_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let alert = line("a", "began", 1, "high", 21).to_string();
    let row = rows::rows().lines().next().expect("a row").to_owned();
    let [most, long, longest] = [0, 1, 5 << 20].map(|over| "x".repeat(LONGEST_LINE + over));
    let mark = "\u{feff}";
    // (lines, the numbers of those that can't be read, or why the file is refused)
    for (lines, expected) in [
        (vec![&*long, &alert], Ok(vec![1])),
        (vec![&longest, &alert, &longest, "x"], Ok(vec![1, 3, 4])),
        (vec!["", &long, "", &long, &alert], Ok(vec![2, 4])),
        (vec![&longest, &row], Ok(vec![1])),
        (vec![&format!("{mark}{long}"), &alert], Ok(vec![1])),
        (vec![&format!("{mark}{alert}"), &long], Ok(vec![2])),
        (vec![mark, &alert], Ok(vec![])),
        (
            vec![&*most, &alert],
            Err("its first line is no JSON object"),
        ),
        (vec![&*long], Err("its first lines are longer than 1 MiB")),
        (
            vec![&*long; 9],
            Err("its first lines are longer than 1 MiB"),
        ),
    ] {
        let lengths: Vec<usize> = lines.iter().map(|line| line.len()).collect();
        let path = folder.path().join("lines.jsonl");
        std::fs::write(&path, lines.join("\n")).expect("a file");
        let inputs = match (input::open(&[path]), &expected) {
            (Ok(inputs), _) => inputs,
            (Err(error), Err(part)) => {
                let error = error.to_string();
                assert!(error.contains(part), "{lengths:?}: {error}");
                continue;
            }
            (Err(error), Ok(_)) => panic!("{lengths:?}: {error}"),
        };
        let in_force = rows::in_force();
        let rules = ReportRules {
            of_rows: &in_force,
            of_captures: &in_force,
        };
        let mut reader = ReportReader::new(rules);
        for input in inputs.alerts {
            reader.read_alerts(input);
        }
        if !inputs.rows.is_empty() {
            reader.read_rows(inputs.rows, false).expect("to memory");
        }
        let found: Vec<usize> = reader
            .material
            .unreadable
            .places
            .iter()
            .map(|place| {
                let (_, number) = place.split_once("line ").expect("a number");
                let (number, _) = number.split_once(':').expect("a reason");
                number.parse().expect("a number")
            })
            .collect();
        assert_eq!(Ok(found), expected, "{lengths:?}");
    }
}

#[test]
fn a_file_that_is_cut_is_read_in_part() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("alerts.gz");
    let lines: String = (0..2000)
        .map(|number| {
            format!(
                "{}\n",
                line(&format!("{number}"), "began", 1, "high", number)
            )
        })
        .collect();
    let gzip = gzip(lines.as_bytes());
    std::fs::write(&path, &gzip[..gzip.len() / 2]).expect("a file");
    let inputs = input::open(&[path]).expect("alerts");
    let in_force = rows::in_force();
    let rules = ReportRules {
        of_rows: &in_force,
        of_captures: &in_force,
    };
    let mut reader = ReportReader::new(rules);
    for input in inputs.alerts {
        reader.read_alerts(input);
    }
    assert!(reader.has_gaps);
    let model = build(reader.material);
    assert!(model.incidents.len() > 1, "{}", model.incidents.len());
    assert_eq!(losses(&model), [("files read in part", 1)]);
}
