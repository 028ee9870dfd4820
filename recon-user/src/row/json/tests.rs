//! Rows are written as lines, and lines are read as rows or refused with a reason.

use proptest::option;
use proptest::prelude::*;

use recon_common::{Address, Ending, Signal, Tool};

use super::*;
use crate::row::{Name, port_column};

/// The row of a line.
fn parsed(line: &str, number: usize) -> Result<OwnedRow, LineError> {
    match parse_line(line, number)? {
        Line::Row(row) => Ok(row),
        loss @ Line::Loss(_) => panic!("{loss:?}"),
    }
}

#[test]
fn losses_are_read_as_they_were_written() {
    let time = "2026-01-31T10:20:30.5Z".parse().expect("a time");
    let mut text = Vec::new();
    write_loss(time, "web-01", 7, &mut text).expect("to memory");
    let text = String::from_utf8(text).expect("text");
    assert_eq!(
        text,
        "{\"Count\":7,\"DeviceName\":\"web-01\",\"TimeGenerated\":\"2026-01-31T10:20:30.5Z\",\"Type\":\"ReconLosses\"}\n"
    );
    assert_eq!(parse_line(&text, 1).expect("a line"), Line::Loss(time));
}

fn line(row: &Row<'_>) -> String {
    let mut out = Vec::new();
    write(row, &mut out).expect("written");
    String::from_utf8(out).expect("text")
}

#[test]
fn a_row_is_written_as_one_line() {
    let process = Process {
        pid: 4242,
        parent: Some(17),
        user: Some(1000),
        name: Some("scan".to_owned()),
        executable: Some("/usr/bin/nmap".to_owned()),
        command_line: Some("nmap -sT \"a b\"".to_owned()),
        ..Process::default()
    };
    let key = RowKey {
        remote: Some(Address::v4([198, 51, 100, 7])),
        pid: Some(4242),
        port: Some(53),
        ..RowKey::of(Signal::DnsSentTcp)
    };
    let row = Row {
        device: "web-01",
        process: Some(&process),
        is_scanner: true,
        ..Row::bare(key, 3, "2026-01-31T10:20:30.5Z".parse().expect("a time"))
    };
    assert_eq!(
        line(&row),
        concat!(
            r#"{"Type":"DeviceNetworkEvents","TimeGenerated":"2026-01-31T10:20:30.5Z","#,
            r#""Timestamp":"2026-01-31T10:20:30.5Z","DeviceName":"web-01","ActionType":"Query","#,
            r#""Protocol":"Tcp","RemoteIP":"198.51.100.7","RemotePort":53,"RemoteIPType":"Public","#,
            r#""InitiatingProcessFileName":"nmap","InitiatingProcessId":4242,"#,
            r#""InitiatingProcessCommandLine":"nmap -sT \"a b\"","#,
            r#""InitiatingProcessFolderPath":"/usr/bin/nmap","InitiatingProcessAccountName":"1000","#,
            r#""InitiatingProcessParentId":17,"InitiatingProcessIsScanner":true,"RemoteNetwork":"198.51.100.0/24","Count":3}"#,
            "\n"
        )
    );
}

