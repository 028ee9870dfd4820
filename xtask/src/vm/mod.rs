//! `cargo xtask lab vm`: a guest with a stock Debian kernel runs recon, and real attacks reach it over a virtio network card.
//!
//! | module | gives |
//! |---|---|
//! | [`kernel`] | which kernel |
//! | [`fetch`] | qemu, kernels and busybox, downloaded once |
//! | [`module`] | the kernel modules that a guest loads |
//! | [`cpio`], [`initramfs`] | the archive that it boots from |
//! | [`guest`] | the machine as a command |
//! | [`lab`] | its network, and the attacks |
//! | [`suite`], [`rootfs`] | the tests inside of guests, and what they need there: `cargo xtask test --vm` |
//! | [`tables`] | what came of them |

mod cpio;
mod fetch;
mod guest;
mod initramfs;
pub(crate) mod kernel;
mod lab;
mod module;
mod rootfs;
mod suite;
pub(crate) mod tables;

pub(crate) use kernel::{Choice, EACH};
pub(crate) use lab::{prompt, show};
pub(crate) use suite::{Job, Outcome, Scenarios, Tested, test};
