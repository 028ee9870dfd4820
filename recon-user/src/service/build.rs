//! Which build this is.
//!
//! In: what build.rs found. Out: the texts of `recon -V` and `recon --version`.
//! The decision held here: a report of a bug needs the commit, the compiler, and the kernel object
//! apart from the agent, since a pinned program may be of another build.

/// The version and the commit: one line.
pub const SHORT_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("RECON_BUILD_COMMIT"),
    ")"
);

/// Everything that tells this build from others.
pub const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit:        ",
    env!("RECON_BUILD_COMMIT"),
    "\nbuild:         ",
    env!("RECON_BUILD_PROFILE"),
    ", ",
    env!("RECON_BUILD_TARGET"),
    "\ncompiler:      ",
    env!("RECON_BUILD_RUSTC"),
    "\nkernel object: ",
    env!("RECON_BUILD_KERNEL_OBJECT"),
    "\nmap layout:    ",
    env!("RECON_BUILD_MAP_LAYOUT"),
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_name_the_build_and_no_path() {
        assert!(!SHORT_VERSION.contains('\n'), "{SHORT_VERSION}");
        assert_eq!(LONG_VERSION.lines().count(), 6, "{LONG_VERSION}");
        for text in [SHORT_VERSION, LONG_VERSION] {
            assert!(text.starts_with(env!("CARGO_PKG_VERSION")), "{text}");
            assert!(text.contains(env!("RECON_BUILD_COMMIT")), "{text}");
            assert!(!text.contains('/'), "{text}");
        }
        for hash in [
            env!("RECON_BUILD_KERNEL_OBJECT"),
            env!("RECON_BUILD_MAP_LAYOUT"),
        ] {
            let is_hash = hash.len() == 16 && hash.bytes().all(|it| it.is_ascii_hexdigit());
            assert!(is_hash, "{hash}");
        }
    }
}
