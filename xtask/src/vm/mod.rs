//! Guests with stock Debian kernels: recon runs in them, and real attacks reach it over a virtio
//! network card.
//!
//! | module | gives |
//! |---|---|
//! | [`kernel`] | the choice of a kernel |
//! | [`archive`] | the package lists of Debian's suites |
//! | [`fetch`] | qemu, kernels, busybox and foreign tools, downloaded once |
//! | [`module`] | the kernel modules that a guest loads |
//! | [`cpio`], [`initramfs`] | the archive that it boots from |
//! | [`guest`] | the machine as a command |
//! | [`lab`] | `cargo xtask lab vm` |
//! | [`suite`], [`rootfs`] | the tests in guests and their files: `cargo xtask test --vm` |
//! | [`programs`] | where the files come from: this machine, or packages of another architecture |
//! | [`tables`] | their results as tables |
//! | [`columns`] | tables of earlier runs, with the columns of a new one |

mod archive;
mod columns;
mod cpio;
mod fetch;
mod guest;
mod initramfs;
pub(crate) mod kernel;
mod lab;
mod module;
mod programs;
mod rootfs;
mod suite;
pub(crate) mod tables;

pub(crate) use kernel::{Choice, each};
pub(crate) use lab::{open_prompt, run_lab};
pub(crate) use suite::{Build, Job, Outcome, Tested, run_jobs};
