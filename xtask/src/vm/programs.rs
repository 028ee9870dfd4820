//! The programs of a guest: this machine's, or those of another architecture's packages.
//!
//! In: a name. Out: the program's file here, and the libraries that it loads.
//! The decision held here: this machine's programs say themselves what they load (ldd), so that
//! this works on other distributions. A foreign program does not run here: readelf lists what it
//! needs, and its libraries are in Debian's folders.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use recon_tests::program::locate;

use crate::{package::Arch, step::line};

/// The folders of programs in Debian's packages.
const PROGRAMS: [&str; 4] = ["usr/bin", "usr/sbin", "bin", "sbin"];
/// Folders of libraries below those of the architecture, to which a program's own path or a link
/// that a script makes leads. A guest has them in the folder above.
const PRIVATE: [&str; 2] = ["systemd", "blas"];
/// What readelf prints before the name of a library, and of the program that loads them.
const NEEDED: &str = "Shared library: [";
const LOADER: &str = "[Requesting program interpreter: ";

/// The programs of an architecture.
#[derive(Debug)]
pub(super) struct Programs {
    /// The root of the unpacked packages, or `None` for this machine's own programs.
    root: Option<PathBuf>,
    arch: Arch,
}

impl Programs {
    /// This machine's.
    pub(super) fn installed(arch: Arch) -> Self {
        Self { root: None, arch }
    }

    /// Those in the folder `root`.
    pub(super) fn unpacked(root: PathBuf, arch: Arch) -> Self {
        Self {
            root: Some(root),
            arch,
        }
    }

    /// The file of a program, by its name or its absolute path.
    pub(super) fn locate(&self, name: &str) -> Result<PathBuf> {
        let Some(root) = &self.root else {
            return locate(name);
        };
        // A link that a script of Debian's traceroute makes has the name without this end.
        let names = [name.to_owned(), format!("{name}.db")];
        let mut paths = names.iter().flat_map(|name| match name.strip_prefix('/') {
            Some(path) => vec![root.join(path)],
            None => PROGRAMS.map(|folder| root.join(folder).join(name)).into(),
        });
        let found = paths.find(|path| path.is_file());
        found.with_context(|| format!("{} has no program {name}", root.display()))
    }

    /// A file by its absolute path, if it exists. Text files may be this machine's.
    pub(super) fn file(&self, path: &str) -> Option<PathBuf> {
        let unpacked = self.root.as_ref().map(|root| root.join(below_root(path)));
        let own = || (!path.contains("/lib")).then(|| PathBuf::from(path));
        match unpacked {
            Some(path) if path.exists() => Some(path),
            Some(_) => own(),
            None => Some(PathBuf::from(path)),
        }
        .filter(|path| path.exists())
    }

    /// A library by its name, if it exists.
    pub(super) fn library(&self, name: &str) -> Option<PathBuf> {
        let root = self.root.as_deref().unwrap_or(Path::new("/"));
        let folders = self.arch.libraries();
        let mut paths = folders.iter().flat_map(|folder| {
            let folder = root.join(folder);
            let private = PRIVATE.map(|private| folder.join(private));
            [folder].into_iter().chain(private)
        });
        let folder = paths.find(|folder| folder.join(name).is_file());
        folder.map(|folder| folder.join(name))
    }

    /// The libraries and the loader of a program.
    pub(super) fn libraries(&self, program: &Path) -> Result<BTreeSet<PathBuf>> {
        match self.root {
            None => installed_libraries(program),
            Some(_) => self.unpacked_libraries(program),
        }
    }

    fn unpacked_libraries(&self, program: &Path) -> Result<BTreeSet<PathBuf>> {
        let mut found = BTreeSet::new();
        let mut unread = vec![program.to_owned()];
        while let Some(path) = unread.pop() {
            for needed in needed(&path)? {
                let file = match needed.starts_with('/') {
                    true => self.file(&needed),
                    false => self.library(&needed),
                };
                let file = file.with_context(|| format!("{} lacks {needed}", program.display()))?;
                if found.insert(file.clone()) {
                    unread.push(file);
                }
            }
        }
        Ok(found)
    }

    /// The folder of Python's library, `installed` on this machine. Another architecture's may be
    /// of another release.
    pub(super) fn python_library(&self, installed: &str) -> Result<PathBuf> {
        let Some(root) = &self.root else {
            return Ok(PathBuf::from(installed));
        };
        let libraries = root.join("usr/lib");
        let entries = fs::read_dir(&libraries).with_context(|| libraries.display().to_string())?;
        let mut folders = entries.flatten().map(|entry| entry.path());
        let found = folders.find(|folder| folder.join("os.py").is_file());
        found.with_context(|| format!("{} has no Python", libraries.display()))
    }

