//! Requests and answers of the generation endpoints, as SGLang reads and writes them.

use std::fmt::Write;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::prompt::{Prompt, PromptBuilder, Prompts};

/// Which endpoint was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    /// `/v1/completions`
    Completions,
    /// `/v1/chat/completions`
    Chat,
    /// `/generate`
    Generate,
}

/// A request, whatever its endpoint.
#[derive(Debug)]
pub(crate) struct GenerationRequest {
    pub(crate) api: Api,
    /// One per choice of the answer.
    pub(crate) prompts: Vec<Prompt>,
    /// As the request says it.
    pub(crate) max_tokens: Option<u32>,
    pub(crate) ignore_eos: bool,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    pub(crate) model: Option<String>,
    pub(crate) request_id: Option<String>,
    bootstrap_host: Value,
    bootstrap_port: Value,
    bootstrap_room: Value,
}

/// The prefill engine and the room that a router chose for one choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bootstrap {
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) room: u64,
}

#[derive(Deserialize)]
struct OpenAiBody {
    model: Option<String>,
    prompt: Option<Prompts>,
    messages: Option<Vec<Message>>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    ignore_eos: Option<bool>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    n: Option<u32>,
    rid: Option<String>,
    #[serde(default)]
    bootstrap_host: Value,
    #[serde(default)]
    bootstrap_port: Value,
    #[serde(default)]
    bootstrap_room: Value,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Value,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct GenerateBody {
    text: Option<Prompts>,
    input_ids: Option<Prompts>,
    sampling_params: Option<SamplingParams>,
    stream: Option<bool>,
    rid: Option<String>,
    #[serde(default)]
    bootstrap_host: Value,
    #[serde(default)]
    bootstrap_port: Value,
    #[serde(default)]
    bootstrap_room: Value,
}

#[derive(Deserialize, Default)]
struct SamplingParams {
    max_new_tokens: Option<u32>,
    ignore_eos: Option<bool>,
}

/// More choices than this are refused: each is a stream of its own.
const MAX_CHOICES: usize = 128;

impl GenerationRequest {
    /// Reads a request body; the error is what the client is told.
    pub(crate) fn read(api: Api, body: &[u8]) -> Result<Self, String> {
        match api {
            Api::Completions | Api::Chat => Self::read_openai(api, body),
            Api::Generate => Self::read_generate(body),
        }
    }

    fn read_openai(api: Api, body: &[u8]) -> Result<Self, String> {
        let body: OpenAiBody = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let prompts = match (api, body.prompt, body.messages) {
            (Api::Chat, _, Some(messages)) if !messages.is_empty() => vec![chat_prompt(&messages)],
            (Api::Chat, ..) => return Err("`messages` is missing or empty".to_owned()),
            (_, Some(Prompts(prompts)), _) => prompts,
            (_, None, _) => return Err("`prompt` is missing".to_owned()),
        };
        let copies = body.n.map_or(1, |n| usize::try_from(n).unwrap_or(usize::MAX));
        if copies == 0 || prompts.len().saturating_mul(copies) > MAX_CHOICES {
            return Err(format!("prompts × `n` must be between 1 and {MAX_CHOICES}"));
        }
        let prompts = prompts.into_iter().flat_map(|prompt| std::iter::repeat_n(prompt, copies)).collect();
        Ok(Self {
            api,
            prompts,
            max_tokens: body.max_completion_tokens.or(body.max_tokens),
            ignore_eos: body.ignore_eos.unwrap_or(false),
            stream: body.stream.unwrap_or(false),
            include_usage: body.stream_options.and_then(|it| it.include_usage).unwrap_or(false),
            model: body.model,
            request_id: body.rid,
            bootstrap_host: body.bootstrap_host,
            bootstrap_port: body.bootstrap_port,
            bootstrap_room: body.bootstrap_room,
        })
    }

    fn read_generate(body: &[u8]) -> Result<Self, String> {
        let body: GenerateBody = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let Prompts(prompts) = body.input_ids.or(body.text).ok_or("`text` or `input_ids` is missing")?;
        if prompts.len() != 1 {
            return Err("`/generate` of this engine takes one prompt".to_owned());
        }
        let sampling = body.sampling_params.unwrap_or_default();
        Ok(Self {
            api: Api::Generate,
            prompts,
            max_tokens: sampling.max_new_tokens,
            ignore_eos: sampling.ignore_eos.unwrap_or(false),
            stream: body.stream.unwrap_or(false),
            include_usage: false,
            model: None,
            request_id: body.rid,
            bootstrap_host: body.bootstrap_host,
            bootstrap_port: body.bootstrap_port,
            bootstrap_room: body.bootstrap_room,
        })
    }

