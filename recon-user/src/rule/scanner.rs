//! Which programs are scanning tools, by the file name of their executable.
//!
//! In: the names that the operator adds and removes. Out: a [`BTreeSet`] to look names up in.
//! The decision held here: the tools whose purpose is to find hosts, ports and services. What
//! monitoring systems and administrators use every day (fping, nc, ncat, arping, traceroute) is not
//! in the list.

use std::collections::BTreeSet;

/// The built-in names.
pub const SCANNERS: &[&str] = &[
    "amap",
    "fscan",
    "hping",
    "hping2",
    "hping3",
    "ike-scan",
    // Angry IP Scanner.
    "ipscan",
    "masscan",
    "naabu",
    "nbtscan",
    "nikto",
    "nmap",
    "nping",
    "nuclei",
    "onesixtyone",
    "pnscan",
    "rustscan",
    "scanrand",
    "smbmap",
    "unicornscan",
    "xprobe2",
    "zgrab",
    "zgrab2",
    "zmap",
];

/// The names in force: the built-in ones and `more`, without `less`.
#[must_use]
pub fn scanners(more: &[String], less: &[String]) -> BTreeSet<String> {
    let known = SCANNERS.iter().map(|&name| name.to_owned());
    known
        .chain(more.iter().cloned())
        .filter(|name| !less.contains(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_added_and_removed() {
        let list =
            |names: &[&str]| -> Vec<String> { names.iter().map(|&name| name.to_owned()).collect() };
        let names = scanners(&list(&["probe"]), &list(&["nmap"]));
        assert!(names.contains("probe") && names.contains("masscan"));
        assert!(!names.contains("nmap"));
        assert_eq!(names.len(), SCANNERS.len());
    }
}
