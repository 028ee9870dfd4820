//! Which sessions of SSH are guesses: rows of ended connections in, rules out.

use recon_common::Ending;
use recon_common::ending::SECOND;

use super::*;

const SSH: u16 = 22;

/// Connections to SSH that have ended, all alike.
#[derive(Clone, Copy)]
struct Sessions {
    what: &'static str,
    number: u64,
    /// Neighbours that share them, or networks of one /48.
    remotes: u8,
    are_networks: bool,
    received: u64,
    sent: u64,
    seconds: u64,
    /// Whether a program ran in each.
    logs_in: bool,
    /// The rules that report them, above informational.
    alarms: &'static [&'static str],
}

/// A refused password, as OpenSSH's client and server exchange it.
const GUESS: Sessions = Sessions {
    what: "guesses",
    number: 11,
    remotes: 1,
    are_networks: false,
    received: 2_500,
    sent: 2_500,
    seconds: 2,
    logs_in: false,
    alarms: &["login-guessing"],
};

const ROWS: &[Sessions] = &[
    Sessions {
        what: "as many guesses as a person mistypes",
        number: 10,
        alarms: &[],
        ..GUESS
    },
    GUESS,
    Sessions {
        what: "more guesses than either rule needs",
        number: 31,
        alarms: &["login-guessing", "login-guessing"],
        ..GUESS
    },
    Sessions {
        what: "a monitor that looks for the greeting",
        number: 300,
        received: 25,
        sent: 40,
        seconds: 0,
        alarms: &[],
        ..GUESS
    },
    Sessions {
        what: "a monitor that waits for the greeting",
        number: 300,
        received: 25,
        sent: 40,
        seconds: 2,
        alarms: &[],
        ..GUESS
    },
    Sessions {
        what: "a check of the port",
        number: 300,
        received: 0,
        sent: 0,
        seconds: 0,
        alarms: &[],
        ..GUESS
    },
    Sessions {
        what: "transfers without a program",
        number: 300,
        received: 5_000,
        alarms: &[],
        ..GUESS
    },
    Sessions {
        what: "downloads without a program",
        number: 300,
        sent: 20_000,
        alarms: &[],
        ..GUESS
    },
    Sessions {
        what: "logins",
        number: 300,
        logs_in: true,
        alarms: &[],
        ..GUESS
    },
    Sessions {
        what: "guesses that neighbours share",
        number: 31,
        remotes: 4,
        alarms: &["split-guessing"],
        ..GUESS
    },
    Sessions {
        what: "guesses that networks of one /48 share",
        number: 51,
        remotes: 17,
        are_networks: true,
        alarms: &["split-guessing"],
        ..GUESS
    },
    Sessions {
        what: "fewer of them",
        number: 50,
        remotes: 17,
        are_networks: true,
        alarms: &[],
        ..GUESS
    },
    Sessions {
        what: "mistyped passwords of neighbours",
        number: 30,
        remotes: 4,
        alarms: &[],
        ..GUESS
    },
    Sessions {
        what: "logins of neighbours",
        number: 300,
        remotes: 100,
        logs_in: true,
        alarms: &[],
        ..GUESS
    },
];

/// The rules above informational that report the sessions.
fn alarms(sessions: &Sessions) -> Vec<String> {
    let mut pipeline = Pipeline::new(settings(plain(defaults(Profile::Outcomes))));
    let ending = Ending::new(sessions.received, sessions.sent, sessions.seconds * SECOND);
    let interval = at(Duration::from_secs(7200));
    for number in 0..sessions.number {
        let last = 10 + (number % u64::from(sessions.remotes)) as u8;
        let remote = match sessions.are_networks {
            true => Address::v6([0x20, 1, 0xd, 0xb8, 0, 0, 0, last, 0, 0, 0, 0, 0, 0, 0, 1]),
            false => Address::v4([198, 51, 100, last]),
        };
        let mut events = vec![
            (Signal::Syn, 0),
            (Signal::Accepted, 0),
            (Signal::Ended, ending.pack()),
        ];
        if sessions.logs_in {
            events.push((Signal::Login, 0));
        }
        for (signal, pid) in events {
            let key = key(signal, remote, Address::v4(LOCAL), SSH, pid);
            observe(&mut pipeline, &key, 1, interval, false);
        }
    }
    let polls = (7200..7203).map(|second| at(Duration::from_secs(second)));
    let found = polls.flat_map(|poll| pipeline.end_poll_unlimited(poll, false));
    let alarms = found.filter(|finding| finding.severity > Severity::Informational);
    alarms
        .map(|finding| finding.query.id().to_owned())
        .collect()
}

#[test]
fn guesses_are_told_from_monitors_transfers_and_logins() {
    for row in ROWS {
        assert_eq!(alarms(row), row.alarms, "{} {}", row.number, row.what);
    }
}
