//! The choice of a guest's kernel.
//!
//! In: the user's choice, the names of packages. Out: a release, as printed by `uname -r`.
//! The decision held here: the kinds reach from the oldest kernel that servers run to the newest
//! one, those in between are the kernels of Debian 12, for cloud images and for hardware. A kind
//! stands for its newest release, since security updates leave no other on a machine.

use std::cmp::Ordering;
use std::str::FromStr;

use super::archive::UNSTABLE;

/// The prefix of a kernel package's name; the release follows.
pub(super) const PACKAGE: &str = "linux-image-";
/// The suffix of releases for this machine, and of those for virtual machines only.
const MACHINE: &str = "-amd64";
const CLOUD: &str = "-cloud-amd64";

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
}

/// The user's choice: the newest release of a kind, or one release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    Newest(&'static Kind),
    Release(String),
}

/// All kinds, the oldest first.
static KINDS: [Kind; 5] = [
    Kind {
        name: "5.10-cloud",
        suite: "bullseye",
        prefix: "5.10.",
        suffix: CLOUD,
    },
    Kind {
        name: "6.1-cloud",
        suite: "bookworm",
        prefix: "6.1.",
        suffix: CLOUD,
    },
    Kind {
        name: "6.1",
        suite: "bookworm",
        prefix: "6.1.",
        suffix: MACHINE,
    },
    Kind {
        name: "6.12-cloud",
        suite: "bookworm",
        prefix: "6.12.",
        suffix: CLOUD,
    },
    Kind {
        name: "newest-cloud",
        suite: UNSTABLE,
        prefix: "",
        suffix: CLOUD,
    },
];
/// The default of the lab.
pub(crate) const DEFAULT: &str = "6.1-cloud";

/// The newest of each kind.
pub(crate) const EACH: [Choice; 5] = [
    Choice::OLDEST,
    Choice::Newest(&KINDS[1]),
    Choice::Newest(&KINDS[2]),
    Choice::Newest(&KINDS[3]),
    Choice::NEWEST,
];

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
        if text.starts_with(|first: char| first.is_ascii_digit()) && text.ends_with(MACHINE) {
            return Ok(Self::Release(text.to_owned()));
        }
        let names = KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>();
        Err(format!(
            "expected one of {}, or a release of Debian's such as 6.1.0-50-cloud-amd64",
            names.join(", ")
        ))
    }
}

impl Choice {
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
    let kind = |release| {
        let mut kinds = KINDS.iter();
        kinds.find(|kind| Choice::Newest(kind).includes(release))
    };
    one == other || kind(one).is_some_and(|of| kind(other) == Some(of))
}

/// Compares the numbers, so that 6.1.0-9 is older than 6.1.0-10.
pub(super) fn compare_releases(one: &str, other: &str) -> Ordering {
    let numbers = |release: &str| -> Vec<u64> {
        release
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|number| number.parse().ok())
            .collect()
    };
    numbers(one).cmp(&numbers(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: [&str; 10] = [
        "linux-image-6.1.0-9-cloud-amd64",
        "linux-image-6.1.0-50-cloud-amd64",
        "linux-image-6.1.0-51-amd64",
        "linux-image-6.1.0-52-rt-amd64",
        "linux-image-6.12-amd64",
        "linux-image-6.12.95+deb12-cloud-amd64",
        "linux-image-6.12.107+deb12-cloud-amd64",
        "linux-image-6.12.117+deb12-rt-amd64",
        "linux-image-6.1.0-53-amd64-unsigned",
        "qemu",
    ];

    #[test]
    fn the_newest_of_a_kind_is_chosen() {
        for (text, expected) in [
            (DEFAULT, Some("6.1.0-50-cloud-amd64")),
            ("6.1", Some("6.1.0-51-amd64")),
            ("6.12-cloud", Some("6.12.107+deb12-cloud-amd64")),
            ("newest-cloud", Some("6.12.107+deb12-cloud-amd64")),
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
    fn other_texts_are_refused() {
        for text in ["", "5.10", "latest", "6.1.0-9", "-amd64"] {
            assert!(text.parse::<Choice>().is_err(), "{text:?}");
        }
    }
}