    /// What the router chose for one choice: routers send one value, or a list with one value per choice.
    pub(crate) fn bootstrap(&self, index: usize) -> Option<Bootstrap> {
        let nth = |value: &Value| match value {
            Value::Array(values) => values.get(index).cloned().unwrap_or_default(),
            value => value.clone(),
        };
        let room = nth(&self.bootstrap_room).as_u64()?;
        let offset = if self.bootstrap_room.is_array() { 0 } else { u64::try_from(index).ok()? };
        Some(Bootstrap {
            host: nth(&self.bootstrap_host).as_str().map(str::to_owned),
            port: nth(&self.bootstrap_port).as_u64().and_then(|port| port.try_into().ok()),
            room: room.wrapping_add(offset),
        })
    }
}

fn chat_prompt(messages: &[Message]) -> Prompt {
    let mut builder = PromptBuilder::new();
    for message in messages {
        match &message.content {
            Value::String(text) => builder.push_text(text),
            Value::Array(parts) => {
                parts
                    .iter()
                    .filter_map(|part| part["text"].as_str())
                    .for_each(|text| builder.push_text(text));
            }
            _ => {}
        }
    }
    builder.build()
}

/// Why a sequence ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FinishReason {
    /// It has as many tokens as were asked for.
    Length,
    /// The model ended it.
    Stop,
    /// The engine could not go on.
    Abort,
}

impl FinishReason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Stop => "stop",
            Self::Abort => "abort",
        }
    }
}

/// What happened to one choice of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Update {
    pub(crate) choice: u32,
    /// There is one more token.
    pub(crate) token: bool,
    /// No further token will come.
    pub(crate) finished: Option<FinishReason>,
}

/// An answer under way.
#[derive(Debug)]
pub(crate) struct Answer {
    api: Api,
    id: String,
    /// As JSON, quotes included.
    model: String,
    created_s: i64,
    include_usage: bool,
    choices: Vec<Choice>,
    open_choices: usize,
}

#[derive(Debug)]
struct Choice {
    prompt_tokens: u32,
    tokens: u32,
    finished: Option<FinishReason>,
}

impl Answer {
    pub(crate) fn new(
        request: &GenerationRequest,
        id: String,
        served_model_name: &str,
        created_s: i64,
    ) -> Self {
        let model = request.model.as_deref().unwrap_or(served_model_name);
        let choices: Vec<Choice> = request
            .prompts
            .iter()
            .map(|prompt| Choice { prompt_tokens: prompt.tokens, tokens: 0, finished: None })
            .collect();
        Self {
            api: request.api,
            id,
            model: Value::from(model).to_string(),
            created_s,
            include_usage: request.include_usage,
            open_choices: choices.len(),
            choices,
        }
    }

    /// Whether every choice has ended.
    pub(crate) fn is_complete(&self) -> bool {
        self.open_choices == 0
    }

