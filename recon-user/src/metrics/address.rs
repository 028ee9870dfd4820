//! Where metrics are served.
//!
//! In: the text of `--metrics`. Out: a [`MetricsAddress`], or what is wrong with the text.
//! The decision held here: only this host may ask. Nobody has to prove who he is, so an address
//! that other hosts can reach is refused.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What begins the path of a socket.
const UNIX: &str = "unix:";
/// What to type instead of a wrong one.
const EXAMPLES: &str =
    "use a loopback address and a port, such as 127.0.0.1:9753 or [::1]:9753, or unix:PATH";

/// Where metrics are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricsAddress {
    /// A loopback address and a port.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl MetricsAddress {
    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong with it, and what to type instead.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix(UNIX) {
            return match path {
                "" => Err(format!("`{text}` names no socket: {EXAMPLES}")),
                path => Ok(Self::Unix(path.into())),
            };
        }
        let address: SocketAddr = text
            .parse()
            .map_err(|_| format!("`{text}` is not an address with a port: {EXAMPLES}"))?;
        if !address.ip().is_loopback() {
            return Err(format!(
                "`{text}` is not a loopback address, and recon serves metrics to this host only: {EXAMPLES}"
            ));
        }
        match address.port() {
            0 => Err(format!(
                "`{text}` has no port that a scraper could know: {EXAMPLES}"
            )),
            _ => Ok(Self::Tcp(address)),
        }
    }
}

impl fmt::Display for MetricsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_host_may_ask() {
        for (text, expected) in [
            ("127.0.0.1:9753", Ok("127.0.0.1:9753")),
            ("127.1.2.3:1", Ok("127.1.2.3:1")),
            ("[::1]:9753", Ok("[::1]:9753")),
            (
                "unix:/run/recon/metrics.sock",
                Ok("unix:/run/recon/metrics.sock"),
            ),
            ("unix:socket", Ok("unix:socket")),
            ("unix:", Err("names no socket")),
            ("0.0.0.0:9753", Err("is not a loopback address")),
            ("[::]:9753", Err("is not a loopback address")),
            ("[::ffff:127.0.0.1]:9753", Err("is not a loopback address")),
            ("192.0.2.1:9753", Err("is not a loopback address")),
            ("127.0.0.1:0", Err("has no port")),
            ("127.0.0.1", Err("is not an address with a port")),
            ("::1:9753", Err("is not an address with a port")),
            ("localhost:9753", Err("is not an address with a port")),
            ("127.0.0.1:65536", Err("is not an address with a port")),
            (
                "/run/recon/metrics.sock",
                Err("is not an address with a port"),
            ),
            ("", Err("is not an address with a port")),
        ] {
            match (MetricsAddress::parse(text), expected) {
                (Ok(address), Ok(expected)) => assert_eq!(address.to_string(), expected),
                (Err(error), Err(part)) => {
                    assert!(error.contains(part) && error.contains(EXAMPLES), "{error}");
                }
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}
