//! Kernel modules: the files that a guest loads, in order.
//!
//! In: the folder of a kernel's modules, names. Out: the contents of the files, each after its
//! dependencies.
//! The decision held here: dependencies are read from the module itself (the `depends=` of its
//! modinfo), since the package has no modules.dep, which depmod(8) creates at installation. A
//! built-in module has no file and is skipped.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

/// The field of a module that names its dependencies, separated by commas and ended by a zero byte.
const DEPENDS: &[u8] = b"depends=";
/// The suffixes of a module's file, plain and compressed.
const PLAIN: &str = ".ko";
const COMPRESSED: &str = ".ko.xz";

/// A module to load.
#[derive(Debug)]
pub(super) struct Module {
    pub(super) name: String,
    pub(super) content: Vec<u8>,
}

/// The modules of a kernel, by name.
#[derive(Debug)]
pub(super) struct Modules<'a> {
    files: BTreeMap<String, PathBuf>,
    /// Unpacks xz.
    busybox: &'a Path,
}

impl<'a> Modules<'a> {
    /// Finds the files below `folder`.
    pub(super) fn find(folder: &Path, busybox: &'a Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        collect(folder, &mut files)?;
        ensure!(
            !files.is_empty(),
            "{} has no kernel modules",
            folder.display()
        );
        Ok(Self { files, busybox })
    }

    /// These modules and their dependencies, in load order.
    pub(super) fn closure(&self, names: &[&str]) -> Result<Vec<Module>> {
        let mut loaded = Vec::new();
        for name in names {
            self.add(name, &mut loaded)?;
        }
        Ok(loaded)
    }

    fn add(&self, name: &str, loaded: &mut Vec<Module>) -> Result<()> {
        let name = normal(name);
        let Some(path) = self.files.get(&name) else {
            // Built in.
            return Ok(());
        };
        if loaded.iter().any(|module| module.name == name) {
            return Ok(());
        }
        let content = self.read(path)?;
        for needed in depends(&content) {
            self.add(&needed, loaded)?;
        }
        loaded.push(Module { name, content });
        Ok(())
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>> {
        if !path.to_string_lossy().ends_with(COMPRESSED) {
            return fs::read(path).with_context(|| path.display().to_string());
        }
        let unpacked = Command::new(self.busybox)
            .args(["xz", "-dc"])
            .arg(path)
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| self.busybox.display().to_string())?;
        ensure!(
            unpacked.status.success(),
            "cannot unpack {}: {}",
            path.display(),
            unpacked.status
        );
        Ok(unpacked.stdout)
    }
}

fn collect(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let entry = entry?;
        // Links are not followed: a kernel's modules may have one to the kernel's sources.
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
            continue;
        }
        let file = entry.file_name();
        let file = file.to_string_lossy();
        if let Some(name) = [COMPRESSED, PLAIN]
            .iter()
            .find_map(|end| file.strip_suffix(end))
        {
            files.insert(normal(name), entry.path());
        }
    }
    Ok(())
}

/// The kernel treats both characters as equal.
fn normal(name: &str) -> String {
    name.replace('-', "_")
}

/// The names in the module's `depends=`.
fn depends(module: &[u8]) -> Vec<String> {
    // Only after a zero byte: elsewhere it is the end of another field's name.
    let start = module
        .windows(DEPENDS.len() + 1)
        .position(|bytes| bytes[0] == 0 && &bytes[1..] == DEPENDS)
        .map(|before| before + 1 + DEPENDS.len());
    let field = start.and_then(|start| module[start..].split(|&byte| byte == 0).next());
    String::from_utf8_lossy(field.unwrap_or_default())
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_loaded_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let below = folder.path().join("kernel/net");
        fs::create_dir_all(&below).expect("folders");
        for (file, content) in [
            ("a-b.ko", "\0license=GPL\0depends=c,d\0"),
            ("c.ko", "\0depends=\0"),
            ("d.ko", "\0softdepends=x\0depends=c,built-in\0"),
            ("e.txt", ""),
        ] {
            fs::write(below.join(file), content).expect("a file");
        }
        let modules = Modules::find(folder.path(), Path::new("busybox")).expect("modules");
        for (names, expected) in [
            (&["a_b"][..], "c d a_b"),
            (&["a-b", "c"], "c d a_b"),
            (&["d", "a_b"], "c d a_b"),
            (&["built-in"], ""),
        ] {
            let loaded = modules.closure(names).expect("a closure");
            let order: Vec<_> = loaded.iter().map(|module| module.name.as_str()).collect();
            assert_eq!(order.join(" "), expected, "{names:?}");
        }
    }
}
