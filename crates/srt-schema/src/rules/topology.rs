//! Workers, nodes, and GPUs.

use std::fmt;

use srt_topology::{
    AllocationError, AllocationRequest, NodeName, NodePools, Role, Workers, allocate_endpoints,
};
use srt_yaml::{Path, Span, Value};

use super::{Rules, role_flags};
use crate::{layout::layout_problems, read::GpusPerWorker, recipe::EngineFlags, sections::BackendSection};

impl Rules<'_, '_> {
    pub(super) fn layout(&mut self) {
        for problem in layout_problems(&self.file.resources) {
            let keys = ["resources", problem.key];
            if problem.can_be_planned {
                self.warning(&keys, problem.code, &problem.message, problem.help);
            } else {
                self.error(&keys, problem.code, &problem.message, problem.help);
                self.decoder.fail(Path::ROOT.key("resources"));
            }
        }
    }

    /// More workers than GPUs leave none for each.
    pub(super) fn workers_without_gpus(&mut self) {
        if matches!(self.file.backend, BackendSection::Mocker(_)) {
            return;
        }
        let resources = &self.file.resources;
        let gpus = GpusPerWorker::of(resources);
        let roles = [
            ("prefill_workers", resources.prefill_workers, gpus.prefill),
            ("decode_workers", resources.decode_workers, gpus.decode),
            ("agg_workers", resources.agg_workers, gpus.agg),
        ];
        for (key, workers, gpus) in roles {
            if workers.unwrap_or(0) > 0 && gpus == 0 {
                let message = format!("`resources.{key}` leaves no GPU for each worker");
                let help = "give the role more nodes or fewer workers";
                self.warning(&["resources", key], "no-gpus", &message, help);
            }
        }
    }

    /// Whether the workers fit the nodes: asked of the same function that will place them.
    pub(super) fn allocation(&mut self) {
        let resources = &self.file.resources;
        let gpus = GpusPerWorker::of(resources);
        let small = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
        let workers = |count: Option<i64>, gpus: i64| Workers {
            count: small(count.unwrap_or(0)),
            gpus_each: small(gpus),
        };
        let prefill = workers(resources.prefill_workers, gpus.prefill);
        let decode = workers(resources.decode_workers, gpus.decode);
        let agg = workers(resources.agg_workers, gpus.agg);
        let total: u64 =
            [prefill, decode, agg].iter().map(|it| u64::from(it.count) * u64::from(it.gpus_each)).sum();
        let per_node = resources.gpus_per_node.unsigned_abs();
        let colocate = match &self.file.backend {
            BackendSection::Vllm(vllm) => {
                vllm.allow_prefill_decode_colocation
                    && prefill.count > 0
                    && decode.count > 0
                    && (total <= per_node || vllm.allow_prefill_decode_colocation_across_nodes)
            }
            _ => false,
        };
        let role_nodes = |nodes: Option<i64>| u64::try_from(nodes.unwrap_or(0)).unwrap_or(0);
        let node_count = if colocate {
            total.div_ceil(per_node.max(1))
        } else if self.disaggregated {
            role_nodes(resources.prefill_nodes) + role_nodes(resources.decode_nodes)
        } else {
            role_nodes(resources.agg_nodes).max(1)
        };
        let pools = if resources.het_jobs == Some(true) && self.disaggregated {
            NodePools::Separate {
                prefill: preview_nodes(0, role_nodes(resources.prefill_nodes)),
                decode: preview_nodes(
                    role_nodes(resources.prefill_nodes),
                    role_nodes(resources.decode_nodes),
                ),
            }
        } else {
            NodePools::Shared {
                nodes: preview_nodes(0, node_count),
                spread_workers: resources.spread_workers,
                colocate,
            }
        };
        let request =
            AllocationRequest { gpus_per_node: small(resources.gpus_per_node), prefill, decode, agg, pools };
        if let Err(problem) = allocate_endpoints(&request) {
            let span = self.allocation_span(&problem);
            let help = "give the role more nodes, fewer workers, or fewer GPUs for each worker".to_owned();
            self.decoder.error(span, "impossible-topology", problem.to_string(), Some(help));
        }
    }

    fn allocation_span(&self, problem: &AllocationError) -> Span {
        let role = match problem {
            AllocationError::NotEnoughNodes { worker, .. } => worker.role,
            AllocationError::Overlap { second, .. } => second.role,
            AllocationError::AggInSeparatePools { .. } => Role::Agg,
            AllocationError::NoGpusOnNodes | AllocationError::TooManyGpusOnNodes { .. } => {
                return self.tree.span_at(&["resources", "gpus_per_node"]);
            }
            AllocationError::TooManyWorkers { .. } => return self.tree.span_at(&["resources"]),
        };
        let nodes = format!("{role}_nodes");
        let workers = format!("{role}_workers");
        let given = |key: &str| self.tree.at(&["resources", key]).is_some();
        let key = [&nodes, &workers].into_iter().find(|key| given(key)).unwrap_or(&nodes);
        self.tree.span_at(&["resources", key])
    }

