//! What strangers can do to a list of claims: nothing.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Uid, geteuid, setfsuid};

use super::super::claim::{Claim, may_run_agents};
use super::super::{TC_EGRESS, TC_INGRESS};
use super::*;

const NONE: [u32; 0] = [];
const NOBODY: Uid = Uid::from_raw(65_534);
const PROGRAM: Subject = Subject::program(TC_INGRESS, 57, 2);

/// Runs it in a network namespace of its own. Needs root.
fn in_namespace(work: fn()) {
    if !geteuid().is_root() {
        return;
    }
    let inside = move || {
        // Of this thread only.
        unshare(CloneFlags::CLONE_NEWNET).expect("a namespace");
        work();
    };
    thread::spawn(inside).join().expect("the work");
}

/// Makes sockets as a user who may run no agent.
fn as_stranger<T>(make: impl FnOnce() -> T) -> T {
    setfsuid(NOBODY);
    let made = make();
    setfsuid(Uid::from_raw(0));
    made
}

fn address(name: &str) -> SocketAddr {
    SocketAddr::from_abstract_name(name).expect("an address")
}

fn bind(name: &str) -> UnixDatagram {
    UnixDatagram::bind_addr(&address(name)).expect("a socket")
}

/// The agents that claim `subject`, besides `own`.
fn agents(subject: Subject, own: Option<Claimant>) -> Vec<u32> {
    let question = Question {
        wanted: HashSet::from([subject, subject.any_program()]),
        own,
    };
    let claims = ClaimList::default().ask(question).expect("a list");
    let users = claims
        .users(subject)
        .chain(claims.users(subject.any_program()));
    let mut agents: Vec<_> = users
        .flatten()
        .filter(|&user| may_run_agents(user) == Some(true))
        .collect();
    agents.dedup();
    agents
}

/// Every address that an agent of any version may have, in every type of socket, bound before and
/// after the claim, and let go at any time.
#[test]
fn a_stranger_neither_has_a_claim_nor_hides_one() {
    in_namespace(|| {
        for subject in [Subject::interface(2), PROGRAM] {
            let old = match subject == PROGRAM {
                true => "recon/recon_ingress/2",
                false => "recon/agent/2",
            };
            let names = [old.to_owned()].into_iter();
            let names: Vec<_> = names
                .chain((1..4).map(|number| format!("{old}/{number}")))
                .collect();
            let hold = || -> Vec<_> {
                let bound = names.iter().map(|name| bind(name)).collect::<Vec<_>>();
                let listeners = names.iter().map(|name| {
                    let listener = UnixListener::bind_addr(&address(name)).expect("a socket");
                    let client = UnixStream::connect_addr(&address(name)).expect("a connection");
                    let accepted = listener.accept().expect("a connection");
                    (listener, client, accepted)
                });
                bound
                    .into_iter()
                    .zip(listeners.collect::<Vec<_>>())
                    .collect()
            };
            let held = as_stranger(hold);
            assert_eq!(agents(subject, None), NONE, "strangers alone");
            let claim = Claim::bind(subject, Claimant::random()).expect("a claim");
            assert_eq!(agents(subject, None), [0], "an agent behind strangers");
            drop(held);
            assert_eq!(agents(subject, None), [0], "the strangers are gone");
            let held = as_stranger(hold);
            assert_eq!(agents(subject, None), [0], "strangers behind an agent");
            // Also with the very name of the claim, for sockets of other types.
            let name = listed_names()
                .into_iter()
                .find(|name| name.len() > old.len() + 2 * 16);
            let name = name.expect("the claim's name");
            assert!(
                as_stranger(|| UnixDatagram::bind_addr(&address(&name))).is_err(),
                "it is taken"
            );
            let same = as_stranger(|| UnixListener::bind_addr(&address(&name)).expect("a socket"));
            assert_eq!(agents(subject, None), [0], "a listener of that name");
            drop(claim);
            assert_eq!(agents(subject, None), NONE, "the agent is gone");
            drop((held, same));
        }
    });
}

