//! The kernel programs of recon: hook -> parse -> count.
//!
//! In: every frame that crosses a hook, what processes do with sockets, the programs they execute.
//! Out: counts in the live generation of the table, and notes about processes. Each program returns
//! the verdict 'go on': recon never drops, delays or edits anything.
//!
//! - [`hook`]: a thin file per hook, the only place that touches a packet's memory
//! - [`flow_state`]: what the host sent before and which sockets it has, for packets that need
//!   state
//! - [`recent`]: the keys that a processor counted last
//! - [`secrets`]: the secrets of its hashes
//! - [`socket_tuple`]: what look-ups of sockets take
//! - [`sender`]: which process sends
//! - [`accepted`]: which connections this host has accepted, and since when
//! - [`admit`]: which packets get a key when room is short
//! - [`kernel_log`]: which frames could not be read, for whoever asks
//! - [`dns`]: this host's DNS queries and their answers, for whoever asks
//! - [`hit_headers`]: the headers of packets that count, for whoever asks
//! - [`count`]: one map update per interesting packet
//!
//! `recon-common` decides what a packet means, with the code that the host's tests run too.
#![no_std]
#![no_main]
// For the one instruction that core does not offer on this target, see `count`.
#![feature(asm_experimental_arch)]

mod accepted;
mod admit;
mod count;
mod dns;
mod flow_state;
mod hit_headers;
mod hook;
mod kernel_log;
mod recent;
mod secrets;
mod sender;
mod socket_tuple;

/// The kernel object's licence: the helpers used here are only available to GPL-compatible
/// programs.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier rejects a program that can reach this.
    loop {}
}
