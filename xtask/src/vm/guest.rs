//! A running guest.
//!
//! In: a qemu, a kernel, an archive to boot from. Out: a command whose stdout and stderr are the
//! agent's own, and a way to end it.
//! The decision held here: the processor is emulated, since a lab must run inside of machines that
//! offer no virtualisation to their guests. A network card is a tap with virtio's header, so that
//! offloads cross it as they do on a real host. A guest leaves no file on the disk, even if it is
//! killed. An arm64 guest has qemu's `virt` machine, whose only serial line is for tests.

use std::{
    fs::File,
    io::Write as _,
    os::{
        fd::AsRawFd as _,
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixStream},
    },
    process::{self, Command},
};

use anyhow::{Context as _, Result};
use recon_tests::machine::Card;
use recon_tests::namespace::Namespace;

use super::fetch::{Kernel, Qemu};
use crate::package::Arch;

pub(super) const BRIDGE: &str = "br0";
/// The largest frames of most switches.
const JUMBO: u32 = 9000;
/// Hides the kernel's messages except for warnings and errors; a panic ends the machine
/// immediately. An emulated timer on a busy processor is late: the kernel must not panic for that.
const QUIET: &str = "quiet panic=-1 nowatchdog rcupdate.rcu_cpu_stall_suppress=1";
/// The serial line of the kernel's and the agent's log.
const LOG: &str = "ttyS1";
/// The other end of the third serial line: an abstract socket in the guest's network namespace
/// (unix(7)).
const CONTROL: &str = "recon-guest";
/// Any line on the third serial line ends the agent.
const STOP: &[u8] = b"stop\n";

/// The description of a guest.
#[derive(Debug)]
pub(super) struct Guest<'a> {
    pub(super) qemu: &'a Qemu,
    pub(super) kernel: &'a Kernel,
    /// The archive to boot from.
    pub(super) initramfs: &'a File,
    pub(super) processors: u8,
    /// MiB.
    pub(super) memory: u32,
    /// The network cards. Their other ends are taps in the namespace of qemu, see [`bridge`].
    pub(super) cards: &'a [Card],
    /// Appended to the kernel's command line.
    pub(super) kernel_options: &'a str,
}

/// Creates a tap for each card, and a bridge between the taps.
pub(super) fn bridge(namespace: &Namespace, cards: &[Card]) -> Result<()> {
    let mut lines = format!("link add {BRIDGE} type bridge mcast_snooping 0\n");
    for (number, card) in cards.iter().enumerate() {
        let tap = tap(number);
        let queues = if card.queues > 1 { "multi_queue" } else { "" };
        // The bridge forwards frames up to its smallest port's MTU.
        lines += &format!(
            "tuntap add dev {tap} mode tap vnet_hdr {queues}\n\
             link set {tap} mtu {JUMBO} master {BRIDGE} up\n"
        );
    }
    namespace.ip(&format!("{lines}link set {BRIDGE} up\n"))
}

fn tap(number: usize) -> String {
    format!("tap{number}")
}

impl Guest<'_> {
    /// A guest that runs the agent, and passes on its stdout and its stderr.
    pub(super) fn watching(&self) -> Command {
        let mut command = self.machine(LOG);
        let control = format!("socket,id=control,path={CONTROL},abstract=on,server=on,wait=off");
        command
            .args("-serial stdio -serial file:/dev/fd/2 -chardev".split(' '))
            .args([&control, "-serial", "chardev:control"]);
        command
    }

    /// A guest whose prompt is on this terminal.
    pub(super) fn at_prompt(&self) -> Command {
        let mut command = self.machine(hardware(self.kernel.arch).prompt);
        // Ctrl-C is for the guest's shell.
        command.args("-chardev stdio,id=prompt,signal=off -serial chardev:prompt".split(' '));
        command
    }

    /// A guest that runs tests, and writes their output and the kernel's messages.
    pub(super) fn testing(&self) -> Command {
        let mut command = self.machine(hardware(self.kernel.arch).prompt);
        command.args(["-serial", "stdio"]);
        command
    }

    /// Asks a watching guest in that namespace to end the agent and then itself.
    pub(super) fn stop(namespace: &Namespace) -> Result<()> {
        namespace.enter(|| {
            let address = SocketAddr::from_abstract_name(CONTROL)?;
            let line = UnixStream::connect_addr(&address);
            let mut line = line.context("the guest's third serial line is gone")?;
            Ok(line.write_all(STOP)?)
        })
    }

    fn machine(&self, console: &str) -> Command {
        let Self {
            processors,
            memory,
            kernel_options,
            ..
        } = self;
        let mut command = self.qemu.command();
        let hardware = hardware(self.kernel.arch);
        command
            .args("-nodefaults -no-reboot -display none".split(' '))
            .args(hardware.arguments.split(' '))
            // A machine that has just booted has no entropy of its own.
            .args("-object rng-random,id=random,filename=/dev/urandom".split(' '))
            .args("-device virtio-rng-pci,rng=random".split(' '))
            .args(format!("-smp {processors} -m {memory} -kernel").split(' '))
            .arg(&self.kernel.image)
            .args([
                "-append",
                &format!(
                    "console={console} {QUIET} {} {kernel_options}",
                    hardware.kernel_options
                ),
            ]);
        // The file has no name, so qemu opens this process's descriptor.
        let descriptor = self.initramfs.as_raw_fd();
        let initramfs = format!("/proc/{}/fd/{descriptor}", process::id());
        command.args(["-initrd", &initramfs]);
        for (number, card) in self.cards.iter().enumerate() {
            let tap = tap(number);
            command.args(["-netdev", &netdev(&tap, card)]);
            command.args(["-device", &device(&tap, card)]);
        }
        command
    }
}

/// What is special to the machines of an architecture.
#[derive(Debug)]
struct Hardware {
    /// qemu's arguments.
    arguments: &'static str,
    kernel_options: &'static str,
    /// The serial line of the prompt and of the tests' output.
    prompt: &'static str,
}

fn hardware(arch: Arch) -> Hardware {
    match arch {
        Arch::Amd64 => Hardware {
            arguments: "-machine q35,accel=tcg",
            // Nor may the kernel call its clock unstable.
            kernel_options: "no_timer_check tsc=nowatchdog",
            prompt: "ttyS0",
        },
        // A processor of servers. qemu's `max` signs pointers, which takes three times as long.
        Arch::Arm64 => Hardware {
            arguments: "-machine virt,accel=tcg -cpu neoverse-n1",
            kernel_options: "",
            prompt: "ttyAMA0",
        },
    }
}

/// The host's side of a card.
fn netdev(tap: &str, card: &Card) -> String {
    let queues = match card.queues {
        1 => String::new(),
        several => format!(",queues={several}"),
    };
    format!("tap,id={tap},ifname={tap},script=no,downscript=no{queues}")
}

/// The card itself, without a boot ROM.
fn device(tap: &str, card: &Card) -> String {
    let Card { mac, options, .. } = card;
    let queues = match card.queues {
        1 => String::new(),
        // An interrupt for each queue and direction, for the configuration and for control.
        several => format!(",mq=on,vectors={}", 2 * several + 2),
    };
    format!("virtio-net-pci,netdev={tap},mac={mac},romfile={queues}{options}")
}
