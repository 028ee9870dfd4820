//! The document matches the code; types of addresses, names of files.

use std::collections::HashSet;

use super::*;

const DOCUMENT: &str = include_str!("signals.md");

/// The cells of the document's first table below its head, without backticks.
fn documented() -> Vec<Vec<String>> {
    let lines = DOCUMENT
        .lines()
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1);
    let rows = lines.take_while(|line| line.starts_with('|'));
    rows.map(|line| {
        let cells = line.trim_matches('|').split('|');
        cells
            .map(|cell| cell.trim().trim_matches('`').to_owned())
            .collect()
    })
    .collect()
}

#[test]
fn the_document_matches_the_signals() {
    let given = Signal::ALL.map(|signal| {
        let port = match port_column(signal) {
            Some(PortColumn::Local) => "LocalPort",
            Some(PortColumn::Remote) => "RemotePort",
            Some(PortColumn::Protocol) => "ProtocolNumber",
            None => "",
        };
        vec![
            format!("{signal:?}"),
            table(signal).name().to_owned(),
            action_type(signal).to_owned(),
            outcome(signal).to_owned(),
            protocol(signal).to_owned(),
            port.to_owned(),
        ]
    });
    assert_eq!(documented(), given);
    let different: HashSet<_> = given.iter().map(|row| &row[1..]).collect();
    assert_eq!(
        different.len(),
        given.len(),
        "two signals give the same row"
    );
    for (_, name, _) in Field::ALL {
        let is_named = DOCUMENT.contains(&format!("`{name}`"));
        assert!(
            is_named || matches!(name, "ActionType" | "Protocol"),
            "{name}"
        );
    }
}

#[test]
fn remotes_have_types() {
    for (address, expected) in [
        ("198.51.100.7", "Public"),
        ("10.1.2.3", "Private"),
        ("172.31.255.255", "Private"),
        ("172.32.0.0", "Public"),
        ("192.168.0.1", "Private"),
        ("127.0.0.1", "Loopback"),
        ("169.254.3.4", "LinkLocal"),
        ("0.0.0.0", "Unspecified"),
        ("::", "Unspecified"),
        ("::1", "Loopback"),
        ("fe80::1", "LinkLocal"),
        ("fd00::1", "Private"),
        ("2001:db8::1", "Public"),
    ] {
        let address = address.parse().expect("an address");
        assert_eq!(Scope::of(address).name(), expected, "{address}");
        assert_eq!(
            crate::address::is_private(address),
            expected != "Public",
            "{address}"
        );
    }
}

#[test]
fn a_row_of_aggregated_sources_has_no_remote() {
    // (remote, RemoteIP, RemoteIPType, RemoteNetwork)
    for (remote, expected) in [
        (Address::UNSPECIFIED, ["", "", ""]),
        (
            Address::v4([10, 1, 2, 3]),
            ["10.1.2.3", "Private", "10.1.2.0/24"],
        ),
        (
            Address::v4([0; 4]),
            ["0.0.0.0", "Unspecified", "0.0.0.0/24"],
        ),
    ] {
        let key = Key {
            remote,
            local: Address::UNSPECIFIED,
            detail: 0,
            port: 22,
            signal: Signal::Syn as u8,
            tool: 0,
        };
        let row = Row::bare(
            RowKey::unpack(&key).expect("a signal"),
            1,
            Timestamp::UNIX_EPOCH,
        );
        let fields = [Field::RemoteIp, Field::RemoteIpType, Field::RemoteNetwork];
        let expected = expected.map(Value::text);
        assert_eq!(fields.map(|field| row.value(field)), expected, "{remote:?}");
        let address = row.address(Slot::Field(Field::RemoteIp));
        assert_eq!(address.is_some(), remote != Address::UNSPECIFIED);
    }
}

#[test]
fn file_names_come_from_the_executable_or_else_the_task() {
    for (executable, name, expected) in [
        (Some("/usr/bin/nmap"), Some("scan"), "nmap"),
        (Some("nmap"), None, "nmap"),
        (None, Some("scan"), "scan"),
        (None, None, ""),
    ] {
        let process = Process {
            executable: executable.map(str::to_owned),
            name: name.map(str::to_owned),
            ..Process::default()
        };
        assert_eq!(file_name(&process), expected);
    }
}
