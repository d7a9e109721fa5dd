//! What a run sends: the data set and the tokenizer, read once, and the prompts of each point.

use std::{
    collections::HashMap,
    panic,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{BenchConfig, Dataset},
    custom,
    engine::Session,
    numpy::NumpyRandom,
    prompts::{ASSUMED_VOCAB_SIZE, Prompt, PromptText, RandomDraws, Run, share},
    sharegpt,
    tokenizer::{Tokenizer, TokenizerError, tokenizer_file},
    trace::{self, TraceSession},
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
    /// The trace holds no request.
    #[error("`{path}` holds no request; a line must be `{{\"input_length\": …, \"output_length\": …}}`")]
    EmptyTrace {
        /// The file.
        path: PathBuf,
    },
    /// The file holds no conversation.
    #[error("`{path}` holds no conversation in which a person speaks first and a model answers")]
    NoConversation {
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
    /// Where the prompts come from, for the result.
    source: String,
    vocab_size: u32,
    chat_overhead: u32,
    content: Content,
}

/// What was read of the data set's file.
enum Content {
    /// There is none: everything is drawn.
    Drawn,
    Prompts(Vec<Prompt>),
    Trace(Vec<TraceSession>),
    Conversations(Vec<Vec<sharegpt::Turn>>),
}

/// The prompts of one point, drawn but not all written out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    pub(crate) drafts: Vec<Draft>,
    /// Before each request, how long its session waits after the end of the one before.
    pub(crate) pauses: Vec<Duration>,
    pub(crate) sessions: Vec<Session>,
    /// When each session started when it was recorded.
    pub(crate) recorded: Vec<Duration>,
}

/// One prompt.
#[derive(Debug, Clone)]
pub(crate) enum Draft {
    Done(Prompt),
    /// Token ids, of which text is to be made where there is a tokenizer.
    Runs {
        runs: Box<[Run]>,
        input_tokens: u32,
        output_tokens: u32,
    },
    /// Text whose tokens are to be counted where there is a tokenizer.
    Text {
        text: String,
        answer: Option<String>,
        output_tokens: Option<u32>,
    },
}

impl Script {
    /// Adds a session of these requests.
    fn add(&mut self, turns: impl IntoIterator<Item = (Draft, Duration)>, recorded: Duration) {
        let first = self.drafts.len();
        for (draft, pause) in turns {
            self.drafts.push(draft);
            self.pauses.push(pause);
        }
        self.sessions.push(Session { first, turns: self.drafts.len() - first });
        self.recorded.push(recorded);
    }

    fn of_single(drafts: impl IntoIterator<Item = Draft>) -> Self {
        let mut script = Self::default();
        for draft in drafts {
            script.add([(draft, Duration::ZERO)], Duration::ZERO);
        }
        script
    }
}

impl<'a> Workload<'a> {
    /// Reads what `config` names.
    pub(crate) fn load(config: &'a BenchConfig) -> Result<Self, WorkloadError> {
        let mut it = Self {
            config,
            tokenizer: None,
            source: "text of the data set".to_owned(),
            vocab_size: config.vocab_size.unwrap_or(ASSUMED_VOCAB_SIZE).max(1),
            chat_overhead: 0,
            content: Content::Drawn,
        };
        match &config.dataset {
            Dataset::Custom { path } => it.content = Content::Prompts(custom::load(path)?),
            Dataset::Random { isl, .. } | Dataset::SharedPrefix { isl, .. } => {
                it.load_tokenizer(Some(*isl))?;
            }
            Dataset::Trace { path } => {
                it.load_tokenizer(None)?;
                it.content = Content::Trace(trace::load(path, it.vocab_size)?);
            }
            Dataset::ShareGpt { path, .. } => {
                it.load_tokenizer(None)?;
                it.source = match &it.tokenizer {
                    Some(_) => "text of the data set, counted by the tokenizer".to_owned(),
                    None => "text of the data set, four characters counted as a token".to_owned(),
                };
                it.content = Content::Conversations(sharegpt::load(path)?);
            }
        }
        Ok(it)
    }

