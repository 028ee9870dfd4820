//! A process that executes one program after the other.

use super::*;

const PID: u32 = 70;

/// A process over a /proc made of files, whose programs are counted.
struct Bench {
    tree: Tree,
    processes: ProcessTable,
}

impl Bench {
    fn new() -> Self {
        let tree = Tree::new();
        let processes = tree
            .processes(9)
            .with_images(ImageNumbers::of_test(), Forks::of_test());
        Self { tree, processes }
    }

    /// Executes a program, of which the agent learns nothing yet.
    fn execute(&self, name: &str) -> ExecEvent {
        self.tree.process(PID.into(), 60, name, 5);
        let link = self.tree.path().join("70/exe");
        let _ = fs::remove_file(&link);
        self.tree.link("70/exe", &format!("/bin/{name}"));
        let image = self.processes.images.count(PID).pack();
        ExecEvent {
            image,
            ..event(PID, &format!("./{name}"))
        }
    }

    fn executable(&mut self, number: u8) -> Option<String> {
        self.processes
            .get_image(ImageId { pid: PID, number })
            .executable
    }
}

#[test]
fn each_program_keeps_its_name() {
    let mut bench = Bench::new();
    for name in ["sh", "nmap", "sleep"] {
        let event = bench.execute(name);
        bench.processes.record_exec(&event);
    }
    for (number, executable) in [
        (0, None),
        (1, some("/bin/sh")),
        (2, some("/bin/nmap")),
        (3, some("/bin/sleep")),
        (4, None),
    ] {
        assert_eq!(bench.executable(number), executable, "{number}");
        let tools = names(&["nmap"]);
        let sender = ImageId { pid: PID, number };
        assert_eq!(bench.processes.is_tool(sender, &tools), number == 2);
    }
    bench.tree.end(PID);
    assert_eq!(bench.executable(2), some("/bin/nmap"));
    // Without a number, the current one counts.
    assert_eq!(bench.processes.get(PID).executable, some("/bin/sleep"));
}

#[test]
fn what_proc_says_of_a_later_program_is_not_of_an_earlier_one() {
    let mut bench = Bench::new();
    let events = ["nmap", "sleep"].map(|name| bench.execute(name));
    for event in &events {
        bench.processes.record_exec(event);
    }
    // As the process gave it, since the file could not be read in time.
    assert_eq!(bench.executable(1), some("./nmap"));
    assert_eq!(bench.executable(2), some("/bin/sleep"));
}

#[test]
fn a_program_whose_start_went_unseen_is_read_on_demand() {
    let mut bench = Bench::new();
    bench.tree.process(PID.into(), 60, "sh", 5);
    bench.processes.get(PID);
    bench.execute("nmap");
    bench.execute("sleep");
    assert_eq!(bench.executable(2), some("/bin/sleep"));
    assert_eq!(bench.executable(1), None);
}

#[test]
fn numbers_that_have_come_round_name_nobody() {
    let mut bench = Bench::new();
    let event = bench.execute("nmap");
    bench.processes.record_exec(&event);
    for _ in 0..255 {
        let event = bench.execute("true");
        bench.processes.record_exec(&event);
    }
    let event = bench.execute("sleep");
    bench.processes.record_exec(&event);
    let number = ImageId::unpack(event.image).number;
    assert_eq!(number, 1, "the same as nmap's");
    assert_eq!(bench.executable(number), None);
}

#[test]
fn another_process_of_that_pid_inherits_nothing() {
    let mut bench = Bench::new();
    let event = bench.execute("nmap");
    bench.processes.record_exec(&event);
    bench.tree.process(PID.into(), 60, "cat", 6);
    let event = bench.processes.images.count(PID);
    bench.processes.record_exec(&ExecEvent {
        image: event.pack(),
        ..super::event(PID, "./cat")
    });
    assert_eq!(bench.executable(1), None);
}

