//! Recipe text in, plans out, in surroundings that never change.

use std::collections::BTreeMap;

use srt_context::{JobId, Surroundings};
use srt_plan::{LOCAL_NETWORK, Plan, PlanError, local_allocation, plan, preview_allocation};
use srt_schema::{LoadRequest, Variant, load};
use srt_yaml::Source;

/// A recipe, read, and where it is planned.
pub(crate) struct Setup {
    pub(crate) variants: Vec<Variant>,
    pub(crate) cluster: String,
    pub(crate) local: bool,
}

/// Reads a recipe that has no errors.
pub(crate) fn setup(text: &str) -> Setup {
    let recipe = Source { path: "recipe.yaml".to_owned(), text: text.to_owned() };
    let request = LoadRequest { recipe: &recipe, cluster: None, selector: None, set: &[], unset: &[] };
    let loaded = load(&request);
    let errors: Vec<_> = loaded.diagnostics.iter().filter(|it| it.is_error()).map(|it| &it.message).collect();
    assert!(errors.is_empty(), "{errors:?}");
    Setup { variants: loaded.variants, cluster: String::new(), local: false }
}

impl Setup {
    pub(crate) fn plans(&self) -> Vec<Result<Plan, PlanError>> {
        let source = Source { path: "srtslurm.yaml".to_owned(), text: self.cluster.clone() };
        let cluster = if self.cluster.is_empty() {
            srt_schema::cluster::ClusterConfig::none()
        } else {
            srt_schema::load_cluster(&source).0
        };
        let job_id = JobId::new("12345").expect("digits name a job");
        let surroundings = Surroundings {
            variables: BTreeMap::from([("USER".to_owned(), "srt".to_owned())]),
            home: Some("/home/srt".to_owned()),
            current_dir: "/recipes".to_owned(),
            run_dir: "/runs/12345".to_owned(),
            local: self.local,
        };
        let variants = self.variants.iter();
        variants
            .map(|variant| {
                let allocation = if self.local {
                    local_allocation(&variant.recipe, &job_id, LOCAL_NETWORK)
                } else {
                    preview_allocation(&variant.recipe, &job_id)
                };
                plan(&variant.recipe, &cluster, &allocation, &surroundings)
            })
            .collect()
    }

    pub(crate) fn plan(&self) -> Plan {
        self.plans().remove(0).expect("the recipe can be planned")
    }
}
