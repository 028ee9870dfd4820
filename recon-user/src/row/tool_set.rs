//! Sets of tools.
//!
//! In: tools. Out: [`ToolSet`], one bit for each tool.

use recon_common::Tool;
use serde::{Deserialize, Serialize};

/// A set of tools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolSet(u8);

/// The numbers begin with 1.
const _: () = assert!(Tool::ALL.len() < u8::BITS as usize);

impl ToolSet {
    /// Adds a tool.
    pub const fn insert(&mut self, tool: Tool) {
        self.0 |= 1 << tool as u8;
    }

    /// Adds all members of another set.
    pub const fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// The members, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Tool> {
        let is_member = move |tool: &Tool| self.0 & 1 << *tool as u8 != 0;
        Tool::ALL.into_iter().filter(is_member)
    }
}
