//! The systemd unit: systemd finds nothing wrong with it, and little exposed.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use recon_tests::agent::recon;
use recon_tests::lab::HOST_LINK;
use recon_tests::scan::{PORTS, SIGNALS_PER_PORT, scan};
use recon_tests::{Agent, Lab};

use super::{INTERVAL, ensure_nothing_attached, status};

/// The exposure that `systemd-analyze security` may find, in tenths.
const MOST_EXPOSURE: u32 = 25;
const UNIT: &str = "recon.service";
/// Where the package installs recon.
const INSTALLED: &str = "/usr/bin/recon";

/// The unit with the built binary in place of the installed one, in a folder of its own.
fn unit(folder: &Path) -> Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../recon-user/package")
        .join(UNIT);
    let text = fs::read_to_string(&source).with_context(|| source.display().to_string())?;
    let binary = fs::canonicalize(recon("")?.get_program())?;
    let text = text.replace(INSTALLED, binary.to_str().context("UTF-8")?);
    let path = folder.join(UNIT);
    fs::write(&path, text)?;
    Ok(path)
}

fn analyze(arguments: &[&str], unit: &Path) -> Result<(bool, String)> {
    let output = Command::new("systemd-analyze")
        .args(arguments)
        .arg(unit)
        .output()
        .context("systemd-analyze (package systemd)")?;
    let text = [output.stdout, output.stderr].concat();
    Ok((
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    ))
}

#[test]
fn systemd_finds_nothing_wrong_and_little_exposed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let unit = unit(folder.path())?;
    let (is_right, said) = analyze(&["verify", "--man=no"], &unit)?;
    ensure!(is_right && said.trim().is_empty(), "{said}");
    let threshold = format!("--threshold={MOST_EXPOSURE}");
    let (is_tight, said) = analyze(
        &["security", "--offline=true", "--no-pager", &threshold],
        &unit,
    )?;
    ensure!(is_tight, "{said}");
    println!("{}", said.lines().last().unwrap_or_default());
    // The table that it prints shows that it has read the unit.
    ensure!(
        said.contains("User=/DynamicUser=") && said.contains("Overall exposure level"),
        "{said}"
    );
    Ok(())
}

/// An agent of another user, with the capabilities that the unit gives and no others, sees a scan,
/// and writes its alerts and answers where that user may.
#[test]
fn the_capabilities_of_the_unit_suffice() -> Result<()> {
    /// `nobody` of Debian.
    const USER: u32 = 65534;
    let lab = Lab::new()?;
    let folder = tempfile::tempdir()?;
    let text = fs::read_to_string(unit(folder.path())?)?;
    let mut lines = text.lines();
    let capabilities = lines.find_map(|line| line.strip_prefix("AmbientCapabilities="));
    let capabilities = capabilities.context("capabilities")?.split_whitespace();
    let capabilities = capabilities.map(|name| format!(",+{}", name.to_lowercase()));
    let set = format!("-all{}", capabilities.collect::<String>()).replace("cap_", "");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    chown(folder.path(), Some(USER), Some(USER))?;
    // Where it was built, others may not be able to read it.
    let program = folder.path().join("recon");
    fs::copy(recon("")?.get_program(), &program)?;
    let (alerts, socket) = (folder.path().join("alerts"), folder.path().join("socket"));
    let mut command = Command::new("setpriv");
    command
        .args([
            &format!("--reuid={USER}"),
            &format!("--regid={USER}"),
            "--clear-groups",
            &format!("--inh-caps={set}"),
            &format!("--ambient-caps={set}"),
            &format!("--bounding-set={set}"),
        ])
        .arg(&program)
        .args(["run", "-vv", "-i", HOST_LINK, "--profile", "source"])
        .args(INTERVAL.split_whitespace())
        .arg("--alerts")
        .arg(&alerts)
        .arg("--control")
        .arg(&socket)
        .args(lab.watched_sockets());
    let agent = Agent::spawn(&lab, command, Stdio::piped())?;
    scan(&lab, PORTS)?;
    agent.wait_drained(SIGNALS_PER_PORT * PORTS.len() as u64)?;
    let status = status(&lab, &socket)?;
    ensure!(status["alerts"].as_u64() >= Some(1), "{status}");
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.seen);
    let written = fs::read_to_string(&alerts)?;
    ensure!(
        written.contains("\"port-scan\""),
        "{written}\n{}",
        stopped.seen
    );
    ensure!(fs::metadata(&alerts)?.uid() == USER);
    ensure_nothing_attached(&lab)
}

