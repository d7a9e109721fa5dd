//! The HTTP surface of an engine: that of an SGLang worker.

use std::{
    ops::Range,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body as HttpBody, Frame, Incoming},
    header::HeaderValue,
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use srt_topology::Role;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use super::{
    config::EngineConfig,
    log::disaggregation_mode,
    metrics,
    scheduler::{Model, Scheduler, seconds},
    wire::{Answer, Api, FinishReason, GenerationRequest, Update},
    worker::{Command, Generate, Phase, Snapshot},
};
use crate::{
    fault::Fault,
    http::{self, Body, BoxError},
};

/// `/health_generate` of a real engine gives up after this time.
const HEALTH_GENERATE_TIMEOUT: Duration = Duration::from_secs(20);

/// Answers requests; clones share everything.
#[derive(Debug, Clone)]
pub(super) struct Handler(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: EngineConfig,
    model: Model,
    started_s: i64,
    commands: mpsc::UnboundedSender<Command>,
    phase: watch::Receiver<Phase>,
    next_sequence: AtomicU64,
}

impl Handler {
    pub(super) fn new(
        config: &EngineConfig,
        commands: mpsc::UnboundedSender<Command>,
        phase: watch::Receiver<Phase>,
    ) -> Self {
        Self(Arc::new(Shared {
            config: config.clone(),
            model: Model::new(config),
            started_s: Timestamp::now().as_second(),
            commands,
            phase,
            next_sequence: AtomicU64::new(0),
        }))
    }

    pub(super) async fn handle(self, request: Request<Incoming>) -> Response<Body> {
        let shared = &*self.0;
        if *shared.phase.borrow() == Phase::Starting {
            return http::text(StatusCode::SERVICE_UNAVAILABLE, "starting");
        }
        let path = request.uri().path().to_owned();
        match (request.method(), path.as_str()) {
            (&Method::GET, "/health" | "/ping") => http::text(StatusCode::OK, ""),
            (&Method::GET, "/health_generate") => shared.health_generate().await,
            (&Method::GET, "/get_server_info" | "/server_info") => {
                shared.with_snapshot(Shared::server_info).await
            }
            (&Method::GET, "/get_model_info" | "/model_info") => {
                http::json(StatusCode::OK, &shared.model_info())
            }
            (&Method::GET, "/v1/models") => http::json(StatusCode::OK, &shared.models()),
            (&Method::GET, "/get_load") => {
                shared.with_snapshot(|_, snapshot| json!([dp_load(snapshot)])).await
            }
            (&Method::GET, "/v1/loads") => shared.with_snapshot(Shared::loads).await,
            (&Method::GET, "/metrics") => match shared.snapshot().await {
                Some(snapshot) => http::full(
                    StatusCode::OK,
                    "text/plain; version=0.0.4; charset=utf-8",
                    metrics::render(&shared.config, &snapshot).into(),
                ),
                None => stopping(),
            },
            (&Method::POST, "/v1/completions") => self.generate(Api::Completions, request).await,
            (&Method::POST, "/v1/chat/completions") => self.generate(Api::Chat, request).await,
            (&Method::POST, "/generate") => self.generate(Api::Generate, request).await,
            (&Method::POST | &Method::GET, "/flush_cache") => shared.flush_cache().await,
            (&Method::POST | &Method::GET, "/start_profile") => shared.profile(true),
            (&Method::POST | &Method::GET, "/stop_profile") => shared.profile(false),
            (&Method::POST | &Method::GET, "/slow_down") => shared.slow_down(request).await,
            _ => http::json(StatusCode::NOT_FOUND, &json!({ "detail": "Not Found" })),
        }
    }

    async fn generate(&self, api: Api, request: Request<Incoming>) -> Response<Body> {
        let shared = &*self.0;
        let header_id =
            request.headers().get("x-request-id").and_then(|it| it.to_str().ok()).map(str::to_owned);
        let body = match http::read_body(request.into_body()).await {
            Ok(body) => body,
            Err(response) => return *response,
        };
        let mut request = match GenerationRequest::read(api, &body) {
            Ok(request) => request,
            Err(message) => return bad_request(&message),
        };
        let (output_tokens, finish_reason) = shared.output_of(&request);
        if let Some(problem) = shared.problem_with(&request, output_tokens) {
            return bad_request(&problem);
        }
        let sequences = u64::try_from(request.prompts.len()).expect("a list in memory");
        let first_id = shared.next_sequence.fetch_add(sequences, Ordering::Relaxed);
        let id = header_id.or(request.request_id.take()).unwrap_or_else(|| format!("{first_id:032x}"));
        let created_s = Timestamp::now().as_second();
        let answer = Answer::new(&request, id.clone(), &shared.config.served_model_name, created_s);
        let bootstraps = (0..request.prompts.len()).map(|index| request.bootstrap(index)).collect();
        // Unbounded, but it holds at most the tokens of this request.
        let (updates, incoming) = mpsc::unbounded_channel();
        let command = Command::Generate(Generate {
            request_id: id,
            first_id,
            prompts: request.prompts,
            bootstraps,
            output_tokens,
            finish_reason,
            updates,
        });
        let guard =
            CancelGuard { sequences: first_id..first_id + sequences, commands: shared.commands.clone() };
        if shared.commands.send(command).is_err() {
            return stopping();
        }
        if request.stream {
            let body = AnswerStream { answer, incoming, _guard: guard };
            let content_type = HeaderValue::from_static("text/event-stream; charset=utf-8");
            http::reply(StatusCode::OK, content_type, body.boxed_unsync())
        } else {
            collect(answer, incoming).await
        }
    }
}

