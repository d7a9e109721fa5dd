//! The HTTP surface of the router, and the forwarding of requests.

use std::{
    fmt,
    future::Future,
    hash::{BuildHasher, RandomState},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Body as HttpBody, Frame, Incoming, SizeHint},
    header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue},
};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};

use super::{
    RouterConfig, WorkerUrl,
    registry::{self, Command, Kind, Lease, Wanted, WorkerView},
    upstream::{Connection, UpstreamBody, UpstreamError},
};
use crate::http::{self, Body, BoxError};

/// A worker that does not tell its load in this time counts as dead.
const LOAD_TIMEOUT: Duration = Duration::from_secs(2);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Answers requests; clones share everything.
#[derive(Debug, Clone)]
pub(super) struct Handler(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    disaggregated: bool,
    registry: mpsc::UnboundedSender<Command>,
    next_room: AtomicU64,
}

/// An error of the router itself, in the words of sglang-router.
struct RouterReply {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Handler {
    pub(super) fn new(config: &RouterConfig, registry: mpsc::UnboundedSender<Command>) -> Self {
        Self(Arc::new(Shared {
            disaggregated: !(config.prefill.is_empty() && config.decode_urls.is_empty()),
            registry,
            // Several routers may share a prefill engine, so their rooms start at random places.
            next_room: AtomicU64::new(RandomState::new().hash_one("first room")),
        }))
    }

    pub(super) async fn handle(self, request: Request<Incoming>) -> Response<Body> {
        let shared = &*self.0;
        let path = request.uri().path().to_owned();
        match (request.method(), path.as_str()) {
            (&Method::GET, "/health" | "/liveness") => http::text(StatusCode::OK, "OK"),
            (&Method::GET, "/readiness") => shared.readiness().await,
            (&Method::GET, "/health_generate") => shared.health_generate().await,
            (&Method::GET, "/workers") => shared.list().await,
            (&Method::POST, "/workers") => shared.add(request).await,
            (&Method::GET, "/v1/models") => shared.models().await,
            (&Method::GET, "/get_loads") => shared.loads().await,
            (&Method::GET, "/get_server_info") => shared.server_info().await,
            (&Method::GET, "/get_model_info") => shared.model_info().await,
            (&Method::POST, "/flush_cache") => shared.flush_cache().await,
            (&Method::POST, "/v1/completions" | "/v1/chat/completions" | "/generate") => {
                shared.forward(request).await.unwrap_or_else(Into::into)
            }
            (method, path) => match path.strip_prefix("/workers/") {
                Some(id) if method == Method::GET => shared.get(id).await,
                Some(id) if method == Method::DELETE => shared.remove(id).await,
                _ => http::text(StatusCode::NOT_FOUND, ""),
            },
        }
    }
}

impl Shared {
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> T {
        let (reply, answer) = oneshot::channel();
        // The registry lives as long as the server, so the answer comes or this future is dropped.
        self.registry.send(command(reply)).ok();
        match answer.await {
            Ok(answer) => answer,
            Err(_) => std::future::pending().await,
        }
    }

    async fn workers(&self) -> Vec<WorkerView> {
        self.ask(Command::List).await
    }

    async fn readiness(&self) -> Response<Body> {
        let workers = self.workers().await;
        let healthy =
            |kind: fn(Kind) -> bool| workers.iter().filter(|it| it.healthy && kind(it.kind)).count();
        let healthy_workers = healthy(|_| true);
        let ready = if self.disaggregated {
            healthy(|kind| matches!(kind, Kind::Prefill { .. })) > 0
                && healthy(|kind| kind == Kind::Decode) > 0
        } else {
            healthy_workers > 0
        };
        if ready {
            let body = json!({ "status": "ready", "healthy_workers": healthy_workers, "total_workers": workers.len() });
            http::json(StatusCode::OK, &body)
        } else {
            let body = json!({ "status": "not ready", "reason": "insufficient healthy workers" });
            http::json(StatusCode::SERVICE_UNAVAILABLE, &body)
        }
    }

    async fn health_generate(&self) -> Response<Body> {
        if self.workers().await.iter().any(|worker| worker.healthy) {
            http::text(StatusCode::OK, "At least one router has healthy workers")
        } else {
            http::text(StatusCode::SERVICE_UNAVAILABLE, "No routers with healthy workers available")
        }
    }

    async fn list(&self) -> Response<Body> {
        let workers = self.workers().await;
        let count = |wanted: fn(Kind) -> bool| workers.iter().filter(|it| wanted(it.kind)).count();
        let body = json!({
            "workers": workers.iter().map(WorkerView::to_json).collect::<Vec<_>>(),
            "total": workers.len(),
            "stats": {
                "prefill_count": count(|kind| matches!(kind, Kind::Prefill { .. })),
                "decode_count": count(|kind| kind == Kind::Decode),
                "regular_count": count(|kind| kind == Kind::Regular),
            },
        });
        http::json(StatusCode::OK, &body)
    }

