//! Rows: what recon does where a hook is not available.
//!
//! In: nothing. Out: tables of rows. The decision held here: the first row of a table sees its
//! guest as it has booted, so rows about a first start come first.

use recon_tests::machine::{LOCKED_FOR_CONFIDENTIALITY, LOCKED_FOR_INTEGRITY, ONE_CARD};

use super::row::{Attack, By, End, Expected, Kernels, Row, Run, Table};

pub(super) const SOCKETS: &str = "[INFO ] sockets of /sys/fs/cgroup: sock_ops, connect4, connect6, sendmsg4, sendmsg6, sock_create, sched_process_exec, task_newtask";
pub(super) const NATIVE: &str = "[INFO ] eth0: inbound by native XDP, outbound by {tc} egress";
const TC: &str = "[INFO ] eth0: inbound by {tc} ingress, outbound by {tc} egress; *";
const GENERIC: &str = "[INFO ] eth0: inbound by generic XDP, outbound by {tc} egress; *";
const REMOVED: &str =
    "[INFO ] eth0: removed a program of an earlier agent that did not end cleanly";
/// All hooks.
pub(super) const BEST: &[&str] = &[SOCKETS, NATIVE];

const NO_CONNECT4: &str = "[WARN ] no connect4 hook (cgroup2 is not mounted): connections that fail at once are not counted, and the process of others may be unknown";
const NO_CONNECT6: &str = "[WARN ] no connect6 hook (cgroup2 is not mounted): connections that fail at once are not counted, and the process of others may be unknown";
const NO_SENDMSG4: &str = "[WARN ] no sendmsg4 hook (cgroup2 is not mounted): the process that sends a datagram may be unknown";
const NO_SENDMSG6: &str = "[WARN ] no sendmsg6 hook (cgroup2 is not mounted): the process that sends a datagram may be unknown";
const NO_SOCK_CREATE: &str = "[WARN ] no sock_create hook (cgroup2 is not mounted): the process that sends through a raw or a ping socket is unknown";
const NO_SOCK_OPS: &str = "[WARN ] no sock_ops hook (cgroup2 is not mounted): accepted connections, their ends and failed connections are not counted";
const NO_EXEC: &str =
    "[WARN ] no sched_process_exec hook (*): a process that ends within a poll may have no name";
const NO_FORK: &str = "[WARN ] no task_newtask hook (*): who started a process that ends within a poll may be unknown";
const NO_EXEC_SOCKETS: &str = "[INFO ] sockets of /sys/fs/cgroup: sock_ops, connect4, connect6, sendmsg4, sendmsg6, sock_create";

/// A hundred SYNs, of which the host refuses those that are not for its web server.
pub(super) const SCAN: Attack = Attack {
    by: By::Attacker("hping3 -q -n -S -p ++1 -c 100 -i u2000 {host}"),
    signals: Some(200),
    alerts: &Expected::of_fast_scan(
        "source.ip={attacker} destination.ip={host} recon.outcomes.refused>0 recon.lower_bound=false",
    ),
};
/// A connection of the host's own, from a known process. By its full path: busybox's shell starts
/// its applets as `/proc/self/exe`, and of a process that ends within a poll no other name is
/// known.
const OWN_CONNECTION: Attack = Attack {
    by: By::Host("/bin/busybox nc -w 1 {attacker} 99 || true"),
    signals: None,
    alerts: &[Expected {
        rule: "outbound-scan-tool",
        measure: "count",
        fields: "source.ip={host} destination.ip={attacker} process.executable=/bin/busybox",
    }],
};
/// A connection that nobody answers, so that the process outlives a poll.
const LONG_CONNECTION: Attack = Attack {
    by: By::Host("/bin/busybox nc -w 1 203.0.113.9 99 || true"),
    signals: None,
    alerts: &[Expected {
        rule: "outbound-scan-tool",
        measure: "count",
        fields: "source.ip={host} destination.ip=203.0.113.9 process.executable=/bin/busybox",
    }],
};
/// The option that makes busybox a scanner.
const BUSYBOX: &str = "--scanner busybox";

/// A scan and a connection under the best hooks.
const BOTH_WAYS: Run = Run {
    arguments: BUSYBOX,
    says: BEST,
    attacks: &[SCAN, OWN_CONNECTION],
    ..Run::PLAIN
};

