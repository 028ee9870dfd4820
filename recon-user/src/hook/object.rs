//! The kernel object: the programs that this binary contains.
//!
//! In: the ELF file that build.rs has built, what the kernel can do. Out: the object to load.
//! The decision held here: aya asks for frames in several buffers if a program's section has the
//! name `xdp.frags`, and has no other switch for it. So a kernel that does not know the flag gets
//! the same object with that section's name cut short: a second program would add a fifth to the
//! object, and every part of the agent would have to know both names.

use std::borrow::Cow;

use super::probe::{Feature, KernelFeatures};

/// The kernel object that build.rs has built.
pub(super) static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/recon-ebpf"));

/// The section's name in the ELF file's table of strings, with the zero byte that ends each.
const WITH_FRAGS: &[u8] = b"xdp.frags\0";
/// Where its end moves to.
const PLAIN_LENGTH: usize = b"xdp".len();

/// The object for a kernel with these features.
pub(super) fn object_for(features: &KernelFeatures) -> Cow<'static, [u8]> {
    match features.has(Feature::XdpFrags) {
        true => OBJECT.into(),
        false => without_frags(OBJECT).into(),
    }
}

fn without_frags(object: &[u8]) -> Vec<u8> {
    let mut object = object.to_vec();
    let names = object.windows(WITH_FRAGS.len());
    let places: Vec<usize> = names
        .enumerate()
        .filter(|(_, name)| *name == WITH_FRAGS)
        .map(|(place, _)| place)
        .collect();
    for place in places {
        object[place + PLAIN_LENGTH] = 0;
    }
    object
}

#[cfg(test)]
mod tests {
    use aya_obj::{Object, ProgramSection};

    use super::*;

    #[test]
    fn an_old_kernel_gets_the_same_programs_without_frags() {
        let frags = |object: &[u8]| {
            let object = Object::parse(object).expect("an object");
            let mut programs: Vec<_> = object
                .programs
                .into_iter()
                .map(|(name, program)| {
                    let frags = match program.section {
                        ProgramSection::Xdp { frags, .. } => Some(frags),
                        _ => None,
                    };
                    (name, frags)
                })
                .collect();
            programs.sort();
            programs
        };
        let (new, old) = (frags(OBJECT), frags(&without_frags(OBJECT)));
        assert!(new.iter().any(|(_, frags)| *frags == Some(true)), "{new:?}");
        let expected: Vec<_> = new
            .into_iter()
            .map(|(name, frags)| (name, frags.map(|_| false)))
            .collect();
        assert_eq!(old, expected);
    }
}
