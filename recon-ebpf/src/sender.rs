//! Which of this host's processes sends.
//!
//! In: the cookies of sockets, recorded by the socket hooks in the caller's own context. Out: the
//! process behind an outgoing packet, and which of its programs.
//! The decision held here: a packet's sender is whoever its socket's record names. The current task
//! is the sender only for a packet socket, whose frames never wait: other packets may leave in
//! softirq, after their neighbour's hardware address has arrived or for a retransmission, and the
//! task that runs then is anybody's. A packet without either has no sender: a wrong name is worse
//! than none.

use core::ffi::c_void;

use aya_ebpf::Global;
use aya_ebpf::bindings::{__sk_buff, BPF_F_MMAPABLE};
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_socket_cookie, bpf_sk_fullsock};
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use recon_common::ImageId;
use recon_common::process::{NUMBERS_EACH, PID_SLOTS, SENDER_SLOTS, pid_slot};
use recon_common::protocol::linux::{AF_PACKET, SOCK_RAW};

/// By socket, the low half of its cookie and a packed [`ImageId`]. Cookies are consecutive, so
/// sockets of one time do not share a slot.
#[map]
static SENDERS: Array<u64> = Array::with_max_entries(SENDER_SLOTS, 0);

/// The number of the latest program of each pid, see [`ImageId::place`]. The agent maps it into its
/// memory, and gives it as many entries as there can be pids.
#[map]
static IMAGES: Array<[u8; NUMBERS_EACH]> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// By pid, the latest process that got it, and who started that: packed [`ImageId`]s in the lower
/// and the upper half. The agent maps it into its memory.
#[map]
static FORKS: Array<u64> = Array::with_max_entries(PID_SLOTS, BPF_F_MMAPABLE);

/// By pid, the program that last called in another network namespace than the agent's, and that
/// namespace: a packed [`ImageId`] in the lower half, and the word of a
/// [`recon_common::NetnsId`] in the upper half. The agent maps it into its memory.
#[map]
static CALLERS: Array<u64> = Array::with_max_entries(PID_SLOTS, BPF_F_MMAPABLE);

/// By protocol, whether a process has opened a raw socket of it since the start.
#[map]
static RAW_PROTOCOLS: Array<u32> = Array::with_max_entries(PROTOCOLS as u32, 0);

/// So many numbers of protocols there are.
const PROTOCOLS: u16 = 1 << u8::BITS;

/// Whether TC programs may ask for the current process (Linux 6.10 and later). The agent sets it
/// before it loads the programs; the verifier skips the call if it is 0.
#[unsafe(no_mangle)]
static TC_KNOWS_PROCESS: Global<u32> = Global::new(0);

/// The current pid: the caller's, in a hook on a system call.
#[inline(always)]
pub(crate) fn current_pid() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// The current process and its program, as a packed [`ImageId`].
#[inline(always)]
pub(crate) fn current_image() -> u32 {
    image_of(current_pid())
}

/// The same of any process.
#[inline(always)]
fn image_of(pid: u32) -> u32 {
    // SAFETY: the byte is in a value of the map, which is never freed.
    let number = image_number(pid).map_or(0, |number| unsafe { number.read_volatile() });
    ImageId { pid, number }.pack()
}

/// Counts a program that the current process starts to execute, and returns it as
/// [`current_image`] does from then on.
#[inline(always)]
pub(crate) fn count_image() -> u32 {
    if let Some(number) = image_number(current_pid()) {
        // SAFETY: as above. Only the process itself writes to its byte, and it executes one program
        // at a time.
        unsafe { number.write_volatile(number.read_volatile().wrapping_add(1)) };
    }
    current_image()
}

/// Records that the current process has started another one.
#[inline(always)]
pub(crate) fn record_fork(pid: u32) {
    if let Some(slot) = FORKS.get_ptr_mut(pid_slot(pid)) {
        let child = u64::from(image_of(pid));
        let fork = child | u64::from(current_image()) << u32::BITS;
        // SAFETY: the slot is 8 bytes, aligned and never freed; a single write of 8 bytes is whole
        // for every reader.
        unsafe { slot.write_volatile(fork) };
    }
}

/// The byte that counts the programs of a pid.
#[inline(always)]
fn image_number(pid: u32) -> Option<*mut u8> {
    let (entry, byte) = ImageId::place(pid);
    let numbers = IMAGES.get_ptr_mut(entry)?;
    // SAFETY: an entry has one byte more than the greatest position.
    Some(unsafe { numbers.cast::<u8>().add(byte) })
}

/// Records that the current process sends on the socket with that cookie, and returns it as
/// [`current_image`] does.
#[inline(always)]
pub(crate) fn record_sender(cookie: u64) -> u32 {
    let pid = current_image();
    if let Some(slot) = SENDERS.get_ptr_mut(sender_slot(cookie)) {
        let sender = cookie << 32 | u64::from(pid);
        // SAFETY: the slot is 8 bytes, aligned and never freed; a single write of 8 bytes is whole
        // for every reader.
        unsafe {
            // Most sockets send more than once.
            if read_slot(slot) != sender {
                slot.write_volatile(sender);
            }
        }
    }
    pid
}

