//! [`RuntimeContext`].

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use srt_launch::{Container, Environment, Lifetime, Mount, Preamble, Stage, Step, StepId, StepOrigin};
use srt_schema::{
    cluster::{ClusterConfig, ContainerRuntime},
    recipe::{DynamoSource, FrontendKind, Model, Recipe},
};
use srt_topology::{DedicatedNodes, NodeName, NodeRoles, RolesError};

use crate::{
    allocation::{Allocation, JobId, Surroundings},
    model::ModelLocation,
    mounts::{self, OwnMounts},
    text,
};

/// Every path and value of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeContext {
    /// The job.
    pub job_id: JobId,
    /// `{name}_{job}`.
    pub run_name: String,
    /// Folder of the run on the host.
    pub run_dir: String,
    /// Folder of the logs on the host.
    pub log_dir: String,
    /// The same for a step: `/logs` in a container.
    pub logs: String,
    /// Folder of `configs` as a step sees it.
    pub configs: String,
    /// Folder of scripts of ours as a step sees it.
    pub scripts: String,
    /// Where the model lies.
    pub model: ModelLocation,
    /// Name under which the model is served.
    pub served_model_name: String,
    /// The job's image; `None`: steps run on the host.
    pub container: Option<String>,
    /// Mounts of the job's container.
    pub mounts: Vec<Mount>,
    /// What each node is for.
    pub nodes: NodeRoles,
    /// Variables of workers, the Dynamo frontend, and the benchmark.
    pub environment: Environment,
    /// Shell text of the cluster file before every wrapped step.
    pub bash_preamble: Option<String>,
    /// nsys.
    pub nsys: String,
    /// Whether every node is a loopback address of this machine.
    pub local: bool,
    addresses: HashMap<NodeName, IpAddr>,
    containers: bool,
}

/// Why the values of a run cannot be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContextError {
    /// Nodes and roles do not match.
    #[error(transparent)]
    Roles(#[from] RolesError),
    /// A mount without a container path.
    #[error("`extra_mount` has the entry `{0}`, which has no `:`: write `HOST_PATH:CONTAINER_PATH`")]
    MountWithoutTarget(String),
    /// A mount template with an unknown placeholder.
    #[error("`container_mounts` has `{template}`, but {placeholder} is no placeholder: there are {known}")]
    UnknownPlaceholder {
        /// The placeholder.
        placeholder: String,
        /// The template it stands in.
        template: String,
        /// Names of the known ones.
        known: String,
    },
    /// A node is named twice.
    #[error("the allocation names the node {0} twice")]
    DuplicateNode(NodeName),
    /// The components of a heterogeneous job do not add up.
    #[error(
        "the components of the heterogeneous job have {prefill} + {decode} nodes, but the allocation has {nodes}"
    )]
    HetSizes {
        /// Nodes of component 0.
        prefill: usize,
        /// Nodes of component 1.
        decode: usize,
        /// Nodes there are.
        nodes: usize,
    },
    /// Node-local staging of a model that is not a folder.
    #[error("`model.stage_dir` is `{0}`, which names no folder to copy the model to")]
    StageDir(String),
}

impl ContextError {
    /// The recipe's field at fault, where it is one.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::MountWithoutTarget(_) => Some("extra_mount"),
            Self::UnknownPlaceholder { .. } => Some("container_mounts"),
            Self::StageDir(_) => Some("model.stage_dir"),
            Self::Roles(_) => Some("resources"),
            Self::DuplicateNode(_) | Self::HetSizes { .. } => None,
        }
    }
}