/// The reply to a client that waits for the whole answer.
async fn collect(mut answer: Answer, mut incoming: mpsc::UnboundedReceiver<Update>) -> Response<Body> {
    while !answer.is_complete() {
        match incoming.recv().await {
            Some(update) => answer.collect(update),
            None => return stopping(),
        }
    }
    http::full(StatusCode::OK, "application/json", answer.whole())
}

impl Shared {
    /// How many tokens an answer gets, and why it ends there.
    fn output_of(&self, request: &GenerationRequest) -> (u32, FinishReason) {
        if self.config.has(Fault::ZeroTokens) {
            return (0, FinishReason::Stop);
        }
        let natural = self.config.eos_after_tokens;
        let default = match request.api {
            Api::Completions => Some(16),
            Api::Generate => Some(128),
            // A chat goes on until the model stops.
            Api::Chat => None,
        };
        match request.max_tokens.or(default) {
            Some(tokens) if request.ignore_eos || tokens <= natural => (tokens, FinishReason::Length),
            Some(_) | None => (natural, FinishReason::Stop),
        }
    }

    fn problem_with(&self, request: &GenerationRequest, output_tokens: u32) -> Option<String> {
        let role = self.config.role;
        for (index, prompt) in request.prompts.iter().enumerate() {
            if !Scheduler::fits(&self.model, prompt.tokens, output_tokens) {
                return Some(format!(
                    "prompt of {} tokens and answer of {output_tokens} do not fit into the KV cache of {} tokens",
                    prompt.tokens, self.config.kv_capacity_tokens
                ));
            }
            let bootstrap = request.bootstrap(index);
            if role != Role::Agg && bootstrap.is_none() {
                return Some(format!(
                    "a {} engine needs `bootstrap_room`; ask through the router",
                    role.as_str()
                ));
            }
            if role == Role::Decode && bootstrap.is_none_or(|it| it.host.is_none()) {
                return Some("a decode engine needs `bootstrap_host`; ask through the router".to_owned());
            }
        }
        None
    }