#[test]
fn a_process_that_never_executed_a_program_runs_its_parents() {
    const CHILD: u32 = 71;
    const GRANDCHILD: u32 = 72;
    let mut bench = Bench::new();
    let event = bench.execute("scan");
    bench.processes.record_exec(&event);
    let parent = ImageId::unpack(event.image);
    let processes = &mut bench.processes;
    processes.forks.record(first(CHILD), parent);
    processes.forks.record(first(GRANDCHILD), first(CHILD));
    // The parent does not stay the same, and the child may follow.
    let event = bench.execute("sleep");
    bench.processes.record_exec(&event);
    let image = bench.processes.images.count(CHILD);
    bench.processes.record_exec(&ExecEvent {
        image: image.pack(),
        ..super::event(CHILD, "./true")
    });
    for (sender, by, executable) in [
        (first(GRANDCHILD), CHILD, "/bin/scan"),
        (first(CHILD), PID, "/bin/scan"),
        (image, PID, "./true"),
    ] {
        let process = bench.processes.get_image(sender);
        assert_eq!((process.pid, process.parent), (sender.pid, Some(by)));
        assert_eq!(process.executable.as_deref(), Some(executable));
        let tools = names(&["scan"]);
        let is_tool = executable == "/bin/scan";
        assert_eq!(bench.processes.is_tool(sender, &tools), is_tool);
    }
}

#[test]
fn a_long_line_of_forks_has_an_end() {
    let mut bench = Bench::new();
    for pid in 100..10_000 {
        bench.processes.forks.record(first(pid + 1), first(pid));
    }
    let process = bench.processes.get_image(first(10_000));
    assert_eq!((process.parent, process.name), (Some(9_999), None));
}

/// A process that was gone before it could be read, after one that is known.
#[test]
fn a_process_that_went_unread_has_only_its_own_start() {
    const FORKER: ImageId = first(60);
    // (what, the number of the pid's programs at the fork before the first and before the second
    // one, whether the second one is of the process of the first)
    for (what, forks, is_same) in [
        ("no fork is recorded", [None, None], false),
        ("one process", [Some(0), None], true),
        ("another one, of a shell", [Some(0), Some(1)], false),
        ("the first one is older than recon", [None, Some(1)], false),
    ] {
        let mut bench = Bench::new();
        let fork = |processes: &ProcessTable, number: Option<u8>| {
            if let Some(number) = number {
                processes.forks.record(ImageId { pid: PID, number }, FORKER);
            }
        };
        fork(&bench.processes, forks[0]);
        let event = bench.execute("backup");
        bench.processes.record_exec(&event);
        let before = bench.processes.get(PID);
        assert!(before.start.is_some(), "{what}");
        bench.tree.end(PID);
        fork(&bench.processes, forks[1]);
        let scan = bench.processes.images.count(PID);
        bench.processes.record_exec(&ExecEvent {
            image: scan.pack(),
            ..super::event(PID, "./scan")
        });
        let process = bench.processes.get_image(scan);
        assert_eq!(process.executable, some("./scan"), "{what}");
        let start = before.start.filter(|_| is_same);
        assert_eq!(process.start, start, "{what}");
        assert_eq!(process.command_line, None, "{what}");
        let is_kept = forks[1].is_none();
        assert_eq!(bench.executable(1).is_some(), is_kept, "{what}");
    }
}

#[test]
fn a_process_that_only_forked_is_not_the_one_that_had_its_pid() {
    const FORKER: u32 = 60;
    let mut bench = Bench::new();
    let event = bench.execute("backup");
    bench.processes.record_exec(&event);
    bench.tree.end(PID);
    let sender = ImageId::unpack(event.image);
    assert_eq!(bench.processes.get_image(sender).name, some("backup"));
    let scan = bench.processes.images.count(FORKER);
    bench.processes.record_exec(&ExecEvent {
        image: scan.pack(),
        ..super::event(FORKER, "./scan")
    });
    bench.processes.forks.record(sender, scan);
    let expected = Process {
        pid: PID,
        parent: Some(FORKER),
        ..bench.processes.get(FORKER)
    };
    assert_eq!(expected.name, some("scan"));
    assert_eq!(bench.processes.get_image(sender), expected);
    let is_tool = |name| bench.processes.is_tool(sender, &names(&[name]));
    assert_eq!(["scan", "backup"].map(is_tool), [true, false]);
}

/// What /proc says of a later process is not of an earlier one.
#[test]
fn a_program_that_is_reported_after_the_next_fork_has_its_own_process() {
    let mut bench = Bench::new();
    let event = bench.execute("scan");
    bench.tree.process(PID.into(), 60, "cat", 6);
    bench
        .processes
        .forks
        .record(ImageId::unpack(event.image), first(60));
    bench.processes.record_exec(&event);
    let process = &bench.processes.records[&PID].image.process;
    let seen = (process.name.as_deref(), process.start, process.parent);
    assert_eq!(seen, (Some("scan"), None, None));
    assert_eq!(bench.processes.get(PID).name, some("cat"));
}
