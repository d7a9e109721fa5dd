//! [`Target`]: where a URL points.

use hyper::Uri;

/// A parsed `http` URL: whom to connect to, and what to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    host: String,
    port: u16,
    authority: String,
    path: String,
}

/// A URL that cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Not a URL.
    #[error("`{url}` is not a URL: {source}")]
    Malformed {
        /// The text.
        url: String,
        /// What is wrong with it.
        source: hyper::http::uri::InvalidUri,
    },
    /// A URL without a host.
    #[error("`{url}` names no host; write `http://HOST:PORT`")]
    NoHost {
        /// The text.
        url: String,
    },
    /// A scheme that is not spoken here.
    #[error("`{url}` uses the scheme `{scheme}`; only `http` is supported")]
    Scheme {
        /// The text.
        url: String,
        /// Its scheme.
        scheme: String,
    },
}

impl Target {
    /// Parses `http://HOST[:PORT][/PATH]`.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let uri: Uri =
            url.parse().map_err(|source| TargetError::Malformed { url: url.to_owned(), source })?;
        match uri.scheme_str() {
            Some("http") => {}
            Some(scheme) => {
                return Err(TargetError::Scheme { url: url.to_owned(), scheme: scheme.to_owned() });
            }
            None => return Err(TargetError::NoHost { url: url.to_owned() }),
        }
        let Some(host) = uri.host().filter(|host| !host.is_empty()) else {
            return Err(TargetError::NoHost { url: url.to_owned() });
        };
        let port = uri.port_u16().unwrap_or(80);
        // Brackets belong to the authority of an IPv6 address, not to the address.
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let authority = if port == 80 { host.to_owned() } else { format!("{host}:{port}") };
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { host: bare, port, authority, path })
    }

    /// Host name or address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The value of the `Host` header.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The same server, and `suffix` after this path (of which a trailing slash is dropped).
    #[must_use]
    pub fn join(&self, suffix: &str) -> Self {
        let base = self.path.split('?').next().unwrap_or_default().trim_end_matches('/');
        Self { path: format!("{base}/{}", suffix.trim_start_matches('/')), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: &str) {
        let shown = match Target::parse(url) {
            Ok(it) => format!("{} {} {} {}", it.host(), it.port(), it.authority(), it.path()),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_url_is_taken_apart() {
        check("http://node1:8000/v1/models?x=1", "node1 8000 node1:8000 /v1/models?x=1");
        check("http://node1", "node1 80 node1 /");
        check("http://[::1]:9000/", "::1 9000 [::1]:9000 /");
    }

    #[test]
    fn what_is_no_http_url_is_named() {
        check("https://node1/", "`https://node1/` uses the scheme `https`; only `http` is supported");
        check("node1:8000", "`node1:8000` names no host; write `http://HOST:PORT`");
        check("http://", "`http://` is not a URL: empty string");
    }

    #[test]
    fn a_path_is_appended_once() {
        let base = Target::parse("http://h:1/base/").unwrap();
        assert_eq!(base.join("/v1/completions").path(), "/base/v1/completions");
        assert_eq!(Target::parse("http://h:1").unwrap().join("v1").path(), "/v1");
    }
}