    async fn get(&self, id: &str) -> Response<Body> {
        match self.workers().await.iter().find(|worker| worker.id == id) {
            Some(worker) => http::json(StatusCode::OK, &worker.to_json()),
            None => worker_not_found(id),
        }
    }

    async fn add(&self, request: Request<Incoming>) -> Response<Body> {
        #[derive(Deserialize)]
        struct NewWorker {
            url: String,
            worker_type: Option<String>,
            bootstrap_port: Option<u16>,
        }
        let body = match http::read_body(request.into_body()).await {
            Ok(body) => body,
            Err(response) => return *response,
        };
        let new = match serde_json::from_slice::<NewWorker>(&body) {
            Ok(new) => new,
            Err(error) => return bad_request("invalid_json", error.to_string()).into(),
        };
        let url: WorkerUrl = match new.url.parse() {
            Ok(url) => url,
            Err(error) => return bad_request("invalid_url", error.to_string()).into(),
        };
        let kind = match new.worker_type.as_deref() {
            None | Some("regular") => Kind::Regular,
            Some("prefill") => Kind::Prefill { bootstrap_port: new.bootstrap_port },
            Some("decode") => Kind::Decode,
            Some(other) => {
                return bad_request("invalid_worker_type", format!("`{other}` is no worker type")).into();
            }
        };
        let id = self.ask(|reply| Command::Add { url: url.clone(), kind, reply }).await;
        let body = json!({ "status": "accepted", "worker_id": id, "url": url.to_string(),
            "location": format!("/workers/{id}"), "message": "it is registered as soon as it answers" });
        http::json(StatusCode::ACCEPTED, &body)
    }

    async fn remove(&self, id: &str) -> Response<Body> {
        if self.ask(|reply| Command::Remove { id: id.to_owned(), reply }).await {
            http::json(StatusCode::ACCEPTED, &json!({ "status": "accepted", "worker_id": id }))
        } else {
            worker_not_found(id)
        }
    }

    /// Like the real one, it says `text/plain` about its JSON.
    async fn models(&self) -> Response<Body> {
        let workers = self.workers().await;
        let mut names: Vec<&str> = workers.iter().filter(|it| it.healthy).map(WorkerView::model_id).collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            return http::text(StatusCode::SERVICE_UNAVAILABLE, "No models available");
        }
        let data: Vec<Value> =
            names.iter().map(|id| json!({ "id": id, "object": "model", "owned_by": "local" })).collect();
        http::text(StatusCode::OK, json!({ "object": "list", "data": data }).to_string())
    }

    /// Asks every worker now; a dead one has load -1.
    async fn loads(&self) -> Response<Body> {
        let mut asked = JoinSet::new();
        for (index, worker) in self.workers().await.into_iter().enumerate() {
            asked.spawn(async move {
                let answer =
                    timeout(LOAD_TIMEOUT, registry::get(&worker.url, "/get_load")).await.ok().flatten();
                let load = answer.and_then(|body| worker_load(&body)).unwrap_or(-1);
                (index, json!({ "worker": worker.url.to_string(), "load": load }))
            });
        }
        let mut loads = asked.join_all().await;
        loads.sort_unstable_by_key(|(index, _)| *index);
        let loads: Vec<Value> = loads.into_iter().map(|(_, load)| load).collect();
        http::json(StatusCode::OK, &json!({ "workers": loads }))
    }

    /// Like the real one, it says `text/plain` about its JSON.
    async fn server_info(&self) -> Response<Body> {
        let count = self.workers().await.len();
        http::json(
            StatusCode::OK,
            &json!({ "router_manager": true, "routers_count": 1, "workers_count": count }),
        )
    }

    async fn model_info(&self) -> Response<Body> {
        for worker in self.workers().await.iter().filter(|worker| worker.healthy) {
            if let Some(body) = registry::get(&worker.url, "/get_model_info").await {
                return http::full(StatusCode::OK, "application/json", body);
            }
        }
        no_workers("no worker to ask").into()
    }

    async fn flush_cache(&self) -> Response<Body> {
        let mut flushed = 0;
        let workers = self.workers().await;
        for worker in &workers {
            flushed += usize::from(registry::get(&worker.url, "/flush_cache").await.is_some());
        }
        let status = if flushed == workers.len() { "success" } else { "partial_success" };
        let body = json!({ "status": status, "message": format!("{flushed} of {} flushed", workers.len()), "workers_flushed": flushed, "total_http_workers": workers.len(), "total_workers": workers.len() });
        http::json(StatusCode::OK, &body)
    }

