//! What can be blind, and what is said of it.
//!
//! In: nothing. Out: for each part its name, its sentence, its advice, how much it may lose and how
//! much that matters.
//! The decision held here: where a little is lost on any busy host, a part tolerates so much.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::kql::Severity;

/// Milliseconds by which polls may be late in sum. A busy host is late by one or two polls.
const TOLERATED_DELAY: u64 = 5_000;
/// Signals that may be lost in sum, if they are more than [`super::LOST_SHARE`].
const TOLERATED_SIGNALS: u64 = 100;
/// Processes that may stay unnamed in sum: one that has just ended is nobody's attack on recon.
const TOLERATED_LOOKUPS: u64 = 10;
/// Polls that may fail in sum.
const TOLERATED_FAILURES: u64 = 1;

/// The name of a hook. serde would borrow it from what it reads.
type HookName = &'static str;

/// What can be blind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum BlindPart {
    /// A rule has too little memory for those it suspects, or for new sources. Its id and its name.
    Rule(String, String),
    /// The kernel's table has no room for new keys.
    Table,
    /// The kernel programs can't count so many signals for other reasons.
    Signals,
    /// Polls come late.
    Polls,
    /// Polls fail.
    FailedPolls,
    /// Processes are not looked up in time.
    Processes,
    /// An interface under watch is gone.
    Interface(String),
    /// A hook is gone: the interface or the cgroup, and the name of the hook.
    Hook(String, #[serde(with = "saved_text")] HookName),
    /// Another program runs before a hook and may hide packets from it: the interface, and the
    /// name of the hook.
    Overtaken(String, #[serde(with = "saved_text")] HookName),
    /// Somebody changes the kernel's counts.
    Counts,
    /// Somebody moves the generation that the programs count in.
    Generation,
    /// Somebody has frozen a map, by its name, so that this agent can't write to it.
    Frozen(String),
    /// Interfaces receive packets, and no hook sees one.
    SilenceIn,
    /// Interfaces send packets, and no hook sees one.
    SilenceOut,
    /// Somebody has removed pins.
    Pins,
}

impl BlindPart {
    /// The names of all parts, and whether they are tampering.
    pub(crate) const NAMES: [(&'static str, bool); 15] = [
        ("rule", false),
        ("table", false),
        ("signals", false),
        ("polls", false),
        ("failed_polls", false),
        ("processes", false),
        ("interface", false),
        ("hook", true),
        ("overtaken", true),
        ("counts", true),
        ("generation", true),
        ("frozen", true),
        ("silence_in", true),
        ("silence_out", true),
        ("pins", true),
    ];

    /// The name that alerts show as `recon.blind.part`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Rule(..) => "rule",
            Self::Table => "table",
            Self::Signals => "signals",
            Self::Polls => "polls",
            Self::FailedPolls => "failed_polls",
            Self::Processes => "processes",
            Self::Interface(_) => "interface",
            Self::Hook(..) => "hook",
            Self::Overtaken(..) => "overtaken",
            Self::Counts => "counts",
            Self::Generation => "generation",
            Self::Frozen(_) => "frozen",
            Self::SilenceIn => "silence_in",
            Self::SilenceOut => "silence_out",
            Self::Pins => "pins",
        }
    }

    /// Whether somebody has changed what recon has attached or counted.
    #[must_use]
    pub const fn is_tampering(&self) -> bool {
        match self {
            Self::Rule(..) | Self::Table | Self::Signals | Self::Polls => false,
            Self::FailedPolls | Self::Processes | Self::Interface(_) => false,
            Self::Hook(..) | Self::Overtaken(..) | Self::Frozen(_) => true,
            Self::Counts | Self::Generation | Self::SilenceIn | Self::SilenceOut => true,
            Self::Pins => true,
        }
    }

    /// What is counted of it, for the message.
    #[must_use]
    pub const fn unit(&self) -> &'static str {
        match self {
            Self::Rule(..) => "sources or rows given up",
            Self::Table => "signals not counted under their source",
            Self::Signals => "signals not counted",
            Self::Polls => "milliseconds late",
            Self::FailedPolls => "polls failed",
            Self::Processes => "lookups not done",
            Self::Interface(_) | Self::Hook(..) => "polls without it",
            Self::Overtaken(..) => "polls behind it",
            Self::Counts => "keys, counters or signals changed",
            Self::Generation => "polls that found another one",
            Self::Frozen(_) => "polls that failed",
            Self::SilenceIn | Self::SilenceOut => "packets that no hook saw",
            Self::Pins => "polls that found them missing",
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Rule(..) => "raise `limits.memory` in recon.toml",
            Self::Table => "raise --table-entries, or shorten --interval",
            Self::Signals => "the totals in the log name the reasons",
            Self::Polls => "give recon more processor time, or lengthen --interval",
            Self::FailedPolls => "the log names the error",
            Self::Processes => "alerts may lack the process that accepts",
            Self::Interface(_) => "bring it back, or start recon on another interface",
            Self::Hook(..) => "find out who detaches it; recon attaches it again as soon as it can",
            Self::Overtaken(..) => {
                "find out who attaches it (bpftool net); the log says whether recon is first again"
            }
            Self::Counts | Self::Generation => {
                "find out who can write to recon's maps; recon goes on with what is left of them"
            }
            Self::Frozen(_) => {
                "recon ends, and makes new maps when it starts again; what was counted since the last poll is lost"
            }
            Self::SilenceIn | Self::SilenceOut => {
                "find out what takes them first, such as another XDP program; restart recon"
            }
            Self::Pins => {
                "find out who removes them; if the log says that recon can't make them again, type: systemctl restart recon"
            }
        }
    }

    /// How much of it may be lost before it is reported.
    pub(super) const fn tolerated(&self) -> u64 {
        match self {
            Self::Rule(..) | Self::Table | Self::Interface(_) => 0,
            Self::Hook(..) | Self::Overtaken(..) | Self::Counts | Self::Generation => 0,
            Self::Frozen(_) | Self::SilenceIn | Self::SilenceOut | Self::Pins => 0,
            Self::Signals => TOLERATED_SIGNALS,
            Self::Polls => TOLERATED_DELAY,
            Self::FailedPolls => TOLERATED_FAILURES,
            Self::Processes => TOLERATED_LOOKUPS,
        }
    }

    /// How much it matters.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Processes => Severity::Low,
            Self::Signals | Self::Polls | Self::FailedPolls => Severity::Medium,
            _ => Severity::High,
        }
    }
}

