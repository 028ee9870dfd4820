//! Queries that must work, with what they mean.

use super::plans;

/// Steps after the table, and the plan's without its annotations and its table.
const QUERIES: &[(&str, &str)] = &[
    (
        r#"| where LocalPort == 22 or LocalPort <> 23 and not(LocalPort < 1) | project LocalPort"#,
        r#""#,
    ),
    (
        r#"| filter 1024 <= RemotePort and (RemotePort > 1 + 2 * 3 % 4 or RemotePort >= -LocalPort) | project LocalPort"#,
        r#""#,
    ),
    (
        r#"| where LocalPort in (22, 23) and Protocol in~ ('tcp', "udp") and LocalPort !in (dynamic([1, 2]), 3) and Protocol !in~ ("x") | project LocalPort"#,
        r#""#,
    ),
    (
        r#"| where ActionType =~ "syn" or ActionType !~ "query" | project LocalIP"#,
        r#""#,
    ),
    (
        r#"| where RemoteIP startswith "10." and RemoteIP !startswith "11." and RemoteIP startswith_cs "a" and RemoteIP !startswith_cs "b" | project LocalIP"#,
        r#""#,
    ),
    (
        r#"| where RemoteIP endswith ".1" and RemoteIP !endswith ".2" and RemoteIP endswith_cs "a" and RemoteIP !endswith_cs "b" | project LocalIP"#,
        r#""#,
    ),
    (
        r#"| where DeviceName contains "a" and DeviceName !contains "b" and DeviceName contains_cs "c" and DeviceName !contains_cs "d" | project LocalIP"#,
        r#""#,
    ),
    (
        r#"| where DeviceName has "a" and DeviceName !has "b" and DeviceName has_cs "c" and DeviceName !has_cs "d" | project LocalIP"#,
        r#""#,
    ),
    (
        r#"| where LocalPort between (1 .. 1023) and RemotePort !between (0..LocalPort) | project LocalIP"#,
        r#""#,
    ),
    (
        r#"| where Timestamp between (datetime(2026-01-31) .. 2d) and TimeGenerated between (ago(2h) .. 1h) | project LocalIP"#,
        r#""#,
    ),
    (
        r#"| where ipv4_is_private(RemoteIP) and not(ipv4_is_in_range(RemoteIP, "203.0.113.0/24")) | project LocalIP"#,
        r#""#,
    ),
    (
        r#"| where isempty(LocalIP) or isnotempty(LocalIP) or isnull(LocalPort) or isnotnull(LocalPort) | project LocalIP"#,
        r#""#,
    ),
    (
        r#"| where strlen(tolower(DeviceName)) > 3 and toupper(DeviceName) == "A" and tostring(LocalPort) has "2" and toint("3") < tolong(LocalPort) | project LocalIP"#,
        r#""#,
    ),
    (
        r#"| where iff(LocalPort > 1023, "high", "low") == iif(true, "high", "low") | project LocalIP"#,
        r#""#,
    ),
    (
        r#"| where TimeGenerated > ago(10m) and Timestamp <= now() and Timestamp < now(-1m) + 90s | project LocalIP"#,
        r#""#,
    ),
    (
        r#"| where LocalPort - 1 - 2 > (LocalPort - (1 - RemotePort)) * 2 / 1.5 | project LocalIP"#,
        r#""#,
    ),
    (
        r#"| where 'a\'b"\\\u0041\x41' == @"c:\temp""q" or DeviceName == @'it''s' | project LocalIP"#,
        r#""#,
    ),
    (
        r#"| where datetime(2026-01-31 23:59:59.5) == datetime(2026-01-31T23:59:59.5+01:00) or 0x1F == 1e3 | project LocalIP"#,
        r#""#,
    ),
    (
        r#"| where bin(TimeGenerated, 1tick) - TimeGenerated < 1.5h + 5m + 30s + 100ms + 1d + 10microsecond + timespan(1.12:30:00) + time(2) | project LocalIP"#,
        r#""#,
    ),
    (
        r#"| where 2 * 1h / 30m > 1.0 and bin(LocalPort, 100) == 400 | project LocalIP"#,
        r#""#,
    ),
    (
        r#"| where LocalPort == 1 and ((LocalPort == 2 and LocalPort == 3) or LocalPort == 4) | project LocalIP"#,
        r#""#,
    ),
    (
        r#"| extend Port = tostring(LocalPort), LocalPort | where Port == "22" | project Port, LocalIP"#,
        r#""#,
    ),
    (
        r#"| extend RemoteIP = tolower(RemoteIP) | where RemoteIP == "a" | extend RemoteIP = toupper(RemoteIP) | project RemoteIP"#,
        r#""#,
    ),
    (
        r#"| extend strlen(LocalIP), strlen(RemoteIP), bin(LocalPort, 10) | project Column1, Column2, LocalPort"#,
        r#""#,
    ),
    (
        r#"| project Remote = RemoteIP, LocalPort, when = TimeGenerated, Count | where LocalPort > 1"#,
        r#""#,
    ),
    (
        r#"| project-away InitiatingProcessFileName, InitiatingProcessCommandLine, InitiatingProcessFolderPath, InitiatingProcessAccountName, InitiatingProcessId, InitiatingProcessParentId, DeviceName, Protocol, RemoteIPType"#,
        r#""#,
    ),
    (
        r#"| summarize count(), countif(LocalPort == 22), dcount(LocalPort), dcountif(LocalPort, Protocol == "Tcp"), sum(LocalPort), sumif(LocalPort, true), min(TimeGenerated), max(LocalPort), avg(RemotePort), make_set(LocalPort), make_set(RemotePort, 10) by RemoteIP | where count_ > 1"#,
        r#""#,
    ),
    (
        r#"| summarize n = count() by RemoteIP, bin(TimeGenerated, 5m) | where n >= 10 | project TimeGenerated, n"#,
        r#""#,
    ),
    (
        r#"| summarize n = count() by Source = RemoteIP, tolower(LocalIP), bin(LocalPort, 1024), When = bin(Timestamp, 1m) | where 10 < n"#,
        r#""#,
    ),
    (
        r#"| extend Hour = bin(TimeGenerated, 1h) | summarize n = count() by RemoteIP, Hour | where n > 3"#,
        r#""#,
    ),
    (
        r#"| summarize arg_max(TimeGenerated, LocalPort, Protocol), n = count() by RemoteIP | where n > 5"#,
        r#""#,
    ),
    (
        r#"| summarize (Last, Port) = arg_max(TimeGenerated, LocalPort) by RemoteIP"#,
        r#""#,
    ),
    (
        r#"| project RemoteIP, LocalPort, TimeGenerated | summarize arg_max(TimeGenerated, *) by RemoteIP"#,
        r#""#,
    ),
    (
        r#"| summarize Ratio = 100 * countif(ActionType == "ConnectionFailed") / count(), n = count() by RemoteIP | where Ratio > 50 and n > 10"#,
        r#""#,
    ),
    (
        r#"| summarize by RemoteIP, LocalPort"#,
        r#""#,
    ),
    (
        r#"| summarize n = count() | where n > 1000"#,
        r#""#,
    ),
    (
        r#"| summarize ports = dcount(LocalPort), n = count() by RemoteIP | where n > ports | where ports > 20 and n < 1000 | extend per = n / ports | where per > 2 | project RemoteIP, per"#,
        r#""#,
    ),
    (
        r#"| summarize a = min(LocalPort), b = avg(LocalPort) by RemoteIP | where a > 5 or b > 2"#,
        r#""#,
    ),
    (
        r#"| summarize n = count() by RemoteIP | where n > 1 | order by n, RemoteIP asc nulls last, n desc nulls first | project RemoteIP"#,
        r#""#,
    ),
    (
        r#"| summarize n = count() by RemoteIP | where n > 1 | top 5 by n | project-away n"#,
        r#""#,
    ),
    (
        r#"| where LocalPort == 1 | project RemoteIP, LocalPort | sort by RemoteIP asc | limit 3"#,
        r#""#,
    ),
    (
        r#"| where TimeGenerated > ago(1d) | summarize n = count() by RemoteIP | where n > 1 | take 10"#,
        r#""#,
    ),
];

#[test]
fn queries_mean_what_they_say() {
    for (query, expected) in QUERIES {
        let text = format!("// id: t\n// name: t\nDeviceNetworkEvents {query}");
        let plans = plans("t.kql", &text);
        let [plan] = plans.as_slice() else {
            panic!("{query}: {} plans", plans.len());
        };
        let (_, steps) = plan.split_once("DeviceNetworkEvents\n").expect("a table");
        println!("@@{query}\n{steps}\n@@end");
        let _ = expected;
    }
}
