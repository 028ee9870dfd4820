//! The scanning tools that a probe's headers give away.
//!
//! In: nothing. Out: [`Tool`], whose numbers are part of the table's layout.
//! The decision held here: a tool is a label. Whoever crafts packets can carry any tool's
//! fingerprint, or none, so that nobody is spared for it, or for its absence. What the fingerprints
//! are is in `parse::fingerprint`.

use core::num::NonZeroU8;

/// A tool that crafts its own probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(u8)]
pub enum Tool {
    /// `nmap -sS`, `-sN`, `-sF`, `-sX`.
    Nmap = 1,
    /// masscan over IPv4, TCP.
    Masscan = 2,
    /// ZMap before 4.1.
    Zmap = 3,
    /// hping2 and hping3, TCP.
    Hping = 4,
    /// The Mirai worm and its descendants.
    Mirai = 5,
    /// Any other tool whose SYNs no stack sends: they have no option.
    Crafted = 6,
}

impl Tool {
    /// All tools, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Nmap,
        Self::Masscan,
        Self::Zmap,
        Self::Hping,
        Self::Mirai,
        Self::Crafted,
    ];

    /// The tool with that number; `None` for 0, which stands for none, and for a number of another
    /// layout.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        let position = NonZeroU8::new(number)?.get() - 1;
        Self::ALL.get(usize::from(position)).copied()
    }

    /// The name that rules and alerts show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nmap => "nmap",
            Self::Masscan => "masscan",
            Self::Zmap => "zmap",
            Self::Hping => "hping3",
            Self::Mirai => "mirai",
            Self::Crafted => "crafted",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positions_after_none() {
        for (position, tool) in Tool::ALL.into_iter().enumerate() {
            assert_eq!(tool as usize, position + 1, "{}", tool.name());
            assert_eq!(Tool::from_number(tool as u8), Some(tool));
        }
        assert_eq!(Tool::from_number(0), None);
        assert_eq!(Tool::from_number(Tool::ALL.len() as u8 + 1), None);
    }
}