fn listed_names() -> Vec<String> {
    let mut names = Vec::new();
    let found = |name: &[u8], _| names.push(String::from_utf8_lossy(name).into_owned());
    list_datagram_sockets(found).expect("a list");
    names
}

/// Each of them binds before it lists, so that no order of their steps hides both.
#[test]
fn of_two_agents_at_least_one_sees_the_other() {
    in_namespace(|| {
        let watched = Subject::interface(2);
        let [one, other] = [(); 2].map(|()| Claimant::random());
        let _first = Claim::bind(watched, one).expect("a claim");
        assert_eq!(agents(watched, Some(one)), NONE, "its own is none");
        let second = Claim::bind(watched, other).expect("a claim");
        assert_eq!(
            agents(watched, Some(other)),
            [0],
            "the later one sees the first"
        );
        assert_eq!(agents(watched, Some(one)), [0], "as does who binds at once");
        drop(second);
        assert_eq!(agents(watched, Some(one)), NONE);
    });
}

#[test]
fn claims_are_of_one_program_one_interface_and_one_namespace() {
    in_namespace(|| {
        let _claim = Claim::bind(PROGRAM, Claimant::random()).expect("a claim");
        assert_eq!(agents(PROGRAM, None), [0]);
        for other in [
            Subject::program(TC_INGRESS, 58, 2),
            Subject::program(TC_EGRESS, 57, 2),
            Subject::program(TC_INGRESS, 57, 3),
            Subject::interface(2),
        ] {
            assert_eq!(agents(other, None), NONE, "{other:?}");
        }
        unshare(CloneFlags::CLONE_NEWNET).expect("a namespace");
        assert_eq!(agents(PROGRAM, None), NONE, "another namespace");
    });
}

/// The socket of an older recon claims all programs of its name.
#[test]
fn an_older_recon_is_an_agent() {
    in_namespace(|| {
        for (name, subject) in [
            ("recon/agent/2", Subject::interface(2)),
            ("recon/agent/2/3", Subject::interface(2)),
            ("recon/recon_ingress/2", PROGRAM),
            ("recon/recon_ingress/2/1", PROGRAM),
        ] {
            assert_eq!(agents(subject, None), NONE);
            let _older = bind(name);
            assert_eq!(agents(subject, None), [0], "{name}");
        }
    });
}

/// Sockets of a stranger, for one subject each or for all, make a list no longer.
#[test]
fn a_list_holds_what_was_asked_for() {
    in_namespace(|| {
        let held: Vec<_> = as_stranger(|| {
            let names = (0..500).map(|id| format!("recon/recon_ingress/2/{id}/{id:032x}"));
            names.map(|name| bind(&name)).collect()
        });
        let question = Question {
            wanted: HashSet::from([PROGRAM, PROGRAM.any_program()]),
            own: None,
        };
        let claims = ClaimList::default().ask(question).expect("a list");
        assert_eq!(claims.0.len(), 1);
        let users: Vec<_> = claims.users(PROGRAM).collect();
        assert_eq!(users, [Some(NOBODY.as_raw())]);
        drop(held);
    });
}

/// A kernel without unix_diag says what is claimed, and not by whom.
#[test]
fn without_users_a_claim_is_anybodys() {
    in_namespace(|| {
        let claimed = || {
            let question = Question {
                wanted: HashSet::from([PROGRAM, PROGRAM.any_program()]),
                own: None,
            };
            let mut list = ClaimList::of(list_without_users);
            let claims = list.ask(question).expect("a list");
            let users = claims.users(PROGRAM);
            users
                .chain(claims.users(PROGRAM.any_program()))
                .collect::<Vec<_>>()
        };
        assert_eq!(claimed(), []);
        let claim = Claim::bind(PROGRAM, Claimant::random()).expect("a claim");
        assert_eq!(claimed(), [None], "an agent");
        drop(claim);
        let _stranger = as_stranger(|| bind("recon/recon_ingress/2/1"));
        assert_eq!(claimed(), [None], "a stranger");
    });
}

