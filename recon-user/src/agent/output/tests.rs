//! What becomes of the files of the command line.

use std::fs;

use super::*;

/// What becomes of a file between two polls.
type Change = fn(&Path);

#[test]
fn a_file_that_vanishes_is_made_again() {
    // (what happens to the file, whether the next line is in the file of that name)
    let changes: [(&str, Change, bool); 4] = [
        (
            "removed",
            |path| fs::remove_file(path).expect("a file"),
            true,
        ),
        (
            "renamed",
            |path| fs::rename(path, path.with_extension("1")).expect("a file"),
            true,
        ),
        (
            "replaced",
            |path| {
                fs::remove_file(path).expect("a file");
                fs::write(path, "").expect("a file");
            },
            true,
        ),
        (
            "its folder is gone",
            |path| fs::remove_dir_all(path.parent().expect("a folder")).expect("a folder"),
            false,
        ),
    ];
    for (what, change, is_written) in changes {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().join("logs");
        fs::create_dir(&folder).expect("a folder");
        let path = folder.join("alerts.jsonl");
        let stdout = tempfile::tempfile().expect("a file");
        let open = OpenFiles::default();
        let output = AgentOutput::new(&stdout, None, true, &open).expect("a sink");
        let mut output = output.with_alert_file(&path, &open).expect("a file");
        output.alert(b"first\n");
        assert!(output.flush(Duration::from_secs(10)), "{what}");
        change(&path);
        output.alert(b"second\n");
        assert!(output.flush(Duration::from_secs(10)), "{what}");
        let found = fs::read_to_string(&path).ok();
        assert_eq!(found.as_deref(), is_written.then_some("second\n"), "{what}");
        if !is_written {
            fs::create_dir(&folder).expect("a folder");
            output.alert(b"third\n");
            assert!(output.flush(Duration::from_secs(10)), "{what}");
            assert_eq!(fs::read_to_string(&path).expect(what), "third\n");
        }
    }
}
