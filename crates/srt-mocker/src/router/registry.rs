//! The task that owns the list of workers: who is there, who is healthy, and who has how much to do.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, header::HOST};
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, oneshot},
    task::{AbortHandle, JoinSet},
    time::{MissedTickBehavior, interval, timeout},
};

use super::{Policy, RouterConfig, WorkerUrl, upstream::Connection};

/// A health check that takes longer has failed.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a worker does, as the router was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Regular,
    Prefill { bootstrap_port: Option<u16> },
    Decode,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Regular => "regular",
            Self::Prefill { .. } => "prefill",
            Self::Decode => "decode",
        }
    }
}

/// Which workers a request may go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Regular,
    Prefill,
    Decode,
}

/// Requests to the registry task.
#[derive(Debug)]
pub(super) enum Command {
    /// A healthy worker for a request, or none.
    Pick { wanted: Wanted, reply: oneshot::Sender<Option<Lease>> },
    /// A request to this worker is over.
    Released(WorkerId),
    /// Nothing listens where this worker was.
    Failed(WorkerId),
    /// All workers that have been registered.
    List(oneshot::Sender<Vec<WorkerView>>),
    /// A worker that somebody registers by hand; answers its identity.
    Add { url: WorkerUrl, kind: Kind, reply: oneshot::Sender<String> },
    /// Forgets a worker; answers whether it was there.
    Remove { id: String, reply: oneshot::Sender<bool> },
    /// A health check is over; `Some` holds what a healthy worker said about itself.
    Probed { id: WorkerId, answer: Option<Metadata> },
}

/// Identity of a worker for the life of the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct WorkerId(u64);

/// A worker's share of a request: its load falls when this is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) id: WorkerId,
    pub(super) url: WorkerUrl,
    pub(super) bootstrap_port: Option<u16>,
    registry: mpsc::UnboundedSender<Command>,
}

impl Lease {
    /// Reports that nothing listens there.
    pub(super) fn failed(&self) {
        self.registry.send(Command::Failed(self.id)).ok();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.registry.send(Command::Released(self.id)).ok();
    }
}

/// What a worker says about itself, as text values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Metadata {
    model_id: String,
    fields: BTreeMap<&'static str, String>,
}

/// A registered worker as `/workers` shows it.
#[derive(Debug, Clone)]
pub(super) struct WorkerView {
    pub(super) id: String,
    pub(super) url: WorkerUrl,
    pub(super) kind: Kind,
    pub(super) healthy: bool,
    load: usize,
    metadata: Metadata,
}

impl WorkerView {
    pub(super) fn model_id(&self) -> &str {
        &self.metadata.model_id
    }

    pub(super) fn to_json(&self) -> Value {
        let mut json = json!({
            "id": self.id, "url": self.url.to_string(), "model_id": self.metadata.model_id, "priority": 50, "cost": 1.0,
            "worker_type": self.kind.as_str(), "is_healthy": self.healthy, "load": self.load, "connection_mode": "HTTP",
        });
        if let Kind::Prefill { bootstrap_port: Some(port) } = self.kind {
            json["bootstrap_port"] = port.into();
        }
        json["metadata"] = json!(self.metadata.fields);
        json["disable_health_check"] = false.into();
        json
    }
}

#[derive(Debug)]
struct Worker {
    id: WorkerId,
    uuid: String,
    url: WorkerUrl,
    kind: Kind,
    load: usize,
    /// Number of the pick that chose it last; 0 if none did.
    last_pick: u64,
    state: State,
    probe: AbortHandle,
}

#[derive(Debug)]
enum State {
    /// It has not answered yet, so it is not in the list.
    Pending,
    Registered {
        healthy: bool,
        metadata: Metadata,
    },
}

impl Worker {
    fn is_healthy(&self) -> bool {
        matches!(self.state, State::Registered { healthy: true, .. })
    }

    fn does(&self, wanted: Wanted) -> bool {
        match self.kind {
            Kind::Regular => wanted == Wanted::Regular,
            Kind::Prefill { .. } => wanted == Wanted::Prefill,
            Kind::Decode => wanted == Wanted::Decode,
        }
    }
}

/// See the module's documentation.
pub(super) struct Registry {
    workers: Vec<Worker>,
    policy: Policy,
    probe_interval: Duration,
    commands: mpsc::UnboundedSender<Command>,
    probes: JoinSet<Infallible>,
    next_id: u64,
    picks: u64,
    random: RandomState,
}

impl Registry {
    /// Starts to look for the configured workers.
    pub(super) fn new(config: &RouterConfig, commands: mpsc::UnboundedSender<Command>) -> Self {
        let mut registry = Self {
            workers: Vec::new(),
            policy: config.policy,
            probe_interval: Duration::from_secs_f64(config.health_interval_s.min(3600.0)),
            commands,
            probes: JoinSet::new(),
            next_id: 0,
            picks: 0,
            random: RandomState::new(),
        };
        for url in &config.worker_urls {
            registry.add(url.clone(), Kind::Regular);
        }
        for prefill in &config.prefill {
            registry.add(prefill.url.clone(), Kind::Prefill { bootstrap_port: prefill.bootstrap_port });
        }
        for url in &config.decode_urls {
            registry.add(url.clone(), Kind::Decode);
        }
        registry
    }

