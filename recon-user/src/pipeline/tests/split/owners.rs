//! Scans that the networks of one owner share.

use super::*;

#[test]
fn networks_of_ipv6_that_share_a_scan_are_reported_by_their_owner() {
    let site = |text: &str| ("split-scan-site".to_owned(), Some(text.to_owned()));
    let block = |text: &str| ("split-scan-block".to_owned(), Some(text.to_owned()));
    let (home, company) = ("2001:db8:0:100::/56", "2001:db8::/48");
    for (what, hits, expected) in [
        (
            "a thousand ports from 67 /64s of one /56",
            spread(0x100..0x143, 15),
            vec![site(home)],
        ),
        (
            "a thousand ports from 67 /56s of one /48",
            spread((0..67).map(|number| number << 8), 15),
            vec![block(company)],
        ),
        (
            "50 ports from five /64s of one /56",
            spread(0x100..0x105, 10),
            vec![],
        ),
        (
            "51 ports from three /64s of one /56",
            spread(0x100..0x103, 17),
            vec![site(home)],
        ),
        (
            "100 ports from ten /56s of one /48",
            spread((0..10).map(|number| number << 8), 10),
            vec![],
        ),
        (
            "102 ports from six /56s of one /48",
            spread((0..6).map(|number| number << 8), 17),
            vec![block(company)],
        ),
        (
            "a thousand ports from 67 /48s",
            spread((0..67).map(|number| number << 16), 15),
            vec![],
        ),
    ] {
        assert_eq!(refused_in(&[hits]), expected, "{what}");
    }
}

/// Ten neighbours try 18 ports each. Between them somebody forges the scan of another neighbour,
/// which `port-scan` reports.
#[test]
fn a_forged_neighbour_hides_no_split_scan() {
    const EACH: u16 = 18;
    let by_v4: fn(u32) -> Address = |number| v4(100, number as u8);
    let by_v6: fn(u32) -> Address = |number| v6_of(0x100 + number);
    for (what, of, id) in [
        ("a /24", by_v4, "split-scan"),
        ("a /56", by_v6, "split-scan-site"),
    ] {
        for forged_hits in [5000..5021, 1000..1180] {
            let mut polls = Vec::new();
            for number in 1..=10_u16 {
                let first = 1000 + number * EACH;
                polls.push(vec![(of(number.into()), first..first + EACH)]);
                polls.push(vec![(of(u32::from(number) + 100), forged_hits.clone())]);
            }
            let ids: Vec<_> = refused_in(&polls).into_iter().map(|(id, _)| id).collect();
            assert_eq!(ids, [id], "{what}, {forged_hits:?} forged");
        }
    }
}

/// Each neighbour is reported by itself, so nothing is left for their network.
#[test]
fn neighbours_that_are_all_reported_are_no_split_scan() {
    let hits = |number: u8| (v4(100, number), 0..100);
    assert_eq!(refused_in(&[vec![hits(1), hits(2), hits(3)]]), []);
    assert_eq!(refused_in(&[vec![hits(1)], vec![hits(2)]]), []);
}
