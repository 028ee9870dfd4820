//! Whose a filter is, by what is claimed.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const ROOT: Option<u32> = Some(0);
const SERVICE: Option<u32> = Some(999);
const STRANGER: Option<u32> = Some(1000);
/// One whom the kernel does not name.
const SOMEBODY: Option<u32> = None;
const PROGRAM: Subject = Subject::program(TC_INGRESS, 57, 2);

/// As where the service's user is known.
fn known(user: u32) -> Option<bool> {
    Some([ROOT, SERVICE].contains(&Some(user)))
}

/// As where it can't be looked up.
fn unknown(user: u32) -> Option<bool> {
    (Some(user) == ROOT).then_some(true)
}

#[test]
fn only_an_agent_has_a_filter() {
    /// Who claims it, who may run agents, who has loaded the program, whose it is.
    type Row<'a> = (
        &'a [(Subject, Option<u32>)],
        fn(u32) -> Option<bool>,
        Option<u32>,
        Owner,
    );
    let older = PROGRAM.any_program();
    let unclear = Owner::Unknown(String::new());
    let rows: &[Row] = &[
        (&[], known, None, Owner::Nobody),
        (&[(PROGRAM, ROOT)], known, None, Owner::Agent),
        (&[(PROGRAM, SERVICE)], known, None, Owner::Agent),
        (&[(older, ROOT)], known, None, Owner::Agent),
        (&[(PROGRAM, STRANGER)], known, None, Owner::Nobody),
        (&[(older, STRANGER)], known, None, Owner::Nobody),
        (&[(PROGRAM, STRANGER)], known, ROOT, Owner::Nobody),
        (
            &[(PROGRAM, STRANGER), (PROGRAM, ROOT)],
            known,
            None,
            Owner::Agent,
        ),
        (
            &[(PROGRAM, STRANGER), (older, ROOT)],
            known,
            None,
            Owner::Agent,
        ),
        // A user of its own with capabilities, or the service's where it can't be looked up.
        (&[(PROGRAM, STRANGER)], known, STRANGER, Owner::Agent),
        (&[(PROGRAM, SERVICE)], unknown, SERVICE, Owner::Agent),
        (&[(PROGRAM, SERVICE)], unknown, None, unclear.clone()),
        (&[(PROGRAM, STRANGER)], unknown, SERVICE, Owner::Nobody),
        (&[(PROGRAM, ROOT)], unknown, None, Owner::Agent),
        (&[], unknown, None, Owner::Nobody),
        // A kernel that does not say whose a socket is.
        (&[(PROGRAM, SOMEBODY)], known, None, unclear.clone()),
        (&[(older, SOMEBODY)], known, ROOT, unclear.clone()),
        (&[(PROGRAM, SOMEBODY)], known, STRANGER, unclear.clone()),
        (
            &[(Subject::program(TC_INGRESS, 58, 2), SOMEBODY)],
            known,
            None,
            Owner::Nobody,
        ),
        // A claim on something else.
        (
            &[(Subject::program(TC_INGRESS, 58, 2), ROOT)],
            known,
            None,
            Owner::Nobody,
        ),
        (&[(Subject::interface(2), ROOT)], known, None, Owner::Nobody),
    ];
    for (number, (claimed, may_run, creator, expected)) in rows.iter().enumerate() {
        let claims = Claims::of(claimed);
        let owner = owner_of(PROGRAM, 57, &claims, may_run, |_| *creator);
        let owner = match owner {
            Owner::Unknown(_) => unclear.clone(),
            owner => owner,
        };
        assert_eq!(owner, *expected, "row {number}");
    }
}

/// Who has loaded a program is asked only where a claim leaves that open.
#[test]
fn programs_are_asked_about_in_doubt_alone() {
    for (claimed, expected) in [
        (&[][..], 0),
        (&[(PROGRAM, ROOT)], 0),
        (&[(PROGRAM, STRANGER)], 1),
    ] {
        let asked = Cell::new(0);
        let creator = |_| {
            asked.set(asked.get() + 1);
            None
        };
        owner_of(PROGRAM, 57, &Claims::of(claimed), known, creator);
        assert_eq!(asked.get(), expected, "{claimed:?}");
    }
}

fn filter(index: u32, program: u32) -> Filter {
    Filter {
        interface: format!("veth{index}"),
        index,
        direction: TcAttachType::Ingress,
        priority: 1,
        handle: 1,
        name: TC_INGRESS,
        program,
    }
}

const OWN: u32 = 7;
const PINNED: u32 = 8;

fn ids() -> KnownIds {
    KnownIds {
        own: HashSet::from([OWN]),
        pinned: HashSet::from([PINNED]),
    }
}

static LISTED: AtomicUsize = AtomicUsize::new(0);

fn counted(_: &Question) -> io::Result<Claims> {
    LISTED.fetch_add(1, Ordering::SeqCst);
    Ok(Claims::default())
}

/// A thousand interfaces are one list, and none if this process knows whose the filters are.
#[test]
fn a_pass_asks_once_at_most() {
    let mut list = ClaimList::of(counted);
    let all = |program| (1..=1000).map(|index| filter(index, program)).collect();
    assert!(
        find_owners(all(OWN), &ids(), &mut list).is_empty(),
        "its own"
    );
    let pinned = find_owners(all(PINNED), &ids(), &mut list);
    assert!(
        pinned
            .iter()
            .all(|leftover| leftover.owner == Owner::Nobody)
    );
    assert_eq!(pinned.len(), 1000);
    assert_eq!(LISTED.load(Ordering::SeqCst), 0, "of known ones");
    assert_eq!(find_owners(all(9), &ids(), &mut list).len(), 1000);
    assert_eq!(LISTED.load(Ordering::SeqCst), 1, "of others");
}

fn refused(_: &Question) -> io::Result<Claims> {
    Err(io::ErrorKind::PermissionDenied.into())
}

/// A filter of unknown owner is neither taken over nor removed. A pinned one needs no list.
#[test]
fn without_a_list_nothing_is_taken() {
    let mut list = ClaimList::of(refused);
    let filters = vec![filter(2, 9), filter(3, PINNED), filter(4, OWN)];
    let mut leftovers = Leftovers {
        found: find_owners(filters, &ids(), &mut list),
        unseen: Vec::new(),
    };
    let mut take = |index| {
        let interface = Interface {
            index,
            ..Interface::default()
        };
        leftovers.take_over(&interface, TcAttachType::Ingress)
    };
    assert_eq!(take(2), None, "unknown");
    assert_eq!(take(3), Some(filter(3, PINNED)));
    assert_eq!(take(3), None, "taken once");
    assert_eq!(take(4), None, "its own");
    let left = leftovers.into_found();
    assert!(matches!(
        &left[..],
        [Leftover {
            owner: Owner::Unknown(_),
            ..
        }]
    ));
}
