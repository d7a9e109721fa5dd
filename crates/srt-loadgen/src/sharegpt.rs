//! Conversations of a `ShareGPT` file: a list of conversations, each a list of what a person and a model said.

use std::{fs, path::Path};

use serde::Deserialize;

use crate::workload::WorkloadError;

#[derive(Deserialize)]
struct Conversation {
    #[serde(default, alias = "conversation")]
    conversations: Vec<Said>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default, alias = "role")]
    from: String,
    #[serde(default, alias = "content")]
    value: String,
}

/// What a person said, and what the model answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Everything that had been said before, and what the person says now.
    pub(crate) prompt: String,
    pub(crate) answer: String,
}

/// Reads the conversations of `path` that have a person speak first and a model answer.
pub(crate) fn load(path: &Path) -> Result<Vec<Vec<Turn>>, WorkloadError> {
    let bytes = fs::read(path).map_err(|source| WorkloadError::Read { path: path.to_owned(), source })?;
    let conversations: Vec<Conversation> = serde_json::from_slice(&bytes).map_err(|error| {
        WorkloadError::Line { path: path.to_owned(), line: error.line(), reason: error.to_string() }
    })?;
    let turns: Vec<Vec<Turn>> =
        conversations.iter().map(turns_of).filter(|turns: &Vec<Turn>| !turns.is_empty()).collect();
    if turns.is_empty() {
        return Err(WorkloadError::NoConversation { path: path.to_owned() });
    }
    Ok(turns)
}

fn turns_of(conversation: &Conversation) -> Vec<Turn> {
    let is_person = |said: &Said| matches!(said.from.as_str(), "human" | "user");
    let mut context = String::new();
    let mut turns = Vec::new();
    for pair in conversation.conversations.chunks(2) {
        let [asked, answered] = pair else { break };
        if !is_person(asked) || is_person(answered) || asked.value.is_empty() || answered.value.is_empty() {
            break;
        }
        context.push_str(&asked.value);
        turns.push(Turn { prompt: context.clone(), answer: answered.value.clone() });
        context.push('\n');
        context.push_str(&answered.value);
        context.push('\n');
    }
    turns
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use expect_test::{Expect, expect};

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "an expectation is written at the call")]
    #[track_caller]
    fn check(text: &str, expected: Expect) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let shown = match load(file.path()) {
            Ok(conversations) => format!("{conversations:?}"),
            Err(error) => error.to_string().replace(&*file.path().to_string_lossy(), "FILE"),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn turns_carry_what_was_said_before() {
        check(
            r#"[{"id":"1","conversations":[{"from":"human","value":"hi"},{"from":"gpt","value":"hello"},
                {"from":"human","value":"bye"},{"from":"gpt","value":"ciao"},{"from":"human","value":"lost"}]},
               {"conversations":[{"from":"gpt","value":"first"},{"from":"human","value":"x"}]}]"#,
            expect![[
                r#"[[Turn { prompt: "hi", answer: "hello" }, Turn { prompt: "hi\nhello\nbye", answer: "ciao" }]]"#
            ]],
        );
    }

    #[test]
    fn a_file_without_conversations_is_named() {
        check(
            "[]",
            expect!["`FILE` holds no conversation in which a person speaks first and a model answers"],
        );
        check(
            "[{\"conversations\":3}]",
            expect!["`FILE`, line 1: invalid type: integer `3`, expected a sequence at line 1 column 19"],
        );
    }
}
