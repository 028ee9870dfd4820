//! The interfaces that there are, as whoever attaches sees them.
//!
//! In: what the operator selects. Out: interfaces, or [`HookError`].

use std::collections::HashSet;

use super::{
    HookError, Interface, InterfaceTerm, Selection, XdpChoice, attach, check_xdp, interface,
};

/// The interfaces that these terms select now, if each can be watched as `choice` says. `own` are
/// the programs of an earlier agent.
///
/// # Errors
/// [`HookError`] if a name is wrong, none is left, or one has another XDP program and `choice`
/// allows no other hook.
pub(crate) fn select_interfaces(
    terms: &[InterfaceTerm],
    choice: XdpChoice,
    own: &HashSet<u32>,
) -> Result<Vec<Interface>, HookError> {
    let all = list_interfaces()?;
    let selection = Selection::new(terms);
    selection.check(&all)?;
    let nothing = HashSet::new();
    let watch = selection.choose(&all, &nothing, &nothing).watch;
    check_conflicts(&watch, choice, own)
}

/// These interfaces as they are to be attached to: a program of an earlier agent, in `own`, is no
/// other one.
///
/// # Errors
/// [`HookError::XdpTaken`], before anything is attached.
pub(crate) fn check_conflicts(
    interfaces: &[&Interface],
    choice: XdpChoice,
    own: &HashSet<u32>,
) -> Result<Vec<Interface>, HookError> {
    let interfaces = interfaces.iter().map(|&interface| Interface {
        xdp_program: interface.xdp_program.filter(|id| !own.contains(id)),
        ..interface.clone()
    });
    let interfaces: Vec<_> = interfaces.collect();
    check_xdp(&interfaces, choice)?;
    attach::warn_of_limits(&interfaces, choice);
    Ok(interfaces)
}

/// The packets that each interface of this network namespace has received and sent, by index.
///
/// # Errors
/// [`HookError::ListInterfaces`].
pub(crate) fn list_packets() -> Result<Vec<(u32, [u64; 2])>, HookError> {
    interface::list_packets().map_err(HookError::ListInterfaces)
}

/// The interface with that index, as it is now.
///
/// # Errors
/// [`HookError::ListInterfaces`], also if it is gone.
pub(crate) fn find_interface(index: u32) -> Result<Interface, HookError> {
    interface::find_interface(index).map_err(HookError::ListInterfaces)
}

/// All interfaces of this network namespace.
///
/// # Errors
/// [`HookError::ListInterfaces`].
pub(crate) fn list_interfaces() -> Result<Vec<Interface>, HookError> {
    interface::list_interfaces().map_err(HookError::ListInterfaces)
}
