//! The model's own tokenizer: prompts of an exact number of tokens, and the chat template.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use minijinja::{Environment, ErrorKind, Value, context, syntax::SyntaxConfig};
use serde::Deserialize;

use crate::prompts::Run;

/// Words whose tokens are remembered; prompts of one vocabulary repeat their words.
const CACHED_WORDS: usize = 1 << 17;
/// One token in nearly every vocabulary.
const FILLER: &str = " a";
/// Tokens of the pieces that are looked at to see whether pieces keep their length.
const PROBE_TOKENS: u32 = 2048;
/// After so many corrections a length counts as out of reach.
const MAX_CORRECTIONS: u32 = 8;

/// A tokenizer that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// A file cannot be read.
    #[error("failed to read `{path}`: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("`{path}` is no tokenizer: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// There is no chat template.
    #[error("`{path}` holds no `chat_template`; turn the chat template off, or add the model's own")]
    NoChatTemplate {
        /// The file.
        path: PathBuf,
    },
    /// The chat template fails.
    #[error("the chat template of `{path}` fails: {source}")]
    ChatTemplate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: minijinja::Error,
    },
}

/// The model's own tokenizer.
pub(crate) struct Tokenizer {
    inner: tokenizers::Tokenizer,
    chat: Option<ChatTemplate>,
    /// Made when the first prompt is; `None` where pieces of it do not keep their length.
    cycle: OnceLock<Option<Cycle>>,
}

/// The words of the whole vocabulary, twice, read into tokens once. A tokenizer reads text word by word, so a
/// piece of it that starts and ends between words has the tokens it has here, and need not be read again.
struct Cycle {
    tokens: Vec<u32>,
    /// Where words start, in ascending order.
    word_starts: Vec<usize>,
}

struct ChatTemplate {
    path: PathBuf,
    environment: Environment<'static>,
    bos_token: Value,
    eos_token: Value,
}

#[derive(Deserialize)]
struct TokenizerConfig {
    #[serde(default)]
    chat_template: Option<serde_json::Value>,
    #[serde(default)]
    bos_token: Option<serde_json::Value>,
    #[serde(default)]
    eos_token: Option<serde_json::Value>,
}

/// Text of a known number of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) tokens: u32,
}

/// Where the tokenizer of a model lies: the file itself, or a file in the folder.
pub(crate) fn tokenizer_file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("tokenizer.json") } else { path.to_owned() }
}

impl Tokenizer {
    /// Reads `tokenizer.json`, and beside it the chat template if one is wanted.
    pub(crate) fn load(file: &Path, with_chat_template: bool) -> Result<Self, TokenizerError> {
        let malformed = |reason: String| TokenizerError::Malformed { path: file.to_owned(), reason };
        let bytes = read(file)?;
        let mut inner =
            tokenizers::Tokenizer::from_bytes(&bytes).map_err(|error| malformed(error.to_string()))?;
        // Lengths are asked for, so nothing in the file may cut or fill them.
        inner.with_truncation(None).map_err(|error| malformed(error.to_string()))?.with_padding(None);
        let mut model = inner.get_model().clone();
        model.resize_cache(CACHED_WORDS);
        inner.with_model(model);
        let chat = if with_chat_template { Some(ChatTemplate::load(file)?) } else { None };
        Ok(Self { inner, chat, cycle: OnceLock::new() })
    }

    /// Ids below this number may be sent.
    pub(crate) fn vocab_size(&self) -> u32 {
        u32::try_from(self.inner.get_vocab_size(false)).unwrap_or(u32::MAX)
    }

    /// How many tokens `text` has.
    pub(crate) fn count(&self, text: &str) -> u32 {
        u32::try_from(self.encode(text).len()).unwrap_or(u32::MAX)
    }

    /// Tokens that the chat template adds to a message; zero without one.
    pub(crate) fn chat_overhead(&self) -> Result<u32, TokenizerError> {
        match &self.chat {
            Some(chat) => Ok(self.count(&chat.render("a")?).saturating_sub(1)),
            None => Ok(0),
        }
    }

    /// Text of the tokens from around the ids of `run`, of which it has as many.
    pub(crate) fn text_of_run(&self, run: Run, vocab_size: u32) -> Text {
        let cycle = self.cycle.get_or_init(|| self.make_cycle(vocab_size)).as_ref();
        cycle
            .and_then(|cycle| self.piece_of(cycle, run, vocab_size))
            .unwrap_or_else(|| self.text_of_ids(run, vocab_size))
    }

