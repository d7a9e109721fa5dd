//! Whether `resources` asks for a layout of workers that makes sense.

use crate::sections::ResourcesSection;

/// Something wrong with the layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LayoutProblem {
    /// Key of `resources` to show.
    pub(crate) key: &'static str,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) help: &'static str,
    /// Such a job can be planned, and should not be submitted.
    pub(crate) can_be_planned: bool,
}

/// What is wrong with the layout; nothing, where each side of the job has nodes and workers.
pub(crate) fn layout_problems(resources: &ResourcesSection) -> Vec<LayoutProblem> {
    let problem = |key, code, message: &str, help| LayoutProblem {
        key,
        code,
        message: message.to_owned(),
        help,
        can_be_planned: false,
    };
    let prefill =
        Side::new("prefill_nodes", resources.prefill_nodes, "prefill_workers", resources.prefill_workers);
    let decode =
        Side::new("decode_nodes", resources.decode_nodes, "decode_workers", resources.decode_workers);
    let agg = Side::new("agg_nodes", resources.agg_nodes, "agg_workers", resources.agg_workers);
    match (prefill.is_given() || decode.is_given(), agg.is_given()) {
        (false, false) => {
            let message = "`resources` asks for no workers";
            vec![problem(
                "gpu_type",
                "topology-missing",
                message,
                "add `prefill_*` and `decode_*`, or `agg_*`",
            )]
        }
        (true, true) => {
            let message = "`resources` asks for prefill or decode workers and for aggregated ones";
            vec![problem(agg.first_key(), "topology-mixed", message, "keep one of them")]
        }
        (true, false) if prefill.nodes.is_none() && decode.nodes.is_none() => {
            let message = format!("`resources.{}` has no nodes to run on", prefill.or(&decode).workers_key);
            let help = "add `prefill_nodes` and `decode_nodes`";
            vec![problem(prefill.or(&decode).workers_key, "topology-no-nodes", &message, help)]
        }
        (true, false) => disaggregated_problems(&prefill, &decode),
        (false, true) => aggregated_problems(&agg),
    }
}

struct Side {
    nodes_key: &'static str,
    nodes: Option<i64>,
    workers_key: &'static str,
    workers: Option<i64>,
}

impl Side {
    fn new(
        nodes_key: &'static str,
        nodes: Option<i64>,
        workers_key: &'static str,
        workers: Option<i64>,
    ) -> Self {
        Self { nodes_key, nodes, workers_key, workers }
    }

    fn is_given(&self) -> bool {
        self.nodes.is_some() || self.workers.is_some()
    }

    fn has_workers(&self) -> bool {
        self.workers.unwrap_or(0) > 0
    }

    fn first_key(&self) -> &'static str {
        if self.nodes.is_some() { self.nodes_key } else { self.workers_key }
    }

    fn or<'a>(&'a self, other: &'a Self) -> &'a Self {
        if self.workers.is_some() { self } else { other }
    }
}

fn disaggregated_problems(prefill: &Side, decode: &Side) -> Vec<LayoutProblem> {
    let empty = match (prefill.has_workers(), decode.has_workers()) {
        (true, true) => return Vec::new(),
        (false, false) => {
            return vec![LayoutProblem {
                key: prefill.workers_key,
                code: "topology-no-workers",
                message: "a disaggregated job needs workers".to_owned(),
                help: "give `prefill_workers` and `decode_workers` at least 1 each",
                can_be_planned: true,
            }];
        }
        (false, true) => prefill,
        (true, false) => decode,
    };
    vec![LayoutProblem {
        key: empty.workers_key,
        code: "topology-aggregated-style",
        message: format!("a disaggregated job needs `resources.{}` of at least 1", empty.workers_key),
        help: "for workers that do both, write `agg_nodes` and `agg_workers`",
        can_be_planned: true,
    }]
}

fn aggregated_problems(agg: &Side) -> Vec<LayoutProblem> {
    let mut problems = Vec::new();
    if !agg.has_workers() {
        problems.push(LayoutProblem {
            key: agg.workers_key,
            code: "topology-no-workers",
            message: "an aggregated job needs workers".to_owned(),
            help: "give `agg_workers` at least 1",
            can_be_planned: true,
        });
    }
    if agg.nodes.unwrap_or(0) == 0 {
        problems.push(LayoutProblem {
            key: agg.nodes_key,
            code: "topology-no-nodes",
            message: "an aggregated job needs `resources.agg_nodes`".to_owned(),
            help: "without it one node is taken",
            can_be_planned: true,
        });
    }
    problems
}
