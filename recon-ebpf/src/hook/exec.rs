//! The tracepoint `sched_process_exec`: a process starts to execute a program.
//!
//! In: the tracepoint's record. Out: an [`ExecEvent`] in the ring, with what is gone once the
//! process has ended: a scanner may end before the agent looks at it.

use core::ptr::addr_of_mut;

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::bpf_get_current_uid_gid;
use aya_ebpf::helpers::generated::{
    bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_probe_read_kernel_str,
};
use aya_ebpf::macros::{map, tracepoint};
use aya_ebpf::maps::RingBuf;
use aya_ebpf::programs::TracePointContext;
use recon_common::process::{EXEC_EVENT_BYTES, ExecEvent, FILENAME_LENGTH, NAME_LENGTH};
use recon_common::{Counter, Loss};

use crate::{count, sender};

#[map]
static EXEC_EVENTS: RingBuf = RingBuf::with_byte_size(EXEC_EVENT_BYTES, 0);

/// Where the record holds the place of its `filename`: after the 8 bytes that start every
/// tracepoint's record (/sys/kernel/tracing/events/sched/sched_process_exec/format).
const FILENAME: usize = 8;
/// The half of such a `__data_loc` word that holds the offset; the other half is the length.
const DATA_OFFSET: u32 = 0xffff;

#[tracepoint]
pub(crate) fn recon_exec(context: TracePointContext) -> u32 {
    // Also if the event is lost: what the program sends is not the previous one's.
    let image = sender::count_image();
    let Some(mut entry) = EXEC_EVENTS.reserve::<ExecEvent>(0) else {
        count::add_to_shared_counter(Counter::Lost(Loss::ExecEventsFull), 1);
        return 0;
    };
    let executed = entry.as_mut_ptr();
    // SAFETY: the entry has room for an `ExecEvent`, and all of its fields are written below; the
    // helpers write no more bytes than they are given.
    unsafe {
        addr_of_mut!((*executed).cgroup).write(bpf_get_current_cgroup_id());
        addr_of_mut!((*executed).image).write(image);
        addr_of_mut!((*executed).user).write(bpf_get_current_uid_gid() as u32);
        let name = addr_of_mut!((*executed).name);
        // Pads with zeros.
        bpf_get_current_comm(name.cast(), NAME_LENGTH as u32);
        let filename = addr_of_mut!((*executed).filename).cast::<u8>();
        // An empty name, in case the path can't be read.
        filename.write(0);
        if let Ok(place) = context.read_at::<u32>(FILENAME) {
            let path = context
                .as_ptr()
                .cast::<u8>()
                .add((place & DATA_OFFSET) as usize);
            bpf_probe_read_kernel_str(filename.cast(), FILENAME_LENGTH as u32, path.cast());
        }
    }
    entry.submit(0);
    0
}