const TC_ALONE: Run = Run {
    arguments: "--xdp off",
    says: &[SOCKETS, TC],
    attacks: &[SCAN],
    ..Run::PLAIN
};

const WITHOUT_CGROUP: Run = Run {
    says: &[
        "[INFO ] sockets: sched_process_exec, task_newtask",
        NO_SOCK_OPS,
        NO_CONNECT4,
        NO_CONNECT6,
        NO_SENDMSG4,
        NO_SENDMSG6,
        NO_SOCK_CREATE,
        NATIVE,
    ],
    attacks: &[SCAN],
    ..Run::PLAIN
};

const NO_CLSACT: &str = "[ -z \"$(tc qdisc show dev eth0 | grep clsact)\" ]";
const NO_TRACEFS: &str = "[ -z \"$(grep tracefs /proc/mounts)\" ]";
/// The qdisc stays. That no program stays is checked after every row.
const CLSACT: &str = "tc qdisc show dev eth0 | grep clsact";

pub(super) const HOOKS: Table = Table {
    machine: &ONE_CARD,
    inside: "",
    outside: "",
    rows: &[
        Row {
            name: "clsact where there is no TCX: the first start",
            kernels: Kernels::BeforeTcx,
            before: NO_CLSACT,
            runs: &[BOTH_WAYS],
            after: CLSACT,
        },
        Row {
            name: "clsact: the second start, on the first one's qdisc",
            kernels: Kernels::BeforeTcx,
            before: CLSACT,
            runs: &[BOTH_WAYS],
            after: CLSACT,
        },
        Row {
            name: "clsact: a start after an agent that was killed",
            kernels: Kernels::BeforeTcx,
            before: "",
            runs: &[
                Run {
                    end: End::Killed,
                    ..BOTH_WAYS
                },
                Run {
                    says: &[SOCKETS, REMOVED, NATIVE],
                    ..BOTH_WAYS
                },
            ],
            after: CLSACT,
        },
        Row {
            name: "TCX: three starts, of which the second is killed",
            kernels: Kernels::SinceTcx,
            before: "",
            runs: &[
                BOTH_WAYS,
                Run {
                    end: End::Killed,
                    ..BOTH_WAYS
                },
                BOTH_WAYS,
            ],
            after: NO_CLSACT,
        },
        Row {
            name: "--xdp off: TC ingress",
            kernels: Kernels::All,
            before: "",
            runs: &[TC_ALONE],
            after: "",
        },
        Row {
            name: "clsact both ways, killed, and a start with the same hooks",
            kernels: Kernels::BeforeTcx,
            before: "",
            runs: &[
                Run {
                    end: End::Killed,
                    ..TC_ALONE
                },
                Run {
                    says: &[SOCKETS, REMOVED, REMOVED, TC],
                    ..TC_ALONE
                },
            ],
            after: CLSACT,
        },
        Row {
            name: "clsact both ways, killed, and a start with XDP",
            kernels: Kernels::BeforeTcx,
            before: "",
            runs: &[
                Run {
                    end: End::Killed,
                    ..TC_ALONE
                },
                Run {
                    says: &[SOCKETS, REMOVED, REMOVED, NATIVE],
                    ..BOTH_WAYS
                },
            ],
            after: CLSACT,
        },
        Row {
            name: "XDP is another program's: TC ingress",
            kernels: Kernels::All,
            before: "recon run --xdp native >/tmp/alerts 2>/tmp/log &
echo $! >/tmp/other
until grep watching /tmp/log; do usleep 100000; done",
            runs: &[Run {
                says: &[
                    "[WARN ] eth0: another XDP program is attached (id *): recon uses TC ingress and does not see what that program drops",
                    SOCKETS,
                    "[WARN ] eth0: another recon watches it: *",
                    TC,
                ],
                attacks: &[SCAN],
                ..Run::PLAIN
            }],
            // The other agent has counted the scan as well.
            after: "kill -TERM $(cat /tmp/other)
until grep totals: /tmp/log; do usleep 100000; done
grep 'signals=200 ' /tmp/log
grep port-scan /tmp/alerts",
        },
        Row {
            name: "--xdp generic",
            kernels: Kernels::All,
            before: "",
            runs: &[Run {
                arguments: "--xdp generic",
                says: &[SOCKETS, GENERIC],
                attacks: &[SCAN],
                ..Run::PLAIN
            }],
            after: "",
        },
        Row {
            name: "tracefs is not mounted: it is for recon alone",
            kernels: Kernels::All,
            before: NO_TRACEFS,
            runs: &[Run {
                while_running: NO_TRACEFS,
                ..BOTH_WAYS
            }],
            after: NO_TRACEFS,
        },
        Row {
            name: "tracefs is mounted",
            kernels: Kernels::All,
            before: "mount -t tracefs tracefs /sys/kernel/tracing",
            runs: &[BOTH_WAYS],
            after: "umount /sys/kernel/tracing",
        },
        Row {
            name: "tracefs can't be mounted: started programs go unseen",
            kernels: Kernels::All,
            before: "mount -t tmpfs tmpfs /sys/kernel",
            runs: &[Run {
                arguments: BUSYBOX,
                says: &[NO_EXEC_SOCKETS, NO_EXEC, NO_FORK, NATIVE],
                attacks: &[SCAN, LONG_CONNECTION],
                ..Run::PLAIN
            }],
            after: "umount /sys/kernel",
        },
        Row {
            name: "no cgroup2: packets alone",
            kernels: Kernels::All,
            before: "umount /sys/fs/cgroup",
            runs: &[WITHOUT_CGROUP],
            after: mount_host_cgroup!("/sys/fs/cgroup"),
        },
        Row {
            name: "cgroups of both versions",
            kernels: Kernels::All,
            before: concat!(
                "umount /sys/fs/cgroup
mount -t tmpfs tmpfs /sys/fs/cgroup
mkdir /sys/fs/cgroup/cpu /sys/fs/cgroup/unified
mount -t cgroup -o cpu cgroup /sys/fs/cgroup/cpu
",
                mount_host_cgroup!("/sys/fs/cgroup/unified")
            ),
            runs: &[Run {
                says: &[
                    "[INFO ] sockets of /sys/fs/cgroup/unified: sock_ops, connect4, connect6, sendmsg4, sendmsg6, sock_create, sched_process_exec, task_newtask",
                    NATIVE,
                ],
                ..BOTH_WAYS
            }],
            after: concat!(
                "umount /sys/fs/cgroup/cpu
umount /sys/fs/cgroup/unified
umount /sys/fs/cgroup
",
                mount_host_cgroup!("/sys/fs/cgroup")
            ),
        },
        // All of Debian's kernels have BTF: this is as near as a test can come.
        Row {
            name: "the kernel's BTF is out of sight",
            kernels: Kernels::All,
            before: "mount -t tmpfs tmpfs /sys/kernel/btf",
            runs: &[BOTH_WAYS],
            after: "umount /sys/kernel/btf",
        },
    ],
};