#[test]
fn lines_that_are_not_rows_are_refused() {
    const HEAD: &str = r#""TimeGenerated":"2026-01-31T10:20:30Z","RemoteIP":"198.51.100.7""#;
    let long = "x".repeat(256);
    for (columns, expected) in [
        (
            r#","ActionType":"SYM","Protocol":"Tcp""#,
            "line 7: ActionType is \"SYM\": did you mean SYN? Known are ConnectionFailed, ConnectionRequest, ConnectionSuccess, Datagram, DatagramSent, EchoRequest, EchoSent, FinProbe, FragmentProbe, HttpGet, MaimonProbe, NullProbe, OddProbe, ProbeSent, Query, SYN, SessionDatagram, TraceProbe, TraceSent, XmasProbe",
        ),
        (
            r#","Type":"ReconAnswers","ActionType":"SYN""#,
            "line 7: ActionType is \"SYN\": known are AnswerReceived, Attempt, ConnectionEnded, ConnectionUsed, ForwardedConnectionEnded, IcmpNotice, IcmpRequest, Login, NeighbourRequest, PortAnswered, ProtocolProbe, RefusalReceived, SctpProbe, StrayFragment, StraySegment, StraySynAck",
        ),
        (
            r#","Type":"DeviceEvents""#,
            "line 7: Type is \"DeviceEvents\": known are DeviceNetworkEvents, ReconEvents",
        ),
        (
            r#","ActionType":"SYN","LocalPort":1"#,
            "line 7: no Protocol: expected Tcp",
        ),
        (
            r#","ActionType":"Query","Protocol":"ICMP""#,
            "line 7: Protocol is \"ICMP\": known are Tcp, Udp",
        ),
        (
            r#","ActionType":"SYN","Protocol":"Tcp""#,
            "line 7: no LocalPort: rows of this ActionType have that number",
        ),
        (
            r#","ActionType":"SynSent","Protocol":"Tcp""#,
            "line 7: ActionType is \"SynSent\"",
        ),
        (
            r#","ActionType":"ProbeSent","Protocol":"Tcp","LocalPort":1"#,
            "line 7: no RemotePort: ",
        ),
        (
            r#","ActionType":"SYN","Protocol":"Tcp","LocalPort":65536"#,
            "line 7: LocalPort is 65536: expected a whole number from 0 to 65535",
        ),
        (
            r#","ActionType":"SYN","Protocol":"Tcp","LocalPort":"1""#,
            "line 7: LocalPort is \"1\": expected a whole number",
        ),
        (
            r#","ActionType":"Query","Protocol":"Tcp","LocalPort":1,"RemotePort":2"#,
            "line 7: RemotePort is 2: LocalPort means",
        ),
        (
            r#","ActionType":7"#,
            "line 7: ActionType is 7: expected a string",
        ),
        (
            r#","ActionType":"SYN","Protocol":"Tcp","LocalPort":1,"RemoteTool":"nmpa""#,
            "line 7: RemoteTool is \"nmpa\": did you mean nmap? Known are crafted, hping3, masscan, mirai, nmap, zmap",
        ),
        (
            r#","ActionType":"SYN","Protocol":"Tcp","LocalPort":1,"RemoteTool":7"#,
            "line 7: RemoteTool is 7: expected a string",
        ),
        (
            r#","ActionType":"SYN","Protocol":"Tcp","LocalPort":1,"InterfaceName":2"#,
            "line 7: InterfaceName is 2: expected a string",
        ),
        (
            &format!(
                r#","ActionType":"SYN","Protocol":"Tcp","LocalPort":1,"InterfaceName":"{long}""#
            ),
            &format!(
                "line 7: InterfaceName is \"{}: expected a name of up to 255 bytes",
                &long[..79]
            ),
        ),
        (
            r#","ActionType":"EchoSent","Protocol":"ICMP","LocalIP":"x""#,
            "line 7: LocalIP is \"x\": expected an IPv4 or IPv6 address",
        ),
        (
            r#","ActionType":"EchoSent","Protocol":"ICMP","Count":-1"#,
            "line 7: Count is -1: ",
        ),
        (
            r#","ActionType":"EchoSent","Protocol":"ICMP","RemoteIP":"198.51.100.0/24""#,
            "line 7: RemoteIP is \"198.51.100.0/24\": expected an IPv4 or IPv6 address",
        ),
        (
            r#","ActionType":"EchoSent","Protocol":"ICMP","TimeGenerated":"now""#,
            "line 7: TimeGenerated is \"now\": expected a time such as",
        ),
        (
            r#","ActionType":"EchoSent","Protocol":"ICMP","TimeGenerated":null"#,
            "line 7: no TimeGenerated: ",
        ),
        (
            r#","ActionType":"EchoSent","Protocol":"ICMP","InitiatingProcessFileName":"nmap""#,
            "line 7: no InitiatingProcessId: ",
        ),
        (
            r#","ActionType":"EchoSent","Protocol":"ICMP","InitiatingProcessAccountName":"root""#,
            "line 7: InitiatingProcessAccountName is \"root\": expected a user's number",
        ),
        (
            r#","ActionType":"EchoSent","Protocol":"ICMP","InitiatingProcessIsScanner":1"#,
            "line 7: InitiatingProcessIsScanner is 1: expected true or false",
        ),
    ] {
        let text = format!("{{{HEAD}{columns}}}");
        let error = parsed(&text, 7).expect_err(&text).to_string();
        assert!(error.starts_with(expected), "{text}\n{error}");
    }
    for text in ["", "[]", "7", "{", "{}{}"] {
        let error = parsed(text, 1).expect_err(text).to_string();
        assert!(
            error.starts_with("line 1: expected a JSON object: "),
            "{error}"
        );
    }
}

