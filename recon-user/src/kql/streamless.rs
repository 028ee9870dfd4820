//! What of Kusto can't run as a stream or is not supported, and why.
//!
//! In: the name of an operator or function. Out: the error for it.
//! The decision held here: a rule sees each row once, as it arrives, and keeps what its groups
//! need. Whatever needs another table, an order of rows or all of them at once has no meaning
//! there.

const ANOTHER_TABLE: &str = "a rule reads the rows of one table, as they arrive";
const ALL_ROWS: &str = "it needs all rows at once, and a rule sees each as it arrives";
const ORDER: &str = "it depends on the order of rows, and that of a stream is arbitrary";
const MANY_ROWS: &str = "it makes several rows of one, and a rule counts rows as they arrive";
const TEXT: &str = "the columns are fixed, and none has text to parse";
const PICTURE: &str = "an alert is a line, not a picture";
const CHANCE: &str = "a rule that fires by chance detects nothing";
const PLUGIN: &str = "plugins run on Kusto's servers";

/// Names, separated by blanks, and the reason for all of them.
const STREAMLESS: &[(&str, &str)] = &[
    (
        "join lookup union find search externaldata datatable print range materialize \
         toscalar totable table database cluster workspace",
        ANOTHER_TABLE,
    ),
    (
        "fork facet partition reduce top-nested top-hitters make-series make-graph as",
        ALL_ROWS,
    ),
    (
        "serialize scan row_number row_cumsum row_window_session prev next",
        ORDER,
    ),
    ("mv-expand mvexpand mv-apply", MANY_ROWS),
    ("parse parse-where parse-kv", TEXT),
    ("render", PICTURE),
    ("sample sample-distinct rand", CHANCE),
    ("evaluate invoke", PLUGIN),
];

/// Steps that could run, and their replacements.
const REPLACED: &[(&str, &str)] = &[
    ("distinct", "write `summarize by` and the columns"),
    ("count", "write `summarize count()`"),
    (
        "project-rename",
        "write `extend` or `project` with the new name",
    ),
    ("project-keep", "write `project` with the columns to keep"),
    (
        "project-reorder",
        "write `project` with the columns in their order",
    ),
    ("getschema", "the columns are those of DeviceNetworkEvents"),
];

/// Operators between operands that are not supported, and their replacements.
const OTHERS: &[(&str, &str)] = &[
    (
        "matches like",
        "startswith, endswith, contains and has are supported",
    ),
    ("has_any", "write has for each, with `or` between them"),
    ("has_all", "write has for each, with `and` between them"),
    ("hasprefix", "startswith and contains are supported"),
    ("hassuffix", "endswith and contains are known"),
];

/// The text in a table of names.
fn find(table: &'static [(&str, &str)], name: &str) -> Option<&'static str> {
    let is_meant = |names: &str| names.split(' ').any(|other| other == name);
    let (_, text) = table.iter().find(|(names, _)| is_meant(names))?;
    Some(text)
}

/// Why an operator, function or table can't run as a stream, if it can't.
pub(super) fn reason(name: &str) -> Option<String> {
    let reason = find(STREAMLESS, name)?;
    Some(format!("`{name}` can't run as a stream: {reason}"))
}

/// The replacement of a step that is not supported.
pub(super) fn instead(name: &str) -> Option<String> {
    find(REPLACED, name).map(str::to_owned)
}

/// The replacement of an operator between operands that is not supported.
pub(super) fn instead_of_operator(name: &str) -> Option<String> {
    find(OTHERS, name).map(str::to_owned)
}
