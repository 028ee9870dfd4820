//! The users of /etc/passwd.
//!
//! In: the text of the file, see passwd(5). Out: the name and the number of each user.
//! The decision held here: the file is read, and no name service is asked. glibc would load the
//! host's modules for these, which end a static binary, such as the packaged one, with a
//! segmentation fault (libnss_systemd does). They may also take long.

/// The file.
pub(crate) const PASSWD: &str = "/etc/passwd";

/// The users, in the file's order: the first of several with a name or a number is meant by it.
pub(crate) fn users(text: &[u8]) -> impl Iterator<Item = (&[u8], u32)> {
    text.split(|&byte| byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|&byte| byte == b':');
        let (name, user) = (fields.next()?, fields.nth(1)?);
        let user = str::from_utf8(user).ok()?.parse().ok()?;
        // Other lines are comments, or ask a name service.
        is_name(name).then_some((name, user))
    })
}

fn is_name(text: &[u8]) -> bool {
    !text.is_empty() && !b"+-#".contains(&text[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_users_are_read() {
        for (text, expected) in [
            ("root:x:0:0:root:/root:/bin/sh\n", Some(("root", 0))),
            ("recon:x:998:998::/:/usr/sbin/nologin", Some(("recon", 998))),
            ("recon:x:998", Some(("recon", 998))),
            ("", None),
            ("recon:x", None),
            ("recon:x:many:998", None),
            ("recon:x:4294967296:0", None),
            (":x:5:5", None),
            ("+:x:5:5", None),
            ("#recon:x:5:5", None),
        ] {
            let found = users(text.as_bytes()).next();
            let expected = expected.map(|(name, user)| (name.as_bytes(), user));
            assert_eq!(found, expected, "{text}");
        }
    }
}