    fn make_cycle(&self, vocab_size: u32) -> Option<Cycle> {
        let mut text = String::new();
        for id in (0..vocab_size).chain(0..vocab_size) {
            let piece = self.inner.decode(&[id], true).unwrap_or_default();
            // Parts of characters are no words, and special tokens mean something to the server.
            if !piece.trim().is_empty() && !piece.contains(char::REPLACEMENT_CHARACTER) {
                text.push(' ');
                text.push_str(piece.trim());
            }
        }
        let encoding = self.inner.encode(text, false).ok()?;
        let words = encoding.get_word_ids();
        let is_start = |&at: &usize| at == 0 || words[at].is_none() || words[at] != words[at - 1];
        let word_starts = (0..words.len()).filter(is_start).collect();
        let cycle = Cycle { tokens: encoding.get_ids().to_vec(), word_starts };
        // What holds for words of every tokenizer in use is looked at all the same.
        let keeps_length = |share: u32| {
            let run = Run::consecutive(vocab_size / 7 * share, (vocab_size / 4).clamp(1, PROBE_TOKENS));
            let text = self.piece_of(&cycle, run, vocab_size);
            text.is_some_and(|text| self.count(&text.text) == run.length)
        };
        (0..7).all(keeps_length).then_some(cycle)
    }

    /// `None` where the piece would be longer than the text is.
    fn piece_of(&self, cycle: &Cycle, run: Run, vocab_size: u32) -> Option<Text> {
        let half = cycle.tokens.len() as u64 / 2;
        // Runs that differ in their stride alone must not be the same piece.
        let position = u64::from(run.first) + u64::from(run.stride - 1) * 7919;
        let near = position % u64::from(vocab_size.max(1)) * half / u64::from(vocab_size.max(1));
        let near = usize::try_from(near).ok()?;
        let first_word = cycle.word_starts.partition_point(|&start| start < near);
        let start = *cycle.word_starts.get(first_word)?;
        let end = start + run.length as usize;
        if end >= cycle.tokens.len() {
            return None;
        }
        let last_word = cycle.word_starts.partition_point(|&start| start <= end);
        let last = cycle.word_starts[last_word - 1];
        let mut text = self.decode(&cycle.tokens[start..last]);
        text.push_str(&FILLER.repeat(end - last));
        Some(Text { text, tokens: run.length })
    }

    /// Text that starts like the ids of `run` and has as many tokens.
    ///
    /// Text of that many ids rarely has that many tokens when it is read again: pieces merge. It is cut or
    /// extended until it has; what it has in the end is told.
    fn text_of_ids(&self, run: Run, vocab_size: u32) -> Text {
        let wanted = run.length as usize;
        let ids = |count: usize| -> Vec<u32> { run.ids(vocab_size).take(count).collect() };
        let mut count = wanted;
        let mut tokens = self.encode(&self.decode(&ids(count)));
        for _ in 0..MAX_CORRECTIONS {
            if tokens.len() >= wanted {
                break;
            }
            count += (wanted - tokens.len()) * 3 / 2 + 8;
            tokens = self.encode(&self.decode(&ids(count)));
        }
        self.cut(&tokens, wanted)
    }

    /// `text`, cut or extended to so many tokens.
    pub(crate) fn fit(&self, text: String, length: u32) -> Text {
        let tokens = self.encode(&text);
        if tokens.len() == length as usize {
            return Text { text, tokens: length };
        }
        self.cut(&tokens, length as usize)
    }

    /// Text of the first `wanted` of `tokens`.
    fn cut(&self, tokens: &[u32], wanted: usize) -> Text {
        // A cut may split a character, or join what it left apart, so the count is taken from the text itself.
        let mut keep = wanted.min(tokens.len());
        let mut text = self.decode(&tokens[..keep]);
        let mut got = self.encode(&text).len();
        for _ in 0..MAX_CORRECTIONS {
            if got <= wanted || keep == 0 {
                break;
            }
            keep = keep.saturating_sub(got - wanted);
            text = self.decode(&tokens[..keep]);
            got = self.encode(&text).len();
        }
        for _ in 0..MAX_CORRECTIONS {
            if got >= wanted {
                break;
            }
            text.push_str(&FILLER.repeat(wanted - got));
            got = self.encode(&text).len();
        }
        Text { text, tokens: u32::try_from(got).unwrap_or(u32::MAX) }
    }

    /// `text` as the one message of a user, wrapped in the chat template; as it is without one.
    pub(crate) fn wrap(&self, text: String) -> Result<String, TokenizerError> {
        match &self.chat {
            Some(chat) => chat.render(&text),
            None => Ok(text),
        }
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        // A tokenizer that has been read can only fail on input that is no text.
        self.inner
            .encode_fast(text, false)
            .map_or_else(|_| Vec::new(), |encoding| encoding.get_ids().to_vec())
    }

