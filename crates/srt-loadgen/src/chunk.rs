//! What one event of a completion stream says.

use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

/// What one event of a completion stream says.
#[derive(Debug, PartialEq)]
pub(crate) enum Chunk {
    /// `[DONE]`.
    Done,
    /// A piece of the answer, the server's counts, or both.
    Piece {
        /// `None`: no choices. Otherwise whether any of them carries text.
        has_text: Option<bool>,
        usage: Option<Usage>,
    },
    /// The server says that it failed.
    Error(String),
    /// Not what a completion stream holds.
    Malformed(String),
}

/// The server's own counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Usage {
    #[serde(default)]
    pub(crate) prompt_tokens: Option<u32>,
    #[serde(default)]
    pub(crate) completion_tokens: Option<u32>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    /// Completions.
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    /// Chat.
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(default)]
    tool_calls: Option<IgnoredAny>,
}

impl Choice<'_> {
    fn has_text(&self) -> bool {
        let is_text =
            |value: Option<&RawValue>| value.is_some_and(|raw| !matches!(raw.get(), "\"\"" | "null"));
        is_text(self.text)
            || self.delta.as_ref().is_some_and(|delta| {
                is_text(delta.content) || is_text(delta.reasoning_content) || delta.tool_calls.is_some()
            })
    }
}

impl Chunk {
    /// Reads the data of one event.
    pub(crate) fn parse(kind: &[u8], data: &[u8]) -> Self {
        if data.trim_ascii() == b"[DONE]" {
            return Self::Done;
        }
        let event: Event<'_> = match serde_json::from_slice(data) {
            Ok(event) => event,
            Err(_) if kind == b"error" => return Self::Error(shorten(data)),
            Err(error) => return Self::Malformed(format!("{error}: {}", shorten(data))),
        };
        if let Some(error) = event.error.filter(|error| error.get() != "null") {
            return Self::Error(shorten(error.get().as_bytes()));
        }
        if kind == b"error" {
            return Self::Error(shorten(data));
        }
        if event.choices.is_none() && event.usage.is_none() {
            return Self::Malformed(format!("neither choices nor usage: {}", shorten(data)));
        }
        let choices = event.choices.filter(|choices| !choices.is_empty());
        let has_text = choices.map(|choices| choices.iter().any(Choice::has_text));
        Self::Piece { has_text, usage: event.usage }
    }
}

/// Enough of `data` for a person to see what it was.
pub(crate) fn shorten(data: &[u8]) -> String {
    const LIMIT: usize = 300;
    let text = String::from_utf8_lossy(&data[..data.len().min(LIMIT)]);
    let ellipsis = if data.len() > LIMIT { "…" } else { "" };
    format!("{}{ellipsis}", text.trim())
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "an expectation is written at the call")]
    #[track_caller]
    fn check(data: &str, expected: Expect) {
        expected.assert_eq(&format!("{:?}", Chunk::parse(b"", data.as_bytes())));
    }

    #[test]
    fn completions_and_chat_are_understood() {
        check(
            r#"{"choices":[{"text":" a","index":0}],"usage":null}"#,
            expect!["Piece { has_text: Some(true), usage: None }"],
        );
        check(
            r#"{"choices":[{"text":"","finish_reason":"length"}]}"#,
            expect!["Piece { has_text: Some(false), usage: None }"],
        );
        check(
            r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#,
            expect!["Piece { has_text: Some(false), usage: None }"],
        );
        check(
            r#"{"choices":[{"delta":{"content":"x"}}]}"#,
            expect!["Piece { has_text: Some(true), usage: None }"],
        );
        check(
            r#"{"choices":[],"usage":{"prompt_tokens":13,"completion_tokens":3,"total_tokens":16}}"#,
            expect![
                "Piece { has_text: None, usage: Some(Usage { prompt_tokens: Some(13), completion_tokens: Some(3) }) }"
            ],
        );
        check(" [DONE] ", expect!["Done"]);
    }

    #[test]
    fn what_is_no_piece_is_told_apart() {
        check(
            r#"{"error":{"message":"Service temporarily unavailable","code":503}}"#,
            expect![[r#"Error("{\"message\":\"Service temporarily unavailable\",\"code\":503}")"#]],
        );
        check(
            r#"{"choices":[{"te"#,
            expect![[r#"Malformed("EOF while parsing a string at line 1 column 16: {\"choices\":[{\"te")"#]],
        );
        check(
            r#"{"object":"ping"}"#,
            expect![[r#"Malformed("neither choices nor usage: {\"object\":\"ping\"}")"#]],
        );
        check(
            r#"{"choices":7}"#,
            expect![[
                r#"Malformed("invalid type: integer `7`, expected a sequence at line 1 column 12: {\"choices\":7}")"#
            ]],
        );
        assert_eq!(Chunk::parse(b"error", b"boom"), Chunk::Error("boom".to_owned()));
    }
}
