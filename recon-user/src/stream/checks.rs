//! What tests ask of a stream's inside.

use std::sync::Arc;

use super::Stream;
use super::groups::Groups;
use super::nursery::Nursery;

impl Stream {
    /// Counts every row in groups at once.
    pub(crate) fn disable_nurseries(&mut self) {
        let table = Arc::get_mut(&mut self.table).expect("it is not shared");
        table.roots.fill(None);
    }

    /// The logs that this poll could not evict.
    pub(crate) fn moved_sources(&self) -> usize {
        self.nurseries.iter().map(Nursery::moved).sum()
    }

    /// The sources that are held in nurseries.
    pub(crate) fn held_sources(&self) -> usize {
        self.nurseries.iter().map(Nursery::held).sum()
    }

    /// The groups that are held: of one query, or of all.
    pub(crate) fn held(&self, index: Option<usize>) -> usize {
        let groups = self.groups.iter().enumerate();
        let groups = groups.filter(|(of, _)| index.is_none_or(|index| *of == index));
        groups.map(|(_, groups)| groups.store().len()).sum()
    }

    /// The bytes that groups with a tag have reserved.
    pub(crate) fn reserved(&self) -> usize {
        let tagged = self.groups.iter().map(|groups| groups.tagged());
        let heap = |groups: &Groups, position: &u32| {
            let group = groups.get(*position);
            group.accounted - group.heap(0)
        };
        let groups = self.groups.iter().zip(tagged);
        groups
            .map(|(groups, tagged)| tagged.iter().map(|at| heap(groups, at)).sum::<usize>())
            .sum()
    }

    /// The bytes that all queries take.
    pub(crate) fn bytes(&self) -> usize {
        self.budget.total()
    }

    /// Checks that what is accounted for is what is there.
    pub(crate) fn check_accounting(&self) {
        let mut total = 0;
        for groups in &self.groups {
            assert_eq!(groups.bytes(), groups.store().recounted());
            total += groups.bytes();
        }
        for nursery in &self.nurseries {
            assert_eq!(nursery.bytes(), nursery.recounted());
            total += nursery.bytes();
        }
        assert_eq!(self.budget.total(), total);
        let [claimed, recounted] = self.budget.claimed();
        assert_eq!(claimed, recounted);
    }
}
