//! Databases in MaxMind's format: what is read of each vendor's, and what is refused.

mod writer;

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use writer::{Tree, Value, map};

/// What the tests with traffic read, see `RECON_WRITE_DOCS` in docs/settings.md.
const OF_TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/enrich");
const ORGANIZATION: &str = "Example \u{1b}[31mNet";

/// Records as GeoLite2 and DB-IP have them.
fn asn(number: u32, organization: &str) -> Value {
    map([
        ("autonomous_system_number", number.into()),
        ("autonomous_system_organization", organization.into()),
    ])
}

fn country(code: &str) -> Value {
    let names = map([("en", "A country".into())]);
    let country = map([
        ("geoname_id", 7_u32.into()),
        ("names", names),
        ("iso_code", code.into()),
    ]);
    map([("country", country)])
}

/// The networks that labs are in: IPv4 in a tree of IPv6, and IPv6.
fn asn_file() -> Vec<u8> {
    let mut tree = Tree::of_ipv6();
    tree.insert("198.51.100.0/24", asn(64_500, ORGANIZATION));
    tree.insert("198.18.0.0/15", asn(64_501, "Benchmarks"));
    tree.insert("2001:db8::/32", asn(64_502, "Documentation"));
    tree.file("GeoLite2-ASN")
}

fn country_file() -> Vec<u8> {
    let mut tree = Tree::of_ipv6();
    tree.insert("198.51.100.0/24", country("DE"));
    tree.insert("2001:db8::/32", country("AQ"));
    tree.file("GeoLite2-Country")
}

/// Both in one, as IPinfo Lite has them.
fn lite_file() -> Vec<u8> {
    let mut tree = Tree::of_ipv6();
    let record = [
        ("as_domain", "example.net".into()),
        ("as_name", "Lite".into()),
        ("asn", "AS64503".into()),
        ("country", "Germany".into()),
        ("country_code", "DE".into()),
    ];
    tree.insert("198.51.100.0/24", map(record));
    tree.file("ipinfo lite.mmdb")
}

/// A database for both, of these bytes.
fn databases(bytes: &[u8]) -> Databases {
    let database = Database::parse(Path::new("test.mmdb"), bytes.to_vec()).expect("a database");
    let database = Arc::new(database);
    Databases {
        asn: Some(Arc::clone(&database)),
        country: Some(database),
    }
}

/// Databases that know the networks of labs.
pub(crate) fn example() -> Databases {
    Databases {
        asn: databases(&asn_file()).asn,
        country: databases(&country_file()).country,
    }
}

fn facts(number: u32, organization: &str, country: &str) -> AddressFacts {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    AddressFacts {
        domain: None,
        domain_by: None,
        as_number: (number != 0).then_some(number),
        as_organization: text(organization),
        country: text(country),
    }
}

#[test]
fn an_address_has_the_facts_of_its_network() {
    let of_ipv4 = |record| {
        let mut tree = Tree::of_ipv4();
        tree.insert("198.51.100.0/24", record);
        tree.file("x")
    };
    let long = "é".repeat(200);
    let cut = "é".repeat(128);
    for (what, file, address, expected) in [
        (
            "IPv4 in IPv6",
            asn_file(),
            "198.51.100.7",
            facts(64_500, ORGANIZATION, ""),
        ),
        (
            "IPv6",
            asn_file(),
            "2001:db8::7",
            facts(64_502, "Documentation", ""),
        ),
        (
            "another network",
            asn_file(),
            "198.19.255.255",
            facts(64_501, "Benchmarks", ""),
        ),
        ("no network", asn_file(), "203.0.113.1", facts(0, "", "")),
        (
            "IPv6 without one",
            asn_file(),
            "2001:db9::",
            facts(0, "", ""),
        ),
        (
            "a country",
            country_file(),
            "198.51.100.7",
            facts(0, "", "DE"),
        ),
        (
            "a country of IPv6",
            country_file(),
            "2001:db8:1::",
            facts(0, "", "AQ"),
        ),
        (
            "both",
            lite_file(),
            "198.51.100.7",
            facts(64_503, "Lite", "DE"),
        ),
        (
            "IPv4 alone",
            of_ipv4(asn(64_500, "a")),
            "198.51.100.255",
            facts(64_500, "a", ""),
        ),
        (
            "IPv6 in IPv4",
            of_ipv4(asn(64_500, "a")),
            "2001:db8::7",
            facts(0, "", ""),
        ),
        (
            "no system",
            of_ipv4(asn(0, "nobody")),
            "198.51.100.7",
            facts(0, "", ""),
        ),
        (
            "no organization",
            of_ipv4(asn(7, " ")),
            "198.51.100.7",
            facts(7, "", ""),
        ),
        (
            "a long one",
            of_ipv4(asn(7, &long)),
            "198.51.100.7",
            facts(7, &cut, ""),
        ),
        (
            "a code in small letters",
            of_ipv4(map([("country_code", "de".into())])),
            "198.51.100.7",
            facts(0, "", "DE"),
        ),
        (
            "of IPinfo's older files",
            of_ipv4(map([
                ("asn", "64504".into()),
                ("name", "b".into()),
                ("country", "FR".into()),
            ])),
            "198.51.100.7",
            facts(64_504, "b", "FR"),
        ),
        (
            "of files for enterprises",
            of_ipv4(map([("traits", asn(64_505, "c"))])),
            "198.51.100.7",
            facts(64_505, "c", ""),
        ),
        (
            "other types",
            of_ipv4(map([
                ("asn", map([])),
                ("country", 7_u32.into()),
                ("name", 1_u32.into()),
            ])),
            "198.51.100.7",
            facts(0, "", ""),
        ),
    ] {
        let found = databases(&file).find(address.parse().expect("an address"));
        assert_eq!(found, expected, "{what}");
    }
}

