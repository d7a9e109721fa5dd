//! Variables, placeholders, and paths as text. Nothing here looks at a file system.

use std::collections::BTreeMap;

/// Replaces `$NAME` and `${NAME}`; what is not set stays as written.
pub(crate) fn expand_variables(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (name, after) = match rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, after)) => (name, after),
            None => rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len())),
        };
        match variables.get(name) {
            Some(value) => {
                out.push_str(value);
                rest = after;
            }
            None => out.push('$'),
        }
    }
    out.push_str(rest);
    out
}

/// Replaces a leading `~` by the home folder.
pub(crate) fn expand_home(text: &str, home: Option<&str>) -> String {
    match (text.strip_prefix('~'), home) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => format!("{home}{rest}"),
        _ => text.to_owned(),
    }
}

/// An absolute path without `.`, `..`, and double slashes.
pub(crate) fn absolute(path: &str, current_dir: &str) -> String {
    let joined = if path.starts_with('/') { path.to_owned() } else { format!("{current_dir}/{path}") };
    let mut parts = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// A path in a container: without trailing and double slashes and without `.`, otherwise as written.
pub(crate) fn tidy(path: &str) -> String {
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let root = if path.starts_with('/') { "/" } else { "" };
    format!("{root}{}", parts.join("/"))
}

/// The last part of a path.
pub(crate) fn file_name(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.rsplit('/').next().unwrap_or(path)
}

/// The folder of a path; the root is its own.
pub(crate) fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(at) => &path[..at],
    }
}

/// A placeholder that is not known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnknownPlaceholder(pub(crate) String);

/// Replaces `{name}`; doubled braces stand for themselves.
pub(crate) fn fill_placeholders(
    template: &str,
    values: &[(&str, &str)],
) -> Result<String, UnknownPlaceholder> {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            out.push_str(brace);
            rest = after;
            continue;
        }
        let name = if brace == "{" { rest.split_once('}') } else { None };
        let Some((name, after)) = name else {
            return Err(UnknownPlaceholder(format!("{brace}{rest}")));
        };
        let value = values.iter().find(|(known, _)| *known == name);
        let (_, value) = value.ok_or_else(|| UnknownPlaceholder(format!("{{{name}}}")))?;
        out.push_str(value);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_variables_stay_as_written() {
        let variables =
            BTreeMap::from([("A".to_owned(), "1".to_owned()), ("USER".to_owned(), "srt".to_owned())]);
        assert_eq!(expand_variables("/$USER/${A}x/$A$B/${B}/$/$$A", &variables), "/srt/1x/1$B/${B}/$/$1");
        assert_eq!(expand_variables("${A", &variables), "${A");
    }

    #[test]
    fn paths_are_tidied_as_text() {
        assert_eq!(absolute("/a/../b//c/./", "/x"), "/b/c");
        assert_eq!(absolute("rel/dir", "/RUN"), "/RUN/rel/dir");
        assert_eq!(absolute("../../..", "/a"), "/");
        assert_eq!(
            (tidy("/pq/"), tidy("/y:ro"), tidy("rel"), tidy("/")),
            ("/pq".into(), "/y:ro".into(), "rel".into(), "/".into())
        );
        assert_eq!((file_name("/a/b/"), parent("/a/b"), parent("/a")), ("b", "/a", "/"));
        assert_eq!(expand_home("~/data", Some("/home/x")), "/home/x/data");
        assert_eq!(expand_home("~other/data", Some("/home/x")), "~other/data");
    }

    #[test]
    fn placeholders_are_filled_and_unknown_ones_named() {
        let values = [("job_id", "7")];
        assert_eq!(fill_placeholders("/x/{job_id}/{{a}}", &values), Ok("/x/7/{a}".to_owned()));
        assert_eq!(fill_placeholders("/{nope}", &values), Err(UnknownPlaceholder("{nope}".to_owned())));
        assert_eq!(fill_placeholders("/{open", &values), Err(UnknownPlaceholder("{open".to_owned())));
    }
}