impl RuntimeContext {
    /// Computes all values of a run.
    pub fn new(
        recipe: &Recipe,
        cluster: &ClusterConfig,
        allocation: &Allocation,
        surroundings: &Surroundings,
    ) -> Result<Self, ContextError> {
        let nodes = node_roles(recipe, allocation)?;
        let mut addresses = HashMap::new();
        for node in &allocation.nodes {
            if addresses.insert(node.name.clone(), node.address).is_some() {
                return Err(ContextError::DuplicateNode(node.name.clone()));
            }
        }
        let head_address = addresses[&nodes.head].to_string();

        let expand = |path: &str| text::expand_variables(path, &surroundings.variables);
        let absolute = |path: &str| text::absolute(path, &surroundings.current_dir);
        let run_name = format!("{}_{}", recipe.name, allocation.job_id);
        let run_dir = surroundings.run_dir.trim_end_matches('/').to_owned();
        let log_dir = format!("{run_dir}/logs");
        let image = recipe.model.container.as_deref().map(|image| {
            let image = expand(image);
            if image.starts_with('/') || image.starts_with("./") { absolute(&image) } else { image }
        });
        let containers =
            image.is_some() && cluster.container_runtime == ContainerRuntime::Pyxis && !surroundings.local;
        let root = cluster.srtctl_root.as_deref().map(|root| absolute(&expand(root)));
        let model = model_location(recipe, surroundings, containers)?;

        let stages = model.staged.is_some();
        let mounts = if containers {
            let own = OwnMounts {
                log_dir: &log_dir,
                model: (!model.is_hub).then_some(model.path.as_str()),
                stage_root: model.staged.as_deref().map(|staged| text::parent(text::parent(staged))),
                root: root.as_deref(),
                wheels: installs_wheel(recipe),
                scripts: stages,
            };
            let gpus_per_node = recipe.hardware.gpus_per_node.to_string();
            let placeholders = [
                ("job_id", allocation.job_id.as_str()),
                ("run_name", &run_name),
                ("head_node_ip", &head_address),
                ("log_dir", &log_dir),
                ("model_path", &model.path),
                ("container_image", image.as_deref().unwrap_or_default()),
                ("gpus_per_node", &gpus_per_node),
            ];
            mounts::mounts(&own, recipe, cluster, surroundings, &placeholders)?
        } else {
            Vec::new()
        };

        let in_step = |container: &str, host: String| if containers { container.to_owned() } else { host };
        Ok(Self {
            job_id: allocation.job_id.clone(),
            run_name,
            run_dir,
            logs: in_step("/logs", log_dir.clone()),
            configs: in_step(
                "/configs",
                format!("{}/configs", root.as_deref().unwrap_or(&surroundings.current_dir)),
            ),
            scripts: in_step("/srtctl-runtime", format!("{log_dir}/runtime")),
            log_dir,
            served_model_name: served_model_name(recipe, &model.path),
            model,
            container: if containers { image } else { None },
            mounts,
            nodes,
            environment: environment(recipe),
            bash_preamble: cluster.default_bash_preamble.clone().filter(|text| !text.trim().is_empty()),
            nsys: surroundings.variables.get("SRTCTL_NSYS_BIN").cloned().unwrap_or_else(|| "nsys".to_owned()),
            local: surroundings.local,
            addresses,
            containers,
        })
    }

    /// The address that peers reach a node at.
    pub fn address(&self, node: &NodeName) -> IpAddr {
        self.addresses[node]
    }

    /// `address:port`, with brackets where the address needs them.
    pub fn socket(&self, node: &NodeName, port: u16) -> String {
        SocketAddr::new(self.address(node), port).to_string()
    }

    /// Whether a node shares its machine with others, which only their addresses tell apart.
    pub fn is_virtual(&self, node: &NodeName) -> bool {
        self.address(node).is_loopback()
    }

    /// What peers call a node: its name, or the address of a virtual one, whose name means nothing to a resolver.
    pub fn host(&self, node: &NodeName) -> String {
        if self.is_virtual(node) { self.address(node).to_string() } else { node.to_string() }
    }

    /// The address that a server on a node binds to: all of them, but only its own on a virtual node.
    pub fn listen_address(&self, node: &NodeName) -> String {
        if self.is_virtual(node) { self.address(node).to_string() } else { "0.0.0.0".to_owned() }
    }

    /// A container of another image with the job's mounts; `None` where steps run on the host.
    pub fn container_of(&self, image: Option<&str>) -> Option<Container> {
        let own = self.container.as_deref().filter(|_| self.containers)?;
        Some(Container { image: image.unwrap_or(own).to_owned(), mounts: self.mounts.clone() })
    }

    /// A step on one node, with one task, in the job's container, wrapped; producers change what differs.
    pub fn step(&self, stage: Stage, id: &str, node: &NodeName, argv: Vec<String>) -> Step {
        let mut srun = vec!["--nodes=1".to_owned(), "--ntasks=1".to_owned()];
        srun.extend(self.het_option(node));
        Step {
            stage,
            id: StepId::new(id),
            origin: StepOrigin::Other,
            nodes: vec![node.clone()],
            argv,
            env: Environment::new(),
            unset: Vec::new(),
            preamble: self.bash_preamble.iter().cloned().map(Preamble::Cluster).collect(),
            wrapped: true,
            container: self.container_of(None),
            srun,
            log: format!("{id}.out"),
            lifetime: Lifetime::Service,
            wait_for: Vec::new(),
            ports: Vec::new(),
        }
    }

