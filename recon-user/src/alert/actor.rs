//! The processes of this host that an alert is about.
//!
//! In: [`Process`]es. Out: the ECS fields of a single process or a list of several, and how the
//! message names them.

use std::fmt::{Display, from_fn};

use super::ecs::{Actor, AsText, Brief, Container, Parent, ProcessFields, User};
use crate::process::Process;

/// The fields of the process, if there is exactly one.
pub(super) fn actor(who: &[Process]) -> Option<Actor<'_>> {
    let process = only(who)?;
    Some(Actor {
        process: ProcessFields {
            brief: brief(process),
            command_line: process.command_line.as_deref(),
            parent: process.parent.map(|pid| Parent { pid }),
            entity_id: process.start.map(|start| AsText(start.entity)),
            start: process.start.map(|start| start.at),
        },
        user: process.user.map(|id| User {
            id: AsText(id),
            name: process.user_name.as_deref(),
        }),
        container: process.container.as_deref().map(|id| Container { id }),
    })
}

/// The processes, if there are several.
pub(super) fn several(who: &[Process]) -> Vec<Brief<'_>> {
    match who {
        [_] => Vec::new(),
        _ => who.iter().map(brief).collect(),
    }
}

/// The process, if there is exactly one.
pub(super) fn only(who: &[Process]) -> Option<&Process> {
    match who {
        [process] => Some(process),
        _ => None,
    }
}

/// How a message names the processes, if there are any.
pub(super) fn called(who: &[Process]) -> Option<impl Display> {
    let called = from_fn(move |to| match who {
        [Process { pid, name, .. }] => match name {
            Some(name) => write!(to, "{name} (pid {pid})"),
            None => write!(to, "pid {pid}"),
        },
        _ => to.write_str("several processes"),
    });
    (!who.is_empty()).then_some(called)
}

fn brief(process: &Process) -> Brief<'_> {
    Brief {
        pid: process.pid,
        name: process.name.as_deref(),
        executable: process.executable.as_deref(),
    }
}
