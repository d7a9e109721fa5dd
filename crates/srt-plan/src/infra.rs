//! etcd, NATS, and the Mooncake master.

use srt_context::Job;
use srt_launch::{PlannedFile, Probe, Stage, Step, Wait};
use srt_schema::recipe::MooncakeStore;
use srt_topology::{
    ETCD_PEER_PORT, ETCD_PORT, MOONCAKE_METADATA_PORT, MOONCAKE_METRICS_PORT, MOONCAKE_PORT, NATS_PORT,
};

const INFRA_TIMEOUT_S: u32 = 300;
const MOONCAKE_TIMEOUT_S: u32 = 120;
const NATS_CONFIG: &str = "nats.conf";

/// A service of `configs` where it lies there, else the one on `PATH`. What a requeued job left behind is wiped.
const START: &str = r#"rm -rf -- "$1"; shift; if [ -x "$0" ]; then exec "$0" "$@"; fi; exec "${0##*/}" "$@""#;

/// etcd and NATS, each a step of its own.
pub(crate) fn services(job: &Job<'_>) -> Vec<Step> {
    vec![etcd(job), nats(job)]
}

/// Files that the services read.
pub(crate) fn files(job: &Job<'_>) -> Vec<PlannedFile> {
    let Some(megabytes) = job.recipe.infra.nats_max_payload_mb else {
        return Vec::new();
    };
    let text = format!(
        "max_payload: {}\njetstream {{ store_dir: \"{}\" }}\n",
        megabytes.saturating_mul(1024 * 1024),
        data_folder(job, "nats-server"),
    );
    vec![PlannedFile::text(NATS_CONFIG, text)]
}

/// What workers wait for.
pub(crate) fn waits(job: &Job<'_>) -> Vec<Wait> {
    vec![wait(job, "etcd", ETCD_PORT, INFRA_TIMEOUT_S), wait(job, "NATS", NATS_PORT, INFRA_TIMEOUT_S)]
}

fn wait(job: &Job<'_>, what: &str, port: u16, timeout_s: u32) -> Wait {
    let host = job.ctx.host(&job.ctx.nodes.infra);
    Wait { probe: Probe::Tcp { host, port }, what: what.to_owned(), interval_s: 1, timeout_s }
}

/// On the node's own disk: a shared file system is too slow for etcd's log.
fn data_folder(job: &Job<'_>, service: &str) -> String {
    if job.ctx.local {
        format!("{}/{service}", job.ctx.run_dir)
    } else {
        format!("/tmp/srtctl_{}_{service}", job.ctx.job_id)
    }
}

fn service(job: &Job<'_>, program: &str, arguments: Vec<String>, ports: Vec<u16>) -> Step {
    let mut argv: Vec<String> = ["sh", "-c", START].map(str::to_owned).to_vec();
    argv.extend([format!("{}/{program}", job.ctx.configs), data_folder(job, program)]);
    argv.extend(arguments);
    let mut step = job.ctx.step(Stage::Infra, program, &job.ctx.nodes.infra, argv);
    step.ports = ports;
    step
}

fn etcd(job: &Job<'_>) -> Step {
    let (ctx, node) = (job.ctx, &job.ctx.nodes.infra);
    let listen = |port| format!("http://{}:{port}", ctx.listen_address(node));
    let reach = |port| format!("http://{}", ctx.socket(node, port));
    let arguments = [
        ("--data-dir", data_folder(job, "etcd")),
        ("--listen-client-urls", listen(ETCD_PORT)),
        ("--advertise-client-urls", reach(ETCD_PORT)),
        ("--listen-peer-urls", listen(ETCD_PEER_PORT)),
        ("--initial-advertise-peer-urls", reach(ETCD_PEER_PORT)),
        ("--initial-cluster", format!("default={}", reach(ETCD_PEER_PORT))),
    ];
    let arguments = arguments.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect();
    service(job, "etcd", arguments, vec![ETCD_PORT, ETCD_PEER_PORT])
}

fn nats(job: &Job<'_>) -> Step {
    let listen = job.ctx.listen_address(&job.ctx.nodes.infra);
    let mut arguments: Vec<String> =
        ["-a", &listen, "-p", &NATS_PORT.to_string(), "-js"].map(str::to_owned).to_vec();
    if job.recipe.infra.nats_max_payload_mb.is_some() {
        arguments.extend(["-c".to_owned(), format!("{}/{NATS_CONFIG}", job.ctx.logs)]);
    } else {
        arguments.extend(["-sd".to_owned(), data_folder(job, "nats-server")]);
    }
    service(job, "nats-server", arguments, vec![NATS_PORT])
}

/// The Mooncake master.
pub(crate) fn mooncake(job: &Job<'_>, store: &MooncakeStore) -> Step {
    let mut argv = vec!["mooncake_master".to_owned()];
    argv.extend([
        format!("--port={MOONCAKE_PORT}"),
        "--enable_http_metadata_server=true".to_owned(),
        format!("--http_metadata_server_port={MOONCAKE_METADATA_PORT}"),
        "--eviction_high_watermark_ratio=0.9".to_owned(),
        "--default_kv_lease_ttl=10000".to_owned(),
        "--rpc_thread_num=16".to_owned(),
        "--enable_metric_reporting=true".to_owned(),
        format!("--metrics_port={MOONCAKE_METRICS_PORT}"),
    ]);
    argv.extend(store.master_extra_args.iter().cloned());
    let mut step = job.ctx.step(Stage::MooncakeMaster, "mooncake_master", &job.ctx.nodes.infra, argv);
    step.container = job.ctx.container_of(store.container.as_deref());
    step.ports = vec![MOONCAKE_PORT, MOONCAKE_METADATA_PORT, MOONCAKE_METRICS_PORT];
    step
}

/// What workers with a Mooncake store wait for.
pub(crate) fn mooncake_waits(job: &Job<'_>) -> Vec<Wait> {
    let ports = [MOONCAKE_PORT, MOONCAKE_METADATA_PORT, MOONCAKE_METRICS_PORT];
    ports.map(|port| wait(job, "the Mooncake master", port, MOONCAKE_TIMEOUT_S)).to_vec()
}
