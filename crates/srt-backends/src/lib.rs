//! What starts one worker: SGLang, TensorRT-LLM, vLLM, and the mocker.
//!
//! A [`Backend`] says how the workers of a role are split into processes, which files they read, and the steps that
//! start them. What all engines have in common (environment, profiling prefix, KV events) is in modules of its own.

mod environment;
mod kv_events;
mod mocker;
mod profiling;
mod sglang;
mod template;
mod trtllm;
mod vllm;
mod worker;

use srt_context::Job;
use srt_launch::{PlannedFile, Step};
use srt_schema::recipe::{Engine, MooncakeStore, Recipe};
use srt_topology::{Layout, PortError, Role};

/// One engine.
pub trait Backend {
    /// Name in recipes.
    fn name(&self) -> &'static str;

    /// How the workers of a role are split into processes.
    fn layout(&self, _recipe: &Recipe, _role: Role) -> Result<Layout, BackendError> {
        Ok(Layout::PerNode)
    }

    /// The Mooncake store shared by the workers.
    fn mooncake(&self) -> Option<&MooncakeStore> {
        None
    }

    /// Whether prefill and decode may share a node although further nodes exist.
    fn may_colocate(&self, _recipe: &Recipe) -> bool {
        false
    }

    /// Files that the workers read.
    fn files(&self, _job: &Job<'_>) -> Vec<PlannedFile> {
        Vec::new()
    }

    /// The steps that start the workers, in the order of the processes.
    fn steps(&self, job: &Job<'_>) -> Result<Vec<Step>, BackendError>;

    /// Registrations that the frontend will count for the workers of a role.
    fn registrations(&self, job: &Job<'_>, role: Role) -> u32 {
        job.recipe.roles.get(role).workers
    }
}

/// The backend of an engine.
pub fn backend(engine: &Engine) -> &dyn Backend {
    match engine {
        Engine::Sglang(engine) => engine,
        Engine::Trtllm(engine) => engine,
        Engine::Vllm(engine) => engine,
        Engine::Mocker(engine) => engine,
    }
}

/// Why workers cannot be started as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// Ports are used up.
    #[error(transparent)]
    Port(#[from] PortError),
    /// An engine flag that decides the layout is not a number.
    #[error("`{flag}` of the {role} workers must be a whole number of at least 0: {value}")]
    NotACount {
        /// The flag.
        flag: &'static str,
        /// The role.
        role: Role,
        /// What it is.
        value: String,
    },
}
