//! `srtctl mock`: stand-ins for engines and routers.

use std::{io, str::FromStr};

use anyhow::Context as _;
use srt_mocker::{
    engine::{self, EngineConfig, ExitReason, LogFormat},
    fault::Fault,
    router::{self, Policy, PrefillWorker, RouterConfig, WorkerUrl},
};
use srt_topology::Role;
use tokio_util::sync::CancellationToken;

use crate::{exit::Outcome, signals::Signals};

/// Stand-ins
#[derive(clap::Subcommand)]
pub(crate) enum MockCommand {
    /// An inference engine with the HTTP surface and the log lines of an SGLang worker
    Engine(Box<EngineArguments>),
    /// A router with the surface of sglang-router
    Router(RouterArguments),
}

/// Arguments of `srtctl mock engine`
#[derive(Debug, clap::Args)]
pub(crate) struct EngineArguments {
    /// Host to listen on
    #[arg(long, default_value_t = EngineConfig::default().host)]
    host: String,
    /// HTTP port; 0 takes any free port
    #[arg(long, default_value_t = EngineConfig::default().port)]
    port: u16,
    /// What it does for a request: prefill, decode, or agg
    #[arg(long, default_value = "agg", value_parser = parse_role)]
    role: Role,
    /// Path that the engine names; nothing is loaded
    #[arg(long, default_value_t = EngineConfig::default().model_path)]
    model_path: String,
    /// Name under which the model is served
    #[arg(long, default_value_t = EngineConfig::default().served_model_name)]
    served_model_name: String,
    /// Port where a prefill engine waits for decode engines
    #[arg(long, default_value_t = EngineConfig::default().bootstrap_port)]
    bootstrap_port: u16,
    /// GPUs of the worker
    #[arg(long, default_value_t = EngineConfig::default().gpus)]
    gpus: u32,
    /// Whose log lines are printed: sglang or trtllm
    #[arg(long, default_value = "sglang", value_parser = LogFormat::from_str)]
    log_format: LogFormat,
    /// Seconds from start to ready
    #[arg(long, default_value_t = EngineConfig::default().startup_s)]
    startup_s: f64,
    /// Prompt tokens computed per second
    #[arg(long, default_value_t = EngineConfig::default().prefill_tps)]
    prefill_tps: f64,
    /// Duration of a decode step with an empty batch
    #[arg(long, default_value_t = EngineConfig::default().itl_base_ms)]
    itl_base_ms: f64,
    /// What each running request adds to a decode step
    #[arg(long, default_value_t = EngineConfig::default().itl_per_running_us)]
    itl_per_running_us: f64,
    /// Prompt tokens in one prefill batch
    #[arg(long, default_value_t = EngineConfig::default().chunked_prefill_tokens)]
    chunked_prefill_tokens: u32,
    /// Tokens that the KV cache holds
    #[arg(long, default_value_t = EngineConfig::default().kv_capacity_tokens)]
    kv_capacity_tokens: u64,
    /// Requests that are decoded at a time
    #[arg(long, default_value_t = EngineConfig::default().max_running_requests)]
    max_running_requests: u32,
    /// KV tokens that reach a decode engine per second and request
    #[arg(long, default_value_t = EngineConfig::default().kv_transfer_tps)]
    kv_transfer_tps: f64,
    /// Seconds after which a request gives up waiting for its peer in the other role
    #[arg(long, default_value_t = EngineConfig::default().kv_timeout_s)]
    kv_timeout_s: f64,
    /// Keep the KV cache of finished prompts and reuse equal beginnings
    #[arg(long)]
    prefix_cache: bool,
    /// Length at which the model stops by itself, unless a request says `ignore_eos`
    #[arg(long, default_value_t = EngineConfig::default().eos_after_tokens)]
    eos_after_tokens: u32,
    /// Simulated seconds per second
    #[arg(long, default_value_t = EngineConfig::default().speedup)]
    speedup: f64,
    /// Something it does wrong, such as `crash-after-requests=5`; may be given several times
    #[arg(long = "fault", value_name = "FAULT", value_parser = Fault::from_str)]
    faults: Vec<Fault>,
}

