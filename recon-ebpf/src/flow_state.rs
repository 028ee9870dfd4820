//! What the kernel knows beyond the current packet: flows that either side began, and this host's
//! sockets.
//!
//! In: a [`Flow`]. Out: an implementation of [`recon_common::FlowState`], the same for every hook.
//! The decisions held here: both marks of a flow are in one slot, so that a packet costs one hash
//! and one line of the cache, whatever is asked of them. A FIN+ACK or a reset without a mark is
//! looked up among the sockets, at about the cost of the stack's own look-up. A processor has a
//! budget of look-ups for each period ([`MAX_LOOKUPS`]): over it, a segment counts. A segment
//! that the host would forward does not count after a look-up, since a guest's sockets are not
//! visible here.

use core::ffi::c_void;
use core::ptr::NonNull;

use aya_ebpf::bindings::{
    __sk_buff, BPF_F_CURRENT_NETNS, BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_NO_NEIGH,
    BPF_FIB_LKUP_RET_SUCCESS, bpf_fib_lookup as Route, xdp_md,
};
use aya_ebpf::helpers::{
    bpf_fib_lookup, bpf_jiffies64, bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp,
};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, PerCpuArray};
use recon_common::flow::{ANSWERED, FLOW_SLOTS, accepted_slot, media_slot, sender_slot};
use recon_common::protocol::ip_protocol;
use recon_common::protocol::linux::{AF_INET, AF_INET6, TCP_LISTEN};
use recon_common::{Flow, FlowMarks, FlowState, Sent};

use crate::secrets::secrets;
use crate::sender;
use crate::socket_tuple::socket_tuple;

/// What is remembered of flows, by slot.
#[map]
static FLOWS: Array<FlowSlot> = Array::with_max_entries(FLOW_SLOTS, 0);

/// Space for one question to the routes, which would take an eighth of a program's stack.
#[map]
static ROUTE: PerCpuArray<Route> = PerCpuArray::with_max_entries(1, 0);

/// The number of the period, above how many connections the processor has looked up in it.
#[map]
static LOOKUPS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// A period has so many ticks of the kernel's clock: 0.26 to 2.6 s.
const PERIOD_SHIFT: u32 = 8;
const LOOKUP_BITS: u32 = 16;
/// Look-ups of a processor in a period, at 0.2 us each: at most 0.3 % of its time. Few ends of
/// connections have no mark and need one.
const MAX_LOOKUPS: u64 = 1 << 12;

/// Fingerprints of two flows; see [`recon_common::flow`].
#[repr(C, align(8))]
struct FlowSlot {
    /// The latest flow on which this host sent.
    sent: u32,
    /// The latest flow that a remote began, with [`ANSWERED`] once this host has answered.
    reached: u32,
}

/// The kernel's flow state, as seen from the hook that `context` belongs to.
pub(crate) struct KernelFlowState {
    /// The program's context: the look-up helpers take the network namespace from it.
    pub(crate) context: *mut c_void,
    /// The hook of that program.
    pub(crate) hook: PacketHook,
}

/// The hooks on packets.
#[derive(Clone, Copy)]
pub(crate) enum PacketHook {
    Xdp,
    Ingress,
    Egress,
}

impl FlowState for KernelFlowState {
    #[inline(always)]
    fn marks(&self, flow: &Flow) -> impl FlowMarks {
        KernelMarks::find(flow)
    }

    #[inline(always)]
    fn is_connected(&self, flow: &Flow) -> Option<bool> {
        may_look_up().then(|| self.has_socket(flow) || self.is_forwarded(flow))
    }

    #[inline(always)]
    fn awaits_datagram(&self, flow: &Flow) -> bool {
        let end = KernelMarks::find(&flow.remote_end());
        end.expects_answers() && self.has_asking_socket(flow, &end)
    }

    #[inline(always)]
    fn is_from_guest(&self) -> bool {
        self.arrived_on() != 0
    }

    #[inline(always)]
    fn interface(&self) -> u32 {
        self.arrived_on()
    }

    #[inline(always)]
    fn sender_pid(&self) -> u32 {
        match self.arrived_on() {
            0 => sender::packet_sender(self.context),
            _ => 0,
        }
    }
}

