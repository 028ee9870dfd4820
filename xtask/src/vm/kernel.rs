//! The choice of a guest's kernel.
//!
//! In: the user's choice, the names of packages. Out: a release, as printed by `uname -r`.
//! The decision held here: the kinds reach from the oldest kernel that servers run to the newest
//! one, those in between are the kernels of Debian 12, for cloud images and for hardware, one of
//! them for arm64. A kind stands for its newest release, since security updates leave no other on a
//! machine.

use std::cmp::Ordering;
use std::str::FromStr;

use super::archive::UNSTABLE;
use crate::package::Arch;

/// The prefix of a kernel package's name; the release follows.
pub(super) const PACKAGE: &str = "linux-image-";
/// The suffixes of releases for hardware, and of those for virtual machines only.
const MACHINE: &str = "-amd64";
const CLOUD: &str = "-cloud-amd64";
const ARM64: &str = "-arm64";
/// Those with pages of 16 KiB.
const LARGE_PAGES: &str = "-arm64-16k";

/// Kernels of which the newest one counts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    name: &'static str,
    /// The suite of Debian that has it.
    suite: &'static str,
    /// The start of its releases; empty for any.
    prefix: &'static str,
    /// The end of its releases.
    suffix: &'static str,
    arch: Arch,
}

/// The user's choice: the newest release of a kind, or one release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    Newest(&'static Kind),
    Release(String),
}

/// All kinds, the oldest first.
static KINDS: [Kind; 6] = [
    Kind {
        name: "5.10-cloud",
        suite: "bullseye",
        prefix: "5.10.",
        suffix: CLOUD,
        arch: Arch::Amd64,
    },
    Kind {
        name: "6.1-cloud",
        suite: "bookworm",
        prefix: "6.1.",
        suffix: CLOUD,
        arch: Arch::Amd64,
    },
    Kind {
        name: "6.1",
        suite: "bookworm",
        prefix: "6.1.",
        suffix: MACHINE,
        arch: Arch::Amd64,
    },
    Kind {
        name: "6.12-cloud",
        suite: "bookworm",
        prefix: "6.12.",
        suffix: CLOUD,
        arch: Arch::Amd64,
    },
    Kind {
        name: "6.12-arm64",
        suite: "bookworm",
        prefix: "6.12.",
        suffix: ARM64,
        arch: Arch::Arm64,
    },
    Kind {
        name: "newest-cloud",
        suite: UNSTABLE,
        prefix: "",
        suffix: CLOUD,
        arch: Arch::Amd64,
    },
];
/// The default of the lab.
pub(crate) const DEFAULT: &str = "6.1-cloud";

/// The newest of each kind for these architectures.
pub(crate) fn each(arches: &[Arch]) -> Vec<Choice> {
    let kinds = KINDS.iter().filter(|kind| arches.contains(&kind.arch));
    kinds.map(Choice::Newest).collect()
}

/// The names of all kinds.
fn names() -> String {
    let names: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
    names.join(", ")
}

impl Choice {
    /// The oldest kind.
    pub(crate) const OLDEST: Self = Self::Newest(&KINDS[0]);
    /// The newest kernel that Debian has.
    pub(crate) const NEWEST: Self = Self::Newest(&KINDS[KINDS.len() - 1]);
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(kind) = KINDS.iter().find(|kind| kind.name == text) {
            return Ok(Self::Newest(kind));
        }
        let is_release = text.starts_with(|first: char| first.is_ascii_digit());
        let ends = [MACHINE, ARM64, LARGE_PAGES];
        if is_release && ends.iter().any(|end| text.ends_with(end)) {
            return Ok(Self::Release(text.to_owned()));
        }
        Err(format!(
            "expected one of {}, or a release of Debian's such as 6.1.0-50-cloud-amd64",
            names()
        ))
    }
}

impl Choice {
    /// What the user types.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Newest(kind) => kind.name,
            Self::Release(release) => release,
        }
    }

    pub(crate) fn arch(&self) -> Arch {
        match self {
            Self::Newest(kind) => kind.arch,
            Self::Release(release) if !release.ends_with(MACHINE) => Arch::Arm64,
            Self::Release(_) => Arch::Amd64,
        }
    }

    /// The package's name, with a `*` for the unknown part.
    pub(super) fn package(&self) -> String {
        match self {
            Self::Newest(kind) => format!("{PACKAGE}{}*{}", kind.prefix, kind.suffix),
            Self::Release(release) => format!("{PACKAGE}{release}"),
        }
    }

    /// The suites of Debian that may have it.
    pub(super) fn suites(&self) -> Vec<&'static str> {
        let of_kinds = KINDS.iter().map(|kind| kind.suite);
        let mut suites = match self {
            Self::Newest(kind) => vec![kind.suite],
            Self::Release(_) => of_kinds.collect(),
        };
        suites.dedup();
        suites
    }

    /// The newest release of this choice among the packages.
    pub(super) fn newest(&self, packages: impl IntoIterator<Item = String>) -> Option<String> {
        packages
            .into_iter()
            .filter_map(|package| Some(package.strip_prefix(PACKAGE)?.to_owned()))
            .filter(|release| self.includes(release))
            .max_by(|one, other| compare_releases(one, other))
    }

    fn includes(&self, release: &str) -> bool {
        match self {
            Self::Release(wanted) => wanted == release,
            Self::Newest(kind) => {
                let middle = release
                    .strip_prefix(kind.prefix)
                    .and_then(|rest| rest.strip_suffix(kind.suffix));
                middle.is_some_and(is_plain)
            }
        }
    }
}

