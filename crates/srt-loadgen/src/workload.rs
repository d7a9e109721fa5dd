//! What a run sends: the data set and the tokenizer, read once, and the prompts of each point.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{BenchConfig, Dataset},
    custom,
    numpy::NumpyRandom,
    prompts::{ASSUMED_VOCAB_SIZE, Prompt, PromptText, RandomDraws},
    tokenizer::{Tokenizer, TokenizerError, tokenizer_file},
};

/// A data set that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// The file cannot be read.
    #[error("failed to read the data set `{path}`: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line cannot be read.
    #[error("`{path}`, line {line}: {reason}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1 on.
        line: usize,
        /// Why.
        reason: String,
    },
    /// The file holds no prompt.
    #[error(
        "`{path}` holds no prompt; a line must be `{{\"prompt\": …}}` or `{{\"input\": {{\"messages\": …}}}}`"
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The tokenizer cannot be used.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The chat template alone is longer than the input.
    #[error("an input of {isl} tokens leaves no room for a prompt: the chat template alone has {overhead}")]
    NoRoom {
        /// Longest input in tokens.
        isl: u32,
        /// Tokens of the chat template.
        overhead: u32,
    },
}

/// What a run sends.
pub(crate) struct Workload<'a> {
    config: &'a BenchConfig,
    tokenizer: Option<Tokenizer>,
    /// Where the prompts of a random data set come from, for the result.
    source: String,
    vocab_size: u32,
    chat_overhead: u32,
    /// The prompts of a file.
    of_file: Vec<Prompt>,
}

/// The prompts of one point, drawn but not all written out.
#[derive(Debug, Clone)]
pub(crate) enum Draft {
    Done(Prompt),
    /// Text is still to be made.
    Text {
        first: u32,
        length: u32,
        output_tokens: u32,
    },
}

impl<'a> Workload<'a> {
    /// Reads what `config` names.
    pub(crate) fn load(config: &'a BenchConfig) -> Result<Self, WorkloadError> {
        let mut it = Self {
            config,
            tokenizer: None,
            source: String::new(),
            vocab_size: config.vocab_size.unwrap_or(ASSUMED_VOCAB_SIZE),
            chat_overhead: 0,
            of_file: Vec::new(),
        };
        match &config.dataset {
            Dataset::Custom { path } => {
                it.of_file = custom::load(path)?;
                "text of the data set".clone_into(&mut it.source);
            }
            Dataset::Random { isl, .. } => it.load_tokenizer(*isl)?,
        }
        Ok(it)
    }

    fn load_tokenizer(&mut self, isl: u32) -> Result<(), WorkloadError> {
        let config = self.config;
        let Some(path) = &config.tokenizer else {
            "token ids, because no tokenizer was given".clone_into(&mut self.source);
            return Ok(());
        };
        let file = tokenizer_file(path);
        if !file.is_file() {
            self.source = format!("token ids, because there is no `{}`", file.display());
            self.vocab_size =
                config.vocab_size.or_else(|| vocab_size_of_model(path)).unwrap_or(ASSUMED_VOCAB_SIZE);
            return Ok(());
        }
        let tokenizer = Tokenizer::load(&file, config.use_chat_template)?;
        self.source = format!("text of exact length by `{}`", file.display());
        self.vocab_size = config.vocab_size.unwrap_or_else(|| tokenizer.vocab_size()).max(1);
        self.chat_overhead = tokenizer.chat_overhead()?;
        if self.chat_overhead >= isl {
            return Err(WorkloadError::NoRoom { isl, overhead: self.chat_overhead });
        }
        self.tokenizer = Some(tokenizer);
        Ok(())
    }

    /// Where prompts come from, for the result.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Whether the chat template is part of the prompts.
    pub(crate) fn has_chat_template(&self) -> bool {
        self.config.use_chat_template && self.tokenizer.is_some()
    }

    /// Draws so many prompts.
    pub(crate) fn draw(&self, count: u32, random: &mut NumpyRandom) -> Vec<Draft> {
        match self.config.dataset {
            Dataset::Custom { .. } => {
                custom::choose(&self.of_file, count, self.config.seed).into_iter().map(Draft::Done).collect()
            }
            Dataset::Random { isl, osl, range_ratio } => {
                let input = isl - self.chat_overhead;
                let draws = RandomDraws::draw(count, input, osl, range_ratio, self.vocab_size, random);
                if self.tokenizer.is_none() {
                    return draws.into_id_prompts(self.vocab_size).into_iter().map(Draft::Done).collect();
                }
                (0..draws.offsets.len())
                    .map(|index| Draft::Text {
                        first: draws.first_id(index, self.vocab_size),
                        length: draws.input_lengths[index],
                        output_tokens: draws.output_lengths[index],
                    })
                    .collect()
            }
        }
    }

    /// Writes out one prompt.
    pub(crate) fn finish(&self, draft: &Draft) -> Result<Prompt, WorkloadError> {
        match (draft, &self.tokenizer) {
            (Draft::Done(prompt), _) => Ok(prompt.clone()),
            (&Draft::Text { first, length, output_tokens }, Some(tokenizer)) => {
                let text = tokenizer.text_of_length(first, length, self.vocab_size);
                let input_tokens = text.tokens + self.chat_overhead;
                let text = PromptText::from_text(&tokenizer.wrap(text.text)?);
                Ok(Prompt { text, input_tokens, output_tokens })
            }
            (&Draft::Text { first, length, output_tokens }, None) => {
                let text = PromptText::Ids { first, length, vocab_size: self.vocab_size };
                Ok(Prompt { text, input_tokens: length, output_tokens })
            }
        }
    }

    /// Writes out all prompts on so many threads. `None` if `cancel` came first.
    pub(crate) fn finish_all(
        &self,
        drafts: &[Draft],
        threads: usize,
        cancel: &CancellationToken,
    ) -> Option<Result<Vec<Prompt>, WorkloadError>> {
        const BATCH: usize = 16;
        let next = AtomicUsize::new(0);
        let parts = thread::scope(|scope| {
            let work = || {
                let mut parts = Vec::new();
                loop {
                    let start = next.fetch_add(BATCH, Ordering::Relaxed);
                    if start >= drafts.len() || cancel.is_cancelled() {
                        return Ok(parts);
                    }
                    let batch = &drafts[start..drafts.len().min(start + BATCH)];
                    let prompts =
                        batch.iter().map(|draft| self.finish(draft)).collect::<Result<Vec<_>, _>>()?;
                    parts.push((start, prompts));
                }
            };
            let others: Vec<_> =
                (1..threads.min(drafts.len() / BATCH + 1)).map(|_| scope.spawn(work)).collect();
            let mut all = vec![work()];
            for other in others {
                all.push(other.join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked)));
            }
            all.into_iter().collect::<Result<Vec<Vec<_>>, WorkloadError>>()
        });
        if cancel.is_cancelled() {
            return None;
        }
        Some(parts.map(|parts| {
            let mut parts: Vec<(usize, Vec<Prompt>)> = parts.into_iter().flatten().collect();
            parts.sort_unstable_by_key(|&(start, _)| start);
            parts.into_iter().flat_map(|(_, prompts)| prompts).collect()
        }))
    }
}

/// What `config.json` of a model says about its vocabulary.
fn vocab_size_of_model(path: &Path) -> Option<u32> {
    #[derive(Deserialize)]
    struct ModelConfig {
        vocab_size: Option<u32>,
    }
    let text = std::fs::read(path.join("config.json")).ok()?;
    serde_json::from_slice::<ModelConfig>(&text).ok()?.vocab_size.filter(|&size| size > 0)
}
