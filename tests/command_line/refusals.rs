//! Rows of the test of refused starts: the arguments, and what the message must say.

pub(super) struct Refusal {
    pub(super) name: &'static str,
    /// `{dir}` is the folder of `files`.
    pub(super) arguments: &'static str,
    /// Files to create: names and texts.
    pub(super) files: &'static [(&'static str, &'static str)],
    pub(super) has_privileges: bool,
    /// What the message must say.
    pub(super) says: &'static [&'static str],
}

const REFUSAL: Refusal = Refusal {
    name: "",
    arguments: "",
    files: &[],
    has_privileges: true,
    says: &[],
};

pub(super) const REFUSALS: &[Refusal] = &[
    Refusal {
        name: "a missing interface",
        arguments: "run -i nosuch0",
        says: &["nosuch0", "veth0", "lo"],
        ..REFUSAL
    },
    Refusal {
        name: "an interface that exists and a missing one",
        arguments: "run -i veth0 -i nosuch0",
        says: &["nosuch0", "veth0", "lo"],
        ..REFUSAL
    },
    Refusal {
        name: "no privileges",
        arguments: "run -i veth0",
        has_privileges: false,
        says: &["CAP_NET_ADMIN", "CAP_BPF", "CAP_PERFMON", "root"],
        ..REFUSAL
    },
    Refusal {
        name: "a malformed interval",
        arguments: "run -i veth0 --interval soon",
        says: &["--interval", "soon", "500ms"],
        ..REFUSAL
    },
    Refusal {
        name: "an interval of zero",
        arguments: "run -i veth0 --interval 0s",
        says: &["--interval", "10ms"],
        ..REFUSAL
    },
    Refusal {
        name: "an interval longer than the shortest window",
        arguments: "run -i veth0 --interval 2m",
        says: &["--interval", "1m"],
        ..REFUSAL
    },
    Refusal {
        name: "a folder that is not a cgroup",
        arguments: "run -i veth0 --cgroup /proc",
        says: &["/proc", "cgroup of version 2", "mounted at"],
        ..REFUSAL
    },
    Refusal {
        name: "a missing cgroup",
        arguments: "run -i veth0 --cgroup /no/such/folder",
        says: &["/no/such/folder"],
        ..REFUSAL
    },
    Refusal {
        name: "a missing rule file",
        arguments: "rules check /no/such/rules.kql",
        has_privileges: false,
        says: &["/no/such/rules.kql", "No such file"],
        ..REFUSAL
    },
    Refusal {
        name: "a file without rules",
        arguments: "rules check /proc/version",
        has_privileges: false,
        says: &["/proc/version:1:1: error: ", "^", "0 rules"],
        ..REFUSAL
    },
    Refusal {
        name: "a broken rule",
        arguments: "run -i veth0 --rules {dir}/broken.kql",
        files: &[(
            "broken.kql",
            "DeviceNetworkEvents\n| wher LocalPort == 22\n",
        )],
        says: &[
            "/broken.kql:2:3: error: no operator `wher`",
            "  |   ^^^^\n",
            "did you mean `where`?",
        ],
        ..REFUSAL
    },
    Refusal {
        name: "a broken file in a folder of rules",
        arguments: "run -i veth0 --rules {dir}",
        files: &[("a.kql", "DeviceNetworkEvents\n"), ("b.md", "no query\n")],
        says: &["/b.md:1:1: error: this file has no query"],
        ..REFUSAL
    },
    Refusal {
        name: "a folder without rules",
        arguments: "run -i veth0 --rules {dir}",
        says: &["error: no file in this folder has a name that ends in .kql or .md"],
        ..REFUSAL
    },
    Refusal {
        name: "a missing folder of rules",
        arguments: "rules --rules /no/such/rules",
        has_privileges: false,
        says: &["/no/such/rules: error: No such file"],
        ..REFUSAL
    },
    Refusal {
        name: "an unknown setting",
        arguments: "run -i veth0 --config {dir}/recon.toml",
        files: &[("recon.toml", "include_privat = true\n")],
        says: &[
            "/recon.toml:1:1: error: no setting `include_privat`",
            "^^^^",
            "did you mean `include_private`?",
        ],
        ..REFUSAL
    },
    Refusal {
        name: "settings for a missing rule",
        arguments: "run -i veth0 --rules {dir}/a.kql --config {dir}/recon.toml",
        files: &[
            (
                "a.kql",
                "// id: smb-scan\nDeviceNetworkEvents | where LocalPort == 445\n",
            ),
            ("recon.toml", "[rules.smb-scn]\nenabled = false\n"),
        ],
        says: &[
            "/recon.toml:1:8: error: no rule `smb-scn`",
            "did you mean `smb-scan`?",
        ],
        ..REFUSAL
    },
    Refusal {
        name: "a missing file of settings",
        arguments: "config --config /no/such/recon.toml",
        has_privileges: false,
        says: &["/no/such/recon.toml: error: No such file"],
        ..REFUSAL
    },
    Refusal {
        name: "a malformed network",
        arguments: "config --config {dir}/recon.toml",
        files: &[("recon.toml", "allow = ['192.0.2.1/24']\n")],
        says: &[
            "/recon.toml:1:10: error: `192.0.2.1/24`",
            "use 192.0.2.0/24",
        ],
        ..REFUSAL
    },
    Refusal {
        name: "an unknown XDP mode",
        arguments: "run -i veth0 --xdp fast",
        says: &["--xdp", "fast", "native", "generic", "off"],
        ..REFUSAL
    },
];