    async fn snapshot(&self) -> Option<Snapshot> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Snapshot(reply)).ok()?;
        answer.await.ok()
    }

    async fn with_snapshot(&self, render: impl FnOnce(&Self, &Snapshot) -> Value) -> Response<Body> {
        match self.snapshot().await {
            Some(snapshot) => http::json(StatusCode::OK, &render(self, &snapshot)),
            None => stopping(),
        }
    }

    async fn health_generate(&self) -> Response<Body> {
        match timeout(HEALTH_GENERATE_TIMEOUT, self.snapshot()).await {
            Ok(Some(_)) => http::text(StatusCode::OK, ""),
            Ok(None) | Err(_) => http::text(StatusCode::SERVICE_UNAVAILABLE, ""),
        }
    }

    fn server_info(&self, snapshot: &Snapshot) -> Value {
        let config = &self.config;
        json!({
            "model_path": config.model_path, "tokenizer_path": config.model_path,
            "served_model_name": config.served_model_name, "host": config.host, "port": config.port,
            "tp_size": config.gpus, "pp_size": 1, "dp_size": 1, "ep_size": 1,
            "disaggregation_mode": disaggregation_mode(config.role),
            "disaggregation_bootstrap_port": config.bootstrap_port,
            "max_total_num_tokens": config.kv_capacity_tokens, "max_running_requests": config.max_running_requests,
            "chunked_prefill_size": config.chunked_prefill_tokens,
            "status": "ready", "version": concat!("srt-mocker ", env!("CARGO_PKG_VERSION")),
            "internal_states": [{
                "last_gen_throughput": snapshot.gen_throughput_tps,
                "load": snapshot.load.running + snapshot.load.queued,
                "memory_usage": { "token_capacity": config.kv_capacity_tokens },
            }],
        })
    }

    fn model_info(&self) -> Value {
        json!({
            "model_path": self.config.model_path, "tokenizer_path": self.config.model_path, "is_generation": true,
            "preferred_sampling_params": null, "weight_version": "default", "has_image_understanding": false,
            "has_audio_understanding": false, "model_type": "mock", "architectures": ["MockForCausalLM"],
        })
    }

    fn models(&self) -> Value {
        json!({ "object": "list", "data": [{
            "id": self.config.served_model_name, "object": "model", "created": self.started_s, "owned_by": "sglang",
            "root": self.config.served_model_name, "parent": null, "max_model_len": self.config.kv_capacity_tokens,
        }] })
    }

    fn loads(&self, snapshot: &Snapshot) -> Value {
        let load = &snapshot.load;
        json!({ "dp_rank_count": 1, "loads": [{
            "dp_rank": 0, "num_running_reqs": load.running, "num_waiting_reqs": waiting(snapshot),
            "num_used_tokens": load.used_tokens, "max_total_num_tokens": self.config.kv_capacity_tokens,
            "gen_throughput": snapshot.gen_throughput_tps, "cache_hit_rate": snapshot.cache_hit_rate,
            "max_running_requests": self.config.max_running_requests,
        }] })
    }

    async fn flush_cache(&self) -> Response<Body> {
        let (reply, answer) = oneshot::channel();
        if self.commands.send(Command::FlushCache(reply)).is_err() {
            return stopping();
        }
        match answer.await {
            Ok(true) => http::text(StatusCode::OK, "Cache flushed.\n"),
            Ok(false) => http::text(StatusCode::BAD_REQUEST, "Not flushed: there are requests.\n"),
            Err(_) => stopping(),
        }
    }

    fn profile(&self, active: bool) -> Response<Body> {
        if self.commands.send(Command::Profile { active }).is_err() {
            return stopping();
        }
        http::text(StatusCode::OK, if active { "Start profiling.\n" } else { "Stop profiling.\n" })
    }

    async fn slow_down(&self, request: Request<Incoming>) -> Response<Body> {
        #[derive(Deserialize)]
        struct SlowDown {
            forward_sleep_time: Option<f64>,
        }
        let body = match http::read_body(request.into_body()).await {
            Ok(body) => body,
            Err(response) => return *response,
        };
        let delay_s = match serde_json::from_slice::<SlowDown>(&body) {
            Ok(SlowDown { forward_sleep_time }) => forward_sleep_time.unwrap_or(0.0),
            Err(error) => return bad_request(&error.to_string()),
        };
        // The client means seconds of the clock.
        if self.commands.send(Command::SlowDown(seconds(delay_s * self.config.speedup))).is_err() {
            return stopping();
        }
        http::text(StatusCode::OK, "")
    }
}

fn dp_load(snapshot: &Snapshot) -> Value {
    let load = &snapshot.load;
    let waiting = waiting(snapshot);
    json!({ "dp_rank": 0, "num_reqs": load.running + waiting, "num_waiting_reqs": waiting, "num_tokens": load.used_tokens })
}

fn waiting(snapshot: &Snapshot) -> usize {
    snapshot.load.queued + snapshot.load.preallocating + snapshot.load.transferring
}

fn bad_request(message: &str) -> Response<Body> {
    let body = json!({ "object": "error", "message": message, "type": "BadRequestError", "param": null, "code": 400 });
    http::json(StatusCode::BAD_REQUEST, &body)
}

/// The worker task is gone, so the process is about to end.
fn stopping() -> Response<Body> {
    http::text(StatusCode::SERVICE_UNAVAILABLE, "stopping")
}

/// Tells the worker when a client went away.
#[derive(Debug)]
struct CancelGuard {
    sequences: Range<u64>,
    commands: mpsc::UnboundedSender<Command>,
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        self.commands.send(Command::Cancel(self.sequences.clone())).ok();
    }
}

/// An answer as server-sent events; all tokens that are there leave in one write.
struct AnswerStream {
    answer: Answer,
    incoming: mpsc::UnboundedReceiver<Update>,
    _guard: CancelGuard,
}

impl HttpBody for AnswerStream {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if this.answer.is_complete() {
            return Poll::Ready(None);
        }
        let mut text = String::new();
        while !this.answer.is_complete() {
            match this.incoming.poll_recv(ctx) {
                Poll::Ready(Some(update)) => this.answer.stream(update, &mut text),
                Poll::Ready(None) => return Poll::Ready(Some(Err("the engine has stopped".into()))),
                Poll::Pending => break,
            }
        }
        if text.is_empty() { Poll::Pending } else { Poll::Ready(Some(Ok(Frame::data(text.into())))) }
    }

    fn is_end_stream(&self) -> bool {
        self.answer.is_complete()
    }
}
