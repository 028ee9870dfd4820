//! Frames of each size, as text.

use std::net::IpAddr;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::*;
use crate::contact::{Outcomes, SourceOrder};
use crate::service::{LiveSource, Status, VerdictCounts};
use crate::top::feed::News;

const ID: &str = "777c5a24320b276b74d6ef6c580b857e";
/// What a process may call itself.
const EVIL: &str = "n\u{1b}[2J\u{202e}";

fn now() -> Timestamp {
    "2026-01-31T10:00:00.5Z".parse().expect("a time")
}

fn source(ip: &str, verdict: &str, refused: u64) -> LiveSource {
    LiveSource {
        ip: ip.parse().expect("an address"),
        verdict: verdict.to_owned(),
        targets: refused + 1,
        outcomes: Outcomes {
            refused,
            half_open: 1,
            open_ports: vec![80],
            ..Outcomes::default()
        },
        ports: (1..=16).collect(),
        port_range: Some([1, 1000]),
        tools: vec!["nmap".to_owned()],
        first: now() - SignedDuration::from_secs(90),
        last: now() - SignedDuration::from_secs(4),
        ..LiveSource::example()
    }
}

fn live() -> Live {
    let text = |text: &str| text.to_owned();
    Live {
        status: Status {
            version: text("0.1.0 (abcdef)"),
            pid: 4242,
            interfaces: vec![text("veth0")],
            polls: 312,
            signals: 2012,
            incidents_open: 2,
            ..Status::default()
        },
        at: now(),
        known_sources: VerdictCounts {
            client: 0,
            undecided: 1,
            scanner: 1,
        },
        matching_sources: 2,
        sources: vec![
            source("198.51.100.2", "scanner", 999),
            source("2001:db8:1234:5678:9abc:def0:1234:5678", "undecided", 2),
        ],
        incidents: vec![LiveIncident {
            event_id: text(ID),
            rule_id: text("port-scan/distinct_ports"),
            severity: text("high"),
            source: text("198.51.100.2"),
            count: 999,
            threshold: 20,
            since: now() - SignedDuration::from_secs(80),
            ..LiveIncident::default()
        }],
        processes: vec![LiveProcess {
            pid: 77,
            name: Some(text(EVIL)),
            executable: Some(text("/usr/bin/nmap")),
            user: Some(text("root")),
            rules: vec![text("outbound-scan-tool/count")],
            count: 100,
        }],
        ..Live::default()
    }
}

fn view() -> View {
    let mut view = View::new(SourceOrder::Recent, None, true);
    note(&mut view, Ok(live()));
    view
}

fn note(view: &mut View, answer: Result<Live, String>) {
    view.note(News {
        at: Instant::now(),
        answer: answer.map(Box::new),
    });
}

fn press(view: &mut View, keys: &[KeyCode]) {
    for &key in keys {
        let pressed = view.press(KeyEvent::new(key, KeyModifiers::NONE));
        assert!(pressed.is_continue(), "{key:?}");
    }
}

/// The frame of a terminal of that size.
fn frame(view: &mut View, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal.draw(|frame| draw(frame, view)).expect("a frame");
    terminal
}

/// The rows of that frame.
fn rows(view: &mut View, width: u16, height: u16) -> Vec<String> {
    let terminal = frame(view, width, height);
    let buffer = terminal.backend().buffer();
    let row = |y| {
        let cells = (0..width).map(|x| buffer[(x, y)].symbol());
        cells.collect::<String>().trim_end().to_owned()
    };
    (0..height).map(row).collect()
}