    async fn forward(&self, request: Request<Incoming>) -> Result<Response<Body>, RouterReply> {
        let (head, body) = request.into_parts();
        let body = match http::read_body(body).await {
            Ok(body) => body,
            Err(response) => return Ok(*response),
        };
        let path = head.uri.path();
        if self.disaggregated {
            self.forward_to_pair(path, &head.headers, &body).await
        } else {
            self.forward_to_one(path, &head.headers, &body).await
        }
    }

    /// A room of its own for each request. Rooms are 63 bits wide, as in sglang-router.
    fn next_room(&self) -> u64 {
        self.next_room.fetch_add(1, Ordering::Relaxed) & (u64::MAX >> 1)
    }

    async fn forward_to_one(
        &self,
        path: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Response<Body>, RouterReply> {
        let mut last_error = None;
        loop {
            let Some(lease) = self.ask(|reply| Command::Pick { wanted: Wanted::Regular, reply }).await else {
                return Err(match last_error {
                    None => no_workers("No available workers (all circuits open or unhealthy)"),
                    Some(error) => upstream_failed("call_upstream_request_error", &error),
                });
            };
            let sent = match Connection::open(&lease.url).await {
                Ok(connection) => connection.send(forwarded(path, headers, &lease.url, body.clone())).await,
                Err(error) => Err(error),
            };
            match sent {
                Ok(response) => return Ok(answer(response, |body| OneBody { body, _lease: lease })),
                // It was not sent, so another worker may have it. This ends: a failed worker is not picked again.
                Err(error @ UpstreamError::Connect { .. }) => {
                    lease.failed();
                    last_error = Some(error);
                }
                Err(error @ UpstreamError::Exchange { .. }) => {
                    return Err(upstream_failed("call_upstream_request_error", &error));
                }
            }
        }
    }

    async fn forward_to_pair(
        &self,
        path: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Response<Body>, RouterReply> {
        let prefill = self
            .ask(|reply| Command::Pick { wanted: Wanted::Prefill, reply })
            .await
            .ok_or_else(|| no_pair("prefill"))?;
        let decode = self
            .ask(|reply| Command::Pick { wanted: Wanted::Decode, reply })
            .await
            .ok_or_else(|| no_pair("decode"))?;
        let room = self.next_room();
        let body = with_bootstrap(body, &prefill, room)?;
        let (to_prefill, to_decode) =
            tokio::join!(Connection::open(&prefill.url), Connection::open(&decode.url));
        let to_prefill = to_prefill.map_err(|error| {
            prefill.failed();
            pair_failed("prefill_server_error", &error)
        })?;
        let to_decode = to_decode.map_err(|error| {
            decode.failed();
            pair_failed("decode_server_error", &error)
        })?;
        let prefill_request = forwarded(path, headers, &prefill.url, body.clone());
        let mut prefilled: Option<Prefilled> = Some(Box::pin(read_prefill(to_prefill, prefill_request)));
        let mut decoded = std::pin::pin!(to_decode.send(forwarded(path, headers, &decode.url, body)));
        let response = loop {
            tokio::select! {
                response = &mut decoded => break response,
                result = finish(&mut prefilled), if prefilled.is_some() => {
                    prefilled = None;
                    result?;
                }
            }
        };
        let response = response.map_err(|error| pair_failed("decode_server_error", &error))?;
        Ok(answer(response, |decode_body| PairBody {
            decode: decode_body,
            prefilled,
            _leases: [prefill, decode],
        }))
    }
}

/// The prefill side of a pair: what it answers is read to its end and not used.
type Prefilled = Pin<Box<dyn Future<Output = Result<(), RouterReply>> + Send>>;

async fn read_prefill(connection: Connection, request: Request<Full<Bytes>>) -> Result<(), RouterReply> {
    let response =
        connection.send(request).await.map_err(|error| pair_failed("prefill_server_error", &error))?;
    let status = response.status();
    let body =
        response.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    if status.is_success() {
        return Ok(());
    }
    Err(RouterReply {
        status,
        code: "prefill_server_error",
        message: String::from_utf8_lossy(&body).into_owned(),
    })
}

async fn finish(prefilled: &mut Option<Prefilled>) -> Result<(), RouterReply> {
    match prefilled {
        Some(prefilled) => prefilled.as_mut().await,
        None => Ok(()),
    }
}

/// The body of a worker's answer; keeps the worker's load until it ends.
struct OneBody {
    body: UpstreamBody,
    _lease: Lease,
}

impl HttpBody for OneBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(ctx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a decode worker's answer, while its prefill worker may still be at work.
struct PairBody {
    decode: UpstreamBody,
    prefilled: Option<Prefilled>,
    _leases: [Lease; 2],
}

impl HttpBody for PairBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        // If prefill fails now, decode says so itself.
        if let Some(prefilled) = &mut self.prefilled
            && prefilled.as_mut().poll(ctx).is_ready()
        {
            self.prefilled = None;
        }
        Pin::new(&mut self.decode).poll_frame(ctx)
    }

    fn is_end_stream(&self) -> bool {
        self.decode.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.decode.size_hint()
    }
}

fn answer<B>(response: Response<UpstreamBody>, wrap: impl FnOnce(UpstreamBody) -> B) -> Response<Body>
where
    B: HttpBody<Data = Bytes, Error = BoxError> + Send + 'static,
{
    let (head, body) = response.into_parts();
    let content_type = head
        .headers
        .get(CONTENT_TYPE)
        .cloned()
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    http::reply(head.status, content_type, wrap(body).boxed_unsync())
}

fn forwarded(path: &str, headers: &HeaderMap, worker: &WorkerUrl, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = path.parse().expect("it is the path of a request");
    let authority = worker.to_string().split_off("http://".len());
    let host = HeaderValue::from_str(&authority).expect("hosts of workers are letters, digits, and `-._:`");
    request.headers_mut().insert(HOST, host);
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(id) = headers.get(REQUEST_ID) {
        request.headers_mut().insert(REQUEST_ID, id.clone());
    }
    request
}

/// The same JSON object with the fields by which decode finds prefill. The rest of it is not parsed into values: a prompt
/// of token ids is long.
fn with_bootstrap(body: &Bytes, prefill: &Lease, room: u64) -> Result<Bytes, RouterReply> {
    let object: JsonObject =
        serde_json::from_slice(body).map_err(|error| bad_request("invalid_json", error.to_string()))?;
    let end = body.iter().rposition(|byte| *byte == b'}').expect("a JSON object ends with a brace");
    let mut text = body[..end].to_vec();
    if !object.is_empty {
        text.push(b',');
    }
    let bootstrap = json!({
        "bootstrap_host": prefill.url.host(), "bootstrap_port": prefill.bootstrap_port, "bootstrap_room": room,
    });
    text.extend_from_slice(bootstrap.to_string().trim_start_matches('{').as_bytes());
    Ok(text.into())
}

/// Any JSON object; says only whether it is empty.
#[derive(Debug)]
struct JsonObject {
    is_empty: bool,
}

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(JsonObjectVisitor)
    }
}