/// Arguments of `srtctl mock router`
#[derive(Debug, clap::Args)]
pub(crate) struct RouterArguments {
    /// Host to listen on
    #[arg(long, default_value_t = RouterConfig::default().host)]
    host: String,
    /// HTTP port; 0 takes any free port
    #[arg(long, default_value_t = RouterConfig::default().port)]
    port: u16,
    /// Send each request to a prefill and a decode worker
    #[arg(long)]
    pd_disaggregation: bool,
    /// A prefill worker and its bootstrap port; may be given several times
    #[arg(long, value_names = ["URL", "BOOTSTRAP_PORT"], num_args = 1..=2, action = clap::ArgAction::Append)]
    prefill: Vec<String>,
    /// A decode worker; may be given several times
    #[arg(long, value_name = "URL")]
    decode: Vec<WorkerUrl>,
    /// Aggregated workers
    #[arg(long, value_name = "URL", num_args = 1..)]
    worker_urls: Vec<WorkerUrl>,
    /// How a worker is chosen: `round_robin` or `least_load`
    #[arg(long, default_value = "round_robin", value_parser = Policy::from_str)]
    policy: Policy,
    /// Seconds between two health checks of a worker
    #[arg(long, default_value_t = RouterConfig::default().health_interval_s)]
    health_interval_s: f64,
}

fn parse_role(text: &str) -> Result<Role, String> {
    let found = Role::ALL.into_iter().find(|role| role.as_str() == text);
    found.ok_or_else(|| "expected prefill, decode, or agg".to_owned())
}

/// Reads `URL`, `URL PORT`, and `URL none`, one after the other.
fn parse_prefill(words: &[String]) -> anyhow::Result<Vec<PrefillWorker>> {
    let mut workers: Vec<PrefillWorker> = Vec::new();
    for word in words {
        match workers.last_mut() {
            Some(_) if word == "none" => {}
            Some(worker) if !word.starts_with("http") => {
                let port = word.parse().with_context(|| format!("`{word}` is no bootstrap port"))?;
                worker.bootstrap_port = Some(port);
            }
            _ => workers.push(PrefillWorker { url: word.parse()?, bootstrap_port: None }),
        }
    }
    Ok(workers)
}

/// Runs a stand-in on one thread, until it ends or is told to.
pub(crate) fn run(command: MockCommand) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        let mut signals = Signals::listen()?;
        let until_signalled = async {
            signals.next().await;
            shutdown.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            outcome = run_until(command, shutdown.clone()) => outcome,
            () = until_signalled => Ok(Outcome::Internal),
        }
    })
}

async fn run_until(command: MockCommand, shutdown: CancellationToken) -> anyhow::Result<Outcome> {
    match command {
        MockCommand::Engine(arguments) => {
            match engine::run(arguments.config(), io::stdout(), shutdown).await? {
                ExitReason::Shutdown => Ok(Outcome::Success),
                ExitReason::Crashed { code } => Ok(Outcome::Process(code)),
            }
        }
        MockCommand::Router(arguments) => {
            router::run(arguments.config()?, shutdown).await?;
            Ok(Outcome::Success)
        }
    }
}

impl EngineArguments {
    fn config(self) -> EngineConfig {
        let it = self;
        EngineConfig {
            host: it.host,
            port: it.port,
            role: it.role,
            model_path: it.model_path,
            served_model_name: it.served_model_name,
            bootstrap_port: it.bootstrap_port,
            gpus: it.gpus,
            log_format: it.log_format,
            startup_s: it.startup_s,
            prefill_tps: it.prefill_tps,
            itl_base_ms: it.itl_base_ms,
            itl_per_running_us: it.itl_per_running_us,
            chunked_prefill_tokens: it.chunked_prefill_tokens,
            kv_capacity_tokens: it.kv_capacity_tokens,
            max_running_requests: it.max_running_requests,
            kv_transfer_tps: it.kv_transfer_tps,
            kv_timeout_s: it.kv_timeout_s,
            prefix_cache: it.prefix_cache,
            eos_after_tokens: it.eos_after_tokens,
            speedup: it.speedup,
            faults: it.faults,
        }
    }
}

impl RouterArguments {
    fn config(self) -> anyhow::Result<RouterConfig> {
        Ok(RouterConfig {
            host: self.host,
            port: self.port,
            worker_urls: self.worker_urls,
            prefill: parse_prefill(&self.prefill)?,
            decode_urls: self.decode,
            policy: self.policy,
            health_interval_s: self.health_interval_s,
        })
    }
}