#[test]
fn a_small_terminal_shows_what_matters() {
    let rows = rows(&mut view(), 80, 24);
    let expected = [
        (
            0,
            "recon 0.1.0  pid 4242  veth0  312 polls  2012 signals  0 lost  2026-01-31T10:00:",
        ),
        (1, "nothing is lost"),
        (
            2,
            "SOURCES by recent: 2 known, 1 scanner, 1 undecided, 0 client",
        ),
        (
            3,
            "SOURCE                                 VERDICT   PORTS ACCEPTED REFUSED SILENT",
        ),
        (
            4,
            "198.51.100.2                           scanner    1000        0     999      0",
        ),
        (
            5,
            "2001:db8:1234:5678:9abc:def0:1234:5678 undecided     3        0       2      0",
        ),
        (17, "INCIDENTS: 2 open"),
        (18, "RULE                     SOURCE       COUNT EVENT ID"),
        (
            19,
            "port-scan/distinct_ports 198.51.100.2   999 777c5a24320b276b74d6ef6c580b857e",
        ),
        (20, "PROCESSES of this host that reach out"),
        (
            21,
            "PID NAME               COUNT USER RULES                    EXECUTABLE",
        ),
        (
            22,
            "77 n\\u{1b}[2J\\u{202e}   100 root outbound-scan-tool/count /usr/bin/nmap",
        ),
        (
            23,
            "q end  s sort  / filter  Enter follow  Esc back  p pause  ? help",
        ),
    ];
    let shown = rows.join("\n");
    for (row, text) in expected {
        let is_number = text.starts_with("PID") || text.starts_with("77");
        let found = if is_number {
            rows[row].trim_start()
        } else {
            &rows[row]
        };
        assert_eq!(found, text.trim_start(), "row {row} of\n{shown}");
    }
}

#[test]
fn a_large_terminal_shows_all_columns() {
    let rows = rows(&mut view(), 200, 60);
    assert_eq!(
        rows[3],
        "SOURCE                                 LABEL VERDICT   PORTS RANGE  ACCEPTED REFUSED HALF SILENT OPEN TOOLS FIRST LAST"
    );
    assert_eq!(
        rows[4],
        "198.51.100.2                                 scanner    1000 1-1000        0     999    1      0 80   nmap     1m   4s"
    );
    assert_eq!(
        rows[59],
        "q end  s sort  / filter  Enter follow  Esc back  p pause  ? help"
    );
    let ids = rows
        .iter()
        .filter(|row| row.contains(ID) && row.contains("high"));
    assert_eq!(ids.count(), 1);
}

/// No size panics, and what fits of the first lines is there.
#[test]
fn each_size_has_a_frame() {
    let mut lost = view();
    note(&mut lost, Err("no recon listens on x".to_owned()));
    let mut followed = view();
    press(&mut followed, &[KeyCode::Enter]);
    let mut typing = view();
    press(&mut typing, &[KeyCode::Char('/'), KeyCode::Char('x')]);
    let mut helped = view();
    press(&mut helped, &[KeyCode::Char('?')]);
    let empty = View::new(SourceOrder::Recent, None, false);
    for mut view in [view(), lost, followed, typing, helped, empty] {
        for width in [1, 2, 5, 19, 20, 40, 79, 80, 132, 400] {
            for height in [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 24, 60] {
                let rows = rows(&mut view, width, height);
                assert!(
                    "recon".starts_with(&rows[0][..rows[0].len().min(5)]),
                    "{rows:?}"
                );
            }
        }
    }
}

#[test]
fn nothing_is_shown_that_controls_the_terminal() {
    let mut live = live();
    let evil = || EVIL.to_owned();
    live.status.version = evil();
    live.status.interfaces = vec![evil()];
    live.status.blind = vec![evil()];
    live.sources[0].label = Some(evil());
    live.sources[0].verdict = evil();
    live.sources[0].tools = vec![evil()];
    live.incidents[0].rule_id = evil();
    live.incidents[0].source = evil();
    live.processes[0].executable = Some(evil());
    let mut view = view();
    note(&mut view, Ok(live));
    let mut frames = rows(&mut view, 200, 60);
    note(&mut view, Err(EVIL.to_owned()));
    frames.extend(rows(&mut view, 200, 60));
    press(&mut view, &[KeyCode::Char('/'), KeyCode::Char('\u{1b}')]);
    frames.extend(rows(&mut view, 200, 60));
    for row in frames {
        let is_safe = |letter: char| !letter.is_control() && letter != '\u{202e}';
        assert!(row.chars().all(is_safe), "{row:?}");
    }
}

#[test]
fn a_lost_agent_is_said_and_found_again() {
    let mut view = view();
    note(&mut view, Err("no recon listens on x".to_owned()));
    let lost = rows(&mut view, 120, 24);
    assert!(
        lost[1].starts_with("NO ANSWER for 0s, trying again; shown is what it said last: no recon"),
        "{lost:?}"
    );
    assert!(lost[4].starts_with("198.51.100.2"), "{lost:?}");
    note(&mut view, Ok(live()));
    assert_eq!(rows(&mut view, 120, 24)[1], "nothing is lost");
    let mut blind = live();
    blind.status.blind = vec!["table".to_owned()];
    blind.status.alerts_unwritten = 7;
    note(&mut view, Ok(blind));
    assert_eq!(
        rows(&mut view, 120, 24)[1],
        "BLIND: table; 7 alert lines not written"
    );
}

