//! The functions that rules can call: what each takes and returns.
//!
//! The decision held here: functions are rows of a table, so that the hint about the arguments of
//! one is the same text wherever it is given.

use serde::{Deserialize, Serialize};

use super::operator::named;
use super::value::Type;

named! {
    /// What an argument must be, in words.
    pub(super) Takes: Bool = "a bool", String = "a string", Number = "a number or a timespan",
        NumberOrTime = "a number, a datetime or a timespan", Any = "a single value";
}

impl Takes {
    pub(super) fn accepts(self, kind: Type) -> bool {
        match self {
            Self::Bool => kind == Type::Bool,
            Self::String => kind == Type::String,
            Self::Number => kind.is_number() || kind == Type::Timespan,
            Self::NumberOrTime => kind.is_ordered(),
            Self::Any => kind != Type::List,
        }
    }
}

/// A function's name and arguments.
#[derive(Debug)]
pub(super) struct Signature<F: 'static> {
    pub(super) function: F,
    pub(super) name: &'static str,
    /// The arguments, the optional ones last.
    pub(super) takes: &'static [Takes],
    pub(super) optional: usize,
    /// What the function takes, in words.
    pub(super) usage: &'static str,
}

/// Declares functions: each with its name, its arguments, how many of these are optional, and the
/// same in words after `takes`.
macro_rules! functions {
    (
        $(#[$meta:meta])*
        $table:ident: $name:ident;
        $($(#[doc = $doc:literal])+ $function:ident = $($text:literal)|+, $takes:expr, $optional:literal, $usage:literal;)*
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name {
            $($(#[doc = $doc])+ $function,)*
        }

        /// The functions by name.
        pub(super) const $table: &[Signature<$name>] = &[
            $($(Signature {
                function: $name::$function,
                name: $text,
                takes: &$takes,
                optional: $optional,
                usage: concat!($text, " takes ", $usage),
            },)+)*
        ];
    };
}

use Takes::{Any, Bool, Number, NumberOrTime, String};

functions! {
    /// A function of values.
    FUNCTIONS: Function;
    /// `not`
    Not = "not", [Bool], 0, "one condition";
    /// `bin(value, size)`: the multiple of `size` at or below `value`.
    Bin = "bin", [NumberOrTime, Number], 0, "a value and a size, as in bin(TimeGenerated, 1h)";
    /// `iff(condition, then, otherwise)`, also `iif`.
    Iff = "iff" | "iif", [Bool, Any, Any], 0, "a condition and two values";
    /// `ipv4_is_in_range(address, range)`: false if either is not an IPv4 address.
    Ipv4IsInRange = "ipv4_is_in_range", [String, String], 0, "an address and a range such as \"10.0.0.0/8\"";
    /// `ipv4_is_private(address)`: in the blocks of RFC 1918.
    Ipv4IsPrivate = "ipv4_is_private", [String], 0, "one address";
    /// `isempty`: an empty string, or null.
    IsEmpty = "isempty", [Any], 0, "one value";
    /// `isnotempty`
    IsNotEmpty = "isnotempty", [Any], 0, "one value";
    /// `isnull`. No string is null.
    IsNull = "isnull", [Any], 0, "one value";
    /// `isnotnull`
    IsNotNull = "isnotnull", [Any], 0, "one value";
    /// `strlen`: in characters.
    StrLen = "strlen", [String], 0, "one string";
    /// `tolower`
    ToLower = "tolower", [String], 0, "one string";
    /// `toupper`
    ToUpper = "toupper", [String], 0, "one string";
    /// `tostring`
    ToString = "tostring", [Any], 0, "one value";
    /// `toint`: null for a string that is not a number.
    ToInt = "toint", [Any], 0, "one value";
    /// `tolong`
    ToLong = "tolong", [Any], 0, "one value";
    /// `now()`, or `now(offset)`
    Now = "now", [Number], 1, "nothing, or a constant timespan to add";
    /// `ago(timespan)`
    Ago = "ago", [Number], 0, "a constant timespan such as 1h";
}

functions! {
    /// A function of the rows of a group. Each event counts, so a row counts `Count` times if that
    /// makes a difference.
    AGGREGATES: AggregateFunction;
    /// `count()`: events.
    Count = "count", [], 0, "nothing: countif takes a condition, dcount a column";
    /// `countif(condition)`
    CountIf = "countif", [Bool], 0, "one condition";
    /// `dcount(value)`: how many distinct values, exactly. Null is not one of them.
    DCount = "dcount", [Any], 0, "one column";
    /// `dcountif(value, condition)`
    DCountIf = "dcountif", [Any, Bool], 0, "a column and a condition";
    /// `sum(value)`
    Sum = "sum", [Number], 0, "one column";
    /// `sumif(value, condition)`
    SumIf = "sumif", [Number, Bool], 0, "a column and a condition";
    /// `avg(value)`
    Avg = "avg", [Number], 0, "one column";
    /// `min(value)`
    Min = "min", [NumberOrTime], 0, "one column";
    /// `max(value)`
    Max = "max", [NumberOrTime], 0, "one column";
    /// `make_set(value)`, or `make_set(value, limit)`
    MakeSet = "make_set", [Any, Number], 1, "a column and, optionally, how many values to keep";
    /// `arg_max(by, value, ...)`: the values of the row with the greatest `by`. Its arguments have
    /// a check of their own: the second may be `*`, and more may follow.
    ArgMax = "arg_max", [NumberOrTime, Any], 0, "a column and those to show of its greatest row, or *";
}

impl AggregateFunction {
    /// Whether it counts.
    pub(crate) const fn is_count(self) -> bool {
        matches!(
            self,
            Self::Count | Self::CountIf | Self::DCount | Self::DCountIf
        )
    }
}

/// The function of that name.
pub(super) fn by_name<F>(
    all: &'static [Signature<F>],
    name: &str,
) -> Option<&'static Signature<F>> {
    all.iter().find(|signature| signature.name == name)
}

/// The names that a misspelt one is compared with.
pub(super) fn names<F>(all: &'static [Signature<F>]) -> impl Iterator<Item = &'static str> {
    all.iter().map(|signature| signature.name)
}