/// A kernel without the module is not one that refuses.
#[test]
fn a_kernel_that_names_no_users_is_asked_for_addresses() {
    fn error(number: i32) -> io::Result<Claims> {
        Err(io::Error::from_raw_os_error(number))
    }
    let rows: [(List, Option<i32>); 5] = [
        (|_| error(libc::ENOENT), None),
        (|_| error(libc::EPROTONOSUPPORT), None),
        (|_| error(libc::EACCES), Some(libc::EACCES)),
        (|_| error(libc::ENOMEM), Some(libc::ENOMEM)),
        (|_| Ok(Claims::of(&[(PROGRAM, Some(7))])), None),
    ];
    for (row, (with_users, expected)) in rows.into_iter().enumerate() {
        let listed = list_by(&Question::default(), with_users, |_| {
            Ok(Claims::of(&[(PROGRAM, None)]))
        });
        let users = listed
            .as_ref()
            .map(|claims| claims.users(PROGRAM).collect::<Vec<_>>());
        match (users, expected) {
            (Ok(users), None) => assert_eq!(users, [(row == 4).then_some(7)], "{row}"),
            (Err(error), Some(_)) => assert_eq!(error.raw_os_error(), expected, "{row}"),
            (found, _) => panic!("{row}: {found:?}"),
        }
    }
}

fn without_capabilities(_: &Question) -> io::Result<Claims> {
    match Capabilities::held() {
        Capabilities::NONE => Ok(Claims::default()),
        held => Err(io::Error::other(held.to_string())),
    }
}

#[test]
fn the_thread_that_lists_has_no_capability() {
    let mut list = ClaimList::of(without_capabilities);
    list.ask(Question::default()).expect("none is held");
}

static LISTED_BY: AtomicI32 = AtomicI32::new(0);

fn noted(_: &Question) -> io::Result<Claims> {
    let own = nix::unistd::gettid().as_raw();
    LISTED_BY.store(own, Ordering::SeqCst);
    assert!(listing_threads().contains(&own));
    Ok(Claims::default())
}

/// Whoever has a list no longer finds its thread among those that list.
#[test]
fn a_thread_lists_until_its_list_is_there() {
    const LOOKS: usize = 1000;
    for _ in 0..LOOKS {
        let mut list = ClaimList::of(noted);
        list.ask(Question::default()).expect("a list");
        let thread = LISTED_BY.load(Ordering::SeqCst);
        assert!(!listing_threads().contains(&thread));
    }
}

static IS_SLOW: AtomicBool = AtomicBool::new(true);

/// Takes until the test lets it end.
fn slow(_: &Question) -> io::Result<Claims> {
    while IS_SLOW.load(Ordering::SeqCst) {
        thread::yield_now();
    }
    Ok(Claims::default())
}

#[test]
fn a_list_without_end_stops_nobody() {
    let mut list = ClaimList::of(slow);
    list.begin_polling();
    for _poll in 0..3 {
        let asked = list.ask(Question::default());
        let kind = asked.err().map(|error| error.kind());
        assert_eq!(kind, Some(io::ErrorKind::TimedOut));
        assert!(list.begin(Question::default()).is_err(), "a second thread");
    }
    IS_SLOW.store(false, Ordering::SeqCst);
    assert!(
        list.wait(Duration::from_secs(60))
            .is_some_and(|listed| listed.is_ok())
    );
    let rests = list
        .ask(Question::default())
        .err()
        .map(|error| error.kind());
    assert_eq!(rests, Some(io::ErrorKind::WouldBlock), "no rest");
    list.rests_until = Some(Instant::now());
    assert!(list.ask(Question::default()).is_ok());
}