    /// Takes an update in, and writes the events that a stream sends for it.
    pub(crate) fn stream(&mut self, update: Update, out: &mut String) {
        let Some(choice) = self.count(update) else { return };
        let (tokens, finished) = (choice.tokens, choice.finished.map(FinishReason::as_str));
        let index = update.choice;
        match self.api {
            Api::Completions => {
                let text = if update.token { word(tokens) } else { "" };
                self.chunk("text_completion", out, |out| {
                    write!(
                        out,
                        r#"{{"index":{index},"text":"{text}","logprobs":null,"finish_reason":{}}}"#,
                        json!(finished)
                    )
                });
            }
            Api::Chat => {
                if update.token {
                    if tokens == 1 {
                        self.chat_chunk(index, r#""role":"assistant","content":"""#, None, out);
                    }
                    self.chat_chunk(index, &format!(r#""content":"{}""#, word(tokens)), None, out);
                }
                if finished.is_some() {
                    self.chat_chunk(index, "", finished, out);
                }
            }
            Api::Generate => {
                let _ = write!(out, "data: {}\n\n", self.generated(index));
            }
        }
        if self.is_complete() {
            if self.include_usage {
                let object = if self.api == Api::Chat { "chat.completion.chunk" } else { "text_completion" };
                let usage = json!({ "id": self.id, "object": object, "created": self.created_s, "choices": [],
                    "model": self.model_name(), "usage": self.usage() });
                let _ = write!(out, "data: {usage}\n\n");
            }
            out.push_str("data: [DONE]\n\n");
        }
    }

    /// Takes an update in without writing anything.
    pub(crate) fn collect(&mut self, update: Update) {
        self.count(update);
    }

    /// The whole answer, for a client that did not ask for a stream.
    pub(crate) fn whole(&self) -> Bytes {
        if self.api == Api::Generate {
            return self.generated(0).to_string().into();
        }
        let choices: Vec<Value> = self
            .choices
            .iter()
            .enumerate()
            .map(|(index, choice)| {
                let text = text(choice.tokens);
                let reason = choice.finished.map(FinishReason::as_str);
                if self.api == Api::Chat {
                    json!({ "index": index, "message": { "role": "assistant", "content": text },
                        "logprobs": null, "finish_reason": reason })
                } else {
                    json!({ "index": index, "text": text, "logprobs": null, "finish_reason": reason })
                }
            })
            .collect();
        let object = if self.api == Api::Chat { "chat.completion" } else { "text_completion" };
        json!({ "id": self.id, "object": object, "created": self.created_s, "model": self.model_name(),
            "choices": choices, "usage": self.usage() })
        .to_string()
        .into()
    }

    fn count(&mut self, update: Update) -> Option<&Choice> {
        let choice = self.choices.get_mut(usize::try_from(update.choice).ok()?)?;
        choice.tokens += u32::from(update.token);
        if update.finished.is_some() && choice.finished.is_none() {
            choice.finished = update.finished;
            self.open_choices -= 1;
        }
        Some(choice)
    }

    fn chat_chunk(&self, index: u32, delta: &str, finish_reason: Option<&str>, out: &mut String) {
        self.chunk("chat.completion.chunk", out, |out| {
            write!(
                out,
                r#"{{"index":{index},"delta":{{{delta}}},"logprobs":null,"finish_reason":{}}}"#,
                json!(finish_reason)
            )
        });
    }

    fn chunk(&self, object: &str, out: &mut String, choice: impl FnOnce(&mut String) -> std::fmt::Result) {
        let Self { id, created_s, model, .. } = self;
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            r#"data: {{"id":"{id}","object":"{object}","created":{created_s},"model":{model},"choices":["#
        );
        let _ = choice(out);
        out.push_str("]}\n\n");
    }

    fn generated(&self, index: u32) -> Value {
        let choice = &self.choices[usize::try_from(index).expect("an index that was counted before")];
        let reason = choice.finished.map(|reason| match reason {
            FinishReason::Length => json!({ "type": "length", "length": choice.tokens }),
            FinishReason::Stop | FinishReason::Abort => json!({ "type": reason.as_str() }),
        });
        json!({ "text": text(choice.tokens), "output_ids": (1..=choice.tokens).map(token_id).collect::<Vec<_>>(),
            "meta_info": { "id": self.id, "finish_reason": reason, "prompt_tokens": choice.prompt_tokens,
                "completion_tokens": choice.tokens, "cached_tokens": 0, "weight_version": "default" } })
    }

    fn usage(&self) -> Value {
        let prompt: u64 = self.choices.iter().map(|it| u64::from(it.prompt_tokens)).sum();
        let completion: u64 = self.choices.iter().map(|it| u64::from(it.tokens)).sum();
        json!({ "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion })
    }

    fn model_name(&self) -> Value {
        serde_json::from_str(&self.model).expect("it was written by serde_json")
    }
}

/// The vocabulary: every token is one of these words.
const WORDS: [&str; 16] = [
    " the", " node", " holds", " four", " workers", " and", " each", " token", " takes", " its", " turn",
    " in", " a", " batch", " of", " many",
];

/// Text of the n-th token of an answer, counted from 1.
fn word(n: u32) -> &'static str {
    WORDS[usize::try_from(n.saturating_sub(1)).unwrap_or(0) % WORDS.len()]
}

fn token_id(n: u32) -> usize {
    1000 + usize::try_from(n.saturating_sub(1)).unwrap_or(0) % WORDS.len()
}

fn text(tokens: u32) -> String {
    (1..=tokens).map(word).collect()
}