#[test]
fn facts_are_one_line() {
    for (facts, expected) in [
        (facts(64_500, "Example", "DE"), "AS64500 Example DE"),
        (facts(64_500, "", ""), "AS64500"),
        (facts(0, "", "DE"), "DE"),
        (facts(0, "", ""), ""),
    ] {
        assert_eq!(facts.to_string(), expected);
        let named = AddressFacts {
            domain: Some("a.example".to_owned()),
            ..facts
        };
        let expected = format!("a.example {expected}");
        assert_eq!(named.to_string(), expected.trim_end());
    }
}

#[test]
fn what_is_no_database_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    let file = asn_file();
    let cut = &file[..file.len() / 2];
    let gzip = b"\x1f\x8b\x08\x00";
    for (bytes, expected) in [
        (&b""[..], "this is no database in MaxMind's format"),
        (
            b"198.51.100.0/24,64500\n",
            "this is no database in MaxMind's format",
        ),
        (gzip, "unpack an archive first"),
        (cut, "or it is cut off"),
        (
            &country_file(),
            "type `GeoLite2-Country`, and the first 2 of its networks have no number of an autonomous system: does `asn` name the right file?",
        ),
    ] {
        fs::write(&path, bytes).expect("a file");
        let read = Database::read(&path);
        let error = read
            .and_then(|it| it.check_content(Content::Asn))
            .expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
    }
    for (path, expected) in [
        (folder.path().to_owned(), "is a directory"),
        (PathBuf::from("/dev/zero"), "not a regular file"),
        (folder.path().join("none"), "No such file"),
    ] {
        let error = Database::read(&path).expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn another_file_is_a_change() {
    let before = databases(&asn_file());
    let mut tree = Tree::of_ipv4();
    tree.insert("198.51.100.0/24", asn(1, "a"));
    let after = databases(&tree.file("other"));
    assert_eq!(after.changes(&databases(&tree.file("other"))), [""; 0]);
    let expected =
        "test.mmdb: GeoLite2-ASN of 2026-01-01T00:00:00Z -> other of 2026-01-01T00:00:00Z";
    assert_eq!(after.changes(&before), [expected]);
}

#[test]
fn a_file_that_is_both_takes_its_memory_once() {
    let [asn, country, lite] = [asn_file(), country_file(), lite_file()];
    let sum = (asn.len() + country.len()) as u64;
    assert_eq!(example().bytes(), sum);
    assert_eq!(databases(&lite).bytes(), lite.len() as u64);
    assert_eq!(Databases::default().bytes(), 0);
    let said = databases(&lite).asn.map(|it| it.in_words());
    let expected = "test.mmdb: ipinfo lite.mmdb of 2026-01-01T00:00:00Z, 1 KiB in memory";
    assert_eq!(said.as_deref(), Some(expected));
}

proptest! {
    /// A damaged file costs its facts: no panic, no loop.
    #[test]
    fn a_damaged_file_does_no_harm(
        changed in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        length in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
        address in any::<u32>(),
    ) {
        for mut file in [asn_file(), country_file(), lite_file()] {
            for (place, byte) in &changed {
                let place = place.index(file.len());
                file[place] = *byte;
            }
            if is_cut {
                file.truncate(length.index(file.len()));
            }
            let Ok(database) = Database::parse(Path::new("test.mmdb"), file) else {
                continue;
            };
            let _ = database.version();
            for content in [Content::Asn, Content::Country] {
                let _ = database.check_content(content);
                let _ = database.check_records(content);
            }
            for address in [
                IpAddr::from(address.to_be_bytes()),
                IpAddr::from([198, 51, 100, 7]),
                IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7]),
            ] {
                let _ = database.find_asn(address);
                let _ = database.find_country(address);
            }
        }
    }
}

/// A tree in which each node leads to the next one twice has more ends than anybody can visit, and
/// none of them with data.
#[test]
fn a_tree_without_end_holds_nobody_up() {
    for end in [writer::End::Nothing, writer::End::First] {
        let file = Tree::of_ways(end).file("x");
        let database = Database::parse(Path::new("test.mmdb"), file).expect("a database");
        let refused = database.check_content(Content::Asn).expect_err("no number");
        assert!(refused.to_string().contains("`x`"), "{refused}");
        let _ = database.check_records(Content::Country);
        assert_eq!(database.find_country(IpAddr::from([198, 51, 100, 7])), None);
    }
}

/// The files of the tests with traffic are those of this page. `RECON_WRITE_DOCS=1` writes them.
#[test]
fn the_files_of_other_tests_are_these() {
    for (name, bytes) in [
        ("asn.mmdb", asn_file()),
        ("country.mmdb", country_file()),
        ("lite.mmdb", lite_file()),
    ] {
        let path = Path::new(OF_TESTS).join(name);
        if std::env::var_os("RECON_WRITE_DOCS").is_some() {
            fs::create_dir_all(OF_TESTS).expect("a folder");
            fs::write(&path, &bytes).expect("a file");
        }
        let written = fs::read(&path).unwrap_or_default();
        assert!(
            written == bytes,
            "{name}: run this test with RECON_WRITE_DOCS=1"
        );
        let database = databases(&bytes).asn.expect("a database");
        database.reader.verify().expect(name);
    }
}
