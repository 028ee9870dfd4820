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
//! | [`suite`] | the tests inside of guests: `cargo xtask test --vm` |

mod cpio;
mod fetch;
mod guest;
mod initramfs;
pub(crate) mod kernel;
mod lab;
mod module;
mod suite;

pub(crate) use kernel::Choice;
pub(crate) use lab::{prompt, show};
pub(crate) use suite::test;