    /// Parallel sizes of the engine against the GPUs of a worker.
    pub(super) fn parallelism(&mut self) {
        let resources = &self.file.resources;
        let gpus = GpusPerWorker::of(resources);
        let (section, config) = match &self.file.backend {
            BackendSection::Sglang(it) => ("sglang_config", &it.config),
            BackendSection::Trtllm(it) => ("trtllm_config", &it.config),
            BackendSection::Vllm(it) => ("vllm_config", &it.config),
            BackendSection::Mocker(_) => return,
        };
        let roles = [
            ("prefill", resources.prefill_workers, gpus.prefill),
            ("decode", resources.decode_workers, gpus.decode),
            ("aggregated", resources.agg_workers, gpus.agg),
        ];
        for (role, flags) in role_flags(config.as_ref()) {
            let Some((_, workers, gpus)) = roles.iter().find(|(name, ..)| *name == role) else { continue };
            // Workers without a GPU are told of already.
            if workers.unwrap_or(0) == 0 || *gpus == 0 {
                continue;
            }
            let per_node = resources.gpus_per_node.max(1);
            // Workers of whole nodes get all GPUs of them.
            let granted = if *gpus >= per_node { (gpus + per_node - 1) / per_node * per_node } else { *gpus };
            let sizes = ParallelSizes::of(&self.file.backend, flags);
            let Some((key, needed)) = sizes.gpus() else { continue };
            if needed == granted {
                continue;
            }
            let message = format!(
                "the {role} workers have {granted} GPUs each, but their flags need {needed}: {sizes}"
            );
            let short = if role == "aggregated" { "agg" } else { role };
            let help = &format!(
                "make the sizes multiply to {granted}, or set `resources.gpus_per_{short}` to {needed}"
            );
            let path = ["backend", section, role, key];
            // Only vLLM's data-parallel processes are laid out by these sizes; elsewhere the engine has the last word.
            if sizes.decides_layout {
                self.error(&path, "parallel-size-mismatch", &message, help);
            } else {
                self.warning(&path, "parallel-size-mismatch", &message, help);
            }
        }
    }
}

fn preview_nodes(first: u64, count: u64) -> Vec<NodeName> {
    (first..first + count)
        .map(|index| format!("node{:04}", index + 1).parse().expect("letters and digits name a node"))
        .collect()
}

/// Parallel sizes as the engine's flags give them.
struct ParallelSizes<'a> {
    /// Flag and size, of the sizes that multiply.
    factors: Vec<(&'a str, i64)>,
    decides_layout: bool,
}

impl<'a> ParallelSizes<'a> {
    fn of(backend: &BackendSection, flags: &'a EngineFlags) -> Self {
        let names: &[&[&str]] = match backend {
            BackendSection::Sglang(_) => {
                &[&["tensor-parallel-size", "tp-size", "tp"], &["pipeline-parallel-size", "pp-size", "pp"]]
            }
            BackendSection::Vllm(_) => {
                &[&["tensor-parallel-size"], &["pipeline-parallel-size"], &["data-parallel-size"]]
            }
            _ => &[&["tensor-parallel-size"], &["pipeline-parallel-size"], &["context-parallel-size"]],
        };
        let mut factors = Vec::new();
        for spellings in names {
            let found = flags.iter().find(|(key, _)| spellings.contains(&key.replace('_', "-").as_str()));
            if let Some((key, Value::Int(size))) = found {
                factors.push((key.as_str(), *size));
            }
        }
        let vllm = matches!(backend, BackendSection::Vllm(_));
        let decides_layout = vllm && factors.iter().any(|(key, size)| key.starts_with("data") && *size != 0);
        Self { factors, decides_layout }
    }

    /// The first flag and the GPUs that all of them need; `None` where they say nothing.
    fn gpus(&self) -> Option<(&'a str, i64)> {
        let (key, _) = self.factors.first()?;
        let zero = self.factors.iter().any(|(_, size)| *size <= 0);
        let product = self.factors.iter().try_fold(1_i64, |product, (_, size)| product.checked_mul(*size))?;
        (!zero).then_some((key, product))
    }
}

impl fmt::Display for ParallelSizes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, size)) in self.factors.iter().enumerate() {
            let separator = if index == 0 { "" } else { " × " };
            write!(f, "{separator}{key} {size}")?;
        }
        Ok(())
    }
}