/// Whether it consists of numbers and Debian's mark: other builds, such as real-time ones, have
/// words in between.
fn is_plain(middle: &str) -> bool {
    middle.split(['.', '-', '+']).all(|part| {
        part.strip_prefix("deb")
            .unwrap_or(part)
            .parse::<u32>()
            .is_ok()
    })
}

/// Whether two releases are of one kind, or the same.
pub(super) fn is_same_kind(one: &str, other: &str) -> bool {
    one == other || kind(one).is_some_and(|of| kind(other) == Some(of))
}

/// The place in [`KINDS`] of the kind of a release.
fn kind(release: &str) -> Option<usize> {
    let mut kinds = KINDS.iter();
    kinds.position(|kind| Choice::Newest(kind).includes(release))
}

/// Compares the numbers, so that 6.1.0-9 is older than 6.1.0-10. Equal ones are in the order of
/// their kinds.
pub(super) fn compare_releases(one: &str, other: &str) -> Ordering {
    let numbers = |release: &str| -> Vec<u64> {
        release
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|number| number.parse().ok())
            .collect()
    };
    let by_age = numbers(one).cmp(&numbers(other));
    by_age.then_with(|| kind(one).cmp(&kind(other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: [&str; 12] = [
        "linux-image-6.1.0-9-cloud-amd64",
        "linux-image-6.1.0-50-cloud-amd64",
        "linux-image-6.1.0-51-amd64",
        "linux-image-6.1.0-52-rt-amd64",
        "linux-image-6.12-amd64",
        "linux-image-6.12.95+deb12-cloud-amd64",
        "linux-image-6.12.107+deb12-cloud-amd64",
        "linux-image-6.12.117+deb12-rt-amd64",
        "linux-image-6.1.0-53-amd64-unsigned",
        "linux-image-6.12.107+deb12-arm64",
        "linux-image-6.12.117+deb12-arm64-16k",
        "qemu",
    ];

    #[test]
    fn the_newest_of_a_kind_is_chosen() {
        for (text, expected) in [
            (DEFAULT, Some("6.1.0-50-cloud-amd64")),
            ("6.1", Some("6.1.0-51-amd64")),
            ("6.12-cloud", Some("6.12.107+deb12-cloud-amd64")),
            ("newest-cloud", Some("6.12.107+deb12-cloud-amd64")),
            ("6.12-arm64", Some("6.12.107+deb12-arm64")),
            ("5.10-cloud", None),
            ("6.1.0-9-cloud-amd64", Some("6.1.0-9-cloud-amd64")),
            ("6.1.0-8-cloud-amd64", None),
        ] {
            let choice: Choice = text.parse().expect(text);
            let newest = choice.newest(LISTED.map(str::to_owned));
            assert_eq!(newest.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn releases_are_in_the_order_of_age_and_kind() {
        let sorted = [
            "5.10.0-1-cloud-amd64",
            "6.1.0-9-cloud-amd64",
            "6.1.0-10-cloud-amd64",
            "6.1.0-10-amd64",
            "6.12.1+deb12-cloud-amd64",
            "6.12.1+deb12-arm64",
        ];
        let mut releases = sorted;
        releases.reverse();
        releases.sort_by(|one, other| compare_releases(one, other));
        assert_eq!(releases, sorted);
        assert!(!is_same_kind(sorted[4], sorted[5]));
    }

    #[test]
    fn a_release_names_its_architecture() {
        for (text, expected) in [
            ("6.12-arm64", Arch::Arm64),
            ("6.12.107+deb12-arm64", Arch::Arm64),
            ("6.12.107+deb12-arm64-16k", Arch::Arm64),
            ("6.1.0-9-cloud-amd64", Arch::Amd64),
            ("newest-cloud", Arch::Amd64),
        ] {
            assert_eq!(text.parse::<Choice>().expect(text).arch(), expected);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "5.10", "latest", "6.1.0-9", "-amd64"] {
            assert!(text.parse::<Choice>().is_err(), "{text:?}");
        }
    }
}
