//! Files that are rotated: what stays, and as whose.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::*;

#[test]
fn a_file_is_rotated_and_old_ones_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lines");
    let mut sink = open(
        &Destination::File {
            path: path.clone(),
            rotation: Some(Rotation { limit: 10, keep: 2 }),
            fsync: Fsync::Line,
        },
        WAITING_ALERTS,
    );
    // A group may read it that is not that of new files, if this process may give it away.
    let open_to_group = std::fs::Permissions::from_mode(0o660);
    std::fs::set_permissions(&path, open_to_group).expect("a file");
    let own = std::fs::metadata(&path).expect("a file").gid();
    let given = std::os::unix::fs::chown(&path, None, Some(own + 1));
    let group = given.map_or(own, |()| own + 1);
    // Lines of four bytes, and one that is larger than a file may be.
    for text in ["100", "101", "102", "0123456789ab", "104", "105"] {
        sink.write(format!("{text}\n").into_bytes());
    }
    assert_eq!(sink.finish().written, 6);
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).ok();
    for (name, expected) in [
        ("lines", Some("104\n105\n")),
        ("lines.1", Some("0123456789ab\n")),
        ("lines.2", Some("102\n")),
        ("lines.3", None),
    ] {
        assert_eq!(read(name).as_deref(), expected, "{name}");
    }
    for name in ["lines", "lines.1"] {
        let about = std::fs::metadata(folder.path().join(name)).expect("a file");
        assert_eq!(
            (about.gid(), about.mode() & 0o777),
            (group, 0o660),
            "{name}"
        );
    }
}

/// Where no new file can be made, the file grows, and those that were rotated earlier stay.
#[test]
fn a_rotation_that_fails_leaves_all_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lines");
    for name in ["lines.1", "lines.2"] {
        std::fs::write(folder.path().join(name), name).expect("a file");
    }
    std::fs::create_dir(folder.path().join("lines.next")).expect("a folder");
    let mut sink = open(
        &Destination::File {
            path: path.clone(),
            rotation: Some(Rotation { limit: 10, keep: 2 }),
            fsync: Fsync::Never,
        },
        WAITING_ALERTS,
    );
    (100..106).for_each(|number| sink.write(line(number)));
    assert_eq!(sink.finish().written, 6);
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).ok();
    for (name, expected) in [
        ("lines", "100\n101\n102\n103\n104\n105\n"),
        ("lines.1", "lines.1"),
        ("lines.2", "lines.2"),
    ] {
        assert_eq!(read(name).as_deref(), Some(expected), "{name}");
    }
}
