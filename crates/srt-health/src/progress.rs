//! What a frontend's answers say about its workers. Pure.

use std::fmt;

use serde::Deserialize;
use srt_launch::{FrontendProtocol, Readiness};

/// How much of what is waited for is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Prefill registrations.
    pub prefill: Count,
    /// Decode (or aggregated) registrations.
    pub decode: Count,
    /// The model is served, as far as this frontend must say so.
    pub model_listed: bool,
    /// Base URLs of the workers that are ready, sorted, where the frontend names them.
    pub ready: Vec<String>,
    /// Why it is not ready, for people; empty when it is.
    pub detail: String,
}

/// Registrations there are, and registrations there must be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// There are.
    pub have: u32,
    /// There must be.
    pub want: u32,
}

impl Count {
    /// At least as many as needed.
    pub fn is_reached(self) -> bool {
        self.have >= self.want
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.have, self.want)
    }
}

impl Progress {
    /// Everything that was waited for is there.
    pub fn is_ready(&self) -> bool {
        self.prefill.is_reached() && self.decode.is_reached() && self.model_listed && self.detail.is_empty()
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [("prefill", self.prefill), ("decode", self.decode)];
        let mut separator = "";
        for (role, count) in counts.into_iter().filter(|(_, count)| count.want > 0) {
            write!(f, "{separator}{role} {count}")?;
            separator = ", ";
        }
        if !self.detail.is_empty() {
            write!(f, "{separator}{}", self.detail)?;
        }
        Ok(())
    }
}

/// What came back from one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// An answer with a status and a body.
    Http {
        /// HTTP status.
        status: u16,
        /// Body.
        body: Vec<u8>,
    },
    /// No answer; why.
    None(String),
}

/// Paths that are asked, in this order, and whose answers [`frontend_progress`] takes.
pub(crate) fn paths(protocol: FrontendProtocol) -> &'static [&'static str] {
    match protocol {
        FrontendProtocol::Dynamo | FrontendProtocol::Vllm => &["/health", "/v1/models"],
        FrontendProtocol::SglangRouter => &["/workers"],
        FrontendProtocol::TrtllmServe => &["/health"],
    }
}

/// Reads the answers of one frontend: `status` is its report on workers, `models` its list of models where the
/// protocol needs one.
pub fn frontend_progress(readiness: &Readiness, status: &Answer, models: Option<&Answer>) -> Progress {
    let mut progress = Progress {
        prefill: Count { have: 0, want: readiness.prefill },
        decode: Count { have: 0, want: readiness.decode },
        model_listed: false,
        ready: Vec::new(),
        detail: String::new(),
    };
    match read(readiness, status, models, &mut progress) {
        Ok(()) if progress.prefill.is_reached() && progress.decode.is_reached() => {}
        Ok(()) => "waiting for workers to register".clone_into(&mut progress.detail),
        Err(why) => progress.detail = why,
    }
    progress
}

fn read(
    readiness: &Readiness,
    status: &Answer,
    models: Option<&Answer>,
    progress: &mut Progress,
) -> Result<(), String> {
    match readiness.protocol {
        FrontendProtocol::Dynamo => {
            // `/health` is 200 and "healthy" without any worker; only the instances tell anything. They are there
            // up to a quarter of a second before the model can be asked for, so both are needed.
            let health: DynamoHealth = json("/health", body("/health", status)?)?;
            for instance in health.instances.iter().filter(|instance| instance.endpoint == "generate") {
                match instance.component.as_str() {
                    "prefill" => progress.prefill.have += 1,
                    // A decode worker registers as `backend`, like an aggregated one; older ones by other names.
                    "backend" | "decode" | "tensorrt_llm" => progress.decode.have += 1,
                    _ => {}
                }
            }
            read_models(readiness, models, progress)
        }
        FrontendProtocol::SglangRouter => {
            // `stats` counts registered workers, dead ones too; only `is_healthy` of each worker can be believed.
            let answer: RouterWorkers = json("/workers", body("/workers", status)?)?;
            let mut unhealthy = 0_usize;
            for worker in &answer.workers {
                match (worker.is_healthy, worker.worker_type.as_str()) {
                    (false, _) => unhealthy += 1,
                    (true, "prefill") => progress.prefill.have += 1,
                    (true, "decode" | "regular") => progress.decode.have += 1,
                    (true, _) => {}
                }
            }
            let healthy = answer.workers.iter().filter(|worker| worker.is_healthy);
            progress.ready = healthy.map(|worker| worker.url.clone()).collect();
            // The router lists its workers in any order.
            progress.ready.sort_unstable();
            progress.model_listed = true;
            let complete = progress.prefill.is_reached() && progress.decode.is_reached();
            match unhealthy {
                0 => Ok(()),
                _ if complete => Ok(()),
                1 => Err("1 registered worker is not healthy".to_owned()),
                more => Err(format!("{more} registered workers are not healthy")),
            }
        }
        FrontendProtocol::TrtllmServe => {
            body("/health", status)?;
            // It answers 200 once its workers do; it has no counts of its own.
            progress.prefill.have = progress.prefill.want;
            progress.decode.have = progress.decode.want;
            progress.model_listed = true;
            Ok(())
        }
        FrontendProtocol::Vllm => {
            body("/health", status)?;
            progress.prefill.have = progress.prefill.want;
            progress.decode.have = progress.decode.want;
            read_models(readiness, models, progress)
        }
    }
}

fn read_models(
    readiness: &Readiness,
    models: Option<&Answer>,
    progress: &mut Progress,
) -> Result<(), String> {
    let missing = Answer::None("not asked".to_owned());
    let models: Models = json("/v1/models", body("/v1/models", models.unwrap_or(&missing))?)?;
    let served: Vec<&str> = models.data.iter().map(|model| model.id.as_str()).collect();
    progress.model_listed = match &readiness.model {
        Some(model) => served.contains(&model.as_str()),
        None => !served.is_empty(),
    };
    let complete = progress.prefill.is_reached() && progress.decode.is_reached();
    match &readiness.model {
        // While workers are missing, an absent model is a consequence and not worth a word.
        _ if progress.model_listed || !complete => Ok(()),
        Some(model) if !served.is_empty() => Err(format!(
            "model `{model}` is not served; the frontend lists {}",
            served.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        )),
        Some(model) => Err(format!("model `{model}` is not listed yet")),
        None => Err("no model is listed yet".to_owned()),
    }
}

fn body<'a>(path: &str, answer: &'a Answer) -> Result<&'a [u8], String> {
    match answer {
        Answer::Http { status: 200, body } => Ok(body),
        Answer::Http { status, .. } => Err(format!("`{path}` answers with status {status}")),
        Answer::None(why) => Err(why.clone()),
    }
}

fn json<'a, T: Deserialize<'a>>(path: &str, body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("the answer of `{path}` cannot be read: {error}"))
}

#[derive(Deserialize)]
struct DynamoHealth {
    instances: Vec<DynamoInstance>,
}

#[derive(Deserialize)]
struct DynamoInstance {
    #[serde(default)]
    endpoint: String,
    #[serde(default)]
    component: String,
}

#[derive(Deserialize)]
struct RouterWorkers {
    workers: Vec<RouterWorker>,
}

#[derive(Deserialize)]
struct RouterWorker {
    #[serde(default)]
    url: String,
    #[serde(default)]
    worker_type: String,
    #[serde(default)]
    is_healthy: bool,
}

#[derive(Deserialize)]
struct Models {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
}