/// Whether this processor has looked up less than [`MAX_LOOKUPS`] connections in this period.
#[inline(always)]
fn may_look_up() -> bool {
    let Some(lookups) = LOOKUPS.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: the value belongs to this CPU, and packet hooks run with bottom halves off; the
    // helper takes no argument.
    unsafe {
        let period = bpf_jiffies64() >> PERIOD_SHIFT << LOOKUP_BITS;
        if *lookups < period {
            *lookups = period;
        }
        let is_allowed = *lookups - period < MAX_LOOKUPS;
        *lookups += u64::from(is_allowed);
        is_allowed
    }
}

/// What is remembered of a flow.
pub(crate) struct KernelMarks {
    number: u32,
    slot: Option<NonNull<FlowSlot>>,
    fingerprint: u32,
}

impl KernelMarks {
    /// The marks of that flow.
    #[inline(always)]
    pub(crate) fn find(flow: &Flow) -> Self {
        let (number, fingerprint) = flow.fingerprint(secrets());
        Self::at(number, fingerprint)
    }

    /// Whether this host has sent from that port: these are the marks of a [`Flow::remote_end`].
    #[inline(always)]
    pub(crate) fn of_sender(&self, port: u16) -> Self {
        Self::at(sender_slot(self.number, port), self.fingerprint)
    }

    #[inline(always)]
    fn at(number: u32, fingerprint: u32) -> Self {
        Self {
            number,
            slot: FLOWS.get_ptr_mut(number).and_then(NonNull::new),
            fingerprint,
        }
    }

    #[inline(always)]
    fn sent(&self) -> Option<*mut u32> {
        // SAFETY: the slot is a value of the map, which is never freed.
        self.slot
            .map(|slot| unsafe { &raw mut (*slot.as_ptr()).sent })
    }

    #[inline(always)]
    fn reached(&self) -> Option<*mut u32> {
        // SAFETY: as above.
        self.slot
            .map(|slot| unsafe { &raw mut (*slot.as_ptr()).reached })
    }

    /// The mark, if it is this flow's.
    #[inline(always)]
    fn read(&self, mark: Option<*mut u32>) -> Option<u32> {
        // SAFETY: the mark is part of a slot. A race between two CPUs leaves one of two whole
        // fingerprints.
        let mark = unsafe { mark?.read_volatile() };
        (mark & !ANSWERED == self.fingerprint).then_some(mark)
    }

    /// Whether the mark is this flow's.
    #[inline(always)]
    fn owns(&self, mark: Option<*mut u32>) -> bool {
        self.read(mark).is_some()
    }

    /// Makes the mark this flow's. Returns whether it was not.
    #[inline(always)]
    fn write(&self, mark: Option<*mut u32>) -> bool {
        let is_new = !self.owns(mark);
        if let Some(mark) = mark.filter(|_| is_new) {
            // SAFETY: as above.
            unsafe { mark.write_volatile(self.fingerprint) };
        }
        is_new
    }
}

impl FlowMarks for KernelMarks {
    #[inline(always)]
    fn accepted(&self) -> Self {
        Self::at(accepted_slot(self.number), self.fingerprint)
    }

    #[inline(always)]
    fn media(&self) -> Self {
        Self::at(media_slot(self.number), self.fingerprint)
    }

    #[inline(always)]
    fn expect_answers(&self) -> bool {
        self.write(self.sent())
    }

    #[inline(always)]
    fn expects_answers(&self) -> bool {
        self.owns(self.sent())
    }

    #[inline(always)]
    fn mark_reached(&self) -> bool {
        self.write(self.reached())
    }

    #[inline(always)]
    fn was_reached(&self) -> bool {
        self.owns(self.reached())
    }

    #[inline(always)]
    fn mark_sent(&self) -> Sent {
        let Some(slot) = self.slot else {
            return Sent::Begins;
        };
        // SAFETY: as above.
        unsafe {
            let [sent, reached] = [
                &raw mut (*slot.as_ptr()).sent,
                &raw mut (*slot.as_ptr()).reached,
            ];
            let known = reached.read_volatile();
            if sent.read_volatile() == self.fingerprint || known == self.fingerprint | ANSWERED {
                Sent::Again
            } else if known == self.fingerprint {
                reached.write_volatile(self.fingerprint | ANSWERED);
                Sent::Answers
            } else {
                sent.write_volatile(self.fingerprint);
                Sent::Begins
            }
        }
    }

