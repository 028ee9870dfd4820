//! The functions that are known: what each takes and gives.
//!
//! The decision held here: functions are a table, so that a hint about one's arguments is the same text wherever it is given.

use std::fmt;

use super::value::Type;

/// A function of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// `not`: of a bool.
    Not,
    /// `bin(value, size)`: the multiple of `size` at or below.
    Bin,
    /// `iff(condition, then, otherwise)`, also `iif`.
    Iff,
    /// `ipv4_is_in_range(address, range)`: false where either is no IPv4 address.
    Ipv4IsInRange,
    /// `ipv4_is_private(address)`: of the blocks of RFC 1918.
    Ipv4IsPrivate,
    /// `isempty`: an empty string, or a value that is not known.
    IsEmpty,
    /// `isnotempty`
    IsNotEmpty,
    /// `isnull`: a value that is not known. No string is ever null.
    IsNull,
    /// `isnotnull`
    IsNotNull,
    /// `strlen`: in letters.
    StrLen,
    /// `tolower`
    ToLower,
    /// `toupper`
    ToUpper,
    /// `tostring`
    ToString,
    /// `toint`: null where a string is no number.
    ToInt,
    /// `tolong`
    ToLong,
}

/// What an argument has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    Bool,
    String,
    Number,
    NumberOrTime,
    Any,
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

/// In words.
impl fmt::Display for Takes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Bool => "a bool",
            Self::String => "a string",
            Self::Number => "a number or a timespan",
            Self::NumberOrTime => "a number, a datetime or a timespan",
            Self::Any => "a single value",
        })
    }
}

/// What a function is called and takes.
#[derive(Debug)]
pub(super) struct Signature<F: 'static> {
    pub(super) function: F,
    pub(super) name: &'static str,
    /// Arguments that must be there, and then those that may.
    pub(super) takes: &'static [Takes],
    pub(super) optional: usize,
    /// In words.
    pub(super) usage: &'static str,
}

impl<F> Signature<F> {
    const fn new(
        function: F,
        name: &'static str,
        takes: &'static [Takes],
        usage: &'static str,
    ) -> Self {
        Self {
            function,
            name,
            takes,
            optional: 0,
            usage,
        }
    }

    /// The last argument may be left out.
    const fn or_less(mut self) -> Self {
        self.optional = 1;
        self
    }
}

use Takes::{Any, Bool, Number, NumberOrTime, String};

/// Functions of values.
pub(super) const FUNCTIONS: &[Signature<Function>] = &[
    Signature::new(Function::Not, "not", &[Bool], "not takes one condition"),
    Signature::new(
        Function::Bin,
        "bin",
        &[NumberOrTime, Number],
        "bin takes a value and a size, as in bin(TimeGenerated, 1h)",
    ),
    Signature::new(
        Function::Iff,
        "iff",
        &[Bool, Any, Any],
        "iff takes a condition and two values",
    ),
    Signature::new(
        Function::Iff,
        "iif",
        &[Bool, Any, Any],
        "iif takes a condition and two values",
    ),
    Signature::new(
        Function::Ipv4IsInRange,
        "ipv4_is_in_range",
        &[String, String],
        "ipv4_is_in_range takes an address and a range such as \"10.0.0.0/8\"",
    ),
    Signature::new(
        Function::Ipv4IsPrivate,
        "ipv4_is_private",
        &[String],
        "ipv4_is_private takes one address",
    ),
    Signature::new(
        Function::IsEmpty,
        "isempty",
        &[Any],
        "isempty takes one value",
    ),
    Signature::new(
        Function::IsNotEmpty,
        "isnotempty",
        &[Any],
        "isnotempty takes one value",
    ),
    Signature::new(Function::IsNull, "isnull", &[Any], "isnull takes one value"),
    Signature::new(
        Function::IsNotNull,
        "isnotnull",
        &[Any],
        "isnotnull takes one value",
    ),
    Signature::new(
        Function::StrLen,
        "strlen",
        &[String],
        "strlen takes one string",
    ),
    Signature::new(
        Function::ToLower,
        "tolower",
        &[String],
        "tolower takes one string",
    ),
    Signature::new(
        Function::ToUpper,
        "toupper",
        &[String],
        "toupper takes one string",
    ),
    Signature::new(
        Function::ToString,
        "tostring",
        &[Any],
        "tostring takes one value",
    ),
    Signature::new(Function::ToInt, "toint", &[Any], "toint takes one value"),
    Signature::new(Function::ToLong, "tolong", &[Any], "tolong takes one value"),
];

/// A function of the rows of a group. Each event counts, so a row counts `Count` times where that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AggregateFunction {
    /// `count()`: events.
    Count,
    /// `countif(condition)`
    CountIf,
    /// `dcount(value)`: how many different ones, exactly; null is none of them.
    DCount,
    /// `dcountif(value, condition)`
    DCountIf,
    /// `sum(value)`
    Sum,
    /// `sumif(value, condition)`
    SumIf,
    /// `avg(value)`
    Avg,
    /// `min(value)`
    Min,
    /// `max(value)`
    Max,
    /// `make_set(value)`, or `make_set(value, limit)`
    MakeSet,
    /// `arg_max(by, value, ...)`: the values of the row with the greatest `by`.
    ArgMax,
}

/// Functions of groups.
pub(super) const AGGREGATES: &[Signature<AggregateFunction>] = &[
    Signature::new(
        AggregateFunction::Count,
        "count",
        &[],
        "count takes nothing: countif takes a condition, dcount a column",
    ),
    Signature::new(
        AggregateFunction::CountIf,
        "countif",
        &[Bool],
        "countif takes one condition",
    ),
    Signature::new(
        AggregateFunction::DCount,
        "dcount",
        &[Any],
        "dcount takes one column",
    ),
    Signature::new(
        AggregateFunction::DCountIf,
        "dcountif",
        &[Any, Bool],
        "dcountif takes a column and a condition",
    ),
    Signature::new(
        AggregateFunction::Sum,
        "sum",
        &[Number],
        "sum takes one column",
    ),
    Signature::new(
        AggregateFunction::SumIf,
        "sumif",
        &[Number, Bool],
        "sumif takes a column and a condition",
    ),
    Signature::new(
        AggregateFunction::Avg,
        "avg",
        &[Number],
        "avg takes one column",
    ),
    Signature::new(
        AggregateFunction::Min,
        "min",
        &[NumberOrTime],
        "min takes one column",
    ),
    Signature::new(
        AggregateFunction::Max,
        "max",
        &[NumberOrTime],
        "max takes one column",
    ),
    Signature::new(
        AggregateFunction::MakeSet,
        "make_set",
        &[Any, Number],
        "make_set takes a column and, if need be, how many values to keep",
    )
    .or_less(),
    // Its arguments are checked apart: the second may be `*`, and more may follow.
    Signature::new(
        AggregateFunction::ArgMax,
        "arg_max",
        &[NumberOrTime, Any],
        "arg_max takes a column and those to show of its greatest row, or *",
    ),
];

/// The function of that name.
pub(super) fn by_name<F>(
    all: &'static [Signature<F>],
    name: &str,
) -> Option<&'static Signature<F>> {
    all.iter().find(|signature| signature.name == name)
}

/// Names that a mistyped one is compared with.
pub(super) fn names<F>(all: &'static [Signature<F>]) -> impl Iterator<Item = &'static str> {
    all.iter().map(|signature| signature.name)
}