/// Records that the program calls in that network namespace, the word of a
/// [`recon_common::NetnsId`], or forgets that it has called in another one: 0 is the agent's own.
#[inline(always)]
pub(crate) fn record_netns(image: u32, netns: u32) {
    let pid = ImageId::unpack(image).pid;
    let Some(slot) = CALLERS.get_ptr_mut(pid_slot(pid)) else {
        return;
    };
    let call = u64::from(image) | u64::from(netns) << 32;
    // SAFETY: the slot is 8 bytes, aligned and never freed; a single write of 8 bytes is whole for
    // every reader.
    unsafe {
        let before = read_slot(slot);
        // Nearly all processes call in one namespace.
        if before != call && (netns != 0 || before as u32 == image) {
            slot.write_volatile(call);
        }
    }
}

/// Records that a process has opened a raw socket of that protocol.
#[inline(always)]
pub(crate) fn record_raw_protocol(protocol: u32) {
    if let Some(is_open) = RAW_PROTOCOLS.get_ptr_mut(protocol) {
        // SAFETY: a value of the map, which is never freed.
        unsafe { is_open.write_volatile(1) };
    }
}

/// Whether a socket with that port may be a raw or a packet socket, which have their protocol's
/// number or 0 in its place.
#[inline(always)]
fn may_be_crafting(port: u16) -> bool {
    match port {
        0 => true,
        // SAFETY: as above.
        1..PROTOCOLS => RAW_PROTOCOLS
            .get_ptr(port.into())
            .is_some_and(|is_open| unsafe { is_open.read_volatile() } != 0),
        PROTOCOLS.. => false,
    }
}

/// The sender recorded for the socket with that cookie.
#[inline(always)]
pub(crate) fn recorded_sender(cookie: u64) -> Option<u32> {
    // SAFETY: as above.
    let sender = unsafe { read_slot(SENDERS.get_ptr(sender_slot(cookie))?) };
    (sender >> 32 == cookie & u64::from(u32::MAX) && sender != 0).then_some(sender as u32)
}

/// The sender of the skb of a TC program, 0 if unknown.
#[inline(always)]
pub(crate) fn packet_sender(skb: *mut c_void) -> u32 {
    // SAFETY: the context is the program's own.
    let cookie = unsafe { bpf_get_socket_cookie(skb) };
    match recorded_sender(cookie) {
        Some(pid) => pid,
        None if TC_KNOWS_PROCESS.load() != 0 && is_of_packet_socket(skb) => current_image(),
        None => 0,
    }
}

/// Whether a packet socket sends the skb: straight to the interface, within the system call.
#[inline(always)]
fn is_of_packet_socket(skb: *mut c_void) -> bool {
    // SAFETY: the context is the program's own, and the socket, if there is one, outlives the
    // program's run.
    unsafe {
        let socket = (*skb.cast::<__sk_buff>()).__bindgen_anon_2.sk;
        !socket.is_null() && (*socket).family == u32::from(AF_PACKET)
    }
}

/// Whether a process has crafted the skb, a TCP segment from that port, on a raw or packet socket.
///
/// The socket of a connection has the segment's port, so one comparison decides for nearly all
/// segments. A raw socket has its protocol's number in that place, and a packet socket 0. So a
/// segment from a port that is the number of a protocol takes a look at the full socket, once
/// somebody has opened a raw socket of that. This takes some 8 ns, which a web server's segments
/// do not pay. The kernel answers for sockets that are gone on raw sockets of its own, which nobody
/// has created.
#[inline(always)]
pub(crate) fn is_crafted(skb: *mut c_void, source_port: u16) -> bool {
    // SAFETY: the context is the program's own, and the socket, if there is one, outlives the
    // program's run.
    unsafe {
        let socket = (*skb.cast::<__sk_buff>()).__bindgen_anon_2.sk;
        if socket.is_null()
            || (*socket).src_port == u32::from(source_port) && !may_be_crafting(source_port)
        {
            return false;
        }
        if (*socket).family == u32::from(AF_PACKET) {
            return true;
        }
        let socket = bpf_sk_fullsock(socket);
        !socket.is_null()
            && (*socket).type_ == u32::from(SOCK_RAW)
            && recorded_sender(bpf_get_socket_cookie(skb)).is_some()
    }
}

#[inline(always)]
fn sender_slot(cookie: u64) -> u32 {
    cookie as u32 & (SENDER_SLOTS - 1)
}

/// # Safety
/// `slot` points to a value of the map.
#[inline(always)]
unsafe fn read_slot(slot: *const u64) -> u64 {
    // SAFETY: as the caller says.
    unsafe { slot.read_volatile() }
}
