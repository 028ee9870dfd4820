//! Changes the maps of a running agent behind its back, as `bpftool map update` and `map delete`
//! do.
//!
//! In: the agent's pid and a change. Out: the maps are changed, by ids that the agent's descriptors
//! show.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use anyhow::{Context, Result};
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, PerCpuValues, loaded_maps};
use aya::util::nr_cpus;
use recon_tests::detach::freeze_map;

/// A key of the table in words.
type Words = [u32; 10];

const TABLES: [&str; 2] = ["COUNTS_0", "COUNTS_1"];

/// Deletes every key of both generations. Returns how many were deleted.
pub(crate) fn empty_tables(pid: u32) -> Result<usize> {
    TABLES.iter().map(|name| empty_table(pid, name)).sum()
}

fn empty_table(pid: u32, name: &str) -> Result<usize> {
    let mut table: HashMap<_, Words, u64> = Map::HashMap(find(pid, name)?).try_into()?;
    let keys: Vec<Words> = table.keys().filter_map(Result::ok).collect();
    // The agent may have drained it meanwhile.
    let deleted = keys.iter().filter(|key| table.remove(key).is_ok());
    Ok(deleted.count())
}

/// Deletes every key of both generations, and takes them from their numbers of keys.
pub(crate) fn hide_keys(pid: u32) -> Result<()> {
    let mut numbers: Array<_, u64> = Map::Array(find(pid, "KEYS")?).try_into()?;
    for (generation, name) in (0..).zip(TABLES) {
        let deleted = empty_table(pid, name)? as u64;
        let number = numbers.get(&generation, 0)?;
        numbers.set(generation, number.saturating_sub(deleted), 0)?;
    }
    Ok(())
}

/// Puts a key that no program has seen into both generations.
pub(crate) fn add_key(pid: u32) -> Result<()> {
    for name in TABLES {
        let mut table: HashMap<_, Words, u64> = Map::HashMap(find(pid, name)?).try_into()?;
        table.insert([7; 10], 1, 0)?;
    }
    Ok(())
}

/// Sets all counters to 0.
pub(crate) fn clear_counters(pid: u32) -> Result<()> {
    let data = find(pid, "COUNTERS")?;
    let length = data.info()?.max_entries();
    let mut counters: PerCpuArray<_, u64> = Map::PerCpuArray(data).try_into()?;
    let processors = nr_cpus()
        .map_err(|(_, error)| error)
        .context("processors")?;
    for index in 0..length {
        counters.set(index, PerCpuValues::try_from(vec![0; processors])?, 0)?;
    }
    Ok(())
}

/// Makes the programs write to the other generation.
pub(crate) fn move_generation(pid: u32) -> Result<()> {
    let mut generation: Array<_, u32> = Map::Array(find(pid, "GENERATION")?).try_into()?;
    let flips = generation.get(&0, 0)?;
    generation.set(0, flips + 1, 0)?;
    Ok(())
}

/// Freezes the map of that name.
pub(crate) fn freeze(pid: u32, name: &str) -> Result<()> {
    freeze_map(find(pid, name)?.info()?.id())
}

/// Tries to change what the agent has set in its programs' constants. Returns what the kernel says.
pub(crate) fn change_constants(pid: u32) -> Result<Option<i32>> {
    /// `BPF_MAP_UPDATE_ELEM` of enum bpf_cmd, linux/bpf.h.
    const UPDATE: libc::c_int = 2;
    /// Its attributes.
    #[repr(C)]
    struct Update {
        map: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    let constants = find(pid, ".rodata")?;
    let value = vec![0_u8; constants.info()?.value_size() as usize];
    let key = 0_u32;
    let mut update = Update {
        map: constants.fd().as_fd().as_raw_fd().cast_unsigned(),
        key: &raw const key as u64,
        value: value.as_ptr() as u64,
        flags: 0,
    };
    let size = size_of::<Update>();
    // SAFETY: the attributes have the size that is passed and outlive the call, and so do the key
    // and the value, which have the map's sizes.
    let result = unsafe { libc::syscall(libc::SYS_bpf, UPDATE, &raw mut update, size) };
    let error = io::Error::last_os_error();
    Ok(error.raw_os_error().filter(|_| result != 0))
}

/// The map of that name of which the process has a descriptor.
fn find(pid: u32, name: &str) -> Result<MapData> {
    let mut ids = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        let Ok(text) = fs::read_to_string(entry?.path()) else {
            continue;
        };
        let id = text.lines().find_map(|line| line.strip_prefix("map_id:"));
        ids.extend(id.and_then(|id| id.trim().parse::<u32>().ok()));
    }
    // Another agent's map may end meanwhile.
    let mut maps = loaded_maps().filter_map(Result::ok);
    let found = maps.find(|map| map.name_as_str() == Some(name) && ids.contains(&map.id()));
    let found = found.with_context(|| format!("process {pid} has no map {name}"))?;
    Ok(MapData::from_id(found.id())?)
}
