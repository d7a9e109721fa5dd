//! Plans of the example recipes, as files under `fixtures/plans`; and what plans promise.

use std::{collections::BTreeSet, fs, path::PathBuf};

use expect_test::{Expect, expect, expect_file};
use srt_launch::{Probe, shell};
use srt_plan::{PlannedVariant, Program, batch_script, json};
use srt_schema::recipe::{Concurrencies, Placement, Recipe};

use crate::support::{Setup, setup};

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

fn check_file(name: &str, local: bool) {
    let text = fs::read_to_string(fixtures().join(format!("recipes/{name}.yaml"))).unwrap();
    let setup = Setup { local, ..setup(&text) };
    let planned = setup.plans();
    let variants: Vec<_> = setup
        .variants
        .iter()
        .zip(planned)
        .map(|(variant, plan)| PlannedVariant { variant, plan: plan.unwrap() })
        .collect();
    let document = json::document("recipe.yaml", &variants);
    let suffix = if local { ".local" } else { "" };
    let path = fixtures().join(format!("plans/{name}{suffix}.json"));
    expect_file![path].assert_eq(&format!("{}\n", serde_json::to_string_pretty(&document).unwrap()));
}

fn names(folder: &str, extension: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(fixtures().join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(extension).map(str::to_owned)).collect()
}

#[test]
fn every_example_recipe_has_its_plan() {
    for name in names("recipes", ".yaml") {
        check_file(&name, false);
    }
}

#[test]
fn the_quickstart_runs_on_loopback_addresses_without_containers() {
    check_file("quickstart", true);
}

#[test]
fn no_plan_is_forgotten() {
    let mut expected = names("recipes", ".yaml");
    expected.insert("quickstart.local".to_owned());
    assert_eq!(names("plans", ".json"), expected);
}

const SGLANG: &str = "
name: demo
model: { path: /models/m, container: image:1, precision: fp8 }
resources: { gpu_type: h100, gpus_per_node: 8, prefill_nodes: 1, prefill_workers: 1, decode_nodes: 2, decode_workers: 2 }
backend: { type: sglang }
benchmark: { type: sa-bench, isl: 8, osl: 8, concurrencies: [1] }
";

#[test]
fn a_plan_depends_on_its_inputs_only() {
    let setup = setup(SGLANG);
    assert_eq!(setup.plan(), setup.plan());
}

