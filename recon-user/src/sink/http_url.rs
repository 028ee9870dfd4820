//! The URL of a sink.
//!
//! In: a text. Out: where to connect to, and what to ask for there.
//! The decision held here: its path and its query may be a secret, as those of a chat's webhook
//! are. So no message and no debug output has them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Serialize, Serializer};
use ureq::http::Uri;
use ureq::http::uri::Scheme;

use crate::diagnostic::Wrong;

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// One of http or https, with a host.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct HttpUrl {
    text: String,
    uri: Uri,
}

impl HttpUrl {
    /// Reads a text.
    ///
    /// # Errors
    /// What it is not, and what to write instead.
    pub(crate) fn parse(text: &str) -> Result<Self, Wrong> {
        let wrong = |what: &str, hint: &str| (what.to_owned(), Some(hint.to_owned()));
        let uri = text.parse::<Uri>().ok().filter(|uri| {
            let scheme = uri.scheme();
            let is_known = scheme == Some(&Scheme::HTTP) || scheme == Some(&Scheme::HTTPS);
            is_known && uri.host().is_some_and(|host| !host.is_empty())
        });
        let Some(uri) = uri else {
            let hint = "use one such as https://192.0.2.1/recon";
            return Err(wrong("this is not a URL of http or https", hint));
        };
        if uri.authority().is_some_and(|it| it.as_str().contains('@')) {
            let hint = "put an `Authorization:` line into a file, and name it with `headers_file`";
            return Err((
                "a user in a URL is shown to whoever sees the settings".to_owned(),
                Some(hint.to_owned()),
            ));
        }
        if uri.port_u16() == Some(0) {
            return Err(wrong("the URL has the port 0", "use another port"));
        }
        Ok(Self {
            text: text.to_owned(),
            uri,
        })
    }

    /// The same with a path, unless it has that at its end.
    #[must_use]
    pub(crate) fn with_path(&self, path: &str) -> Self {
        let own = self.uri.path().trim_end_matches('/');
        let whole = match own.ends_with(path) {
            true => own.to_owned(),
            false => format!("{own}{path}"),
        };
        let query = self
            .uri
            .query()
            .map_or_else(String::new, |query| format!("?{query}"));
        let text = format!("{self}{whole}{query}");
        // What was valid stays so.
        let uri = text.parse().unwrap_or_else(|_| self.uri.clone());
        Self { text, uri }
    }

    pub(super) const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Whether it is one of https.
    pub(crate) fn is_secure(&self) -> bool {
        self.uri.scheme() == Some(&Scheme::HTTPS)
    }

    /// Its host, without the brackets of an address.
    pub(crate) fn host(&self) -> &str {
        let host = self.uri.host().unwrap_or_default();
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Where its host is, if that is an address.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        let host: IpAddr = self.host().parse().ok()?;
        let port = match self.is_secure() {
            true => HTTPS_PORT,
            false => HTTP_PORT,
        };
        Some((host, self.uri.port_u16().unwrap_or(port)).into())
    }
}

/// Without its path, which may hold a secret.
impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.uri.scheme_str().unwrap_or_default();
        let authority = self.uri.authority().map_or("", |it| it.as_str());
        write!(f, "{scheme}://{authority}")
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for HttpUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}