/// Who is blind, in words.
impl fmt::Display for BlindPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(id, name) => {
                write!(f, "the rule {id} ({name}) has too little memory")
            }
            Self::Table => f.write_str("the kernel's table is full"),
            Self::Signals => f.write_str("the kernel programs lose over 1 % of the signals"),
            Self::Polls => f.write_str("polls come late"),
            Self::FailedPolls => f.write_str("polls fail"),
            Self::Processes => f.write_str("processes are not looked up in time"),
            Self::Interface(name) => write!(f, "the interface {name} is gone"),
            Self::Hook(interface, hook) => write!(f, "the hook {hook} of {interface} is gone"),
            Self::Overtaken(interface, hook) => {
                write!(
                    f,
                    "another program runs before the hook {hook} of {interface}"
                )
            }
            Self::Counts => f.write_str("somebody changes the counts in the kernel"),
            Self::Generation => {
                f.write_str("somebody moves the generation that the kernel programs count in")
            }
            Self::Frozen(map) => write!(f, "somebody has frozen the map {map}"),
            Self::SilenceIn => f.write_str("the interfaces receive packets, and no hook sees one"),
            Self::SilenceOut => f.write_str("the interfaces send packets, and no hook sees one"),
            Self::Pins => f.write_str("somebody has removed recon's pins"),
        }
    }
}

/// The saved form of the name of a hook.
mod saved_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::row::Name;

    pub(super) fn serialize<S: Serializer>(text: &'static str, to: S) -> Result<S::Ok, S::Error> {
        text.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<&'static str, D::Error> {
        Name::deserialize(from).map(Name::text)
    }
}