#[test]
fn keys_change_what_is_asked_for() {
    let mut view = view();
    let char = KeyCode::Char;
    let second: IpAddr = live().sources[1].ip;
    press(&mut view, &[char('s'), char('s'), char('S')]);
    assert_eq!(view.request().sort, SourceOrder::Verdict);
    press(&mut view, &[KeyCode::Down, KeyCode::Down, KeyCode::Enter]);
    assert_eq!(view.request().follow, Some(second));
    // Its row moves, and it stays selected.
    let mut moved = live();
    moved.sources.reverse();
    moved.followed = Some(moved.sources[0].clone());
    note(&mut view, Ok(moved));
    assert_eq!(view.row(), 0);
    let shown = rows(&mut view, 80, 24);
    assert!(
        shown[2].starts_with(&format!("FOLLOWING {second}")),
        "{shown:?}"
    );
    assert!(
        shown
            .iter()
            .any(|row| row.contains("2 refused, 1 half-open")),
        "{shown:?}"
    );
    assert!(
        !shown.iter().any(|row| row.contains("port-scan")),
        "{shown:?}"
    );
    press(&mut view, &[KeyCode::Esc]);
    assert_eq!(view.request().follow, None);
    // (typed, what is asked for, what the last line says)
    for (typed, filter, says) in [
        ("scanner", Some("scanner"), "q end"),
        (
            "evil",
            Some("scanner"),
            "filter: evil_   `evil` selects no sources",
        ),
        ("198.51", Some("198.51"), "q end"),
        ("", None, "q end"),
    ] {
        press(&mut view, &[char('/')]);
        (0..20).for_each(|_| press(&mut view, &[KeyCode::Backspace]));
        typed
            .chars()
            .for_each(|letter| press(&mut view, &[char(letter)]));
        press(&mut view, &[KeyCode::Enter]);
        assert_eq!(view.request().filter.as_deref(), filter, "{typed}");
        let shown = rows(&mut view, 80, 24);
        assert!(shown[23].starts_with(says), "{typed}: {}", shown[23]);
        press(
            &mut view,
            if filter == Some(typed) || typed.is_empty() {
                &[]
            } else {
                &[KeyCode::Esc]
            },
        );
    }
    press(&mut view, &[char('p')]);
    note(&mut view, Ok(Live::default()));
    assert!(rows(&mut view, 80, 24)[1].starts_with("PAUSED"));
    assert!(rows(&mut view, 80, 24)[4].starts_with("2001:db8:"));
    let quit = |key, modifiers| {
        super::tests::view()
            .press(KeyEvent::new(key, modifiers))
            .is_break()
    };
    assert!(quit(char('q'), KeyModifiers::NONE) && quit(char('c'), KeyModifiers::CONTROL));
}

/// Without colours there is none, and the selection is seen all the same.
#[test]
fn colours_are_left_out() {
    for has_color in [true, false] {
        let mut view = view();
        view.has_color = has_color;
        let terminal = frame(&mut view, 80, 24);
        let cells = terminal.backend().buffer().content.iter();
        let colored = cells.filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
        assert_eq!(colored.count() > 0, has_color);
        let selected = &terminal.backend().buffer()[(0, 4)];
        assert!(selected.modifier.contains(Modifier::REVERSED));
    }
}

/// A list that is longer than the screen follows the selection.
#[test]
fn a_long_list_scrolls() {
    let mut long = live();
    long.sources = (0..200)
        .map(|number| source(&format!("203.0.113.{number}"), "undecided", 1))
        .collect();
    let mut view = view();
    note(&mut view, Ok(long));
    press(&mut view, &[KeyCode::End]);
    let shown = rows(&mut view, 80, 24).join("\n");
    assert!(
        shown.contains("203.0.113.199") && !shown.contains("203.0.113.9 "),
        "{shown}"
    );
    press(&mut view, &[KeyCode::Home]);
    let shown = rows(&mut view, 80, 24).join("\n");
    assert!(
        shown.contains("203.0.113.0 ") && !shown.contains("203.0.113.199"),
        "{shown}"
    );
}
