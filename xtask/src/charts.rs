//! The chart library in the page of `recon report`: d3's modules, in one file.
//!
//! In: `recon-user/report/charts/`: which functions, and a lock file with the checksum of each
//! package. Out: `charts.min.js` there, which is part of the project, so that a build needs no npm.
//! The decision held here: the file begins with the licences of all that is in it, since each page
//! hands it on.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::{step::run as run_to_end, toolchain::tools_dir};

const FOLDER: &str = "recon-user/report/charts";
const SOURCES: [&str; 3] = ["charts.js", "package.json", "package-lock.json"];
const BUNDLE: &str = "charts.min.js";
/// It makes the bundle, and nothing of it is in there.
const BUNDLER: &str = "esbuild";

/// Makes the file again, or fails if it would be another one.
pub(crate) fn bundle(workspace: &Path, verify: bool) -> Result<()> {
    let place = workspace.join(FOLDER);
    let build = tools_dir(workspace).join("charts");
    fs::create_dir_all(&build).context("the folder for npm")?;
    for name in SOURCES {
        fs::copy(place.join(name), build.join(name)).with_context(|| name.to_owned())?;
    }
    let mut install = Command::new("npm");
    install
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(&build);
    run_to_end(&mut install)?;
    let modules = build.join("node_modules");
    let mut esbuild = Command::new(modules.join(".bin").join(BUNDLER));
    esbuild
        .args(["charts.js", "--bundle", "--minify", "--format=iife"])
        .args(["--global-name=charts", "--legal-comments=none"])
        .arg(format!("--outfile={BUNDLE}"))
        .current_dir(&build);
    run_to_end(&mut esbuild)?;
    let code = fs::read_to_string(build.join(BUNDLE)).context(BUNDLE)?;
    let made = format!("{}{code}", licences(&modules)?);
    let target = place.join(BUNDLE);
    if verify {
        let kept = fs::read_to_string(&target).context(BUNDLE)?;
        ensure!(
            kept == made,
            "{FOLDER}/{BUNDLE} is not what its sources make; type `cargo xtask charts`"
        );
        eprintln!("charts: {FOLDER}/{BUNDLE} is what its sources make");
        return Ok(());
    }
    fs::write(&target, &made).context(BUNDLE)?;
    eprintln!("charts: {FOLDER}/{BUNDLE} has {} bytes", made.len());
    Ok(())
}

/// The licences of the packages, each text once with the packages and the copyrights it is of.
fn licences(modules: &Path) -> Result<String> {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages(modules)? {
        let name = package.file_name().unwrap_or_default().to_string_lossy();
        let licence = package.join("LICENSE");
        let licence = fs::read_to_string(&licence)
            .with_context(|| format!("the licence of {name}: {}", licence.display()))?;
        let (copyright, text) = licence.split_once('\n').unwrap_or((&licence, ""));
        let of = texts.entry(text.trim().to_owned()).or_default();
        of.push(format!("{name}: {copyright}"));
    }
    let mut banner = String::from("/*!\n");
    for (text, of) in texts {
        banner += &format!("{}\n\n{text}\n", of.join("\n"));
    }
    ensure!(
        banner.matches("*/").count() == 0,
        "a licence would end the comment that holds it"
    );
    Ok(banner + "*/\n")
}

/// The folders of the packages in the bundle, by name.
fn packages(modules: &Path) -> Result<Vec<PathBuf>> {
    let mut packages = Vec::new();
    for entry in fs::read_dir(modules).context("node_modules")? {
        let entry = entry.context("node_modules")?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_of_bundler = name == BUNDLER || name == format!("@{BUNDLER}");
        if !is_of_bundler && !name.starts_with('.') {
            packages.push(entry.path());
        }
    }
    packages.sort();
    Ok(packages)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_lock_file_has_a_checksum_for_each_package_and_names_no_host() {
        let lock = include_str!("../../recon-user/report/charts/package-lock.json");
        let count = |text: &str| lock.matches(text).count();
        // The first entry is the project itself.
        assert_eq!(count("\"version\":"), count("\"integrity\": \"sha512-"));
        assert!(count("\"version\":") > 5);
        assert!(!lock.contains("http"));
    }

    #[test]
    fn the_bundle_has_its_licences_and_can_stand_in_a_page() {
        let bundle = include_str!("../../recon-user/report/charts/charts.min.js");
        let (licences, code) = bundle.split_once("*/\n").expect("a comment");
        for package in [
            "d3-array",
            "d3-axis",
            "d3-scale",
            "d3-selection",
            "internmap",
        ] {
            assert!(
                licences.contains(&format!("{package}: Copyright")),
                "{package}"
            );
        }
        assert!(licences.contains("Permission to use, copy, modify"));
        for ending in ["</script", "<!--"] {
            assert!(!code.contains(ending), "{ending}");
        }
    }
}
