//! The names of a program, to be compared with those of known tools.
//!
//! In: the executed file, the running executable, and the arguments. Out: names, without paths and
//! `.exe`.
//! The decision held here: `argv[0]` is not among them, since whoever starts a program can set it
//! to anything. The other arguments count only if the program is an interpreter or the dynamic
//! loader, which run what they name.

use crate::diagnostic::visible;

/// A program that runs a script.
struct Interpreter {
    /// Its files' names; a version may follow.
    names: &'static [&'static str],
    /// Options whose value is the next argument.
    valued: &'static [&'static str],
    /// Options that contain the program's text or are followed by it: then there is no script.
    code: &'static [&'static str],
}

/// By python(1), perlrun(1), ruby(1), node(1), bash(1) and dash(1). `sh` is dash on Debian.
const INTERPRETERS: [Interpreter; 6] = [
    interpreter(&["python"], &["-W", "-X"], &["-c"]),
    interpreter(&["perl"], &["-I"], &["-e", "-E"]),
    interpreter(&["ruby"], &["-I", "-r", "-C"], &["-e"]),
    interpreter(
        &["node", "nodejs"],
        &["-r", "--require", "--import", "-C", "--conditions"],
        &["-e", "-p", "--eval", "--print"],
    ),
    interpreter(&["bash"], &["-o", "-O", "--rcfile", "--init-file"], &["-c"]),
    interpreter(&["sh", "dash"], &["-o"], &["-c"]),
];

const fn interpreter(
    names: &'static [&'static str],
    valued: &'static [&'static str],
    code: &'static [&'static str],
) -> Interpreter {
    Interpreter {
        names,
        valued,
        code,
    }
}

/// Programs that run the jar after `-jar`.
const JAVA: [&str; 2] = ["java", "javaw"];

/// The names of a program: of `executed`, the requested file (for a script, the script's), of
/// `executable`, the running file, and for an interpreter of what it runs by `arguments`, which
/// start with `argv[0]`.
pub(super) fn program_names(
    executed: Option<&[u8]>,
    executable: Option<&[u8]>,
    arguments: &[Vec<u8>],
) -> Vec<String> {
    let executed = executed.map(base_name);
    let mut names: Vec<String> = executable
        .map(base_name)
        .into_iter()
        .chain(executed.clone())
        .collect();
    // What the loader runs has its own name as its first argument, as any program does.
    let mut arguments = arguments;
    let mut is_loading = names.iter().any(|name| is_loader(name));
    while is_loading && let Some(place) = find_loaded(arguments) {
        arguments = &arguments[place..];
        let loaded = base_name(&arguments[0]);
        is_loading = is_loader(&loaded);
        names.push(loaded);
    }
    let interpreter = names.iter().find_map(|name| find_interpreter(name));
    let is_java = names.iter().any(|name| JAVA.contains(&name.as_str()));
    let arguments = arguments.get(1..).unwrap_or_default();
    // A process that ended before its executable could be read may have been an interpreter.
    if (interpreter.is_some() || executable.is_none())
        && let Some(executed) = executed
    {
        names.push(text_before(&executed, &['.']));
    }
    if let Some(script) = interpreter.and_then(|interpreter| interpreter.find_script(arguments)) {
        let script = base_name(script);
        names.push(text_before(&script, &['.']));
        names.push(script);
    }
    if is_java && let Some(jar) = find_jar(arguments) {
        names.push(text_before(&base_name(jar), &['-', '.']));
    }
    for name in &mut names {
        *name = strip_exe(name).to_owned();
    }
    names.retain(|name| !name.is_empty());
    names.sort_unstable();
    names.dedup();
    names
}

impl Interpreter {
    /// The script that the arguments after `argv[0]` name. A module, as in `python -m`, counts as
    /// one.
    fn find_script<'a>(&self, arguments: &'a [Vec<u8>]) -> Option<&'a [u8]> {
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let is = |option: &&str| argument == option.as_bytes();
            match argument.as_slice() {
                // The program comes from stdin.
                b"-" => return None,
                b"--" => return arguments.next().map(Vec::as_slice),
                _ if self.valued.iter().any(is) => {
                    arguments.next();
                }
                option @ [b'-', rest @ ..] => {
                    // As `-c` or, with others before it, `-xc`.
                    let is_short = !rest.starts_with(b"-");
                    let ends_with = |code: &&str| {
                        is_short && code.len() == 2 && option.last() == code.as_bytes().last()
                    };
                    if self.code.iter().any(|code| is(code) || ends_with(code)) {
                        return None;
                    }
                }
                script => return Some(script),
            }
        }
        None
    }
}

