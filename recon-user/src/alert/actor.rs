//! The processes of this host that an alert is about.
//!
//! In: [`Process`]es. Out: ECS's fields for the one, or a list for several, and how the message names them.

use super::ecs::{Actor, Brief, Container, Parent, ProcessFields, User};
use crate::process::Process;

/// The fields of the one process. Of several, none is the alert's.
pub(super) fn actor(who: &[Process]) -> Option<Actor<'_>> {
    let process = only(who)?;
    Some(Actor {
        process: ProcessFields {
            brief: brief(process),
            command_line: process.command_line.as_deref(),
            parent: process.parent.map(|pid| Parent { pid }),
        },
        user: process.user.map(|id| User { id: id.to_string() }),
        container: process.container.as_deref().map(|id| Container { id }),
    })
}

/// The processes, where there are several.
pub(super) fn several(who: &[Process]) -> Vec<Brief<'_>> {
    match who {
        [_] => Vec::new(),
        _ => who.iter().map(brief).collect(),
    }
}

/// The one process.
pub(super) fn only(who: &[Process]) -> Option<&Process> {
    match who {
        [process] => Some(process),
        _ => None,
    }
}

/// What a message calls them, if there are any.
pub(super) fn called(who: &[Process]) -> Option<String> {
    match who {
        [] => None,
        [Process { pid, name, .. }] => Some(match name {
            Some(name) => format!("{name} (pid {pid})"),
            None => format!("pid {pid}"),
        }),
        _ => Some("several processes".to_owned()),
    }
}

fn brief(process: &Process) -> Brief<'_> {
    Brief {
        pid: process.pid,
        name: process.name.as_deref(),
        executable: process.executable.as_deref(),
    }
}
