use expect_test::{Expect, expect};
use srt_mocker::{
    engine::EngineConfig,
    router::{Policy, PrefillWorker, RouterConfig},
};
use srt_topology::Role;
use tokio::net::TcpListener;

use crate::harness::{Answer, RunningEngine, RunningRouter, fast, get, post, request, send, until};

const THREE: &str = r#"{"prompt": "a b", "max_tokens": 3, "stream": true, "ignore_eos": true}"#;

fn role(role: Role) -> EngineConfig {
    EngineConfig { role, ..fast() }
}

fn regular(workers: &[&RunningEngine]) -> RouterConfig {
    let worker_urls = workers.iter().map(|it| it.url().parse().expect("a URL")).collect();
    RouterConfig { worker_urls, ..RouterConfig::default() }
}

fn pairs(prefill: &[&RunningEngine], decode: &[&RunningEngine]) -> RouterConfig {
    RouterConfig {
        prefill: prefill
            .iter()
            .map(|it| PrefillWorker {
                url: it.url().parse().expect("a URL"),
                bootstrap_port: it.bootstrap_port,
            })
            .collect(),
        decode_urls: decode.iter().map(|it| it.url().parse().expect("a URL")).collect(),
        ..RouterConfig::default()
    }
}

/// Names ports by the role of who has them, and leaves out identities.
#[track_caller]
fn check(answer: &Answer, engines: &[(&str, &RunningEngine)], expected: &Expect) {
    let mut text = answer.show();
    for (name, engine) in engines {
        text = text.replace(&engine.address.port().to_string(), name);
        if let Some(port) = engine.bootstrap_port {
            text = text.replace(&format!("\"bootstrap_port\":{port}"), "\"bootstrap_port\":BOOTSTRAP");
        }
    }
    // Identities are random; they are the only texts of 36 hexadecimal digits and dashes.
    let is_uuid = |word: &str| word.len() == 36 && word.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    let shown: String = text
        .split_inclusive(['"', '/'])
        .map(|part| {
            let word = part.trim_end_matches(['"', '/']);
            if is_uuid(word) { part.replace(word, "UUID") } else { part.to_owned() }
        })
        .collect();
    expected.assert_eq(&shown);
}