/// The interpreter with that file name, such as `python3.11`.
fn find_interpreter(name: &str) -> Option<&'static Interpreter> {
    let is_version = |version: &str| {
        version.is_empty() || version.starts_with(|c: char| c.is_ascii_digit() || c == '-')
    };
    INTERPRETERS.iter().find(|interpreter| {
        let mut names = interpreter.names.iter();
        names.any(|known| name.strip_prefix(known).is_some_and(is_version))
    })
}

/// Options of the dynamic loader whose value is the next argument, by ld.so(8).
const LOADER_VALUED: [&str; 7] = [
    "--library-path",
    "--inhibit-rpath",
    "--preload",
    "--audit",
    "--argv0",
    "--glibc-hwcaps-prepend",
    "--glibc-hwcaps-mask",
];

/// Whether it is the dynamic loader's file, such as `ld-linux-x86-64.so.2`, `ld-2.31.so` or
/// `ld-musl-x86_64.so.1`.
fn is_loader(name: &str) -> bool {
    let is_named = |rest: &str| rest.starts_with(['-', '.', '6']) && rest.contains(".so");
    name.strip_prefix("ld").is_some_and(is_named)
}

/// The position of the program that the dynamic loader is given, which follows its options.
fn find_loaded(arguments: &[Vec<u8>]) -> Option<usize> {
    let mut place = 1;
    loop {
        let argument = arguments.get(place)?;
        match argument.as_slice() {
            option
                if LOADER_VALUED
                    .iter()
                    .any(|&valued| option == valued.as_bytes()) =>
            {
                place += 2
            }
            b"--" => return (place + 1 < arguments.len()).then_some(place + 1),
            [b'-', ..] => place += 1,
            _ => return Some(place),
        }
    }
}

fn find_jar(arguments: &[Vec<u8>]) -> Option<&[u8]> {
    let option = arguments.iter().position(|argument| argument == b"-jar")?;
    arguments.get(option + 1).map(Vec::as_slice)
}

/// What follows the last `/`.
fn base_name(path: &[u8]) -> String {
    visible(path.rsplit(|&byte| byte == b'/').next().unwrap_or(path))
}

/// What precedes the first of the `ends`.
fn text_before(name: &str, ends: &[char]) -> String {
    name.split(ends).next().unwrap_or(name).to_owned()
}

