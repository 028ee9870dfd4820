//! Creating the maps and loading the programs.
//!
//! In: the kernel object, the sizes that the agent sets, and perhaps the maps of an earlier agent.
//! Out: programs that are ready to attach.

use std::path::Path;

use aya::programs::Program;
use aya::{Ebpf, EbpfLoader};
use clap::ValueEnum;
use recon_common::{dns_frame, hit_header, lost_frame};
use serde::Serialize;

use super::object::object_for;
use super::pin::{self, SeenPins};
use super::probe::{Feature, KernelFeatures};
use super::socket::load_once;
use super::{HookError, PinError, Pins, netns_cookie, privilege};
use crate::diagnostic::{Wrong, error_chain};
use crate::drain::{ImageNumbers, recent_slot_count};
use crate::seed::hash_secrets;

/// The network namespaces whose sockets count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Netns {
    /// recon's own, and others as far as this host forwards their packets.
    #[default]
    Watched,
    /// All of this host. Whoever may make a namespace can forge connections there.
    All,
}

impl Netns {
    /// Reads a name in any case, or returns what is wrong and a hint.
    pub(crate) fn parse(text: &str) -> Result<Self, Wrong> {
        Self::from_str(text, true).map_err(|_| {
            let hint = "use watched or all";
            (format!("no choice `{text}`"), Some(hint.to_owned()))
        })
    }
}

/// What the maps and programs are made for.
#[derive(Clone, Copy, Debug)]
pub struct ProgramOptions {
    /// Keys that each generation of the table holds.
    pub table_entries: u32,
    /// The network namespaces whose sockets count.
    pub netns: Netns,
    /// Whether the programs log frames that they can't read.
    pub kernel_log: bool,
    /// Whether they hand over DNS queries and answers.
    pub dns_names: bool,
    /// Whether they record the headers of packets that count, and how many bytes of a payload with
    /// them.
    pub record: Option<u32>,
}

/// Opens the folder of pins, if one is named, for this agent, whose table has so many entries. To
/// be called first: it decides on the secrets of this process.
///
/// # Errors
/// [`HookError`] if capabilities are missing, the folder can't hold pins, or another agent uses it.
pub fn open_pins(folder: Option<&Path>, table_entries: u32) -> Result<Option<Pins>, HookError> {
    let Some(folder) = folder else {
        return Ok(None);
    };
    check_privileges()?;
    Ok(Some(Pins::open(folder, sizes(table_entries))?))
}

/// What an earlier agent left in the folder of pins, seen by one whose table has so many entries.
///
/// # Errors
/// [`PinError`] if the folder can't hold pins.
pub(crate) fn look_at_pins(folder: &Path, table_entries: u32) -> Result<SeenPins, PinError> {
    pin::look_at_pins(folder, sizes(table_entries))
}

/// The maps whose sizes the agent sets.
fn sizes(table_entries: u32) -> [(&'static str, u32); 4] {
    [
        ("COUNTS_0", table_entries),
        ("COUNTS_1", table_entries),
        ("IMAGES", ImageNumbers::entries()),
        ("RECENT", recent_slot_count(processors())),
    ]
}

pub(super) fn check_privileges() -> Result<(), HookError> {
    let missing = privilege::missing_capabilities();
    if missing.is_empty() {
        return Ok(());
    }
    Err(HookError::NoPrivilege {
        missing: missing.join(", "),
    })
}

/// Creates the maps, or takes those of `pins`, and makes the programs ready to load.
pub(super) fn load_object(options: ProgramOptions, pins: Option<&Pins>) -> Result<Ebpf, HookError> {
    let ProgramOptions {
        table_entries,
        netns,
        kernel_log,
        dns_names,
        record,
    } = options;
    let features = KernelFeatures::of_kernel();
    let has = |feature| u32::from(features.has(feature));
    let (has_process, has_frags) = (has(Feature::TcProcess), has(Feature::XdpFrags));
    let has_coarse_clock = has(Feature::CoarseClock);
    let own_netns = match features.has(Feature::Namespaces) {
        true => netns_cookie().unwrap_or(0),
        false => 0,
    };
    let all_netns = u32::from(netns == Netns::All);
    let has_log = u32::from(kernel_log);
    let has_names = u32::from(dns_names);
    let (has_headers, payload) = (u32::from(record.is_some()), record.unwrap_or_default());
    let mut loader = EbpfLoader::new();
    loader
        .override_global("SECRETS", hash_secrets().0.as_slice(), true)
        .override_global("TABLE_ROOM", &table_entries, true)
        .override_global("TC_KNOWS_PROCESS", &has_process, true)
        .override_global("XDP_HAS_FRAGS", &has_frags, true)
        .override_global("HAS_COARSE_CLOCK", &has_coarse_clock, true)
        .override_global("OWN_NETNS", &own_netns, true)
        .override_global("ALL_NETNS", &all_netns, true)
        .override_global("KERNEL_LOG", &has_log, true)
        .override_global("DNS_NAMES", &has_names, true)
        .override_global("RECORD_HEADERS", &has_headers, true)
        .override_global("RECORD_PAYLOAD", &payload, true);
    // The kernel makes a page of it.
    const UNUSED: u32 = 1;
    if !kernel_log {
        loader.map_max_entries(lost_frame::RING, UNUSED);
    }
    if !dns_names {
        loader.map_max_entries(dns_frame::RING, UNUSED);
    }
    if record.is_none() {
        loader.map_max_entries(hit_header::RING, UNUSED);
        loader.map_max_entries(hit_header::SOURCES, UNUSED);
    }
    for (map, entries) in sizes(table_entries) {
        loader.map_max_entries(map, entries);
    }
    if let Some(pins) = pins {
        pins.give_maps(&mut loader);
    }
    Ok(loader.load(&object_for(features))?)
}

/// Loads all programs, as far as the kernel takes them: which it does not is found out again, and
/// said, when they attach.
pub(super) fn load_programs(ebpf: &mut Ebpf) {
    for (_, program) in ebpf.programs_mut() {
        let loaded = match program {
            Program::SchedClassifier(program) => program.load(),
            Program::CgroupSockAddr(program) => program.load(),
            Program::CgroupSock(program) => program.load(),
            Program::SockOps(program) => program.load(),
            Program::TracePoint(program) => program.load(),
            _ => continue,
        };
        if let Err(error) = load_once(loaded) {
            tracing::debug!("{}", error_chain(&error));
        }
    }
}

/// The highest number of processors that this kernel can have.
fn processors() -> u32 {
    aya::util::nr_cpus().map_or(1, |processors| u32::try_from(processors).unwrap_or(1))
}