    fn load_tokenizer(&mut self, isl: Option<u32>) -> Result<(), WorkloadError> {
        let config = self.config;
        let Some(path) = &config.tokenizer else {
            "token ids, because no tokenizer was given".clone_into(&mut self.source);
            return Ok(());
        };
        let file = tokenizer_file(path);
        if !file.is_file() {
            self.source = format!("token ids, because there is no `{}`", file.display());
            self.vocab_size =
                config.vocab_size.or_else(|| vocab_size_of_model(path)).unwrap_or(ASSUMED_VOCAB_SIZE).max(1);
            return Ok(());
        }
        let tokenizer = Tokenizer::load(&file, config.use_chat_template)?;
        self.source = format!("text of exact length by `{}`", file.display());
        self.vocab_size = config.vocab_size.unwrap_or_else(|| tokenizer.vocab_size()).max(1);
        self.chat_overhead = tokenizer.chat_overhead()?;
        if let Some(isl) = isl.filter(|&isl| self.chat_overhead >= isl) {
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

    /// Draws so many prompts, or all there are.
    pub(crate) fn draw(&self, count: u32, random: &mut NumpyRandom) -> Script {
        match (&self.config.dataset, &self.content) {
            (_, Content::Prompts(prompts)) => Script::of_single(
                custom::choose(prompts, count, self.config.seed).into_iter().map(Draft::Done),
            ),
            (_, Content::Trace(sessions)) => draw_trace(sessions, count as usize),
            (Dataset::ShareGpt { output_tokens, multi_turn, .. }, Content::Conversations(all)) => {
                draw_conversations(all, count as usize, *output_tokens, *multi_turn)
            }
            (&Dataset::SharedPrefix { isl, osl, prefix_ratio, num_prefixes }, _) => {
                self.draw_shared_prefixes(count, isl, osl, prefix_ratio, num_prefixes, random)
            }
            (&Dataset::Random { isl, osl, range_ratio }, _) => {
                let input = isl - self.chat_overhead;
                let draws = RandomDraws::draw(count, input, osl, range_ratio, self.vocab_size, random);
                Script::of_single((0..draws.offsets.len()).map(|index| {
                    let length = draws.input_lengths[index];
                    Draft::Runs {
                        runs: [Run::consecutive(draws.first_id(index, self.vocab_size), length)].into(),
                        input_tokens: length,
                        output_tokens: draws.output_lengths[index],
                    }
                }))
            }
            // Content is read for these data sets and for no others.
            (Dataset::Custom { .. } | Dataset::Trace { .. } | Dataset::ShareGpt { .. }, _) => {
                Script::default()
            }
        }
    }

    fn draw_shared_prefixes(
        &self,
        count: u32,
        isl: u32,
        osl: u32,
        prefix_ratio: f64,
        num_prefixes: u32,
        random: &mut NumpyRandom,
    ) -> Script {
        let input = isl - self.chat_overhead;
        let prefix = share(input, prefix_ratio);
        let last_id = self.vocab_size - 1;
        let firsts: Vec<u32> = (0..num_prefixes.max(1)).map(|_| random.integer(0, last_id)).collect();
        let last = u32::try_from(firsts.len() - 1).expect("there are as many as a u32 can count");
        Script::of_single((0..count).map(|_| {
            let common = firsts[random.integer(0, last) as usize];
            // A stride of its own keeps the rest from running into another prompt's.
            let rest = Run {
                first: random.integer(0, last_id),
                stride: 1 + random.integer(0, last_id),
                length: input - prefix,
            };
            Draft::Runs {
                runs: [Run::consecutive(common, prefix), rest].into(),
                input_tokens: input,
                output_tokens: osl,
            }
        }))
    }

    /// Writes out one prompt.
    pub(crate) fn finish(&self, draft: &Draft) -> Result<Prompt, WorkloadError> {
        self.finish_with(draft, &mut HashMap::new())
    }

    fn finish_with(&self, draft: &Draft, blocks: &mut Blocks) -> Result<Prompt, WorkloadError> {
        match (draft, &self.tokenizer) {
            (Draft::Done(prompt), _) => Ok(prompt.clone()),
            (Draft::Runs { runs, input_tokens, output_tokens }, None) => Ok(Prompt {
                text: PromptText::Ids { runs: runs.clone(), vocab_size: self.vocab_size },
                input_tokens: *input_tokens,
                output_tokens: *output_tokens,
            }),
            (Draft::Runs { runs, input_tokens, output_tokens }, Some(tokenizer)) => {
                let text = match &**runs {
                    [run] => tokenizer.text_of_run(*run, self.vocab_size),
                    // A block that other prompts share must read the same in all of them.
                    runs => {
                        let mut joined = String::new();
                        for &run in runs {
                            let text = || tokenizer.text_of_run(run, self.vocab_size).text;
                            joined.push_str(blocks.entry(run).or_insert_with(text));
                        }
                        tokenizer.fit(joined, *input_tokens)
                    }
                };
                let input_tokens = text.tokens + self.chat_overhead;
                let text = PromptText::from_text(&tokenizer.wrap(text.text)?);
                Ok(Prompt { text, input_tokens, output_tokens: *output_tokens })
            }
            (Draft::Text { text, answer, output_tokens }, tokenizer) => {
                let count = |text: &str| match tokenizer {
                    Some(tokenizer) => tokenizer.count(text),
                    None => u32::try_from(text.chars().count() / 4).unwrap_or(u32::MAX),
                };
                let output_tokens =
                    output_tokens.or_else(|| answer.as_deref().map(count)).unwrap_or_default().max(1);
                let input_tokens = count(text) + self.chat_overhead;
                let wrapped = match tokenizer {
                    Some(tokenizer) => tokenizer.wrap(text.clone())?,
                    None => text.clone(),
                };
                Ok(Prompt { text: PromptText::from_text(&wrapped), input_tokens, output_tokens })
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
                let mut blocks = Blocks::new();
                loop {
                    let start = next.fetch_add(BATCH, Ordering::Relaxed);
                    if start >= drafts.len() || cancel.is_cancelled() {
                        return Ok(parts);
                    }
                    let batch = &drafts[start..drafts.len().min(start + BATCH)];
                    let finished = batch.iter().map(|draft| self.finish_with(draft, &mut blocks));
                    parts.push((start, finished.collect::<Result<Vec<_>, _>>()?));
                }
            };
            let others: Vec<_> =
                (1..threads.min(drafts.len() / BATCH + 1)).map(|_| scope.spawn(work)).collect();
            let mut all = vec![work()];
            for other in others {
                all.push(other.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked)));
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

/// Text of runs that several prompts share.
type Blocks = HashMap<Run, String>;

fn draw_trace(sessions: &[TraceSession], count: usize) -> Script {
    let mut script = Script::default();
    for session in sessions {
        let room = count - script.drafts.len();
        if room == 0 {
            break;
        }
        let turns = session.turns.iter().take(room).map(|turn| {
            let draft = Draft::Runs {
                runs: turn.runs.clone(),
                input_tokens: turn.input_tokens,
                output_tokens: turn.output_tokens,
            };
            (draft, turn.pause)
        });
        script.add(turns, session.start);
    }
    script
}

fn draw_conversations(
    conversations: &[Vec<sharegpt::Turn>],
    count: usize,
    output_tokens: Option<u32>,
    multi_turn: bool,
) -> Script {
    let mut script = Script::default();
    for turns in conversations {
        let room = count - script.drafts.len();
        if room == 0 {
            break;
        }
        let turns = turns.iter().take(if multi_turn { room } else { 1 }).map(|turn| {
            let text = turn.prompt.clone();
            let draft = Draft::Text { text, answer: Some(turn.answer.clone()), output_tokens };
            (draft, Duration::ZERO)
        });
        script.add(turns, Duration::ZERO);
    }
    script
}

/// What `config.json` of a model says about its vocabulary.
fn vocab_size_of_model(path: &Path) -> Option<u32> {
    #[derive(Deserialize)]
    struct ModelConfig {
        vocab_size: Option<u32>,
    }
    let text = std::fs::read(path.join("config.json")).ok()?;
    serde_json::from_slice::<ModelConfig>(&text).ok()?.vocab_size
}
