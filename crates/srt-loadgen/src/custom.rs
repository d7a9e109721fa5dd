//! Prompts of a JSONL file, as sa-bench reads them.

use std::{fs, path::Path};

use serde::Deserialize;

use crate::{
    numpy::PythonRandom,
    prompts::{Prompt, PromptText},
    workload::WorkloadError,
};

const DEFAULT_OUTPUT_TOKENS: u32 = 128;

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    input: Option<Chat>,
    #[serde(default)]
    prompt: Option<String>,
    #[serde(default)]
    expected_output_len: Option<u32>,
    #[serde(default)]
    max_tokens: Option<u32>,
    #[serde(default)]
    prompt_len: Option<i64>,
}

#[derive(Deserialize)]
struct Chat {
    #[serde(default)]
    messages: Vec<Message>,
    #[serde(default)]
    max_tokens: Option<u32>,
    #[serde(default)]
    num_tokens: Option<i64>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    role: String,
    #[serde(default)]
    content: Option<String>,
}

/// Reads all prompts of `path`. A line of another shape, or without text, is skipped; a line that is no JSON is
/// an error.
pub(crate) fn load(path: &Path) -> Result<Vec<Prompt>, WorkloadError> {
    let text =
        fs::read_to_string(path).map_err(|source| WorkloadError::Read { path: path.to_owned(), source })?;
    let mut prompts = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let line: Line = serde_json::from_str(line).map_err(|error| WorkloadError::Line {
            path: path.to_owned(),
            line: index + 1,
            reason: error.to_string(),
        })?;
        prompts.extend(prompt_of(line));
    }
    if prompts.is_empty() {
        return Err(WorkloadError::Empty { path: path.to_owned() });
    }
    Ok(prompts)
}

/// So many prompts in random order; all of them where there are fewer.
pub(crate) fn choose(prompts: &[Prompt], count: u32, seed: u32) -> Vec<Prompt> {
    let mut order: Vec<&Prompt> = prompts.iter().collect();
    PythonRandom::new(seed).shuffle(&mut order);
    order.into_iter().take(usize::try_from(count).unwrap_or(usize::MAX)).cloned().collect()
}

fn prompt_of(line: Line) -> Option<Prompt> {
    let (text, output_tokens, length) = match (line.input, line.prompt) {
        (Some(chat), _) => {
            let has_text = |message: &&Message| message.content.as_ref().is_some_and(|text| !text.is_empty());
            let of_user = chat.messages.iter().rfind(|message| message.role == "user" && has_text(message));
            let message = of_user.or(chat.messages.last())?;
            (message.content.clone()?, chat.max_tokens, chat.num_tokens)
        }
        (None, Some(prompt)) => (prompt, line.expected_output_len.or(line.max_tokens), line.prompt_len),
        (None, None) => return None,
    };
    if text.is_empty() {
        return None;
    }
    let stated = length.and_then(|length| u32::try_from(length).ok()).filter(|&length| length > 0);
    let estimated = || u32::try_from(text.chars().count() / 4).unwrap_or(u32::MAX);
    Some(Prompt {
        text: PromptText::from_text(&text),
        input_tokens: stated.unwrap_or_else(estimated),
        output_tokens: output_tokens.filter(|&tokens| tokens > 0).unwrap_or(DEFAULT_OUTPUT_TOKENS),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use expect_test::{Expect, expect};

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "an expectation is written at the call")]
    #[track_caller]
    fn check(lines: &str, expected: Expect) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(lines.as_bytes()).unwrap();
        let shown = match load(file.path()) {
            Ok(prompts) => {
                let lines = prompts.iter().map(|prompt| {
                    let mut text = Vec::new();
                    prompt.text.write(&mut text);
                    let text = String::from_utf8(text).unwrap();
                    format!("{} -> {}: {text}", prompt.input_tokens, prompt.output_tokens)
                });
                lines.collect::<Vec<_>>().join("\n")
            }
            Err(error) => error.to_string().replace(&*file.path().to_string_lossy(), "FILE"),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn both_shapes_of_lines_are_read() {
        check(
            r#"{"input":{"messages":[{"role":"user","content":"first"},{"role":"user","content":"last"},{"role":"assistant","content":"no"}],"max_tokens":7,"num_tokens":3}}

{"prompt":"four chars each","expected_output_len":9}
{"prompt":"x","max_tokens":5,"prompt_len":11}
{"other":1}
{"prompt":""}
{"input":{"messages":[{"role":"system","content":"rules"}]}}
"#,
            expect![[r#"
                3 -> 7: "last"
                3 -> 9: "four chars each"
                11 -> 5: "x"
                1 -> 128: "rules""#]],
        );
    }

    #[test]
    fn a_line_that_is_no_json_is_named() {
        check(
            "{\"prompt\":\"x\"}\n{\"prompt\"\n",
            expect!["`FILE`, line 2: EOF while parsing an object at line 1 column 9"],
        );
        check(
            "\n\n",
            expect![[
                r#"`FILE` holds no prompt; a line must be `{"prompt": …}` or `{"input": {"messages": …}}`"#
            ]],
        );
    }

    #[test]
    fn the_order_is_that_of_python() {
        let prompts: Vec<Prompt> = (0..10)
            .map(|number| Prompt { text: PromptText::from_text(""), input_tokens: number, output_tokens: 1 })
            .collect();
        let chosen: Vec<u32> = choose(&prompts, 4, 0).iter().map(|prompt| prompt.input_tokens).collect();
        assert_eq!(chosen, [7, 8, 1, 5]);
    }
}
