//! The tracepoint `task_newtask`: a process starts another one.
//!
//! In: the tracepoint's record, in the context of the process that forks. Out: for the new process,
//! who started it: one that ends at once is gone before the agent can look.

use aya_ebpf::macros::tracepoint;
use aya_ebpf::programs::TracePointContext;

use crate::sender;

/// Where the record holds the new task's id and how it was cloned
/// (/sys/kernel/tracing/events/task/task_newtask/format).
const TASK: usize = 8;
const CLONE_FLAGS: usize = 32;
/// The new task is a thread (linux/sched.h).
const CLONE_THREAD: u64 = 0x1_0000;

#[tracepoint]
pub(crate) fn recon_fork(context: TracePointContext) -> u32 {
    // SAFETY: both fields are within the record.
    let read = unsafe {
        (
            context.read_at::<u32>(TASK),
            context.read_at::<u64>(CLONE_FLAGS),
        )
    };
    if let (Ok(task), Ok(flags)) = read
        && flags & CLONE_THREAD == 0
    {
        sender::record_fork(task);
    }
    0
}
