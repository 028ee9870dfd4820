//! `recon rules check` over files that are right, broken and missing.

use crate::settings::{Settings, check};

/// The ten queries, as their source writes them.
const DETECTIONS: &str = include_str!("../../kql/tests/detections.kql");

#[test]
fn all_files_are_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let files = [
        write("ten.kql", DETECTIONS),
        write("bad.kql", "DeviceNetworkEvents | where LocalPrt == 1"),
        folder.path().join("none.kql"),
        write(
            "row.md",
            "## A row\n```kql\n// severity: low\nDeviceNetworkEvents | summarize a = max(LocalPort), b = count() by RemoteIP | where a < b\n```\n",
        ),
    ];
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let are_right = check(&files, &mut out, &mut errors).expect("written");
    assert!(!are_right);
    let place = format!("{}/", folder.path().display());
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).replace(&place, "");
    assert_eq!(
        text(out),
        "\
ten.kql: 10 rules
  rule                                                  window  threshold  severity
  detect-multiple-ports-scanned-from-a-single-ip/count      1h         20  medium
  identify-rapid-scanning-behaviour/count                   1h         50  medium
  suspicious-network-scanning-patterns/count                1h         10  medium
  identify-outbound-port-scanning/count                     1h          0  medium
  multiple-failed-connection-attempts/count                 1h        100  medium
  identify-icmp-echo-requests-ping-sweeps/count             1h         50  medium
  scan-for-smb-shares/count                                 1h         10  medium
  http-get-request-flooding/count                           1h        100  medium
  identify-dns-query-flooding/count                         1h        200  medium
  detecting-high-numbers-of-syn-packets/count               1h        500  medium
bad.kql: 0 rules
row.md: 1 rule
  rule         window  threshold  severity
  a-row/count      1h          -  low
"
    );
    assert_eq!(
        text(errors),
        "\
bad.kql:1:29: error: no column `LocalPrt`
  |
1 | DeviceNetworkEvents | where LocalPrt == 1
  |                             ^^^^^^^^
  |
  = hint: did you mean `LocalPort`?
none.kql: error: No such file or directory (os error 2)
"
    );
    assert!(check(&files[..1], &mut Vec::new(), &mut Vec::new()).expect("written"));
}

#[test]
fn settings_that_nobody_means_are_doubted() {
    const NONE: &str = "warning: no rule is in force: recon writes no alert; enable a rule, or lower `min_severity`\n";
    let everything = |key: &str, family: &str| {
        format!("warning: `{key}` has all of {family}: nothing that such remotes do counts\n")
    };
    // (file, rules in force, warnings)
    for (file, rules, expected) in [
        ("", 1, String::new()),
        ("", 0, NONE.to_owned()),
        ("allow = ['198.51.100.0/24']", 1, String::new()),
        (
            "allow = ['0.0.0.0/0', '::/0']",
            1,
            everything("allow", "IPv4") + &everything("allow", "IPv6"),
        ),
        (
            "allow = ['128.0.0.0/1', '0.0.0.0/2', '64.0.0.0/2']",
            1,
            everything("allow", "IPv4"),
        ),
        ("allow = ['128.0.0.0/1', '0.0.0.0/2']", 1, String::new()),
        (
            "local_networks = ['::/0']",
            1,
            everything("local_networks", "IPv6"),
        ),
        (
            "[rules.port-scan]\nallow = ['0.0.0.0/0']",
            1,
            everything("rules.port-scan.allow", "IPv4"),
        ),
        (
            "[sinks.a]\ntype = 'webhook'\nurl = 'https://192.0.2.1/'\nheaders_file = '/h'",
            1,
            String::new(),
        ),
        (
            "[sinks.a]\ntype = 'otlp'\nendpoint = 'http://192.0.2.1/'\nheaders_file = '/h'",
            1,
            "warning: what `headers_file` of the sink `a` holds goes in the clear, to whoever listens at its address: use a URL of https\n".to_owned(),
        ),
    ] {
        let settings = Settings::parse("recon.toml", file.as_bytes()).expect("settings");
        assert_eq!(settings.doubts(rules), expected, "{file}");
    }
}