    /// The strip for these programs.
    pub(super) fn strip(&self) -> String {
        match self.root {
            None => "strip".to_owned(),
            Some(_) => self.arch.tool("strip"),
        }
    }

    /// The path in a guest of a file, without the first slash.
    pub(super) fn inside(&self, path: &Path) -> String {
        let root = self.root.as_deref().unwrap_or(Path::new("/"));
        let own = || path.strip_prefix("/").unwrap_or(path);
        let path = path.strip_prefix(root).unwrap_or_else(|_| own());
        let mut inside = path.display().to_string();
        if self.root.is_some() {
            for folder in self.arch.libraries() {
                for private in PRIVATE {
                    inside = inside.replace(&format!("{folder}/{private}/"), &format!("{folder}/"));
                }
            }
        }
        inside
    }
}

/// What ldd says.
fn installed_libraries(program: &Path) -> Result<BTreeSet<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("ldd")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        !text.contains("not found"),
        "{} lacks a library:\n{text}",
        program.display()
    );
    let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(paths.map(PathBuf::from).collect())
}

/// The names of the libraries that a file needs itself, and the path of its loader. A script needs
/// none.
fn needed(path: &Path) -> Result<Vec<String>> {
    let mut readelf = Command::new("readelf");
    readelf.args(["--dynamic", "--program-headers"]).arg(path);
    let output = readelf.env("LC_ALL", "C").output();
    let output = output.with_context(|| format!("{} (package binutils)", line(&readelf)))?;
    Ok(parse_needed(&String::from_utf8_lossy(&output.stdout)))
}

fn parse_needed(text: &str) -> Vec<String> {
    let names = text.lines().filter_map(|line| {
        let (_, name) = line.split_once(NEEDED).or(line.split_once(LOADER))?;
        name.trim_end().strip_suffix(']')
    });
    names.map(str::to_owned).collect()
}

fn below_root(path: &str) -> &str {
    path.trim_start_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readelfs_lines_are_parsed() {
        let text = "\
      [Requesting program interpreter: /lib/ld-linux-aarch64.so.1]
 0x0000000000000001 (NEEDED)             Shared library: [libpcap.so.0.8]
 0x000000000000001d (RUNPATH)            Library runpath: [/usr/lib/aarch64-linux-gnu/systemd]
 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]
";
        assert_eq!(
            parse_needed(text),
            ["/lib/ld-linux-aarch64.so.1", "libpcap.so.0.8", "libc.so.6"]
        );
        assert_eq!(parse_needed("readelf: Error: Not an ELF file\n"), [""; 0]);
    }

    #[test]
    fn files_of_packages_are_found_below_their_root() {
        let root = tempfile::tempdir().expect("a folder");
        for file in [
            "usr/sbin/nginx",
            "usr/bin/traceroute.db",
            "lib/aarch64-linux-gnu/libc.so.6",
            "usr/lib/aarch64-linux-gnu/systemd/libsystemd-shared-252.so",
        ] {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            fs::write(path, "").expect("a file");
        }
        let programs = Programs::unpacked(root.path().to_owned(), Arch::Arm64);
        let inside = |path: Option<PathBuf>| path.map(|path| programs.inside(&path));
        for (found, expected) in [
            (programs.locate("nginx").ok(), Some("usr/sbin/nginx")),
            (
                programs.locate("/usr/sbin/nginx").ok(),
                Some("usr/sbin/nginx"),
            ),
            (
                programs.locate("traceroute").ok(),
                Some("usr/bin/traceroute.db"),
            ),
            // This machine has it.
            (programs.locate("sh").ok(), None),
            (
                programs.library("libc.so.6"),
                Some("lib/aarch64-linux-gnu/libc.so.6"),
            ),
            (
                programs.library("libsystemd-shared-252.so"),
                Some("usr/lib/aarch64-linux-gnu/libsystemd-shared-252.so"),
            ),
            (programs.library("libm.so.6"), None),
            (programs.file("/etc/passwd"), Some("etc/passwd")),
            (programs.file("/lib64/ld-linux-x86-64.so.2"), None),
        ] {
            assert_eq!(inside(found).as_deref(), expected);
        }
    }
}
