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
        let mut command = self.machine(LOG);
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
        namespace.enter(|| {
            let address = SocketAddr::from_abstract_name(CONTROL)?;
            let mut control = UnixStream::connect_addr(&address)
                .context("the guest's third serial line is gone")?;
            Ok(control.write_all(STOP)?)
        })
    }

    fn machine(&self, console: &str) -> Command {
        let memory = match self.tap {
            Some(_) => MEMORY,
            None => TEST_MEMORY,
        };
        let mut command = self.qemu.command();
        command
            .args("-nodefaults -no-reboot -display none -machine q35,accel=tcg -smp 1".split(' '))
            .args(["-m", &memory.to_string(), "-kernel"])
            .arg(&self.kernel.image)
            .arg("-initrd")
            // By this process's descriptor: the file has no name.
            .arg(format!(
                "/proc/{}/fd/{}",
                process::id(),
                self.initramfs.as_raw_fd()
            ))
            .args(["-append", &format!("console={console} {QUIET}")])
            // A machine that has just started has no randomness of its own.
            .args("-object rng-random,id=random,filename=/dev/urandom".split(' '))
            .args("-device virtio-rng-pci,rng=random".split(' '));
        if let Some(tap) = self.tap {
            command
                .arg("-netdev")
                .arg(format!("tap,id=net,ifname={tap},script=no,downscript=no"))
                .arg("-device")
                .arg(card(HOST_MAC));
        }
        command
    }
}

/// A virtio-net card without a boot ROM.
fn card(mac: Mac) -> String {
    format!("virtio-net-pci,netdev=net,mac={mac},romfile=")
}