    /// Answers commands, for ever.
    pub(super) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) -> Infallible {
        loop {
            let command = inbox.recv().await.expect("the registry itself holds a sender");
            self.handle(command);
        }
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Pick { wanted, reply } => {
                // If nobody waits any longer, the lease comes back and is dropped.
                reply.send(self.pick(wanted)).ok();
            }
            Command::Released(id) => {
                if let Some(worker) = self.worker(id) {
                    worker.load = worker.load.saturating_sub(1);
                }
            }
            Command::Failed(id) => self.probed(id, None),
            Command::Probed { id, answer } => self.probed(id, answer),
            Command::List(reply) => {
                reply.send(self.workers.iter().filter_map(view).collect()).ok();
            }
            Command::Add { url, kind, reply } => {
                reply.send(self.add(url, kind)).ok();
            }
            Command::Remove { id, reply } => {
                let before = self.workers.len();
                for removed in self.workers.extract_if(.., |worker| worker.uuid == id) {
                    removed.probe.abort();
                }
                reply.send(self.workers.len() < before).ok();
            }
        }
    }

    fn worker(&mut self, id: WorkerId) -> Option<&mut Worker> {
        self.workers.iter_mut().find(|worker| worker.id == id)
    }

    fn add(&mut self, url: WorkerUrl, kind: Kind) -> String {
        if let Some(worker) = self.workers.iter().find(|worker| worker.url == url) {
            return worker.uuid.clone();
        }
        self.next_id += 1;
        let id = WorkerId(self.next_id);
        let probe = self.probes.spawn(probe(id, url.clone(), self.probe_interval, self.commands.clone()));
        let uuid = uuid(self.random.hash_one((id, 0)), self.random.hash_one((id, 1)));
        self.workers.push(Worker {
            id,
            uuid: uuid.clone(),
            url,
            kind,
            load: 0,
            last_pick: 0,
            state: State::Pending,
            probe,
        });
        uuid
    }

    fn probed(&mut self, id: WorkerId, answer: Option<Metadata>) {
        let Some(worker) = self.worker(id) else { return };
        match (&mut worker.state, answer) {
            (State::Pending, None) => {}
            (State::Registered { healthy, .. }, None) => *healthy = false,
            (state, Some(metadata)) => *state = State::Registered { healthy: true, metadata },
        }
    }

    fn pick(&mut self, wanted: Wanted) -> Option<Lease> {
        let policy = self.policy;
        let candidates = self.workers.iter_mut().filter(|it| it.is_healthy() && it.does(wanted));
        let worker = candidates.min_by_key(|it| match policy {
            Policy::RoundRobin => (0, it.last_pick),
            Policy::LeastLoad => (it.load, it.last_pick),
        })?;
        self.picks += 1;
        worker.last_pick = self.picks;
        worker.load += 1;
        let bootstrap_port = match worker.kind {
            Kind::Prefill { bootstrap_port } => bootstrap_port,
            Kind::Regular | Kind::Decode => None,
        };
        Some(Lease {
            id: worker.id,
            url: worker.url.clone(),
            bootstrap_port,
            registry: self.commands.clone(),
        })
    }
}

fn view(worker: &Worker) -> Option<WorkerView> {
    let State::Registered { healthy, metadata } = &worker.state else { return None };
    Some(WorkerView {
        id: worker.uuid.clone(),
        url: worker.url.clone(),
        kind: worker.kind,
        healthy: *healthy,
        load: worker.load,
        metadata: metadata.clone(),
    })
}

/// A random (version 4) UUID from 128 random bits.
fn uuid(high: u64, low: u64) -> String {
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | (low >> 48) & 0x3fff,
        low & 0xffff_ffff_ffff
    )
}

/// Asks a worker for its health at an interval, for ever; at the first success also who it is.
async fn probe(
    id: WorkerId,
    url: WorkerUrl,
    every: Duration,
    registry: mpsc::UnboundedSender<Command>,
) -> Infallible {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known: Option<Metadata> = None;
    loop {
        ticks.tick().await;
        let healthy = timeout(PROBE_TIMEOUT, get(&url, "/health")).await.ok().flatten().is_some();
        if !healthy {
            // Another engine may come up at the same address.
            known = None;
        } else if known.is_none() {
            known = timeout(PROBE_TIMEOUT, describe(&url)).await.ok();
        }
        let answer = known.clone().filter(|_| healthy);
        registry.send(Command::Probed { id, answer }).ok();
    }
}

async fn describe(url: &WorkerUrl) -> Metadata {
    let server = get_json(url, "/server_info", "/get_server_info").await;
    let model = get_json(url, "/model_info", "/get_model_info").await;
    let mut fields = BTreeMap::new();
    for (source, names) in [
        (
            &server,
            ["served_model_name", "tp_size", "dp_size", "disaggregation_mode", "model_path"].as_slice(),
        ),
        (&model, ["model_type", "architectures"].as_slice()),
    ] {
        for name in names {
            match &source[*name] {
                Value::Null => {}
                Value::String(text) => {
                    fields.insert(*name, text.clone());
                }
                value => {
                    fields.insert(*name, value.to_string());
                }
            }
        }
    }
    let model_id = fields.get("served_model_name").cloned().unwrap_or_else(|| "unknown".to_owned());
    Metadata { model_id, fields }
}

async fn get_json(url: &WorkerUrl, path: &str, older_path: &str) -> Value {
    let body = match get(url, path).await {
        Some(body) => Some(body),
        None => get(url, older_path).await,
    };
    body.and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default()
}

/// The body of a successful answer.
pub(super) async fn get(url: &WorkerUrl, path: &str) -> Option<Bytes> {
    let authority = url.to_string().split_off("http://".len());
    let request = Request::get(path).header(HOST, authority).body(Full::default()).ok()?;
    let response = Connection::open(url).await.ok()?.send(request).await.ok()?;
    if !response.status().is_success() {
        return None;
    }
    Some(response.into_body().collect().await.ok()?.to_bytes())
}
