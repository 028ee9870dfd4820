//! Containers and systemd units, by control groups.
//!
//! In: the path of a cgroup, as container runtimes and systemd name their folders. Out: the
//! container and the unit.
//! The decision held here: the outermost container counts, and the unit that holds it. Processes
//! inside a container choose the names below its folder, and could otherwise pass for another
//! container or for a service of this host.

use super::proc::DELETED;
use crate::diagnostic::visible;

/// Digits of a container's id.
const ID_LENGTH: usize = 64;
/// The prefixes of the id in the name of a container's folder. `conmon` of Podman and CRI-O is not
/// among them: it monitors a container and runs outside of it.
const RUNTIMES: [&str; 7] = [
    "",
    "docker-",
    "libpod-",
    "libpod-payload-",
    "cri-containerd-",
    "crio-",
    "nerdctl-",
];
/// The suffixes of systemd's units that have a cgroup.
const UNITS: [&str; 4] = [".service", ".scope", ".socket", ".slice"];

/// What a cgroup belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Membership {
    /// The container's id, 64 hexadecimal digits.
    pub(crate) container: Option<String>,
    /// The innermost systemd unit outside of the container.
    pub(crate) unit: Option<String>,
}

/// What the cgroup at that path belongs to, by its folders' names.
#[must_use]
pub(crate) fn membership(path: &str) -> Membership {
    let mut membership = Membership::default();
    for folder in path.strip_suffix(DELETED).unwrap_or(path).split('/') {
        if let Some(id) = container_id(folder) {
            membership.container = Some(id.to_owned());
            break;
        }
        if UNITS
            .iter()
            .any(|end| folder.len() > end.len() && folder.ends_with(end))
        {
            membership.unit = Some(visible(folder.as_bytes()));
        }
    }
    membership
}

/// The id of the container whose folder it is.
fn container_id(folder: &str) -> Option<&str> {
    let name = folder.strip_suffix(".scope").unwrap_or(folder);
    let (runtime, id) = name.split_at_checked(name.len().checked_sub(ID_LENGTH)?)?;
    // containerd names folders `SLICE:cri-containerd:ID` if it is configured for systemd but does
    // not use it.
    let is_runtime = RUNTIMES.contains(&runtime) || runtime.ends_with(':');
    let is_id = id
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (is_runtime && is_id).then_some(id)
}

/// What a process belongs to, by its /proc/PID/cgroup: the first line with a container, or else
/// with a unit. Version 2 comes first, then systemd's own hierarchy, then the others of version 1.
pub(super) fn membership_of_process(text: &str) -> Membership {
    let mut lines: Vec<_> = text.lines().filter_map(parse_line).collect();
    lines.sort_by_key(|&(controllers, _)| match controllers {
        "" => 0,
        "name=systemd" => 1,
        _ => 2,
    });
    let memberships: Vec<_> = lines.iter().map(|(_, path)| membership(path)).collect();
    memberships
        .iter()
        .find(|membership| membership.container.is_some())
        .or_else(|| {
            memberships
                .iter()
                .find(|membership| membership.unit.is_some())
        })
        .cloned()
        .unwrap_or_default()
}

/// The path of version 2 in a /proc/PID/cgroup.
pub(super) fn unified_path(text: &str) -> Option<&str> {
    text.lines()
        .filter_map(parse_line)
        .find_map(|(controllers, path)| controllers.is_empty().then_some(path))
}