pub(super) const INTEGRITY: Table = Table {
    machine: &LOCKED_FOR_INTEGRITY,
    inside: LOOK_AT_LOCKDOWN,
    outside: "",
    rows: &[Row {
        name: "lockdown=integrity takes nothing away",
        kernels: Kernels::All,
        before: "grep '\\[integrity\\]' /tmp/lockdown",
        runs: &[BOTH_WAYS],
        after: "",
    }],
};

pub(super) const CONFIDENTIALITY: Table = Table {
    machine: &LOCKED_FOR_CONFIDENTIALITY,
    inside: LOOK_AT_LOCKDOWN,
    outside: "",
    rows: &[Row {
        name: "lockdown=confidentiality: started programs go unseen",
        kernels: Kernels::All,
        before: "grep '\\[confidentiality\\]' /tmp/lockdown",
        runs: &[
            Run {
                says: &[NO_EXEC_SOCKETS, NO_EXEC, NO_FORK, NATIVE],
                attacks: &[SCAN, LONG_CONNECTION],
                ..BOTH_WAYS
            },
            Run {
                says: &[NO_EXEC_SOCKETS, NO_EXEC, NO_FORK, NATIVE],
                attacks: &[SCAN, LONG_CONNECTION],
                ..BOTH_WAYS
            },
        ],
        after: "",
    }],
};

const LOOK_AT_LOCKDOWN: &str = "mount -t securityfs securityfs /sys/kernel/security
cat /sys/kernel/security/lockdown >/tmp/lockdown
umount /sys/kernel/security";
