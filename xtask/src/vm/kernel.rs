//! The choice of a guest's kernel.
//!
//! In: the user's choice, the names of packages. Out: a release, as printed by `uname -r`.
//! The decision held here: the kinds are those that Debian 12's users run, the kernels for cloud
//! images and for hardware; a kind stands for its newest release, since security updates leave no
//! other on a machine.

use std::cmp::Ordering;
use std::str::FromStr;

/// The prefix of a kernel package's name; the release follows.
pub(super) const PACKAGE: &str = "linux-image-";
/// The suffix of releases for this machine, and of those for virtual machines only.
const MACHINE: &str = "-amd64";
const CLOUD: &str = "-cloud-amd64";

/// The user's choice: the newest release of a kind, or one release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The newest release between this prefix and this suffix.
    Newest(&'static str, &'static str),
    Release(String),
}

impl Choice {
    /// The newest 6.1 for virtual machines.
    pub(crate) const CLOUD: Self = Self::Newest("6.1.", CLOUD);
    /// The newest 6.1 for hardware.
    pub(crate) const GENERIC: Self = Self::Newest("6.1.", MACHINE);
    /// The newest 6.12 for virtual machines.
    pub(crate) const NEWER_CLOUD: Self = Self::Newest("6.12.", CLOUD);
}

/// The newest of each kind.
pub(crate) const EACH: [Choice; 3] = [Choice::CLOUD, Choice::GENERIC, Choice::NEWER_CLOUD];
/// The name of each kind.
const NAMES: [&str; 3] = ["6.1-cloud", "6.1", "6.12-cloud"];
/// The default of the lab: it boots fastest.
pub(crate) const DEFAULT: &str = NAMES[0];

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(kind) = NAMES.iter().position(|name| *name == text) {
            return Ok(EACH[kind].clone());
        }
        if text.starts_with(|first: char| first.is_ascii_digit()) && text.ends_with(MACHINE) {
            return Ok(Self::Release(text.to_owned()));
        }
        Err(format!(
            "expected one of {}, or a release of Debian's such as 6.1.0-50-cloud-amd64",
            NAMES.join(", ")
        ))
    }
}

impl Choice {
    /// The package's name, with a `*` for the unknown part.
    pub(super) fn package(&self) -> String {
        match self {
            Self::Newest(prefix, suffix) => format!("{PACKAGE}{prefix}*{suffix}"),
            Self::Release(release) => format!("{PACKAGE}{release}"),
        }
    }

    /// The newest release of this choice among the packages.
    pub(super) fn newest(&self, packages: impl IntoIterator<Item = String>) -> Option<String> {
        packages
            .into_iter()
            .filter_map(|package| Some(package.strip_prefix(PACKAGE)?.to_owned()))
            .filter(|release| self.includes(release))
            .max_by(|one, other| compare(one, other))
    }

    fn includes(&self, release: &str) -> bool {
        match self {
            Self::Release(wanted) => wanted == release,
            Self::Newest(prefix, suffix) => {
                let middle = release
                    .strip_prefix(prefix)
                    .and_then(|rest| rest.strip_suffix(suffix));
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

/// Compares the numbers, so that 6.1.0-9 is older than 6.1.0-10.
fn compare(one: &str, other: &str) -> Ordering {
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
