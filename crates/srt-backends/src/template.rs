//! `{node}` and `{node_id}` in variables of workers.

/// Fills a value for a node.
///
/// A text that is a Python format string, with `{name}` and doubled braces only, is read as one, and names other
/// than the two stay as written. In any other text, such as JSON, only the two names mean something.
pub(crate) fn fill(text: &str, node: &str, node_id: usize) -> String {
    if !text.contains(['{', '}']) {
        return text.to_owned();
    }
    let filled = |text: &str| text.replace("{node}", node).replace("{node_id}", &node_id.to_string());
    match pieces(text) {
        Some(pieces) => pieces
            .into_iter()
            .map(|piece| match piece {
                Piece::Field(name) => filled(&format!("{{{name}}}")),
                Piece::Text(text) => text.to_owned(),
            })
            .collect(),
        None => filled(text),
    }
}

enum Piece<'a> {
    Text(&'a str),
    Field(&'a str),
}

/// The pieces of a format string; `None` where the text is none.
fn pieces(text: &str) -> Option<Vec<Piece<'_>>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        pieces.push(Piece::Text(&rest[..at]));
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            pieces.push(Piece::Text(brace));
            rest = after;
            continue;
        }
        let (name, after) = if brace == "{" { rest.split_once('}')? } else { return None };
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return None;
        }
        pieces.push(Piece::Field(name));
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    Some(pieces)
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn names_are_filled_and_everything_else_stays() {
        let cases = [
            ("{node}-{node_id}", "n7-3"),
            ("{unknown} {node}", "{unknown} n7"),
            ("{{literal}}", "{literal}"),
            (r#"{"a": 1, "host": "{node}"}"#, r#"{"a": 1, "host": "n7"}"#),
            (r#"{"a":{"b":1}}"#, r#"{"a":{"b":1}}"#),
            ("{open", "{open"),
            ("close}", "close}"),
            ("{}", "{}"),
        ];
        for (text, expected) in cases {
            assert_eq!(fill(text, "n7", 3), expected, "{text}");
        }
    }
}
