//! Accepting connections, and serving what comes over each.

use std::pin::pin;

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use super::{
    Gateway,
    connection::{Accepted, Door},
    limits::{Bounds, HEAD_BYTES_MAX, HEADERS_MAX},
    routes, stopped,
};

/// Serves what comes to `listener` until `gateway` closes. Then requests under way may end, for as
/// long as its bounds say.
pub(super) async fn serve(listener: TcpListener, gateway: Gateway) {
    let (router, bounds) = (routes::routes(&gateway), gateway.bounds);
    let closing = gateway.closing.clone();
    let door = Door::new(listener, gateway);
    // As many as there may be connections.
    let mut served = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stopped(closing.clone()) => break,
            accepted = door.accept() => {
                served.spawn(serve_one(accepted, router.clone(), bounds, closing.clone()));
            }
            Some(_) = served.join_next() => {}
        }
    }
    // Nobody waits at a door that is not opened any more.
    drop(door);
    let all = async { while served.join_next().await.is_some() {} };
    if tokio::time::timeout(bounds.drain, all).await.is_err() {
        tracing::warn!(target: "weald::http", "requests under way are given up");
    }
}

async fn serve_one(
    accepted: Accepted,
    router: Router,
    bounds: Bounds,
    closing: watch::Receiver<bool>,
) {
    tokio::select! {
        () = accepted.ready() => {}
        () = stopped(closing.clone()) => return,
    }
    let Accepted { connection, caller, .. } = accepted;
    let (builder, service) = (builder(&bounds), TowerToHyperService::new(router));
    let mut served = pin!(builder.serve_connection(TokioIo::new(connection), service));
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stopped(closing) => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(target: "weald::http", %error, "a connection has failed");
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
            caller.failed();
        }
    }
}

fn builder(bounds: &Bounds) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.idle)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    builder
}