/// Missing columns are unknown, and keys that are not columns are ignored.
#[test]
fn lines_with_few_columns_are_rows() {
    let text = r#"{"Timestamp":"2026-01-31T10:20:30Z","ActionType":"SYN",
        "Protocol":"Tcp","LocalPort":0,"RemotePort":40000,"ReportId":7,"Tags":[]}"#;
    let row = parsed(text, 1).expect("a row");
    let RowKey {
        signal,
        port,
        remote,
        ..
    } = row.key;
    assert_eq!(
        (signal, row.count, port, remote),
        (Signal::Syn, 1, Some(0), None)
    );
    assert_eq!(
        (row.device.as_str(), row.process, row.is_scanner),
        ("", None, false)
    );
}

prop_compose! {
    fn processes()(
        pid in 1..u32::MAX,
        parent in option::of(any::<u32>()),
        user in option::of(any::<u32>()),
        name in option::of(".{1,8}"),
        executable in option::of("(/.{1,8}){1,3}"),
        command_line in option::of(".{1,20}"),
    ) -> Process {
        // A row of a known executable carries its file name as the name.
        let file_name = |path: &String| path.rsplit('/').next().unwrap_or_default().to_owned();
        let of_file = executable.as_ref().map(file_name).filter(|name| !name.is_empty());
        let name = if executable.is_some() { of_file } else { name };
        Process { pid, parent, user, name, executable, command_line, ..Process::default() }
    }
}

prop_compose! {
    fn rows()(
        signal in proptest::sample::select(Signal::ALL.to_vec()),
        (remote, local) in any::<([u32; 4], [u32; 4])>(),
        (is_v4, has_remote, has_local) in any::<(bool, bool, bool)>(),
        port in any::<u16>(),
        count in 0..=i64::MAX as u64,
        (received, sent, lived) in any::<(u32, u32, u64)>(),
        nanos in 0..i64::MAX,
        device in ".{0,8}",
        process in option::of(processes()),
        is_scanner in any::<bool>(),
        listener in any::<Option<bool>>(),
        tool in option::of(proptest::sample::select(Tool::ALL.to_vec())),
        interface in proptest::sample::select(vec!["", "eth0", "a \"b\u{7f}"]),
        netns in proptest::sample::select(vec!["", "net:[4026532281]"]),
    ) -> OwnedRow {
        let address = |words: [u32; 4]| match is_v4 {
            true => Address::from_v4_word(words[0]),
            false => Address::from_words(words),
        };
        let pid = process.as_ref().map(|process| process.pid);
        let known = |address| (address != Address::UNSPECIFIED).then_some(address);
        OwnedRow {
            key: RowKey {
                remote: known(address(remote)).filter(|_| has_remote),
                local: known(address(local)).filter(|_| has_local),
                pid,
                image: 0,
                ending: (signal == Signal::Ended).then(|| Ending::new(received.into(), sent.into(), lived)),
                tool,
                interface: Name::new(interface),
                netns: Name::new(netns),
                port: port_column(signal).map(|_| port),
                signal,
            },
            count,
            time: Timestamp::from_nanosecond(i128::from(nanos)).expect("a time"),
            device,
            process,
            is_scanner: is_scanner && pid.is_some(),
            listener,
        }
    }
}

proptest! {
    #[test]
    fn rows_survive_writing_and_reading(row in rows()) {
        let text = line(&row.row());
        prop_assert_eq!(text.matches('\n').count(), 1);
        prop_assert_eq!(parsed(&text, 1).expect(&text), row);
    }

    #[test]
    fn no_line_makes_the_parser_panic(text in "\\{?.{0,40}\\}?") {
        // Both outcomes are fine.
        let _ = parsed(&text, 1);
    }
}
