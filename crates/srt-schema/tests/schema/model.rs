//! What a recipe means, once read: roles, defaults, aliases, and checks of the file system.

use expect_test::{Expect, expect};
use srt_schema::recipe::{DynamoSource, Recipe};

use crate::common::{Case, MINIMAL, rendered, run};

fn read(recipe: &str, cluster: Option<&str>) -> srt_schema::Variant {
    let mut loaded = run(&Case { recipe, cluster, ..Case::default() });
    assert!(!loaded.has_errors(), "{}", rendered(&loaded));
    loaded.variants.remove(0)
}

fn workers(recipe: &Recipe) -> String {
    let role = |spec: &srt_schema::recipe::RoleSpec| format!("{}x{}", spec.workers, spec.gpus_per_worker);
    format!(
        "P {} D {} A {}",
        role(&recipe.roles.prefill),
        role(&recipe.roles.decode),
        role(&recipe.roles.agg)
    )
}

#[track_caller]
fn check_workers(resources: &str, expected: &Expect) {
    let text = format!(
        "name: job\nmodel: {{path: /m, precision: fp8}}\nresources: {{gpu_type: h100, gpus_per_node: 8, {resources}}}\n"
    );
    expected.assert_eq(&workers(&read(&text, None).recipe));
}

#[test]
fn gpus_of_a_worker() {
    check_workers(
        "prefill_nodes: 1, decode_nodes: 2, prefill_workers: 2, decode_workers: 1",
        &expect!["P 2x4 D 1x16 A 0x8"],
    );
    check_workers(
        "prefill_nodes: 1, decode_nodes: 0, prefill_workers: 1, decode_workers: 1, gpus_per_prefill: 4",
        &expect!["P 1x4 D 1x4 A 0x8"],
    );
    check_workers("agg_nodes: 2, agg_workers: 1", &expect!["P 0x8 D 0x8 A 1x16"]);
    check_workers("agg_workers: 1", &expect!["P 0x8 D 0x8 A 1x8"]);
    check_workers("agg_nodes: 4, agg_workers: 2, gpus_per_agg: 12", &expect!["P 0x8 D 0x8 A 2x12"]);
}

