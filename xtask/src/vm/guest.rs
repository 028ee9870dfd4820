//! A running guest.
//!
//! In: a qemu, a kernel, an archive to boot from. Out: a command whose stdout and stderr are the agent's own, and a way to end it.
//! The decision held here: the processor is emulated, since a lab has to run inside of machines that offer no virtualisation to their
//! guests; the network card is a tap with virtio's header, so that offloads cross it as they do on a real host. Nothing of it has a
//! name on the disk: a run that is killed leaves no file.

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
use recon_tests::lab::{HOST_MAC, Mac};
use recon_tests::namespace::Namespace;

use super::fetch::{Kernel, Qemu};

/// MiB: what a small server has, and what the tests take, whose programs are in memory as well.
const MEMORY: u32 = 512;
const TEST_MEMORY: u32 = 1024;
/// Turns the kernel's own messages off but for what is wrong; a panic ends the machine at once.
const QUIET: &str = "quiet panic=-1";
/// The serial line on which the kernel and the agent's log write, and the one of the prompt.
const LOG: &str = "ttyS1";
const PROMPT: &str = "ttyS0";
/// The third line's other end, a socket in the abstract names of the guest's network namespace (unix(7)).
const CONTROL: &str = "recon-guest";
/// What the third line is told, of any content.
const STOP: &[u8] = b"stop\n";

/// A network card.
#[derive(Debug, Clone, Copy)]
pub(super) struct Card<'a> {
    /// Its other end, in the namespace where the guest's command is run.
    pub(super) tap: &'a str,
    pub(super) mac: Mac,
    /// Queues each way.
    pub(super) queues: u8,
    /// What is unlike qemu's defaults: properties of virtio-net-pci, with a comma before each.
    pub(super) options: &'a str,
}

impl<'a> Card<'a> {
    /// The host's card as qemu has it by default.
    pub(super) const fn plain(tap: &'a str) -> Self {
        Self {
            tap,
            mac: HOST_MAC,
            queues: 1,
            options: "",
        }
    }
}

/// What a guest has beside memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hardware<'a> {
    pub(super) processors: u8,
    pub(super) cards: &'a [Card<'a>],
    /// Added to the kernel's command line.
    pub(super) kernel_options: &'a str,
}

/// A guest, described.
#[derive(Debug)]
pub(super) struct Guest<'a> {
    pub(super) qemu: &'a Qemu,
    pub(super) kernel: &'a Kernel,
    /// The archive to boot from.
    pub(super) initramfs: &'a File,
    /// The tap that is its network card's other end, in the namespace where the command is run. Without, it has no card.
    pub(super) tap: Option<&'a str>,
}

impl Guest<'_> {
    /// A guest that writes the agent's stdout to its own, and the agent's stderr likewise.
    pub(super) fn watching(&self) -> Command {
        Self::controlled(self.machine(LOG))
    }

    /// The same on other hardware.
    pub(super) fn watching_on(&self, hardware: &Hardware<'_>) -> Command {
        Self::controlled(self.machine_of(LOG, MEMORY, hardware))
    }

    fn controlled(mut command: Command) -> Command {
        command
            .args("-serial stdio -serial file:/dev/fd/2 -chardev".split(' '))
            .arg(format!(
                "socket,id=control,path={CONTROL},abstract=on,server=on,wait=off"
            ))
            .args(["-serial", "chardev:control"]);
        command
    }

    /// A guest whose prompt is on this terminal.
    pub(super) fn at_prompt(&self) -> Command {
        let mut command = self.machine(PROMPT);
        // Ctrl-C is for the guest's shell.
        command.args(["-chardev", "stdio,id=prompt,signal=off"]);
        command.args(["-serial", "chardev:prompt"]);
        command
    }

    /// A guest that runs tests and writes what they write, and what its kernel says.
    pub(super) fn testing(&self) -> Command {
        let mut command = self.machine(PROMPT);
        command.args(["-serial", "stdio"]);
        command
    }

    /// Asks a guest that watches, and runs in that namespace, to end the agent and then itself.
    pub(super) fn stop(namespace: &Namespace) -> Result<()> {
        Ok(Self::control(namespace)?.write_all(STOP)?)
    }

    /// The other end of the third serial line of a guest that watches.
    pub(super) fn control(namespace: &Namespace) -> Result<UnixStream> {
        namespace.enter(|| {
            let address = SocketAddr::from_abstract_name(CONTROL)?;
            UnixStream::connect_addr(&address).context("the guest's third serial line is gone")
        })
    }

    fn machine(&self, console: &str) -> Command {
        let card = self.tap.map(Card::plain);
        let memory = card.map_or(TEST_MEMORY, |_| MEMORY);
        let hardware = Hardware {
            processors: 1,
            cards: card.as_slice(),
            kernel_options: "",
        };
        self.machine_of(console, memory, &hardware)
    }

    fn machine_of(&self, console: &str, memory: u32, hardware: &Hardware<'_>) -> Command {
        let Hardware {
            processors,
            cards,
            kernel_options,
        } = hardware;
        let mut command = self.qemu.command();
        command
            .args("-nodefaults -no-reboot -display none -machine q35,accel=tcg".split(' '))
            .args(["-smp", &processors.to_string()])
            .args(["-m", &memory.to_string(), "-kernel"])
            .arg(&self.kernel.image)
            .arg("-initrd")
            // By this process's descriptor: the file has no name.
            .arg(format!(
                "/proc/{}/fd/{}",
                process::id(),
                self.initramfs.as_raw_fd()
            ))
            .arg("-append")
            .arg(format!("console={console} {QUIET} {kernel_options}"))
            // A machine that has just started has no randomness of its own.
            .args("-object rng-random,id=random,filename=/dev/urandom".split(' '))
            .args("-device virtio-rng-pci,rng=random".split(' '));
        for card in *cards {
            command.args(["-netdev", &netdev(card), "-device", &device(card)]);
        }
        command
    }
}

/// The host's side of a card.
fn netdev(Card { tap, queues, .. }: &Card<'_>) -> String {
    let queues = match queues {
        1 => String::new(),
        several => format!(",queues={several}"),
    };
    format!("tap,id={tap},ifname={tap},script=no,downscript=no{queues}")
}

/// The card itself, virtio's, without a boot ROM.
fn device(card: &Card<'_>) -> String {
    let Card {
        tap, mac, options, ..
    } = card;
    let queues = match card.queues {
        1 => String::new(),
        // An interrupt for each queue and direction, for the configuration and for control.
        several => format!(",mq=on,vectors={}", 2 * several + 2),
    };
    format!("virtio-net-pci,netdev={tap},mac={mac},romfile={queues}{options}")
}