    fn decode(&self, ids: &[u32]) -> String {
        self.inner.decode(ids, false).unwrap_or_default()
    }
}

impl ChatTemplate {
    fn load(tokenizer: &Path) -> Result<Self, TokenizerError> {
        let path = tokenizer.with_file_name("tokenizer_config.json");
        let config: TokenizerConfig = serde_json::from_slice(&read(&path)?)
            .map_err(|error| TokenizerError::Malformed { path: path.clone(), reason: error.to_string() })?;
        let beside = tokenizer.with_file_name("chat_template.jinja");
        let template = match config.chat_template {
            Some(serde_json::Value::String(template)) => Some(template),
            // Several templates by name; `default` is the one for plain messages.
            Some(serde_json::Value::Array(named)) => named
                .iter()
                .find(|entry| entry["name"] == "default")
                .and_then(|entry| entry["template"].as_str().map(str::to_owned)),
            _ => fs::read_to_string(beside).ok(),
        };
        let Some(template) = template else { return Err(TokenizerError::NoChatTemplate { path }) };
        let mut environment = Environment::new();
        // As the library that these templates are written for sets up its own engine.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.expect("the delimiters are those that Jinja starts with"));
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |text: String| -> Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, text))
        });
        environment
            .add_template_owned("chat", template)
            .map_err(|source| TokenizerError::ChatTemplate { path: path.clone(), source })?;
        Ok(Self {
            path,
            environment,
            bos_token: special_token(config.bos_token),
            eos_token: special_token(config.eos_token),
        })
    }

    fn render(&self, text: &str) -> Result<String, TokenizerError> {
        let failed = |source| TokenizerError::ChatTemplate { path: self.path.clone(), source };
        let template = self.environment.get_template("chat").map_err(failed)?;
        template
            .render(context! {
                messages => [context! { role => "user", content => text }],
                add_generation_prompt => true,
                bos_token => self.bos_token.clone(),
                eos_token => self.eos_token.clone(),
            })
            .map_err(failed)
    }
}

/// A special token is text, or an object with the text in it.
fn special_token(token: Option<serde_json::Value>) -> Value {
    match token {
        Some(serde_json::Value::String(text)) => Value::from(text),
        Some(object) => object["content"].as_str().map_or(Value::UNDEFINED, Value::from),
        None => Value::UNDEFINED,
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TokenizerError> {
    fs::read(path).map_err(|source| TokenizerError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tokenizer")
    }

    #[test]
    fn a_prompt_has_the_length_that_was_asked_for() {
        let tokenizer = Tokenizer::load(&tokenizer_file(&fixture()), false).unwrap();
        let vocab_size = tokenizer.vocab_size();
        for (first, length) in [(0, 1), (5, 7), (300, 64), (511, 100), (400, 1000), (17, 30_000)] {
            let run = Run::consecutive(first, length);
            for text in [tokenizer.text_of_run(run, vocab_size), tokenizer.text_of_ids(run, vocab_size)] {
                assert_eq!(text.tokens, length, "from {first}");
                assert_eq!(tokenizer.count(&text.text), length, "{}", text.text);
            }
        }
        assert!(tokenizer.cycle.get().is_some_and(Option::is_some), "pieces keep their length");
    }

    #[test]
    fn the_chat_template_is_rendered_and_counted() {
        let tokenizer = Tokenizer::load(&tokenizer_file(&fixture()), true).unwrap();
        assert_eq!(tokenizer.wrap("hi".to_owned()).unwrap(), "<s>[user]hi</s>\n[assistant]");
        let overhead = tokenizer.chat_overhead().unwrap();
        assert_eq!(tokenizer.count("<s>[user]a</s>\n[assistant]"), overhead + 1);
    }

    #[test]
    fn what_is_missing_or_broken_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokenizer.json");
        let message = |with_chat_template| {
            let error = Tokenizer::load(&file, with_chat_template).err().unwrap().to_string();
            error.replace(&*folder.path().to_string_lossy(), "DIR")
        };
        assert_eq!(
            message(false),
            "failed to read `DIR/tokenizer.json`: No such file or directory (os error 2)"
        );
        fs::write(&file, "{}").unwrap();
        assert!(message(false).starts_with("`DIR/tokenizer.json` is no tokenizer: "), "{}", message(false));
        fs::copy(fixture().join("tokenizer.json"), &file).unwrap();
        fs::write(folder.path().join("tokenizer_config.json"), "{}").unwrap();
        assert!(message(true).contains("holds no `chat_template`"), "{}", message(true));
    }
}
