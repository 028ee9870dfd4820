//! The content of a guest: the agent, a shell, modules and the init script.
//!
//! In: their files, a [`GuestTask`]. Out: an archive that the kernel boots from.
//! The decision held here: it has no C library, so that a guest shows that the agent needs none. A
//! watching guest writes the agent's stdout to one serial line, its stderr and the kernel's
//! messages to a second, and waits on a third for its end.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use recon_tests::lab::{ATTACKER, ATTACKER6, HOST, HOST6, SPARES};

use super::{cpio::Archive, module::Module};

/// The modules for a guest's network card, its entropy and its hooks.
pub(super) const MODULES: [&str; 6] = [
    "virtio_pci",
    "virtio_net",
    "virtio-rng",
    "sch_ingress",
    "cls_bpf",
    "veth",
];
/// The guest's network card.
pub(super) const GUEST_LINK: &str = "eth0";
/// The folder of the modules in a guest.
const MODULE_FOLDER: &str = "modules";
const FOLDERS: [&str; 6] = ["dev", "proc", "sys", "tmp", "run", "root"];
const AGENT: &str = "bin/recon";
/// The lines by which a guest reports that a test starts and how it ended. The name follows, and in
/// the second line the exit code and the seconds that it took.
const RUNS: &str = "guest: runs ";
pub(super) const FINISHED: &str = "guest: finished ";
/// The log line by which the guest reports how the agent ended; the exit code follows.
pub(super) const ENDED: &str = "guest: recon ended with ";

/// The task of a guest once it is up.
#[derive(Debug, Clone, Copy)]
pub(super) enum GuestTask<'a> {
    /// Runs the agent with these arguments on a network card, until the third serial line has a
    /// line.
    Watch(&'a str),
    /// Runs a shell, with a network card.
    Shell,
    /// Runs these programs one after the other, and reports how each ended.
    Tests(&'a [&'a str]),
    /// The same, with network cards and these variables in the environment.
    Scenarios(&'a [&'a str], &'a str),
}

/// An archive with the files of every guest.
pub(super) fn build(
    agent: &Path,
    busybox: &Path,
    modules: &[Module],
    task: GuestTask<'_>,
) -> Result<Archive> {
    let read = |path: &Path| fs::read(path).with_context(|| path.display().to_string());
    let mut archive = Archive::default();
    for folder in FOLDERS {
        archive.folder(folder);
    }
    archive.program("bin/busybox", &read(busybox)?);
    archive.program(AGENT, &read(agent)?);
    for module in modules {
        archive.program(
            &format!("{MODULE_FOLDER}/{}.ko", module.name),
            &module.content,
        );
    }
    archive.program("init", script(modules, task).as_bytes());
    Ok(archive)
}

/// The script that the kernel starts. When it ends, the machine powers off.
fn script(modules: &[Module], task: GuestTask<'_>) -> String {
    let names: Vec<&str> = modules.iter().map(|module| module.name.as_str()).collect();
    let work = match task {
        GuestTask::Watch(arguments) => network() + TERMINALS + &watch(arguments),
        GuestTask::Shell => network() + SHELL,
        GuestTask::Tests(programs) => NO_TYPES.to_owned() + &tests(programs),
        GuestTask::Scenarios(programs, variables) => {
            format!("{}export {variables}\n{}", network(), tests(programs))
        }
    };
    format!(
        "#!/bin/busybox sh
export PATH=/bin:/usr/bin:/applets HOME=/root NO_COLOR=1
/bin/busybox mkdir /applets
/bin/busybox --install -s /applets
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for folder in /tmp /run; do mount -t tmpfs tmpfs $folder; done
hostname guest
# Before the card appears, which takes over the defaults.
for side in all default; do
    # Only the given addresses, no packets of the kernel's own, and no reverse path filter.
    echo 1 >/proc/sys/net/ipv6/conf/$side/addr_gen_mode
    echo 0 >/proc/sys/net/ipv6/conf/$side/accept_ra
    echo 0 >/proc/sys/net/ipv6/conf/$side/accept_dad
    echo 0 >/proc/sys/net/ipv4/conf/$side/rp_filter
done
for module in {modules}; do insmod /{MODULE_FOLDER}/$module.ko; done
ip link set lo up
{work}
poweroff -f
",
        modules = names.join(" "),
    )
}

/// Configures the network card.
fn network() -> String {
    format!(
        "ip link set {GUEST_LINK} up
ip address add {HOST}/24 dev {GUEST_LINK}
ip address add {HOST6}/64 dev {GUEST_LINK}
# On the loopback interface, an address makes its whole network local.
ip address add {SPARES} dev lo
ip route add default via {ATTACKER}
ip -6 route add default via {ATTACKER6}
# An open port for scanners.
httpd -p 80 -h /root
"
    )
}

/// The programs write to the console.
fn tests(programs: &[&str]) -> String {
    format!(
        "export RECON_BIN=/{AGENT}
for test in {}; do
    echo \"{RUNS}$test\"
    start=$(date +%s)
    /$test --test-threads=1 --show-output 2>&1
    echo \"{FINISHED}$test $? $(($(date +%s) - start))\"
done",
        programs.join(" ")
    )
}

/// The terminals must not change what is written to them.
const TERMINALS: &str = "for line in 0 1 2; do stty -F /dev/ttyS$line raw -echo; done\n";

/// Hides the kernel's own types, which recon's programs do not need: aya reads them at each start,
/// which takes an emulated processor half a second.
const NO_TYPES: &str = "mount -t tmpfs none /sys/kernel/btf\n";

fn watch(arguments: &str) -> String {
    format!(
        "recon {arguments} >/dev/ttyS0 2>/dev/ttyS1 &
read -r word </dev/ttyS2
kill -TERM $!
wait $!
echo \"{ENDED}$?\" >/dev/ttyS1"
    )
}

const SHELL: &str = "setsid cttyhack sh";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_parses_the_script() {
        let module = Module {
            name: "virtio".to_owned(),
            content: Vec::new(),
        };
        for task in [
            GuestTask::Watch("run -vv"),
            GuestTask::Shell,
            GuestTask::Tests(&["tests/a", "tests/b"]),
            GuestTask::Scenarios(&["tests/a"], "A='b c'"),
        ] {
            let script = script(std::slice::from_ref(&module), task);
            let read = std::process::Command::new("sh")
                .args(["-n", "-c", &script])
                .status()
                .expect("a shell");
            assert!(read.success(), "{script}");
        }
    }
}
