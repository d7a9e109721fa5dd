//! What each frontend's answers mean. Bodies are those of real frontends, shortened.

use expect_test::{Expect, expect};
use srt_health::{Answer, frontend_progress};
use srt_launch::{FrontendProtocol, Readiness};

const TINY: &str = r#"{"object":"list","data":[{"id":"tiny","object":"model"}]}"#;
const NO_MODELS: &str = r#"{"object":"list","data":[]}"#;

#[track_caller]
fn check(
    protocol: FrontendProtocol,
    expected: (u32, u32),
    status: (u16, &str),
    models: &str,
    expect: &Expect,
) {
    let (prefill, decode) = expected;
    let model = Some("tiny".to_owned());
    let readiness = Readiness { protocol, host: "127.0.1.1".to_owned(), port: 8000, prefill, decode, model };
    let status = Answer::Http { status: status.0, body: status.1.into() };
    let models = Answer::Http { status: 200, body: models.into() };
    let progress = frontend_progress(&readiness, &status, Some(&models));
    let ready = if progress.is_ready() { "ready" } else { "not ready" };
    expect.assert_eq(&format!("{ready}: {progress}"));
}

#[test]
fn dynamo_without_workers_is_healthy_but_not_ready() {
    check(
        FrontendProtocol::Dynamo,
        (1, 2),
        (200, r#"{"status":"healthy","endpoints":[],"instances":[]}"#),
        NO_MODELS,
        &expect!["not ready: prefill 0/1, decode 0/2, waiting for workers to register"],
    );
}

const DYNAMO_1P2D: &str = r#"{"status":"healthy","endpoints":[],"instances":[
    {"component":"backend","endpoint":"generate","namespace":"dynamo","instance_id":13962940416979760780},
    {"component":"backend","endpoint":"generate","namespace":"dynamo","instance_id":13962940416979760781},
    {"component":"prefill","endpoint":"generate","namespace":"dynamo","instance_id":13962940416979760782},
    {"component":"prefill","endpoint":"worker_kv_query_source_d4c4","instance_id":13962940416979760782}]}"#;

#[test]
fn dynamo_counts_only_the_generate_endpoint() {
    check(
        FrontendProtocol::Dynamo,
        (1, 2),
        (200, DYNAMO_1P2D),
        TINY,
        &expect!["ready: prefill 1/1, decode 2/2"],
    );
    check(
        FrontendProtocol::Dynamo,
        (2, 2),
        (200, DYNAMO_1P2D),
        TINY,
        &expect!["not ready: prefill 1/2, decode 2/2, waiting for workers to register"],
    );
}

#[test]
fn dynamo_registers_workers_before_the_model_can_be_asked_for() {
    check(
        FrontendProtocol::Dynamo,
        (1, 2),
        (200, DYNAMO_1P2D),
        NO_MODELS,
        &expect!["not ready: prefill 1/1, decode 2/2, model `tiny` is not listed yet"],
    );
}

#[test]
fn dynamo_serving_another_model_says_which() {
    check(
        FrontendProtocol::Dynamo,
        (1, 2),
        (200, DYNAMO_1P2D),
        r#"{"data":[{"id":"/model"}]}"#,
        &expect![
            "not ready: prefill 1/1, decode 2/2, model `tiny` is not served; the frontend lists `/model`"
        ],
    );
}

#[test]
fn router_believes_is_healthy_and_not_the_totals() {
    let workers = |second: bool| {
        format!(
            r#"{{"workers":[{{"worker_type":"prefill","is_healthy":true}},{{"worker_type":"decode","is_healthy":true}},
                {{"worker_type":"decode","is_healthy":{second}}}],
               "total":3,"stats":{{"prefill_count":1,"decode_count":2,"regular_count":0}}}}"#
        )
    };
    check(
        FrontendProtocol::SglangRouter,
        (1, 2),
        (200, &workers(false)),
        "",
        &expect!["not ready: prefill 1/1, decode 1/2, 1 registered worker is not healthy"],
    );
    check(
        FrontendProtocol::SglangRouter,
        (1, 2),
        (200, &workers(true)),
        "",
        &expect!["ready: prefill 1/1, decode 2/2"],
    );
}

#[test]
fn router_counts_regular_workers_as_decode() {
    check(
        FrontendProtocol::SglangRouter,
        (0, 2),
        (
            200,
            r#"{"workers":[{"worker_type":"regular","is_healthy":true},{"worker_type":"regular","is_healthy":true}]}"#,
        ),
        "",
        &expect!["ready: decode 2/2"],
    );
}

#[test]
fn router_that_answers_something_else_is_named() {
    check(
        FrontendProtocol::SglangRouter,
        (1, 1),
        (200, "<html>nginx</html>"),
        "",
        &expect![
            "not ready: prefill 0/1, decode 0/1, the answer of `/workers` cannot be read: expected value at line 1 column 1"
        ],
    );
    check(
        FrontendProtocol::SglangRouter,
        (1, 1),
        (502, ""),
        "",
        &expect!["not ready: prefill 0/1, decode 0/1, `/workers` answers with status 502"],
    );
}

#[test]
fn trtllm_serve_is_ready_with_a_status_alone() {
    check(FrontendProtocol::TrtllmServe, (1, 1), (200, ""), "", &expect!["ready: prefill 1/1, decode 1/1"]);
    check(
        FrontendProtocol::TrtllmServe,
        (1, 1),
        (503, ""),
        "",
        &expect!["not ready: prefill 0/1, decode 0/1, `/health` answers with status 503"],
    );
}

#[test]
fn vllm_needs_a_listed_model() {
    check(FrontendProtocol::Vllm, (0, 1), (200, ""), TINY, &expect!["ready: decode 1/1"]);
    check(
        FrontendProtocol::Vllm,
        (0, 1),
        (200, ""),
        NO_MODELS,
        &expect!["not ready: decode 1/1, model `tiny` is not listed yet"],
    );
}

#[test]
fn an_expectation_of_nothing_is_not_met_by_a_broken_answer() {
    check(
        FrontendProtocol::Dynamo,
        (0, 0),
        (200, r#"{"status":"healthy"}"#),
        TINY,
        &expect![
            "not ready: the answer of `/health` cannot be read: missing field `instances` at line 1 column 20"
        ],
    );
}
