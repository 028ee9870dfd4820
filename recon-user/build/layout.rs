//! A number for the layout of what recon saves.
//!
//! In: the sources. Out: the environment variable `RECON_LAYOUT`.
//! The decision held here: whoever changes what is saved must not have to remember a version. So
//! the number is a hash of all sources that declare something to be saved, and of recon-common. A
//! comment in one of them changes it too: that costs the windows of an upgrade, and no more.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// What a source says that declares something to be saved.
const SIGN: &str = "Deserialize";

/// Passes the number on to the compiler.
pub(super) fn pass_layout(package: &Path, workspace: &Path) -> Result<()> {
    let own = package.join("src");
    println!("cargo::rerun-if-changed={}", own.display());
    let mut hasher = DefaultHasher::new();
    for file in sources(&own)? {
        let text = read(&file)?;
        if text.contains(SIGN) {
            text.hash(&mut hasher);
        }
    }
    for file in sources(&workspace.join("recon-common/src"))? {
        read(&file)?.hash(&mut hasher);
    }
    // The versions of what writes it.
    read(&workspace.join("Cargo.lock"))?.hash(&mut hasher);
    println!("cargo::rustc-env=RECON_LAYOUT={}", hasher.finish());
    Ok(())
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("can't read {}", file.display()))
}

/// The sources below a folder, tests apart, in order.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries =
        fs::read_dir(folder).with_context(|| format!("can't list {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
        if path.is_dir() && !is_test {
            files.extend(sources(&path)?);
        } else if path.extension().is_some_and(|kind| kind == "rs") && !is_test {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}
