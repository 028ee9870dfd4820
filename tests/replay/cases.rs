//! stdin as a capture.

use std::io::{Seek as _, Write as _};
use std::process::Stdio;

use anyhow::{Result, ensure};
use recon_tests::agent::recon;

use crate::made::{pcap, scan};
use crate::recording::{finish, replay_files};

#[test]
fn stdin_is_a_capture_too() -> Result<()> {
    let file = pcap(&scan(40, 1)?);
    let from_file = replay_files(std::slice::from_ref(&file), "--profile source")?;
    let mut stdin = tempfile::tempfile()?;
    stdin.write_all(&file)?;
    stdin.rewind()?;
    let mut command = recon("replay --profile source -")?;
    command.stdin(Stdio::from(stdin));
    let from_stdin = finish(command)?;
    ensure!(
        from_stdin.lines == from_file.lines && !from_stdin.alerts.is_empty(),
        "{from_stdin:?}\n{from_file:?}"
    );
    Ok(())
}