#[test]
fn stages_start_in_order_and_workers_wait_for_the_services_they_use() {
    let plan = setup(SGLANG).plan();
    let steps: Vec<_> = plan
        .steps
        .iter()
        .map(|step| {
            let waits: Vec<_> = step.wait_for.iter().map(|wait| wait.what.as_str()).collect();
            format!("{} {} after [{}]", step.stage.name(), step.id, waits.join(", "))
        })
        .collect();
    expect![[r#"
        infra etcd after []
        infra nats-server after []
        worker prefill_0_node0001 after [etcd, NATS]
        worker decode_0_node0002 after [etcd, NATS]
        worker decode_1_node0003 after [etcd, NATS]
        frontend nginx after []
        frontend frontend_0 after []
        frontend frontend_1 after []
        benchmark benchmark after []"#]]
    .assert_eq(&steps.join("\n"));
}

#[test]
fn names_and_ports_are_unique() {
    for name in names("recipes", ".yaml") {
        let text = fs::read_to_string(fixtures().join(format!("recipes/{name}.yaml"))).unwrap();
        for local in [false, true] {
            for plan in (Setup { local, ..setup(&text) }).plans() {
                let plan = plan.unwrap();
                let mut ids = BTreeSet::new();
                let mut logs = BTreeSet::new();
                let mut ports = BTreeSet::new();
                for step in &plan.steps {
                    assert!(ids.insert(step.id.clone()), "{name}: {} twice", step.id);
                    assert!(logs.insert(step.log.clone()), "{name}: {} twice", step.log);
                    for port in &step.ports {
                        assert!(ports.insert((step.nodes[0].clone(), *port)), "{name}: port {port} twice");
                    }
                }
            }
        }
    }
}

#[test]
fn a_local_run_has_no_container_and_binds_to_loopback_only() {
    for name in names("recipes", ".yaml") {
        let text = fs::read_to_string(fixtures().join(format!("recipes/{name}.yaml"))).unwrap();
        for plan in (Setup { local: true, ..setup(&text) }).plans() {
            let plan = plan.unwrap();
            assert!(plan.context.mounts.is_empty() && plan.steps.iter().all(|step| step.container.is_none()));
            let texts = plan.files.iter().map(|file| file.text.as_str());
            let words = plan.steps.iter().flat_map(|step| step.argv.iter().chain(step.env.values()));
            for text in texts.chain(words.map(String::as_str)) {
                assert!(!text.contains("0.0.0.0"), "{name}: {text}");
                assert!(!text.contains("/logs/") || text.contains("/runs/12345/logs/"), "{name}: {text}");
                assert_ne!(text, "/model", "{name}");
            }
        }
    }
}

#[test]
fn a_cluster_without_containers_runs_on_the_host() {
    let setup = Setup {
        cluster: "container_runtime: none\ndefault_mounts: { /data: /data }\n".to_owned(),
        ..setup(SGLANG)
    };
    let plan = setup.plan();
    assert!(plan.context.mounts.is_empty() && plan.steps.iter().all(|step| step.container.is_none()));
    let worker = plan.steps.iter().find(|step| step.id.as_str().starts_with("prefill")).unwrap();
    assert!(worker.argv.windows(2).any(|pair| pair == ["--model-path", "/models/m"]));
    assert!(worker.argv.windows(2).any(|pair| pair == ["--host", "0.0.0.0"]));
    assert!(plan.steps.iter().all(|step| step.preamble.is_empty()), "a host is left as it is");
    let options: Vec<_> = plan.steps.iter().flat_map(|step| &step.srun).collect();
    let is_plain = |option: &&&String| option.starts_with("--nodes=") || option.starts_with("--ntasks=");
    assert_eq!(options.iter().filter(|option| !is_plain(option)).count(), 0, "{options:?}");
}

#[test]
fn secrets_reach_the_step_but_no_document() {
    let text = format!("{SGLANG}environment: {{ HF_TOKEN: hunter2, WANDB_API_KEY: hunter3, PLAIN: seen }}\n");
    let setup = setup(&text);
    let plan = setup.plan();
    let worker = plan.steps.iter().find(|step| step.id.as_str().starts_with("prefill")).unwrap();
    assert_eq!(worker.env["HF_TOKEN"], "hunter2");
    let variants = [PlannedVariant { variant: &setup.variants[0], plan }];
    let document = serde_json::to_string(&json::document("recipe.yaml", &variants)).unwrap();
    assert!(!document.contains("hunter") && document.contains("seen") && document.contains(json::REDACTED));
}

#[test]
fn hostile_texts_stay_single_words() {
    let text = SGLANG.replace("name: demo", "name: \"x'; touch /tmp/pwned; '$(id)\"").replace(
        "backend: { type: sglang }",
        "backend: { type: sglang, prefill_environment: { A: \"$(id)\\n`id`\" }, sglang_config: { prefill: { \"x; id\": \"$(id) 'q'\" } } }",
    );
    let plan = setup(&text).plan();
    let worker = plan.steps.iter().find(|step| step.id.as_str().starts_with("prefill")).unwrap();
    let body = shell::body(worker, |_| true);
    expect![[r#"
        export HEAD_NODE_IP=10.0.0.1 && export ETCD_ENDPOINTS=http://node0001:2379 && export NATS_SERVER=nats://node0001:4222 && export DYN_SYSTEM_PORT=7500 && export DYN_REQUEST_PLANE=tcp && export DYN_SKIP_SGLANG_LOG_FORMATTING=1 && export DYN_LOG=info,dynamo_runtime::pipeline::network::ingress::push_handler=warn && export A='$(id)
        `id`' && { marker="${HOME:-/root}"/.srtctl_dynamo_install_0.8.0
        (
          flock -x 200
          [ -f "$marker.complete" ] || { bash -euc 'python3 -m pip install --break-system-packages --quiet --extra-index-url https://pypi.nvidia.com ai-dynamo-runtime==0.8.0 ai-dynamo==0.8.0' && touch "$marker.complete"; }
        ) 200>"$marker.lock"
        } && exec python3 -m dynamo.sglang --model-path /model --served-model-name m --host 0.0.0.0 --port 6100 --nccl-port 17500 --disaggregation-mode prefill --disaggregation-bootstrap-port 7200 --dump-config-to /runs/12345/logs/node0001_config.json --request-plane tcp '--x; id' '$(id) '"'"'q'"'"''"#]].assert_eq(&body);
    let script =
        batch_script(&plan.sbatch, &Program::Path("/opt/my bin/srtctl".to_owned()), &["run; id".to_owned()]);
    expect![[r##"
        #!/bin/bash
        #SBATCH --job-name="x'; touch /tmp/pwned; '$(id)"
        #SBATCH --output=/runs/%j/logs/sweep_%j.log
        #SBATCH --nodes=3
        #SBATCH --ntasks=3
        #SBATCH --ntasks-per-node=1
        #SBATCH --gpus-per-node=8
        #SBATCH --segment=3
        #SBATCH --time=01:00:00

        set -u
        exec '/opt/my bin/srtctl' 'run; id' </dev/null"##]]
    .assert_eq(&script.unwrap());
}

#[test]
fn a_directive_of_two_lines_is_refused() {
    let directives = [("comment".to_owned(), Some("a\n#SBATCH --uid=0".to_owned()))];
    let error = batch_script(&directives, &Program::Path("srtctl".to_owned()), &[]).unwrap_err();
    expect![[r#"
        the sbatch directive `comment` has a name or value that cannot stand in one line of a script: `a
        #SBATCH --uid=0`"#]]
    .assert_eq(&error.to_string());
}

#[test]
fn a_program_may_differ_by_architecture() {
    let paths = [("x86_64", "/opt/x86/srtctl"), ("aarch64", "/opt/arm/srtctl")];
    let paths = paths.map(|(name, path)| (name.to_owned(), path.to_owned())).to_vec();
    let directives = [("job-name".to_owned(), Some("x".to_owned())), ("exclusive".to_owned(), None)];
    let script = batch_script(&directives, &Program::ByArchitecture(paths), &["job".to_owned()]);
    expect![[r##"
        #!/bin/bash
        #SBATCH --job-name=x
        #SBATCH --exclusive

        set -u
        case "$(uname -m)" in
          x86_64) program=/opt/x86/srtctl ;;
          aarch64) program=/opt/arm/srtctl ;;
          *) echo "no srtctl for $(uname -m)" >&2; exit 1 ;;
        esac
        exec "$program" job </dev/null"##]]
    .assert_eq(&script.unwrap());
}

/// Reading refuses most of these by line; planning refuses them whatever made the recipe.
#[track_caller]
fn check_refused(change: impl Fn(&mut Recipe), expected: &Expect) {
    let mut setup = setup(SGLANG);
    change(&mut setup.variants[0].recipe);
    let error = setup.plans().remove(0).unwrap_err();
    expected.assert_eq(&format!("{}: {error}", error.field().unwrap_or_default()));
}

#[test]
fn what_cannot_be_planned_is_named() {
    check_refused(
        |it| it.roles.decode.workers = 3,
        &expect![
            "resources: decode 2 needs one node with room for 8 GPUs, but only 0 of 3 nodes are left: asked for 1 prefill worker of 8 GPUs and 3 decode workers of 8 GPUs on 3 nodes of 8 GPUs"
        ],
    );
    check_refused(
        |it| it.environment.extend([("A B".to_owned(), "x".to_owned())]),
        &expect![
            ": prefill_0_node0001 has the variable `A B`: a name holds letters, digits, and `_`, and does not start with a digit"
        ],
    );
    check_refused(
        |it| it.environment.extend([("A".to_owned(), "\0".to_owned())]),
        &expect![": prefill_0_node0001 has a NUL character in A, which no process can be given"],
    );
    check_refused(
        |it| it.frontend.nginx.keepalive_timeout = "1s; }".to_owned(),
        &expect![
            "frontend.nginx_keepalive_timeout: `frontend.nginx_keepalive_timeout` is `1s; }`, but may only hold a time as nginx reads it, such as 600s"
        ],
    );
    check_refused(
        |it| {
            it.frontend.nginx.session_affinity = true;
            it.frontend.nginx.session_affinity_header = "X Y".to_owned();
        },
        &expect![
            "frontend.nginx_session_affinity_header: `frontend.nginx_session_affinity_header` is `X Y`, but may only hold letters, digits, and `-`"
        ],
    );
    check_refused(
        |it| it.extra_mounts = vec!["/data".to_owned()],
        &expect![
            "extra_mount: `extra_mount` has the entry `/data`, which has no `:`: write `HOST_PATH:CONTAINER_PATH`"
        ],
    );
    check_refused(
        |it| it.container_mounts.extend([("/{x}".to_owned(), "/x".to_owned())]),
        &expect![
            "container_mounts: `container_mounts` has `/{x}`, but {x} is no placeholder: there are job_id, run_name, head_node_ip, log_dir, model_path, container_image, gpus_per_node"
        ],
    );
    check_refused(
        |it| it.benchmark.kind = "sa-bnech".to_owned(),
        &expect![
            "benchmark.type: `benchmark.type` is `sa-bnech`, which is no benchmark: there are custom, gpqa, gsm8k, lm-eval, longbenchv2, manual, mmlu, mooncake-router, router, sa-bench, sglang-bench, trace-replay"
        ],
    );
    check_refused(
        |it| it.benchmark.isl = None,
        &expect!["benchmark: `benchmark.type: sa-bench` needs `benchmark.isl`"],
    );
    check_refused(
        |it| it.benchmark.num_prompts_mult = Some(-1),
        &expect![
            "benchmark.num_prompts_mult: `benchmark.num_prompts_mult` is `-1`, but `benchmark.type: sa-bench` needs a number of at least 0"
        ],
    );
    check_refused(
        |it| it.benchmark.concurrencies = Some(Concurrencies::Text("4y".to_owned())),
        &expect![
            "benchmark.concurrencies: `benchmark.concurrencies` is `4y`, but `benchmark.type: sa-bench` needs numbers above 0, as `[4, 8]` or `4x8`"
        ],
    );
    check_refused(
        |it| it.benchmark.kind = "router".to_owned(),
        &expect![
            "benchmark.type: `benchmark.type: router` needs `frontend.type: sglang`, but it is `dynamo`"
        ],
    );
    check_refused(
        |it| {
            it.frontend.enable_multiple_frontends = false;
            it.frontend.orchestrator_placement = Placement::LastDecode;
            it.roles.decode.workers = 0;
        },
        &expect![
            "frontend.orchestrator_placement: `frontend.orchestrator_placement` is `last_decode`, but the job has no decode workers: use `head`"
        ],
    );
    check_refused(
        |it| it.model.stage_dir = Some("/".to_owned()),
        &expect!["model.stage_dir: `model.stage_dir` is `/`, which names no folder to copy the model to"],
    );
}

#[test]
fn nginx_spreads_sessions_by_header() {
    let frontend =
        "frontend: { nginx_session_affinity: true, nginx_raise_ulimit: true, num_additional_frontends: 0 }\n";
    let plan = setup(&format!("{SGLANG}{frontend}")).plan();
    let config = plan.files.iter().find(|file| file.path == "nginx.conf").unwrap();
    expect![[r##"
        # nginx in front of the frontends. Runs as an ordinary user: everything it writes is in the log folder.
        worker_processes auto;
        worker_rlimit_nofile 1048576;
        pid "/logs/nginx.pid";
        error_log stderr warn;

        events {
            worker_connections 65535;
            multi_accept on;
            use epoll;
        }

        http {
            client_max_body_size 45m;
            access_log off;
            keepalive_timeout 600s;
            client_body_temp_path "/logs/nginx_client_body_temp";
            proxy_temp_path "/logs/nginx_proxy_temp";
            fastcgi_temp_path "/logs/nginx_fastcgi_temp";
            uwsgi_temp_path "/logs/nginx_uwsgi_temp";
            scgi_temp_path "/logs/nginx_scgi_temp";

            # Requests of one session meet one frontend; requests without one are spread.
            map $http_x_dynamo_session_id $frontend_hash_key {
                default $http_x_dynamo_session_id;
                "" $request_id;
            }

            upstream frontends {
                hash $frontend_hash_key consistent;
                server 10.0.0.2:8180;
                keepalive 512;
                keepalive_timeout 600s;
            }

            server {
                listen 8000;

                location / {
                    proxy_pass http://frontends;
                    proxy_http_version 1.1;
                    proxy_set_header Connection "";
                    proxy_set_header Host $host;
                    proxy_buffering off;
                    proxy_request_buffering off;
                    proxy_read_timeout 24h;
                    proxy_send_timeout 24h;
                }
            }
        }"##]].assert_eq(&config.text);
    let step = plan.steps.iter().find(|step| step.id.as_str() == "nginx").unwrap();
    expect!["bash -c ulimit -n 1048576 && exec nginx -e stderr -c /logs/nginx.conf -g 'daemon off;'"]
        .assert_eq(&step.argv.join(" "));
}

#[test]
fn workers_of_a_node_can_start_one_after_the_other() {
    let plan = setup(
        "
name: demo
model: { path: /models/m, container: image:1, precision: fp8 }
resources: { gpu_type: h100, gpus_per_node: 8, agg_nodes: 1, agg_workers: 4 }
backend: { type: trtllm, sequential_node_start: 2 }
benchmark: { type: manual }
",
    )
    .plan();
    let workers = plan.steps.iter().filter(|step| step.stage.name() == "worker");
    let waits: Vec<String> = workers
        .map(|step| {
            let urls = step.wait_for.iter().filter_map(|wait| match &wait.probe {
                Probe::Http { url } => Some(url.as_str()),
                Probe::Tcp { .. } | Probe::Frontend(_) => None,
            });
            format!("{}: {}", step.id, urls.collect::<Vec<_>>().join(" "))
        })
        .collect();
    expect![[r#"
        agg_0_node0001: 
        agg_1_node0001: 
        agg_2_node0001: http://10.0.0.1:7500/health http://10.0.0.1:7501/health
        agg_3_node0001: http://10.0.0.1:7500/health http://10.0.0.1:7501/health"#]]
    .assert_eq(&waits.join("\n"));
}

#[test]
fn a_mock_engine_is_told_what_the_mocker_would_be_told() {
    let plan = setup(
        "
name: demo
model: { path: mock/m, precision: fp8 }
resources: { gpu_type: h100, gpus_per_node: 8, agg_nodes: 1, agg_workers: 1 }
backend:
  type: mocker
  speedup_ratio: 4.0
  max_num_seqs: 32
  block_size: 64
  startup_time: 0.5
  mocker_config: { aggregated: { fault: [hang, crash-after-requests=5], max_running_requests: 16, prefix_cache: true } }
frontend: { type: mock }
benchmark: { type: manual }
",
    )
    .plan();
    expect!["srtctl mock engine --host 0.0.0.0 --port 6100 --role agg --model-path /recipes/mock/m --served-model-name m --gpus 8 --speedup 4.0 --kv-capacity-tokens 1048576 --startup-s 0.5 --fault hang --fault crash-after-requests=5 --max-running-requests 16 --prefix-cache"].assert_eq(&plan.steps[0].argv.join(" "));
}