    /// Variables that make Dynamo talk over the address of a virtual node.
    pub fn loopback_environment(&self, node: &NodeName) -> Environment {
        let names: &[&str] =
            if self.is_virtual(node) { &["DYN_TCP_RPC_HOST", "DYN_EVENT_PLANE_HOST"] } else { &[] };
        names.iter().map(|name| ((*name).to_owned(), self.address(node).to_string())).collect()
    }

    /// The MPI option of a frontend: images built for MPI expect it, and a Slurm without containers may not know it.
    pub fn container_mpi(&self) -> Option<String> {
        self.container.is_some().then(|| "--mpi=pmix".to_owned())
    }

    /// `--het-group=N` for a step on a node of a heterogeneous job.
    pub fn het_option(&self, node: &NodeName) -> Option<String> {
        self.nodes.het_group(node).map(|group| format!("--het-group={group}"))
    }
}

fn node_roles(recipe: &Recipe, allocation: &Allocation) -> Result<NodeRoles, ContextError> {
    let names: Vec<NodeName> = allocation.nodes.iter().map(|node| node.name.clone()).collect();
    let Some(het) = allocation.het else {
        return Ok(NodeRoles::assign(&names, dedicated_nodes(recipe))?);
    };
    if het.prefill_nodes.checked_add(het.decode_nodes) != Some(names.len()) {
        let (prefill, decode, nodes) = (het.prefill_nodes, het.decode_nodes, names.len());
        return Err(ContextError::HetSizes { prefill, decode, nodes });
    }
    let (prefill, decode) = names.split_at(het.prefill_nodes);
    Ok(NodeRoles::assign_het(prefill, decode, recipe.infra.dedicated_node)?)
}

/// Which services of a recipe get a node without workers.
pub fn dedicated_nodes(recipe: &Recipe) -> DedicatedNodes {
    DedicatedNodes {
        infra: recipe.infra.dedicated_node,
        frontend: recipe.frontend.dedicated_node,
        client: recipe.benchmark.client_dedicated_node,
        shared: recipe.benchmark.colocate_with_frontend,
    }
}

fn model_location(
    recipe: &Recipe,
    surroundings: &Surroundings,
    containers: bool,
) -> Result<ModelLocation, ContextError> {
    let expand = |path: &str| text::expand_variables(path, &surroundings.variables);
    let path = expand(&recipe.model.path);
    if let Some(id) = path.strip_prefix("hf:") {
        let id = id.to_owned();
        return Ok(ModelLocation { path: id.clone(), is_hub: true, in_step: id, staged: None });
    }
    let path = text::absolute(&path, &surroundings.current_dir);
    let staged = match &recipe.model.stage_dir {
        None => None,
        Some(stage_dir) => {
            let folder = text::absolute(&expand(stage_dir), &surroundings.current_dir);
            if folder == "/" || path == "/" {
                return Err(ContextError::StageDir(stage_dir.clone()));
            }
            Some(format!("{folder}/{}", text::file_name(&path)))
        }
    };
    let in_step = if containers { "/model".to_owned() } else { path.clone() };
    Ok(ModelLocation { path, is_hub: false, in_step, staged })
}

fn installs_wheel(recipe: &Recipe) -> bool {
    let uses_dynamo = recipe.frontend.kind == FrontendKind::Dynamo && recipe.dynamo.install;
    uses_dynamo && matches!(recipe.dynamo.source, DynamoSource::Wheel(_))
}

fn environment(recipe: &Recipe) -> Environment {
    let mut environment = Environment::new();
    if let DynamoSource::Wheel(version) = &recipe.dynamo.source {
        environment.insert("DYNAMO_WHEEL_NAME".to_owned(), format!("ai_dynamo-{version}-py3-none-any.whl"));
        environment.insert("DYNAMO_VERSION".to_owned(), version.clone());
    }
    environment.extend(recipe.environment.clone());
    environment
}

/// The name is the last part of the path, so variables in the path count.
fn served_model_name(recipe: &Recipe, path: &str) -> String {
    let model = Model { path: path.to_owned(), ..recipe.model.clone() };
    srt_schema::served_model_name(&Recipe { model, ..recipe.clone() })
}