struct JsonObjectVisitor;

impl<'de> Visitor<'de> for JsonObjectVisitor {
    type Value = JsonObject;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<JsonObject, A::Error> {
        let mut is_empty = true;
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            is_empty = false;
        }
        Ok(JsonObject { is_empty })
    }
}

fn worker_load(body: &[u8]) -> Option<i64> {
    let ranks: Vec<Value> = serde_json::from_slice(body).ok()?;
    Some(ranks.iter().filter_map(|rank| rank["num_reqs"].as_i64()).sum())
}

impl From<RouterReply> for Response<Body> {
    fn from(reply: RouterReply) -> Self {
        let RouterReply { status, code, message } = reply;
        let error_type = status.canonical_reason().unwrap_or("Error");
        let body = json!({ "error": { "type": error_type, "code": code, "message": message } });
        http::json(status, &body)
    }
}

fn no_workers(message: &str) -> RouterReply {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    RouterReply { status, code: "no_available_workers", message: message.to_owned() }
}

fn no_pair(missing: &str) -> RouterReply {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    RouterReply { status, code: "server_selection_failed", message: format!("no healthy {missing} worker") }
}

fn bad_request(code: &'static str, message: String) -> RouterReply {
    RouterReply { status: StatusCode::BAD_REQUEST, code, message }
}

fn upstream_failed(code: &'static str, error: &UpstreamError) -> RouterReply {
    RouterReply { status: StatusCode::INTERNAL_SERVER_ERROR, code, message: error.to_string() }
}

fn pair_failed(code: &'static str, error: &UpstreamError) -> RouterReply {
    RouterReply { status: StatusCode::BAD_GATEWAY, code, message: error.to_string() }
}

fn worker_not_found(id: &str) -> Response<Body> {
    RouterReply {
        status: StatusCode::NOT_FOUND,
        code: "worker_not_found",
        message: format!("no worker has the id `{id}`"),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_requests_share_a_room() {
        let (registry, _inbox) = mpsc::unbounded_channel();
        let handler = Handler::new(&RouterConfig::default(), registry);
        let rooms: HashSet<u64> = (0..1000).map(|_| handler.0.next_room()).collect();
        assert_eq!(rooms.len(), 1000);
        assert!(rooms.iter().all(|room| room >> 63 == 0));
    }
}
