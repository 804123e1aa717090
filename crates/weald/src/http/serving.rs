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
    connection::{Connection, Door},
    limits::{Bounds, HEAD_BYTES_MAX, HEADERS_MAX},
    stopped,
};

/// Serves what comes to `listener` until `closing` says so. Then requests under way may end, for as
/// long as `bounds` say.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    closing: watch::Receiver<bool>,
) {
    let door = Door::new(listener, &bounds);
    // As many as there may be connections.
    let mut served = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stopped(closing.clone()) => break,
            connection = door.accept() => {
                served.spawn(serve_one(connection, router.clone(), bounds, closing.clone()));
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
    connection: Connection,
    router: Router,
    bounds: Bounds,
    closing: watch::Receiver<bool>,
) {
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