#[test]
fn cluster_defaults_fill_what_is_absent_and_aliases_are_replaced() {
    let cluster = "\
cluster: c
default_account: acc
default_partition: part
default_time_limit: \"04:00:00\"
default_sbatch_directives: {qos: high, mem: \"0\"}
default_health_check: {max_attempts: 5}
use_het_jobs: false
nginx_raise_ulimit: true
model_paths: {m: /models/m}
containers: {c: /images/c.sqsh, n: /images/nginx.sqsh}
";
    let recipe = "\
name: job
model: {path: m, container: c, precision: fp8}
resources: {gpu_type: h100, agg_nodes: 1, agg_workers: 1}
slurm: {account: null, partition: mine}
sbatch_directives: {mem: 1G}
frontend: {nginx_container: n}
";
    let variant = read(recipe, Some(cluster));
    let it = &variant.recipe;
    let shown = format!(
        "{:?}\n{:?} {:?} {:?}\n{:?}\n{} {}\n",
        it.slurm,
        it.model.path,
        it.model.container,
        it.frontend.nginx.container,
        it.health_check,
        it.frontend.nginx.raise_ulimit,
        it.hardware.het_jobs,
    );
    expect![[r#"
        SlurmRequest { account: None, partition: Some("mine"), time_limit: Some("04:00:00"), sbatch_directives: {"mem": "1G", "qos": "high"}, srun_options: {} }
        "/models/m" Some("/images/c.sqsh") "/images/nginx.sqsh"
        HealthCheck { max_attempts: 5, interval_s: 10 }
        true false
    "#]].assert_eq(&shown);
    // What is written for another cluster holds none of it.
    assert!(!variant.resolved_yaml().contains("/models/m"));
}

#[test]
fn observability_adds_variables_and_engine_settings() {
    let text = format!(
        "{MINIMAL}observability: {{enabled: true}}\nbackend:\n  type: trtllm\n  prefill_environment: {{DYN_LOG: info}}\n  trtllm_config: {{prefill: {{a: 1}}}}\n"
    );
    let recipe = read(&text, None).recipe;
    let shown = format!(
        "{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n",
        recipe.roles.prefill.environment,
        recipe.roles.prefill.flags,
        recipe.roles.decode.flags,
        recipe.frontend.env,
        recipe.engine
    );
    expect![[r#"
        {"DYN_LOG": "info", "DYN_LOGGING_SPAN_EVENTS": "true", "DYN_LOGGING_JSONL": "true"}
        Some({"a": Int(1), "enable_iter_perf_stats": Bool(true), "return_perf_metrics": Bool(true)})
        None
        {"DYN_LOGGING_SPAN_EVENTS": "true", "DYN_LOGGING_JSONL": "true", "DYN_LOG": "debug", "DYN_REQUEST_TRACE": "1", "DYN_REQUEST_TRACE_FILE_PATH": "/logs/dynamo-request-trace"}
        Trtllm(TrtllmEngine { publish_events_and_metrics: true, sequential_node_start: 0, numa_memory_bind: None })
    "#]].assert_eq(&shown);
}

#[test]
fn what_dynamo_is_installed() {
    let source = |dynamo: &str| read(&format!("{MINIMAL}dynamo: {dynamo}\n"), None).recipe.dynamo.source;
    assert_eq!(source("{}"), DynamoSource::Version("0.8.0".to_owned()));
    assert_eq!(source("{hash: abc}"), DynamoSource::Hash("abc".to_owned()));
    assert_eq!(source("{wheel: \"1.0\"}"), DynamoSource::Wheel("1.0".to_owned()));
}

#[test]
fn the_name_that_clients_ask_for() {
    let name =
        |addition: &str| srt_schema::served_model_name(&read(&format!("{MINIMAL}{addition}"), None).recipe);
    assert_eq!(name(""), "m");
    assert_eq!(
        name(
            "backend: {sglang_config: {decode: {served_model_name: d}, prefill: {served-model-name: \"\"}}}\n"
        ),
        "d"
    );
    assert_eq!(name("backend: {type: mocker, mocker_config: {prefill: {served-model-name: x}}}\n"), "m");
}

#[test]
fn paths_that_must_exist() {
    let check = |model: &str, addition: &str, expected: &Expect| {
        let text = format!(
            "name: job\nmodel: {model}\nresources: {{gpu_type: h100, agg_nodes: 1, agg_workers: 1}}\n{addition}"
        );
        let cluster =
            "cluster: c\nmodel_paths: {alias: /models/a}\ncontainers: {\"image:1\": /images/i.sqsh}\n";
        let variant = read(&text, Some(cluster));
        let lines: Vec<String> = srt_schema::path_checks(&variant)
            .iter()
            .map(|it| format!("{} {} {:?}\n{}\n", it.field, it.path, it.kind, it.missing.render(false)))
            .collect();
        expected.assert_eq(&lines.concat());
    };
    check(
        "{path: alias, container: ./c.sqsh, precision: x}",
        "",
        &expect![[r#"
        model.path /models/a Directory
        error[model-not-found]: the directory `/models/a`, for which `alias` stands, does not exist
         --> recipe.yaml:2:15
          |
        2 | model: {path: alias, container: ./c.sqsh, precision: x}
          |               ^^^^^
          |
          = help: download the model there, or correct `model_paths` in srtslurm.yaml
        model.container ./c.sqsh File
        error[container-not-found]: the file `./c.sqsh` does not exist
         --> recipe.yaml:2:33
          |
        2 | model: {path: alias, container: ./c.sqsh, precision: x}
          |                                 ^^^^^^^^
          |
          = help: give an image file, an alias of `containers` in srtslurm.yaml, or an image name such as `docker://IMAGE:TAG`
    "#]],
    );
    check("{path: \"hf:a/b\", container: \"image:1\", precision: x}", "", &expect![]);
    check(
        "{path: none, precision: x}",
        "backend: {type: mocker}\n",
        &expect![[r#"
        model.path none Directory
        error[model-not-found]: the directory `none` does not exist
         --> recipe.yaml:2:15
          |
        2 | model: {path: none, precision: x}
          |               ^^^^
          |
          = help: give a directory, an alias of `model_paths` in srtslurm.yaml, or `hf:ORG/NAME`
    "#]],
    );
}

#[test]
fn layouts_that_no_job_should_have() {
    let check = |resources: &str, when_read: &str, when_submitted: &str| {
        let recipe = format!(
            "name: job\nmodel: {{path: /m, precision: x}}\nresources: {{gpu_type: h100, {resources}}}\n"
        );
        let loaded = run(&Case { recipe: &recipe, ..Case::default() });
        let codes = |problems: &[srt_yaml::Diagnostic]| {
            let shown = problems.iter().map(|it| format!("{} {}", it.severity.as_str(), it.code));
            shown.collect::<Vec<_>>().join(", ")
        };
        assert_eq!(codes(&loaded.diagnostics), when_read, "{resources}");
        let problems: Vec<_> = loaded.variants.iter().flat_map(srt_schema::topology_problems).collect();
        assert_eq!(codes(&problems), when_submitted, "{resources}");
    };
    check("agg_nodes: 1, agg_workers: 1", "", "");
    check("gpus_per_node: 4", "error topology-missing", "");
    check("agg_nodes: 1, prefill_nodes: 1", "error topology-mixed", "");
    check("prefill_workers: 1, decode_workers: 1", "error topology-no-nodes", "");
    check("prefill_nodes: 1, decode_nodes: 1", "warning topology-no-workers", "error topology-no-workers");
    let alone = ("warning topology-aggregated-style", "error topology-aggregated-style");
    check("prefill_nodes: 1, prefill_workers: 1", alone.0, alone.1);
    check("agg_workers: 1", "warning topology-no-nodes", "error topology-no-nodes");
}