/// A line `ID:CONTROLLERS:PATH`, as controllers and path, by cgroups(7).
fn parse_line(line: &str) -> Option<(&str, &str)> {
    let (_, rest) = line.split_once(':')?;
    rest.split_once(':')
        .filter(|(_, path)| path.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const OTHER: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

    /// The path with `ID` and `OTHER` filled in.
    fn filled(path: &str) -> String {
        path.replace("ID", ID).replace("OTHER", OTHER)
    }

    #[test]
    fn a_path_shows_its_container_and_unit() {
        const POD: &str = "kubepods-besteffort-pod1234_5678.slice";
        // (path, whether it is the container `ID`, unit)
        for (path, is_container, unit) in [
            ("/docker/ID", true, ""),
            ("/system.slice/docker-ID.scope", true, "system.slice"),
            (
                "/system.slice/docker-ID.scope/init.scope",
                true,
                "system.slice",
            ),
            ("/docker/ID/system.slice/nginx.service", true, ""),
            ("/machine.slice/libpod-ID.scope", true, "machine.slice"),
            (
                "/machine.slice/libpod-ID.scope/container",
                true,
                "machine.slice",
            ),
            (
                "/system.slice/web.service/libpod-payload-ID",
                true,
                "web.service",
            ),
            ("/libpod_parent/libpod-ID", true, ""),
            ("/kubepods/besteffort/pod12-34/ID", true, ""),
            (
                "/kubepods.slice/kubepods-besteffort.slice/POD/cri-containerd-ID.scope",
                true,
                POD,
            ),
            ("/kubepods.slice/POD/crio-ID.scope", true, POD),
            ("/kubepods.slice/POD/crio-ID", true, POD),
            (
                "/system.slice/containerd.service/POD:cri-containerd:ID",
                true,
                "containerd.service",
            ),
            ("/ecs/task/ID", true, ""),
            ("/docker/ID (deleted)", true, ""),
            // Within a container, its names are its own.
            ("/docker/ID/docker/OTHER", true, ""),
            ("/docker/ID/system.slice/docker-OTHER.scope", true, ""),
            // The monitors of containers.
            (
                "/machine.slice/libpod-conmon-ID.scope",
                false,
                "libpod-conmon-ID.scope",
            ),
            (
                "/system.slice/crio-conmon-ID.scope",
                false,
                "crio-conmon-ID.scope",
            ),
            (
                "/machine.slice/machine-libpod_pod_ID.slice",
                false,
                "machine-libpod_pod_ID.slice",
            ),
            // Units.
            ("/system.slice/nginx.service", false, "nginx.service"),
            ("/system.slice/ssh.service (deleted)", false, "ssh.service"),
            ("/system.slice/a.service/worker", false, "a.service"),
            (
                "/user.slice/user-1000.slice/session-3.scope",
                false,
                "session-3.scope",
            ),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/tmux.service",
                false,
                "tmux.service",
            ),
            ("/init.scope", false, "init.scope"),
            ("/system.slice/cups.socket", false, "cups.socket"),
            (
                "/system.slice/a\u{1b}b\\x2d.service",
                false,
                "a\\u{1b}b\\x2d.service",
            ),
            // Neither.
            ("/", false, ""),
            ("", false, ""),
            ("/.service", false, ""),
            ("/lxc/web", false, ""),
            ("/docker/ID0", false, ""),
            ("/docker/0123", false, ""),
            ("/é/日本", false, ""),
        ] {
            let expected = Membership {
                container: is_container.then(|| ID.to_owned()),
                unit: (!unit.is_empty()).then(|| filled(unit)),
            };
            let path = filled(&path.replace("POD", POD));
            assert_eq!(membership(&path), expected, "{path}");
        }
        for id in [
            ID.to_uppercase(),
            ID.replace('0', "g"),
            ID.replace("01", "é"),
        ] {
            assert_eq!(membership(&format!("/docker/{id}")).container, None, "{id}");
        }
    }

    #[test]
    fn the_first_hierarchy_with_a_container_or_unit_counts() {
        for (text, is_container, unit) in [
            ("0::/system.slice/nginx.service\n", false, "nginx.service"),
            ("0::/\n", false, ""),
            (
                "12:pids:/docker/ID\n1:name=systemd:/docker/ID\n0::/\n",
                true,
                "",
            ),
            // A container of version 1 whose process belongs to the runtime in version 2.
            (
                "4:memory:/docker/ID\n0::/system.slice/docker.service\n",
                true,
                "",
            ),
            (
                "2:cpu,cpuacct:/a.service\n1:name=systemd:/b.service\n",
                false,
                "b.service",
            ),
            (
                "2:cpu:/a.service\n1:name=systemd:/b.service\n0::/c.service\n",
                false,
                "c.service",
            ),
            (
                "2:cpu:/a.service\n1:name=systemd:/\n0::/\n",
                false,
                "a.service",
            ),
            ("0::/system.slice/a:b:c.service\n", false, "a:b:c.service"),
            ("", false, ""),
            ("0\n0:\n0::\n::\nx.service\n0::x.service\n", false, ""),
        ] {
            let expected = Membership {
                container: is_container.then(|| ID.to_owned()),
                unit: (!unit.is_empty()).then(|| unit.to_owned()),
            };
            assert_eq!(membership_of_process(&filled(text)), expected, "{text}");
        }
    }
}
