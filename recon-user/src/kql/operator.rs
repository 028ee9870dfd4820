//! The operators between two operands.
//!
//! The decision held here: a test of strings is one of five, and negation and case sensitivity are
//! properties of it, as its name in KQL spells out: `!startswith_cs`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::value::Type;

/// Declares an enum whose variants have names in KQL, and other spellings of some.
macro_rules! named {
    (
        $(#[$meta:meta])*
        $visibility:vis $name:ident:
        $($(#[$doc:meta])* $variant:ident = $text:literal),*; $($other:ident = $spelling:literal),*
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        $visibility enum $name {
            $(#[doc = concat!("`", $text, "`")] $(#[$doc])* $variant,)*
        }

        impl std::str::FromStr for $name {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    $($spelling => Ok(Self::$other),)*
                    _ => Err(()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(match self {
                    $(Self::$variant => $text,)*
                })
            }
        }
    };
}
pub(super) use named;

named! {
    /// A comparison of values of one kind. Strings are compared exactly and case-sensitively.
    pub Comparison: Equal = "==", NotEqual = "!=", Less = "<", LessOrEqual = "<=", Greater = ">",
        GreaterOrEqual = ">="; NotEqual = "<>"
}

named! {
    /// Arithmetic. Whole numbers give a whole number.
    pub Arithmetic: Add = "+", Subtract = "-", Multiply = "*", Divide = "/", Remainder = "%";
}

impl Comparison {
    /// Whether it needs the order of values, which strings and bools do not have.
    pub(super) const fn needs_order(self) -> bool {
        !matches!(self, Self::Equal | Self::NotEqual)
    }

    /// The same comparison with its operands swapped.
    pub(super) const fn flipped(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            Self::Equal | Self::NotEqual => self,
        }
    }
}

impl Arithmetic {
    /// The type of the result. None if the operator does not take such operands.
    pub(super) fn result(self, left: Type, right: Type) -> Option<Type> {
        use Arithmetic::{Add, Divide, Multiply, Remainder, Subtract};
        if left.is_number() && right.is_number() {
            return left.common(right);
        }
        match (left, self, right) {
            (Type::DateTime, Subtract, Type::DateTime)
            | (Type::Timespan, Add | Subtract | Remainder, Type::Timespan) => Some(Type::Timespan),
            (Type::DateTime, Add | Subtract, Type::Timespan)
            | (Type::Timespan, Add, Type::DateTime) => Some(Type::DateTime),
            (Type::Timespan, Divide, Type::Timespan) => Some(Type::Real),
            (Type::Timespan, Multiply | Divide, number) | (number, Multiply, Type::Timespan)
                if number.is_number() =>
            {
                Some(Type::Timespan)
            }
            _ => None,
        }
    }
}

named! {
    /// What a test of strings checks.
    pub TextTest:
    /// Whether they are equal. The case-sensitive one is a [`Comparison`].
    Equals = "=~",
    /// Whether the left begins with the right.
    StartsWith = "startswith",
    /// Whether the left ends with the right.
    EndsWith = "endswith",
    /// Whether the left contains the right.
    Contains = "contains",
    /// Whether the left contains the right as a whole term, with no letter or digit next to it.
    Has = "has";
}

/// A test of two strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextOperator {
    /// What it checks.
    pub test: TextTest,
    /// Whether it is true if the test fails.
    pub is_negated: bool,
    /// Whether upper and lower case differ.
    pub is_case_sensitive: bool,
}

impl TextOperator {
    /// The operator of that name.
    pub(super) fn of(name: &str) -> Option<Self> {
        let positive = match name {
            "!~" => "=~",
            _ => name.strip_prefix('!').unwrap_or(name),
        };
        let word = positive.strip_suffix("_cs").unwrap_or(positive);
        Some(Self {
            test: word.parse().ok()?,
            is_negated: name.starts_with('!'),
            is_case_sensitive: word.len() < positive.len(),
        })
    }
}

impl fmt::Display for TextOperator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.test == TextTest::Equals {
            return formatter.write_str(if self.is_negated { "!~" } else { "=~" });
        }
        let negation = if self.is_negated { "!" } else { "" };
        let case = if self.is_case_sensitive { "_cs" } else { "" };
        write!(formatter, "{negation}{}{case}", self.test)
    }
}

/// The operators that are words.
const WORDS: &str = "and or in !in in~ !in~ between !between startswith !startswith startswith_cs \
    !startswith_cs endswith !endswith endswith_cs !endswith_cs contains !contains contains_cs \
    !contains_cs has !has has_cs !has_cs";

/// The steps of a pipeline.
pub(super) const STEPS: &str =
    "where, filter, extend, summarize, project, project-away, order, sort, top, take, limit";

pub(super) fn steps() -> impl Iterator<Item = &'static str> {
    STEPS.split(", ")
}

/// Whether a word continues what stands before it: an operator, or a part of a step.
pub(super) fn continues(word: &str) -> bool {
    is_operator(word) || ["by", "asc", "desc", "nulls"].contains(&word)
}

/// The operators that are words, for hints.
pub(super) fn words() -> impl Iterator<Item = &'static str> {
    WORDS.split(' ')
}

/// Whether a word is an operator.
pub(super) fn is_operator(word: &str) -> bool {
    words().any(|operator| operator == word)
}
