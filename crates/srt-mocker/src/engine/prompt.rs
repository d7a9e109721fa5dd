//! [`Prompt`]: how long a prompt is, and which others begin as it does.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};

/// Tokens in one block of the prefix cache.
pub(super) const BLOCK_TOKENS: u32 = 64;

/// A prompt without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prompt {
    /// Number of token ids; for text, its words: a mock has no tokenizer. At least 1.
    pub(crate) tokens: u32,
    /// For each complete block, a hash of everything up to its end: equal hashes mean equal beginnings.
    pub(crate) blocks: Vec<u64>,
}

/// Builds a [`Prompt`] token by token.
#[derive(Debug)]
pub(super) struct PromptBuilder {
    tokens: u32,
    hash: u64,
    blocks: Vec<u64>,
}

impl PromptBuilder {
    pub(super) fn new() -> Self {
        // FNV-1a: the same on every machine and in every run, which the standard hasher does not promise.
        Self { tokens: 0, hash: 0xcbf2_9ce4_8422_2325, blocks: Vec::new() }
    }

    pub(super) fn push_token(&mut self, token: u64) {
        self.mix(token);
        self.tokens = self.tokens.saturating_add(1);
        if self.tokens.is_multiple_of(BLOCK_TOKENS) {
            self.blocks.push(self.hash);
        }
    }

    pub(super) fn push_text(&mut self, text: &str) {
        for word in text.split_whitespace() {
            let token =
                word.bytes().fold(0, |hash: u64, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
            self.push_token(token);
        }
    }

    pub(super) fn build(self) -> Prompt {
        Prompt { tokens: self.tokens.max(1), blocks: self.blocks }
    }

    fn mix(&mut self, value: u64) {
        self.hash = (self.hash ^ value).wrapping_mul(0x0100_0000_01b3);
    }
}

/// The `prompt` of a completion: one or several texts or lists of token ids.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Prompts(pub(super) Vec<Prompt>);

impl<'de> Deserialize<'de> for Prompts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PromptsVisitor)
    }
}

struct PromptsVisitor;

impl<'de> Visitor<'de> for PromptsVisitor {
    type Value = Prompts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a list of token ids, or a list of one of these")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Prompts, E> {
        Ok(Prompts(vec![text_prompt(text)]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Prompts, A::Error> {
        let mut ids = PromptBuilder::new();
        let mut prompts = Vec::new();
        while let Some(item) = items.next_element()? {
            match item {
                PromptItem::Token(token) if prompts.is_empty() => ids.push_token(token),
                PromptItem::Whole(prompt) if ids.tokens == 0 => prompts.push(prompt),
                PromptItem::Token(_) | PromptItem::Whole(_) => {
                    return Err(Error::custom("a list holds either token ids or prompts, not both"));
                }
            }
        }
        if prompts.is_empty() {
            if ids.tokens == 0 {
                return Err(Error::custom("the prompt is empty"));
            }
            prompts.push(ids.build());
        }
        Ok(Prompts(prompts))
    }
}

enum PromptItem {
    Token(u64),
    Whole(Prompt),
}

impl<'de> Deserialize<'de> for PromptItem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PromptItemVisitor)
    }
}

struct PromptItemVisitor;

impl<'de> Visitor<'de> for PromptItemVisitor {
    type Value = PromptItem;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token id, a text, or a list of token ids")
    }

    fn visit_u64<E: Error>(self, token: u64) -> Result<PromptItem, E> {
        Ok(PromptItem::Token(token))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<PromptItem, E> {
        Ok(PromptItem::Whole(text_prompt(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<PromptItem, A::Error> {
        let mut ids = PromptBuilder::new();
        while let Some(token) = items.next_element()? {
            ids.push_token(token);
        }
        Ok(PromptItem::Whole(ids.build()))
    }
}

fn text_prompt(text: &str) -> Prompt {
    let mut builder = PromptBuilder::new();
    builder.push_text(text);
    builder.build()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(json: &str, expected: &Expect) {
        let actual = match serde_json::from_str::<Prompts>(json) {
            Ok(Prompts(prompts)) => {
                format!("{:?}", prompts.iter().map(|it| (it.tokens, it.blocks.len())).collect::<Vec<_>>())
            }
            Err(error) => error.to_string(),
        };
        expected.assert_eq(&actual);
    }

    #[test]
    fn every_form_of_a_prompt_is_counted() {
        check(r#""one two  three""#, &expect!["[(3, 0)]"]);
        check(r#""""#, &expect!["[(1, 0)]"]);
        check("[5, 6, 7]", &expect!["[(3, 0)]"]);
        check(r#"["one", "one two"]"#, &expect!["[(1, 0), (2, 0)]"]);
        check("[[1, 2], [3]]", &expect!["[(2, 0), (1, 0)]"]);
        check(&format!("{:?}", vec![1; 130]), &expect!["[(130, 2)]"]);
    }

    #[test]
    fn other_forms_are_refused() {
        check("[]", &expect!["the prompt is empty at line 1 column 2"]);
        check(
            "[1, \"a\"]",
            &expect!["a list holds either token ids or prompts, not both at line 1 column 8"],
        );
        check(
            "[-1]",
            &expect![
                "invalid type: integer `-1`, expected a token id, a text, or a list of token ids at line 1 column 3"
            ],
        );
        check(
            "3",
            &expect![
                "invalid type: integer `3`, expected a text, a list of token ids, or a list of one of these at line 1 column 1"
            ],
        );
    }

    #[test]
    fn equal_beginnings_have_equal_blocks() {
        let prompt = |tokens: std::ops::Range<u64>| {
            let mut builder = PromptBuilder::new();
            tokens.for_each(|token| builder.push_token(token));
            builder.build()
        };
        let (short, long, other) = (prompt(0..64), prompt(0..128), prompt(1..129));
        assert_eq!(short.blocks[0], long.blocks[0]);
        assert!(!other.blocks.contains(&long.blocks[0]));
        assert_ne!(other.blocks[1], long.blocks[1]);
    }
}
