//! The old names of `crate::address`, for callers that still use them.

pub(crate) use crate::address::{first_neighbour as first, neighbour_network as text};
