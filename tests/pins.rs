//! `recon run --pins`: hooks and maps that stay while recon restarts. Whatever ends an agent, and
//! however often, each packet counts once, no hook has a second program, and `recon detach` leaves
//! nothing.

#[path = "pins/clsact.rs"]
mod clsact;
#[path = "pins/failures.rs"]
mod failures;
#[path = "pins/folders.rs"]
mod folders;
#[path = "pins/modes.rs"]
mod modes;
#[path = "pins/pinned.rs"]
mod pinned;
#[path = "pins/places.rs"]
mod places;
#[path = "pins/removed.rs"]
mod removed;
#[path = "pins/restarts.rs"]
mod restarts;
#[path = "pins/saved.rs"]
mod saved;
#[path = "pins/strangers.rs"]
mod strangers;