#[tokio::test]
async fn nobody_is_there() {
    let router = RunningRouter::start(RouterConfig::default()).await;
    let mut shown = String::new();
    for path in [
        "/health",
        "/liveness",
        "/readiness",
        "/health_generate",
        "/workers",
        "/v1/models",
        "/get_loads",
        "/get_server_info",
        "/nothing",
    ] {
        shown.extend([path, " ", &get(router.address, path).await.show()]);
    }
    shown.extend(["POST ", &post(router.address, "/v1/completions", THREE).await.show()]);
    expect![[r#"
        /health 200 text/plain; charset=utf-8
        OK
        /liveness 200 text/plain; charset=utf-8
        OK
        /readiness 503 application/json
        {"status":"not ready","reason":"insufficient healthy workers"}
        /health_generate 503 text/plain; charset=utf-8
        No routers with healthy workers available
        /workers 200 application/json
        {"workers":[],"total":0,"stats":{"prefill_count":0,"decode_count":0,"regular_count":0}}
        /v1/models 503 text/plain; charset=utf-8
        No models available
        /get_loads 200 application/json
        {"workers":[]}
        /get_server_info 200 application/json
        {"router_manager":true,"routers_count":1,"workers_count":0}
        /nothing 404 text/plain; charset=utf-8
        POST 503 application/json
        {"error":{"type":"Service Unavailable","code":"no_available_workers","message":"No available workers (all circuits open or unhealthy)"}}
    "#]].assert_eq(&shown);
}

#[tokio::test]
async fn aggregated_workers_are_listed_and_used_in_turn() {
    let mut first = RunningEngine::ready(role(Role::Agg)).await;
    let mut second = RunningEngine::ready(role(Role::Agg)).await;
    let router = RunningRouter::start(regular(&[&first, &second])).await;
    router.until("/readiness", "\"healthy_workers\":2").await;
    check(
        &get(router.address, "/workers").await,
        &[("FIRST", &first), ("SECOND", &second)],
        &expect![[r#"
        200 application/json
        {"workers":[{"id":"UUID","url":"http://127.0.0.1:FIRST","model_id":"mock","priority":50,"cost":1.0,"worker_type":"regular","is_healthy":true,"load":0,"connection_mode":"HTTP","metadata":{"architectures":"[\"MockForCausalLM\"]","disaggregation_mode":"null","dp_size":"1","model_path":"/model","model_type":"mock","served_model_name":"mock","tp_size":"1"},"disable_health_check":false},{"id":"UUID","url":"http://127.0.0.1:SECOND","model_id":"mock","priority":50,"cost":1.0,"worker_type":"regular","is_healthy":true,"load":0,"connection_mode":"HTTP","metadata":{"architectures":"[\"MockForCausalLM\"]","disaggregation_mode":"null","dp_size":"1","model_path":"/model","model_type":"mock","served_model_name":"mock","tp_size":"1"},"disable_health_check":false}],"total":2,"stats":{"prefill_count":0,"decode_count":0,"regular_count":2}}
    "#]],
    );
    check(
        &get(router.address, "/get_loads").await,
        &[("FIRST", &first), ("SECOND", &second)],
        &expect![[r#"
        200 application/json
        {"workers":[{"worker":"http://127.0.0.1:FIRST","load":0},{"worker":"http://127.0.0.1:SECOND","load":0}]}
    "#]],
    );
    check(
        &get(router.address, "/v1/models").await,
        &[],
        &expect![[r#"
        200 text/plain; charset=utf-8
        {"object":"list","data":[{"id":"mock","object":"model","owned_by":"local"}]}
    "#]],
    );
    check(
        &get(router.address, "/readiness").await,
        &[],
        &expect![[r#"
        200 application/json
        {"status":"ready","healthy_workers":2,"total_workers":2}
    "#]],
    );
    check(
        &post(router.address, "/flush_cache", "").await,
        &[],
        &expect![[r#"
            200 application/json
            {"status":"success","message":"2 of 2 flushed","workers_flushed":2,"total_http_workers":2,"total_workers":2}
        "#]],
    );
    for _ in 0..2 {
        assert_eq!(post(router.address, "/v1/completions", THREE).await.tokens(), 3);
    }
    first.log_line("Prefill batch").await;
    second.log_line("Prefill batch").await;
}

#[tokio::test]
async fn pairs_are_listed_and_used() {
    let mut prefill = RunningEngine::ready(role(Role::Prefill)).await;
    let mut first = RunningEngine::ready(role(Role::Decode)).await;
    let mut second = RunningEngine::ready(role(Role::Decode)).await;
    let router = RunningRouter::start(pairs(&[&prefill], &[&first, &second])).await;
    router.until("/readiness", "\"healthy_workers\":3").await;
    let engines = [("PREFILL", &prefill), ("FIRST", &first), ("SECOND", &second)];
    check(
        &get(router.address, "/workers").await,
        &engines,
        &expect![[r#"
        200 application/json
        {"workers":[{"id":"UUID","url":"http://127.0.0.1:PREFILL","model_id":"mock","priority":50,"cost":1.0,"worker_type":"prefill","is_healthy":true,"load":0,"connection_mode":"HTTP","bootstrap_port":BOOTSTRAP,"metadata":{"architectures":"[\"MockForCausalLM\"]","disaggregation_mode":"prefill","dp_size":"1","model_path":"/model","model_type":"mock","served_model_name":"mock","tp_size":"1"},"disable_health_check":false},{"id":"UUID","url":"http://127.0.0.1:FIRST","model_id":"mock","priority":50,"cost":1.0,"worker_type":"decode","is_healthy":true,"load":0,"connection_mode":"HTTP","metadata":{"architectures":"[\"MockForCausalLM\"]","disaggregation_mode":"decode","dp_size":"1","model_path":"/model","model_type":"mock","served_model_name":"mock","tp_size":"1"},"disable_health_check":false},{"id":"UUID","url":"http://127.0.0.1:SECOND","model_id":"mock","priority":50,"cost":1.0,"worker_type":"decode","is_healthy":true,"load":0,"connection_mode":"HTTP","metadata":{"architectures":"[\"MockForCausalLM\"]","disaggregation_mode":"decode","dp_size":"1","model_path":"/model","model_type":"mock","served_model_name":"mock","tp_size":"1"},"disable_health_check":false}],"total":3,"stats":{"prefill_count":1,"decode_count":2,"regular_count":0}}
    "#]],
    );
    check(
        &post(router.address, "/v1/completions", THREE).await,
        &[],
        &expect![[r#"
        200 text/event-stream; charset=utf-8
        data: {"id":"00000000000000000000000000000000","object":"text_completion","created":N,"model":"mock","choices":[{"index":0,"text":" the","logprobs":null,"finish_reason":null}]}

        data: {"id":"00000000000000000000000000000000","object":"text_completion","created":N,"model":"mock","choices":[{"index":0,"text":" node","logprobs":null,"finish_reason":null}]}

        data: {"id":"00000000000000000000000000000000","object":"text_completion","created":N,"model":"mock","choices":[{"index":0,"text":" holds","logprobs":null,"finish_reason":"length"}]}

        data: [DONE]
    "#]],
    );
    let whole = r#"{"messages": [{"role": "user", "content": "a"}], "max_tokens": 50}"#;
    let whole = post(router.address, "/v1/chat/completions", whole).await;
    assert!(whole.body.contains(r#""completion_tokens":50"#), "{}", whole.body);
    prefill.log_line("#new-token: 2").await;
    let list = r#"{"prompt": ["a", "b c"], "max_tokens": 45}"#;
    let list = post(router.address, "/v1/completions", list).await;
    assert!(list.body.contains(r#""completion_tokens":90"#), "{}", list.body);
    for decode in [&mut first, &mut second] {
        decode.log_line("Decode batch").await;
    }
}

#[tokio::test]
async fn empty_and_wrong_bodies() {
    let prefill = RunningEngine::ready(role(Role::Prefill)).await;
    let decode = RunningEngine::ready(role(Role::Decode)).await;
    let router = RunningRouter::start(pairs(&[&prefill], &[&decode])).await;
    router.until("/readiness", "\"healthy_workers\":2").await;
    check(
        &post(router.address, "/v1/completions", "[1]").await,
        &[],
        &expect![[r#"
            400 application/json
            {"error":{"type":"Bad Request","code":"invalid_json","message":"invalid type: sequence, expected a JSON object at line 1 column 0"}}
        "#]],
    );
    // Which of the two refuses it first is open.
    assert_eq!(post(router.address, "/v1/completions", "{} ").await.status, "400");
    check(
        &post(decode.address, "/v1/completions", THREE).await,
        &[],
        &expect![[r#"
        400 application/json
        {"object":"error","message":"a decode engine needs `bootstrap_room`; ask through the router","type":"BadRequestError","param":null,"code":400}
    "#]],
    );
}

#[tokio::test]
async fn a_dead_worker_is_avoided_at_once() {
    let mut first = RunningEngine::ready(role(Role::Agg)).await;
    let second = RunningEngine::ready(role(Role::Agg)).await;
    let router = RunningRouter::start(regular(&[&first, &second])).await;
    router.until("/readiness", "\"healthy_workers\":2").await;
    first.kill().await;
    for _ in 0..3 {
        assert_eq!(post(router.address, "/v1/completions", THREE).await.tokens(), 3);
    }
    router.until("/readiness", "\"healthy_workers\":1").await;
    let engines = [("FIRST", &first), ("SECOND", &second)];
    check(
        &router.until("/get_loads", "-1").await,
        &engines,
        &expect![[r#"
        200 application/json
        {"workers":[{"worker":"http://127.0.0.1:FIRST","load":-1},{"worker":"http://127.0.0.1:SECOND","load":0}]}
    "#]],
    );
    let workers = get(router.address, "/workers").await;
    assert!(
        workers.body.contains("\"is_healthy\":false") && workers.body.contains("\"total\":2"),
        "{}",
        workers.body
    );
}

#[tokio::test]
async fn a_dead_prefill_worker_is_named() {
    let mut prefill = RunningEngine::ready(role(Role::Prefill)).await;
    let decode = RunningEngine::ready(role(Role::Decode)).await;
    let router = RunningRouter::start(pairs(&[&prefill], &[&decode])).await;
    router.until("/readiness", "\"healthy_workers\":2").await;
    prefill.kill().await;
    let answer = post(router.address, "/v1/completions", THREE).await;
    // The health check may be faster than the request.
    assert!(["502", "503"].contains(&answer.status.as_str()), "{}", answer.show());
    router.until("/readiness", "insufficient healthy workers").await;
    check(
        &post(router.address, "/v1/completions", THREE).await,
        &[],
        &expect![[r#"
            503 application/json
            {"error":{"type":"Service Unavailable","code":"server_selection_failed","message":"no healthy prefill worker"}}
        "#]],
    );
}

#[tokio::test]
async fn a_decode_worker_survives_its_prefill_worker() {
    let hanging = EngineConfig {
        faults: vec!["hang-after-requests=0".parse().expect("a fault")],
        ..role(Role::Prefill)
    };
    let mut prefill = RunningEngine::ready(hanging).await;
    let mut decode = RunningEngine::ready(role(Role::Decode)).await;
    let body = format!(
        r#"{{"prompt": "a", "max_tokens": 3, "bootstrap_host": "127.0.0.1", "bootstrap_port": {}, "bootstrap_room": 5}}"#,
        prefill.bootstrap_port.expect("a prefill engine")
    );
    let to_prefill = send(prefill.address, "POST", "/v1/completions", &body).await;
    let waiting = send(decode.address, "POST", "/v1/completions", &body).await;
    until(decode.address, "/get_load", "\"num_waiting_reqs\":1").await;
    prefill.kill().await;
    decode.log_line("KVTransferError(bootstrap_room=5)").await;
    let answer = crate::harness::receive(waiting).await;
    assert!(answer.body.contains(r#""finish_reason":"abort""#), "{}", answer.body);
    drop(to_prefill);
}

#[tokio::test]
async fn a_late_worker_is_registered() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("an address");
    let worker_urls = vec![format!("http://{free}").parse().expect("a URL")];
    let router = RunningRouter::start(RouterConfig { worker_urls, ..RouterConfig::default() }).await;
    assert_eq!(get(router.address, "/readiness").await.status, "503");
    let _late = RunningEngine::ready(EngineConfig { port: free.port(), ..role(Role::Agg) }).await;
    router.until("/readiness", "\"healthy_workers\":1").await;
    assert_eq!(post(router.address, "/v1/completions", THREE).await.tokens(), 3);
}

#[tokio::test]
async fn workers_are_added_and_removed_by_hand() {
    let engine = RunningEngine::ready(role(Role::Agg)).await;
    let router =
        RunningRouter::start(RouterConfig { policy: Policy::LeastLoad, ..RouterConfig::default() }).await;
    let add = format!(r#"{{"url": "{}"}}"#, engine.url());
    check(
        &post(router.address, "/workers", &add).await,
        &[("PORT", &engine)],
        &expect![[r#"
            202 application/json
            {"status":"accepted","worker_id":"UUID","url":"http://127.0.0.1:PORT","location":"/workers/UUID","message":"it is registered as soon as it answers"}
        "#]],
    );
    check(
        &post(router.address, "/workers", r#"{"url": "ftp://x"}"#).await,
        &[],
        &expect![[r#"
            400 application/json
            {"error":{"type":"Bad Request","code":"invalid_url","message":"`ftp://x` is no worker URL: expected `http://HOST:PORT`"}}
        "#]],
    );
    let workers = router.until("/workers", "\"total\":1").await.body;
    assert_eq!(post(router.address, "/v1/completions", THREE).await.tokens(), 3);
    let id = workers.split("\"id\":\"").nth(1).and_then(|it| it.split('"').next()).expect("an identity");
    assert_eq!(get(router.address, &format!("/workers/{id}")).await.status, "200");
    assert_eq!(request(router.address, "DELETE", &format!("/workers/{id}"), "").await.status, "202");
    check(
        &request(router.address, "DELETE", "/workers/none", "").await,
        &[],
        &expect![[r#"
            404 application/json
            {"error":{"type":"Not Found","code":"worker_not_found","message":"no worker has the id `none`"}}
        "#]],
    );
    check(
        &get(router.address, "/workers").await,
        &[],
        &expect![[r#"
        200 application/json
        {"workers":[],"total":0,"stats":{"prefill_count":0,"decode_count":0,"regular_count":0}}
    "#]],
    );
}

#[tokio::test]
async fn least_load_avoids_a_busy_worker() {
    let engines = [RunningEngine::ready(role(Role::Agg)).await, RunningEngine::ready(role(Role::Agg)).await];
    let config = RouterConfig { policy: Policy::LeastLoad, ..regular(&[&engines[0], &engines[1]]) };
    let router = RunningRouter::start(config).await;
    router.until("/readiness", "\"healthy_workers\":2").await;
    let endless = r#"{"prompt": "a", "max_tokens": 500000, "stream": true, "ignore_eos": true}"#;
    let _busy = send(router.address, "POST", "/v1/completions", endless).await;
    router.until("/workers", "\"load\":1").await;
    for _ in 0..4 {
        assert_eq!(post(router.address, "/v1/completions", THREE).await.tokens(), 3);
    }
    let mut requests = Vec::new();
    for engine in &engines {
        let metrics = get(engine.address, "/metrics").await.body;
        let line = metrics.lines().find(|it| it.starts_with("sglang:num_requests_total")).expect("a counter");
        requests.push(line.rsplit(' ').next().expect("a value").to_owned());
    }
    assert_eq!(requests, ["1", "4"]);
}
