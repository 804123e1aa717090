//! The calls, and what every request passes on its way to one.

use std::time::Instant;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, Uri},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::{MethodRouter, get, post},
};
use tracing::Instrument as _;

use super::{
    Gateway, admin, auth, diaries, follow, headers, limits, metrics, outcomes, problem::Problem,
    scan, status, topics, transactions, trees,
};

/// All calls.
pub(super) fn routes(gateway: &Gateway) -> Router {
    let entry = || get(trees::get).put(trees::put).delete(trees::delete);
    let guarded = Router::new()
        .route("/v1/trees/{name}", metered(gateway, "tree_scan", get(scan::scan)))
        .route("/v1/trees/{name}/", metered(gateway, "tree_entry", entry()))
        .route("/v1/trees/{name}/{key}", metered(gateway, "tree_entry", entry()))
        .route("/v1/watch/trees/{name}", metered(gateway, "tree_watch", get(follow::watch)))
        .route("/v1/diaries/{name}/entries", {
            metered(gateway, "diary_entries", get(diaries::read).post(diaries::append))
        })
        .route("/v1/diaries/{name}/tail", metered(gateway, "diary_tail", get(follow::tail)))
        .route("/v1/transactions", metered(gateway, "transaction", post(transactions::commit)))
        .route("/v1/transactions/{id}", metered(gateway, "outcome", get(outcomes::outcome)))
        .route("/v1/transactions/{id}/resolve", {
            metered(gateway, "resolve", post(outcomes::resolve))
        })
        .route("/v1/collections/{name}", {
            metered(gateway, "collection", axum::routing::put(admin::create))
        })
        .merge(about_topics(gateway))
        .merge(about_node(gateway))
        .fallback(no_such_call)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(gateway.clone(), admit))
        .layer(from_fn_with_state(gateway.clone(), auth::admit));
    // Who only asks whether the node lives needs no token and no room.
    let open = Router::new()
        .route("/healthz", get(status::healthz))
        .route("/readyz", get(status::readyz))
        .method_not_allowed_fallback(wrong_method);
    guarded
        .merge(open)
        .layer(from_fn_with_state(gateway.clone(), correlate))
        .with_state(gateway.clone())
}

/// Calls about topics.
fn about_topics(gateway: &Gateway) -> Router<Gateway> {
    Router::new()
        .route(
            "/v1/topics/{name}",
            metered(gateway, "topic", get(topics::head).put(topics::create)),
        )
        .route("/v1/topics/{name}/messages", {
            metered(gateway, "topic_messages", get(topics::page).post(topics::publish))
        })
        .route("/v1/topics/{name}/subscribe", {
            metered(gateway, "topic_subscribe", get(topics::subscribe))
        })
        .route("/v1/topics/{name}/cursors/{cursor}", {
            let cursor = get(topics::cursors::show).post(topics::cursors::acknowledge);
            metered(gateway, "topic_cursor", cursor.delete(topics::cursors::forget))
        })
        .route("/v1/topics/{name}/lineage", {
            metered(gateway, "topic_lineage", get(topics::lineage))
        })
        .route("/v1/topics/{name}/groups/{group}", {
            metered(gateway, "topic_group", get(topics::groups::state))
        })
        .route("/v1/topics/{name}/groups/{group}/fetch", {
            metered(gateway, "topic_group_fetch", post(topics::groups::fetch))
        })
        .route("/v1/topics/{name}/groups/{group}/acknowledge", {
            metered(gateway, "topic_group_acknowledge", post(topics::groups::acknowledge))
        })
        .route("/v1/topics/{name}/groups/{group}/return", {
            metered(gateway, "topic_group_return", post(topics::groups::give_back))
        })
        .route("/v1/topics/{name}/groups/{group}/bury", {
            metered(gateway, "topic_group_bury", post(topics::groups::bury))
        })
}

/// Calls that tell of the node, or ask something of it.
fn about_node(gateway: &Gateway) -> Router<Gateway> {
    Router::new()
        .route("/v1/status", metered(gateway, "status", get(status::status)))
        .route("/v1/peers", metered(gateway, "peers", get(status::peers)))
        .route("/v1/partitions", metered(gateway, "partitions", get(status::partitions)))
        .route("/v1/partitions/{id}/transfer", {
            metered(gateway, "transfer", post(admin::transfer))
        })
        .route("/v1/collections", metered(gateway, "collections", get(status::collections)))
        .route("/v1/verify", metered(gateway, "verify", post(admin::verify)))
        .route("/v1/drain", metered(gateway, "drain", post(admin::drain)))
        .route("/metrics", metered(gateway, "metrics", get(metrics::metrics)))
}

/// A route whose requests are counted and timed as `call`.
fn metered(
    gateway: &Gateway,
    call: &'static str,
    route: MethodRouter<Gateway>,
) -> MethodRouter<Gateway> {
    route.layer(from_fn_with_state((gateway.clone(), call), measure))
}

async fn measure(
    State((gateway, call)): State<(Gateway, &'static str)>,
    request: Request,
    next: Next,
) -> Response {
    let (begun, method) = (Instant::now(), request.method().clone());
    let response = next.run(request).await;
    let (status, took) = (response.status(), begun.elapsed());
    tracing::debug!(target: "weald::http", call, %method, status = status.as_u16(), ?took, "served");
    gateway.meters.count(call, &method, status, took);
    response
}

/// Lets as many requests in as there may be.
async fn admit(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    let Ok(_permit) = gateway.requests.try_acquire() else {
        gateway.meters.count_busy();
        let max = gateway.bounds.requests;
        return Problem::busy(format!("too many requests: max={max}")).into_response();
    };
    next.run(request).await
}

/// Ties everything that a request causes together by one id, the caller's if it brings one.
async fn correlate(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    let brought = request.headers().get(headers::CORRELATION).filter(|id| is_correlation(id));
    let id = brought.cloned().unwrap_or_else(|| gateway.meters.fresh_correlation());
    let text = id.to_str().unwrap_or_default().to_owned();
    let span = tracing::debug_span!(target: "weald::http", "request", correlation = text);
    let mut response = next.run(request).instrument(span).await;
    response.headers_mut().insert(headers::CORRELATION, id);
    response
}

fn is_correlation(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    (1..=limits::CORRELATION_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(is_plain)
}

async fn no_such_call(uri: Uri) -> Problem {
    let named = ["/v1/trees/", "/v1/diaries/", "/v1/topics/", "/v1/watch/", "/v1/collections/"];
    let is_long = named.iter().any(|start| uri.path().starts_with(start));
    let next = match is_long {
        true => "a `/` in a name or a key is written %2F",
        false => "see the table of calls in the README",
    };
    Problem::invalid("there is no such call", next)
}

async fn wrong_method(method: Method) -> Problem {
    let detail = format!("the call is not made with {method}");
    let next = "see the table of calls in the README";
    Problem::refused(StatusCode::METHOD_NOT_ALLOWED, "method", detail, next)
}
