//! What is left in pinned maps that no agent goes on with.
//!
//! In: the maps of an earlier agent, which no program writes to any more. Out: the signals that no
//! poll of it has given.
//! The decision held here: the rows themselves are added up, those in the slots of the processors
//! too. The counters say less: at each poll they are ahead of the rows by what was counted
//! meanwhile.

use aya::maps::{Array, Map, MapData};

use super::batch::BatchBuffer;
use super::commit::CommitRecord;
use super::committed::PinnedRecord;
use super::error::map_error;
use super::maps::{COUNTS, GENERATION};
use super::recent::RecentKeys;
use super::{DrainError, RECENT, grace};

/// Counts the signals. `map` opens a map by its name.
///
/// # Errors
/// [`DrainError`] if a map is missing or another one.
pub(crate) fn count_left(
    map: impl Fn(&'static str) -> Option<MapData>,
    record: MapData,
) -> Result<u64, DrainError> {
    let open = |name| map(name).ok_or(DrainError::NoMap { name });
    // A program that was swapped a moment ago may be at its last packet. Where the kernel does not
    // wait, that one packet is not counted here.
    let _ = grace::wait_for_programs();
    let record = CommitRecord::map(record, 0).map_err(|reason| DrainError::Shared {
        name: PinnedRecord::NAME,
        reason,
    })?;
    let generation = Map::Array(open(GENERATION)?);
    let generation: Array<MapData, u32> = generation.try_into().map_err(map_error(GENERATION))?;
    let flips = generation.get(&0, 0).map_err(map_error(GENERATION))?;
    let mut recent = RecentKeys::map(open(RECENT)?).map_err(|reason| DrainError::Shared {
        name: RECENT,
        reason,
    })?;
    let is_given = record.read().is_some_and(|last| last.flips == flips);
    let mut batch = BatchBuffer::new();
    let mut left = 0;
    for (generation, name) in COUNTS.into_iter().enumerate() {
        // The agent was killed before it had emptied it.
        if is_given && generation != flips as usize & 1 {
            continue;
        }
        let table = open(name)?;
        let read = batch.read(table.fd(), |_, count| left += count);
        read.map_err(|reason| DrainError::Batch { name, reason })?;
        recent.read_generation(generation);
        left += recent.drain_rest().map(|(_, count)| count).sum::<u64>();
    }
    Ok(left)
}
