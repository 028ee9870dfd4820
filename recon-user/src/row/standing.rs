//! What is known of a row's remote beyond the row.
//!
//! In: nothing. Out: [`Verdict`] and [`Standing`], the columns that [`crate::contact`] fills.

use serde::{Deserialize, Serialize};

/// What a remote's attempts so far show.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub enum Verdict {
    /// Nearly all of them came to something.
    Client,
    /// Too few to tell.
    #[default]
    Undecided,
    /// Too many of them came to nothing.
    Scanner,
}

impl Verdict {
    /// All verdicts, in the order of their numbers.
    pub(crate) const ALL: [Self; 3] = [Self::Client, Self::Undecided, Self::Scanner];

    /// The name in columns and alerts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Undecided => "undecided",
            Self::Scanner => "scanner",
        }
    }
}

/// What is known of a remote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Standing {
    /// What its attempts show.
    pub remote: Verdict,
    /// What the attempts of its network show.
    pub network: Verdict,
    /// Whether it has completed a handshake with this host.
    pub is_proven: bool,
}