    #[inline(always)]
    fn was_answered(&self) -> bool {
        let mark = self.read(self.reached());
        mark.is_some_and(|mark| mark & ANSWERED != 0)
    }

    #[inline(always)]
    fn clear_reached(&self) -> bool {
        /// No flow has it.
        const EMPTY: u32 = 0;
        let mark = self.reached();
        let was_marked = self.owns(mark);
        if let Some(mark) = mark.filter(|_| was_marked) {
            // SAFETY: as above.
            unsafe { mark.write_volatile(EMPTY) };
        }
        was_marked
    }
}

impl KernelFlowState {
    /// The interface that the packet came in on; 0 for a packet of this host. Read on demand, since
    /// few packets need it.
    #[inline(always)]
    fn arrived_on(&self) -> u32 {
        // SAFETY: the pointer is the context of a program of that hook.
        unsafe {
            match self.hook {
                PacketHook::Xdp => (*self.context.cast::<xdp_md>()).ingress_ifindex,
                PacketHook::Ingress => (*self.context.cast::<__sk_buff>()).ifindex,
                PacketHook::Egress => (*self.context.cast::<__sk_buff>()).ingress_ifindex,
            }
        }
    }

    /// Whether a socket that does not listen has the flow: open, half open, or in TIME-WAIT.
    #[inline(always)]
    fn has_socket(&self, flow: &Flow) -> bool {
        let (mut tuple, size) = socket_tuple(flow);
        // SAFETY: the context is this program's own, the tuple is on the stack and has `size`
        // bytes; the socket is released on the one path that has one.
        unsafe {
            let socket = bpf_skc_lookup_tcp(
                self.context,
                &raw mut tuple,
                size,
                BPF_F_CURRENT_NETNS as u64,
                0,
            );
            if socket.is_null() {
                return false;
            }
            let state = (*socket).state;
            bpf_sk_release(socket.cast());
            state != u32::from(TCP_LISTEN)
        }
    }

    /// Whether a socket receives the datagrams of the flow that is connected to the remote's port,
    /// or has sent there. A service that has not must not be flooded unseen by who has an answer of
    /// another one.
    #[inline(always)]
    fn has_asking_socket(&self, flow: &Flow, end: &KernelMarks) -> bool {
        let (mut tuple, size) = socket_tuple(flow);
        // SAFETY: as above.
        unsafe {
            let socket = bpf_sk_lookup_udp(
                self.context,
                &raw mut tuple,
                size,
                BPF_F_CURRENT_NETNS as u64,
                0,
            );
            if socket.is_null() {
                return false;
            }
            let is_connected = (*socket).dst_port != 0;
            bpf_sk_release(socket.cast());
            is_connected || end.of_sender(flow.local_port).expects_answers()
        }
    }

    /// Whether the host's routes forward the packet: then the sockets are a guest's.
    #[inline(always)]
    fn is_forwarded(&self, flow: &Flow) -> bool {
        let Some(query) = ROUTE.get_ptr_mut(0) else {
            return false;
        };
        // SAFETY: the value belongs to this CPU, and packet hooks run with bottom halves off; all
        // bytes of the query are plain integers.
        let route = unsafe {
            query.write_bytes(0, 1);
            &mut *query
        };
        route.l4_protocol = ip_protocol::TCP;
        route.ifindex = self.arrived_on();
        match (flow.remote.to_v4(), flow.local.to_v4()) {
            (Some(remote), Some(local)) => {
                route.family = AF_INET;
                route.__bindgen_anon_3.ipv4_src = remote;
                route.__bindgen_anon_4.ipv4_dst = local;
            }
            _ => {
                route.family = AF_INET6;
                route.__bindgen_anon_3.ipv6_src = flow.remote.words();
                route.__bindgen_anon_4.ipv6_dst = flow.local.words();
            }
        }
        // SAFETY: the context is this program's own, the query has the size that is passed.
        let verdict = unsafe { bpf_fib_lookup(self.context, query, size_of::<Route>() as i32, 0) };
        // Any other verdict means 'local', 'dropped' or 'this interface does not forward'.
        matches!(
            u32::try_from(verdict),
            Ok(BPF_FIB_LKUP_RET_SUCCESS | BPF_FIB_LKUP_RET_NO_NEIGH | BPF_FIB_LKUP_RET_FRAG_NEEDED)
        )
    }
}
