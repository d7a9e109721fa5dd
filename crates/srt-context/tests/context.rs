//! Paths, mounts, and addresses that follow from a recipe and a cluster file.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use srt_context::{
    Allocation, HetGroups, JobId, Node, RuntimeContext, Surroundings, output_base, resolve, run_dir,
};
use srt_schema::{LoadRequest, cluster::ClusterConfig, load};
use srt_yaml::Source;

const RECIPE: &str = "
name: demo
model: { path: $MODELS/llama/, container: ./images//x.sqsh, precision: fp8 }
resources: { gpu_type: h100, gpus_per_node: 8, agg_nodes: 2, agg_workers: 1 }
";

const CLUSTER: &str = "
srtctl_root: /shared/srtctl
default_mounts: { /data: /data, $HOME/cache: /root/.cache/ }
";

fn cluster(text: &str) -> ClusterConfig {
    srt_schema::load_cluster(&Source { path: "srtslurm.yaml".to_owned(), text: text.to_owned() }).0
}

fn surroundings() -> Surroundings {
    let variables = [("MODELS", "/models"), ("HOME", "/home/u"), ("SRTCTL_NSYS_BIN", "/opt/nsys")];
    Surroundings {
        variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        home: Some("/home/u".to_owned()),
        current_dir: "/my dir".to_owned(),
        run_dir: "/runs/7".to_owned(),
        local: false,
    }
}

fn allocation(addresses: &[&str], het: Option<HetGroups>) -> Allocation {
    let node = |(number, address): (usize, &&str)| Node {
        name: format!("n{number}").parse().unwrap(),
        address: address.parse().unwrap(),
    };
    let nodes = addresses.iter().enumerate().map(node).collect();
    Allocation { job_id: JobId::new("7").unwrap(), nodes, het }
}

fn context(additions: &str, allocation: &Allocation) -> Result<RuntimeContext, String> {
    let recipe = Source { path: "recipe.yaml".to_owned(), text: format!("{RECIPE}{additions}") };
    let request = LoadRequest { recipe: &recipe, cluster: None, selector: None, set: &[], unset: &[] };
    let mut loaded = load(&request);
    let variant = loaded.variants.pop().unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
    RuntimeContext::new(&variant.recipe, &cluster(CLUSTER), allocation, &surroundings())
        .map_err(|error| error.to_string())
}

#[track_caller]
fn check_mounts(additions: &str, expected: &Expect) {
    let context = context(additions, &allocation(&["10.0.0.1", "10.0.0.2"], None)).unwrap();
    let mounts: Vec<String> = context.mounts.iter().map(ToString::to_string).collect();
    expected.assert_eq(&mounts.join("\n"));
}

#[test]
fn mounts_come_from_the_run_the_cluster_and_the_recipe_in_this_order() {
    check_mounts(
        "extra_mount: [~/mine:/mine:ro, /p/./q/:/pq/]\ncontainer_mounts: { \"$HOME/{job_id}\": \"/x/{run_name}\", rel: rel }\n",
        &expect![[r#"
            /runs/7/logs:/logs
            /models/llama:/model
            /shared/srtctl/configs:/configs
            /data:/data
            /home/u/cache:/root/.cache
            /home/u/mine:/mine:ro
            /p/q:/pq
            /home/u/7:/x/demo_7
            /my dir/rel:rel"#]],
    );
}

#[test]
fn a_host_path_mounted_twice_keeps_its_place_and_takes_the_later_target() {
    check_mounts(
        "extra_mount: [/data:/elsewhere]\n",
        &expect![[r#"
        /runs/7/logs:/logs
        /models/llama:/model
        /shared/srtctl/configs:/configs
        /data:/elsewhere
        /home/u/cache:/root/.cache"#]],
    );
}

#[test]
fn paths_and_names_are_expanded_once() {
    let context = context("", &allocation(&["10.0.0.1", "10.0.0.2"], None)).unwrap();
    expect![[r#"demo_7 /runs/7/logs /models/llama /model Some("/my dir/images/x.sqsh") llama /opt/nsys"#]]
        .assert_eq(&format!(
            "{} {} {} {} {:?} {} {}",
            context.run_name,
            context.log_dir,
            context.model.path,
            context.model.for_workers(),
            context.container,
            context.served_model_name,
            context.nsys,
        ));
}

#[test]
fn a_staged_model_is_what_workers_read() {
    let additions = RECIPE.replace("precision: fp8", "precision: fp8, stage_dir: /raid/scratch");
    let context = {
        let recipe = Source { path: "recipe.yaml".to_owned(), text: additions };
        let request = LoadRequest { recipe: &recipe, cluster: None, selector: None, set: &[], unset: &[] };
        let variant = load(&request).variants.pop().unwrap();
        let allocation = allocation(&["10.0.0.1", "10.0.0.2"], None);
        RuntimeContext::new(&variant.recipe, &cluster(CLUSTER), &allocation, &surroundings()).unwrap()
    };
    assert_eq!(context.model.for_workers(), "/raid/scratch/llama");
    assert!(context.mounts.iter().any(|mount| mount.to_string() == "/raid:/raid"));
}

#[test]
fn nodes_of_one_machine_are_told_apart_by_address() {
    let context = context("", &allocation(&["10.0.0.1", "127.0.1.2", "::1"], None)).unwrap();
    let pictures = ["n0", "n1", "n2"].map(|name| {
        let node = name.parse().unwrap();
        format!(
            "{} listens at {}, {}",
            context.host(&node),
            context.listen_address(&node),
            context.socket(&node, 80)
        )
    });
    expect![[r#"
        n0 listens at 0.0.0.0, 10.0.0.1:80
        127.0.1.2 listens at 127.0.1.2, 127.0.1.2:80
        ::1 listens at ::1, [::1]:80"#]]
    .assert_eq(&pictures.join("\n"));
}

#[test]
fn nodes_that_do_not_add_up_are_refused() {
    let het = Some(HetGroups { prefill_nodes: 2, decode_nodes: 2 });
    let error = context("", &allocation(&["10.0.0.1", "10.0.0.2"], het)).unwrap_err();
    expect!["the components of the heterogeneous job have 2 + 2 nodes, but the allocation has 2"]
        .assert_eq(&error);
    let mut twice = allocation(&["10.0.0.1", "10.0.0.2"], None);
    twice.nodes[1].name = "n0".parse().unwrap();
    expect!["the allocation names the node n0 twice"].assert_eq(&context("", &twice).unwrap_err());
    expect!["the allocation has no nodes"].assert_eq(&context("", &allocation(&[], None)).unwrap_err());
}

#[test]
fn run_directories_lie_where_the_nearest_answer_says() {
    let here = surroundings();
    let base = |chosen, text: &str| output_base(chosen, &cluster(text), &here);
    assert_eq!(base(Some("out"), "output_dir: /o\n"), "/my dir/out");
    assert_eq!(base(None, "output_dir: $HOME/o\nsrtctl_root: /r\n"), "/home/u/o");
    assert_eq!(base(None, "srtctl_root: ~/r\n"), "/home/u/r/outputs");
    assert_eq!(output_base(None, &ClusterConfig::none(), &here), "/my dir/outputs");
    assert_eq!(run_dir("/o/", &JobId::new("12").unwrap()), "/o/12");
    assert_eq!(resolve("~/a/../b", &Surroundings { variables: BTreeMap::new(), ..here }), "/home/u/b");
}
