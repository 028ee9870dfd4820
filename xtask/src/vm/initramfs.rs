//! The content of a guest: the agent, a shell, modules and the init script.
//!
//! In: their files, the guest's work. Out: an archive that the kernel boots from.
//! The decision held here: it has no C library, so that a guest shows that the agent needs none. A
//! watching guest writes the agent's stdout to one serial line, its stderr and the kernel's
//! messages to a second, and waits on a third for its end.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
};

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

/// An unnamed file to boot from, with the files of every guest and the kernel's `modules`. The
/// guest does `work` once it is up: [`watch`], [`shell`], [`tests`] or [`scenarios`].
pub(super) fn write(agent: &Path, busybox: &Path, modules: &[Module], work: &str) -> Result<File> {
    let read = |path: &Path| fs::read(path).with_context(|| path.display().to_string());
    let mut archive = Archive::default();
    for folder in FOLDERS {
        archive.folder(folder);
    }
    archive.program("bin/busybox", &read(busybox)?);
    archive.program(AGENT, &read(agent)?);
    for module in modules {
        let path = format!("{MODULE_FOLDER}/{}.ko", module.name);
        archive.program(&path, &module.content);
    }
    archive.program("init", script(modules, work).as_bytes());
    let mut file = tempfile::tempfile()?;
    file.write_all(&archive.finish())?;
    Ok(file)
}

/// The script that the kernel starts. When it ends, the machine powers off.
fn script(modules: &[Module], work: &str) -> String {
    let names: Vec<&str> = modules.iter().map(|module| module.name.as_str()).collect();
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
mkdir /dev/pts
mount -t devpts devpts /dev/pts
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
hostname guest
# Before the card appears, which takes over the defaults.
for side in all default; do
    # Only the given addresses, no packets of the kernel's own, and no reverse path filter.
    echo 1 >/proc/sys/net/ipv6/conf/$side/addr_gen_mode
    echo 0 >/proc/sys/net/ipv6/conf/$side/accept_ra
    echo 0 >/proc/sys/net/ipv6/conf/$side/accept_dad
    echo 0 >/proc/sys/net/ipv4/conf/$side/rp_filter
done
# A namespace has the interfaces that a test gives it, and no other tunnels.
echo 1 >/proc/sys/net/core/fb_tunnels_only_for_init_net
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

/// Runs these programs one after the other, and reports how each ended.
pub(super) fn tests(programs: &[String]) -> String {
    NO_TYPES.to_owned() + &run(programs)
}

/// The same, with network cards and these variables in the environment.
pub(super) fn scenarios(programs: &[String], variables: &str) -> String {
    format!("{}export {variables}\n{}", network(), run(programs))
}

/// The programs write to the console.
fn run(programs: &[String]) -> String {
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

/// Hides the kernel's own types, which recon's programs do not need: aya reads them at each start,
/// which takes an emulated processor half a second.
const NO_TYPES: &str = "mount -t tmpfs none /sys/kernel/btf\n";

/// Runs the agent with these arguments on a network card, until the third serial line has a line.
pub(super) fn watch(arguments: &str) -> String {
    // The terminals must not change what is written to them.
    format!(
        "{}for line in 0 1 2; do stty -F /dev/ttyS$line raw -echo; done
recon {arguments} >/dev/ttyS0 2>/dev/ttyS1 &
read -r word </dev/ttyS2
kill -TERM $!
wait $!
echo \"{ENDED}$?\" >/dev/ttyS1",
        network()
    )
}

/// Runs a shell, with a network card.
pub(super) fn shell() -> String {
    network() + "setsid cttyhack sh"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_parses_the_script() {
        let module = Module {
            name: "virtio".to_owned(),
            content: Vec::new(),
        };
        let programs = ["tests/a", "tests/b"].map(str::to_owned);
        for work in [
            watch("run -vv"),
            shell(),
            super::tests(&programs),
            scenarios(&programs[..1], "A='b c'"),
        ] {
            let script = script(std::slice::from_ref(&module), &work);
            let read = std::process::Command::new("sh")
                .args(["-n", "-c", &script])
                .status()
                .expect("a shell");
            assert!(read.success(), "{script}");
        }
    }
}