/// The name without a final `.exe`, which does not count.
pub(crate) fn strip_exe(name: &str) -> &str {
    const EXE: &str = ".exe";
    let start = name.len().saturating_sub(EXE.len());
    match name.split_at_checked(start) {
        Some((stem, end)) if end.eq_ignore_ascii_case(EXE) => stem,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_have_the_names_of_what_they_run() {
        // (executed file, executable, arguments, names)
        for (executed, executable, arguments, expected) in [
            ("/usr/bin/nmap", "/usr/bin/nmap", "nmap -sS", "nmap"),
            ("./nmap", "", "", "nmap"),
            ("/bin/scan", "/usr/bin/nmap", "scan", "nmap scan"),
            ("", "/usr/bin/nmap", "cat", "nmap"),
            // argv[0] neither hides nor fakes.
            ("/bin/sleep", "/bin/sleep", "nmap 1", "sleep"),
            ("/usr/bin/nmap", "/usr/bin/nmap", "[kworker]", "nmap"),
            // Nor do arguments of a program that is no interpreter.
            ("/bin/cat", "/bin/cat", "cat nmap.log", "cat"),
            ("/bin/shred", "/bin/shred", "shred /x/nmap", "shred"),
            ("/bin/nmap.log", "/bin/cat", "x", "cat nmap.log"),
            ("/x/Scan.EXE", "/x/wine", "", "Scan wine"),
            // Scripts: by `#!`, by argument, and of a process that has ended.
            (
                "/x/theHarvester.py",
                "/bin/python3.11",
                "python3 /x/theHarvester.py",
                "python3.11 theHarvester theHarvester.py",
            ),
            (
                "/bin/python3",
                "/bin/python3.11",
                "x -I -W ignore /x/theHarvester.py -d nmap",
                "python3 python3.11 theHarvester theHarvester.py",
            ),
            ("/x/theHarvester.py", "", "", "theHarvester theHarvester.py"),
            (
                "",
                "/bin/python3",
                "x -m zmap.main",
                "python3 zmap zmap.main",
            ),
            ("", "/bin/python3", "x -c nmap nmap", "python3"),
            ("", "/bin/python3", "x -Ic nmap", "python3"),
            ("", "/bin/python3", "x - nmap", "python3"),
            ("", "/bin/python3", "x", "python3"),
            ("", "/bin/python3", "", "python3"),
            (
                "",
                "/bin/perl",
                "x -w -- -nikto.pl",
                "-nikto -nikto.pl perl",
            ),
            ("", "/bin/node", "x --print nmap", "node"),
            ("", "/bin/nodejs", "x -r y scan.js", "nodejs scan scan.js"),
            (
                "/bin/sh",
                "/bin/dash",
                "sh -e scan.sh",
                "dash scan scan.sh sh",
            ),
            ("/bin/sh", "/bin/busybox", "sh scan", "busybox scan sh"),
            ("/bin/bash", "/bin/bash", "x -xc nmap", "bash"),
            // The dynamic loader, which may be handed itself.
            (
                "/lib64/ld-linux-x86-64.so.2",
                "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
                "x /tmp/nmap -sS",
                "ld-linux-x86-64.so.2 nmap",
            ),
            (
                "",
                "/lib/ld-2.31.so",
                "ld --library-path /x --argv0 cat --inhibit-cache ./nmap cat",
                "ld-2.31.so nmap",
            ),
            (
                "",
                "/lib/ld-musl-x86_64.so.1",
                "x -- /bin/python3 /x/theHarvester.py",
                "ld-musl-x86_64.so.1 python3 theHarvester theHarvester.py",
            ),
            (
                "",
                "/lib64/ld64.so.2",
                "x /lib64/ld64.so.2 /bin/masscan",
                "ld64.so.2 masscan",
            ),
            (
                "/x/updater",
                "/lib64/ld-linux-x86-64.so.2",
                "x /bin/nmap /x/updater",
                "ld-linux-x86-64.so.2 nmap updater",
            ),
            ("", "/lib/ld.so.1", "x --list", "ld.so.1"),
            ("", "/bin/ld", "ld nmap", "ld"),
            ("", "/bin/ldapsearch", "x nmap", "ldapsearch"),
            // Jars.
            (
                "/bin/java",
                "/usr/lib/jvm/bin/java",
                "java -Xmx1g -jar /opt/ipscan-linux64-3.9.1.jar",
                "ipscan java",
            ),
            ("", "/bin/java", "java -jar ipscan.jar", "ipscan java"),
            ("", "/bin/java", "java -jar", "java"),
            ("", "/bin/cat", "cat -jar ipscan.jar", "cat"),
            ("", "", "nmap", ""),
            ("/", "/.exe", "", ""),
        ] {
            let some = |path: &'static str| (!path.is_empty()).then_some(path.as_bytes());
            let arguments: Vec<_> = arguments
                .split_terminator(' ')
                .map(|argument| argument.as_bytes().to_vec())
                .collect();
            let names = program_names(some(executed), some(executable), &arguments);
            assert_eq!(names.join(" "), expected, "{executed} {executable}");
        }
    }

    #[test]
    fn a_final_exe_is_stripped() {
        for (name, expected) in [
            ("nmap.exe", "nmap"),
            ("nmap", "nmap"),
            ("exe", "exe"),
            (".exe", ""),
            ("日.exe", "日"),
            ("日本語", "日本語"),
            ("", ""),
        ] {
            assert_eq!(strip_exe(name), expected);
        }
    }
}
