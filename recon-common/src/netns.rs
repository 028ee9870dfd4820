//! Network namespaces other than the agent's, as the kernel counts them.
//!
//! In: the cookie of a namespace. Out: [`NetnsId`], which fits into a key beside an ending.
//! The decision held here: a cookie is a number that the kernel gives to each namespace once. The
//! agent's own is 0 here. Cookies from 16 million on do not fit, and then only say that it is
//! another namespace.

use core::num::NonZeroU32;

/// A network namespace that is not the agent's, by its cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NetnsId(NonZeroU32);

impl NetnsId {
    /// The bits that it takes.
    pub const BITS: u32 = 24;
    /// Stands for all cookies that do not fit.
    const GREAT: u32 = (1 << Self::BITS) - 1;

    /// The word of the namespace with that cookie, which is not the agent's.
    #[inline(always)]
    #[must_use]
    pub const fn word(cookie: u64) -> u32 {
        if cookie < Self::GREAT as u64 {
            cookie as u32
        } else {
            Self::GREAT
        }
    }

    /// Reads such a word. `None` for the agent's own namespace.
    #[must_use]
    pub const fn read(word: u32) -> Option<Self> {
        match NonZeroU32::new(word & Self::GREAT) {
            Some(cookie) => Some(Self(cookie)),
            None => None,
        }
    }

    /// Its cookie. `None` if it does not fit.
    #[must_use]
    pub const fn cookie(self) -> Option<u64> {
        match self.0.get() {
            Self::GREAT => None,
            cookie => Some(cookie as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_cookie_or_says_that_it_does_not_fit() {
        const GREATEST: u64 = (1 << NetnsId::BITS) - 2;
        for (cookie, expected) in [
            (1, Some(1)),
            (GREATEST, Some(GREATEST)),
            (GREATEST + 1, None),
            (GREATEST + 3, None),
            (u64::MAX, None),
        ] {
            let netns = NetnsId::read(NetnsId::word(cookie)).expect("a namespace");
            assert_eq!(netns.cookie(), expected, "{cookie}");
        }
        assert_eq!(NetnsId::read(0), None);
    }
}