/// The unit detaches the hooks after a stop, and after nothing else: `systemctl` says which job the
/// unit has.
#[test]
fn only_a_stop_detaches_the_hooks() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let text = fs::read_to_string(unit(folder.path())?)?;
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix("ExecStopPost=+/bin/sh -c '"));
    let line = line
        .context("what runs after a stop")?
        .trim_end_matches('\'');
    let program = fs::canonicalize(recon("")?.get_program())?;
    let fake = folder.path().join("recon");
    let line = line.replace(
        program.to_str().context("UTF-8")?,
        fake.to_str().context("UTF-8")?,
    );
    fs::write(&fake, "#!/bin/sh\necho detached: $*\n")?;
    let path = std::env::var("PATH")?;
    let path = format!("{}:{path}", folder.path().display());
    for (job, is_detached) in [
        ("  7 recon.service stop running", true),
        ("  7 recon.service restart running", false),
        ("  7 recon.service start waiting", false),
        ("", false),
    ] {
        let systemctl = folder.path().join("systemctl");
        fs::write(&systemctl, format!("#!/bin/sh\necho '{job}'\n"))?;
        for script in [&fake, &systemctl] {
            fs::set_permissions(script, fs::Permissions::from_mode(0o755))?;
        }
        let mut command = Command::new("/bin/sh");
        let output = command.args(["-c", &line]).env("PATH", &path).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "{job:?}: {output:?}");
        let expected = match is_detached {
            true => "detached: detach --pins /sys/fs/bpf/recon\n",
            false => "",
        };
        ensure!(said == expected, "{job:?}: {said:?}");
    }
    Ok(())
}

/// The system calls of a name in `SystemCallFilter=`, which may be one of systemd's sets.
fn calls_of(name: &str) -> Result<BTreeSet<String>> {
    if !name.starts_with('@') {
        return Ok(BTreeSet::from([name.to_owned()]));
    }
    let (is_known, said) = analyze(&["syscall-filter"], Path::new(name))?;
    ensure!(is_known, "{name}: {said}");
    let mut calls = BTreeSet::new();
    let lines = said.lines().skip(1).map(str::trim);
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        calls.extend(calls_of(line)?);
    }
    Ok(calls)
}

/// The system calls that the unit allows, as systemd reads its lines: the first one is a list of
/// those that are allowed, and each further one adds to it or takes from it.
fn allowed_calls(unit: &str) -> Result<BTreeSet<String>> {
    let mut allowed = BTreeSet::new();
    let filters = unit
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="));
    for filter in filters {
        let names = filter.strip_prefix('~');
        for name in names.unwrap_or(filter).split_whitespace() {
            for call in calls_of(name)? {
                match names {
                    Some(_) => allowed.remove(&call),
                    None => allowed.insert(call),
                };
            }
        }
    }
    Ok(allowed)
}

/// A call that recon makes once, at its start, and that fails without an end of recon, would go
/// unnoticed.
#[test]
fn the_unit_allows_the_calls_that_recon_makes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let allowed = allowed_calls(&fs::read_to_string(unit(folder.path())?)?)?;
    for (call, is_allowed) in [
        ("bpf", true),
        ("perf_event_open", true),
        ("membarrier", true),
        ("seccomp", true),
        ("landlock_restrict_self", true),
        ("prlimit64", true),
        ("setpriority", true),
        ("sched_setscheduler", false),
        ("mbind", false),
        ("ptrace", false),
        ("init_module", false),
    ] {
        ensure!(allowed.contains(call) == is_allowed, "{call}: {allowed:?}");
    }
    Ok(())
}

/// Every option that the unit passes is one of this recon, and so is what it runs at a reload and
/// after a stop.
#[test]
fn the_unit_passes_options_that_exist() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let text = fs::read_to_string(unit(folder.path())?)?;
    let lines = text.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.starts_with("Exec") && !key.starts_with("ExecSearch")).then_some(value)
    });
    let program = fs::canonicalize(recon("")?.get_program())?;
    let mut checked = 0;
    for line in lines {
        let words: Vec<_> = line.split_whitespace().collect();
        let Some(place) = words.iter().position(|word| Path::new(word) == program) else {
            continue;
        };
        let (command, options) = (words[place + 1], &words[place + 2..]);
        let help = recon(&format!("{command} --help"))?.output()?;
        ensure!(help.status.success(), "no command {command}: {line}");
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        for option in options.iter().filter(|word| word.starts_with("--")) {
            ensure!(help.contains(option), "{command} has no {option}");
            checked += 1;
        }
    }
    ensure!(checked > 0, "no option was checked");
    Ok(())
}
