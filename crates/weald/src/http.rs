//! The HTTP gateway: trees, diaries, topics and transactions for programs in any language.
//!
//! Handlers read a request, call the facade and write the answer; they decide nothing. A name or a
//! key is one segment of the path, percent-encoded, so a `/` in it is `%2F`. 404 means that it was
//! proved that nothing is there, so a path that the gateway does not have is a 400.

mod admin;
mod answer;
mod auth;
mod call;
mod connection;
mod diaries;
mod follow;
mod handles;
mod headers;
mod limits;
mod meters;
mod metrics;
mod outcomes;
mod percent;
mod problem;
mod query;
mod reading;
mod routes;
mod scan;
mod serving;
mod shape;
mod status;
#[cfg(test)]
mod tests;
mod topics;
mod transactions;
mod trees;

use std::{future::Future, net::SocketAddr, ops::Deref, sync::Arc};

use axum::http::request::Parts;
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};

use self::{
    auth::Gate, handles::Handles, limits::Bounds, meters::Meters, problem::Problem, topics::Cursors,
};
use crate::{CollectionName, Error, ErrorKind, Result, Weald, Write};

/// Where the gateway listens, and who may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayConfig {
    /// The address. Default 127.0.0.1 with a port that is free.
    pub address: SocketAddr,
    /// What callers send as `Authorization: Bearer`. Default none, which only a loopback address may
    /// go without.
    pub token: Option<String>,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self { address: SocketAddr::from(([127, 0, 0, 1], 0)), token: None }
    }
}

/// A node behind HTTP.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
/// use weald::{GatewayConfig, HttpGateway, Weald};
/// let node = Weald::in_memory().await?;
/// let gateway = HttpGateway::bind(&node, &GatewayConfig::default()).await?;
/// println!("http://{}/v1/status", gateway.address());
/// # let stop = async {};
/// gateway.serve(stop).await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct HttpGateway {
    listener: TcpListener,
    address: SocketAddr,
    gate: Gate,
    node: Weald,
}

impl HttpGateway {
    /// Takes the address. Requests wait there until [`HttpGateway::serve`].
    ///
    /// # Errors
    /// `Invalid` for an address that others can reach without a token; `Unavailable` when the
    /// address cannot be taken.
    pub async fn bind(node: &Weald, config: &GatewayConfig) -> Result<Self> {
        let gate = Gate::new(config.address, config.token.as_deref())
            .map_err(|what| Error::new(ErrorKind::Invalid, what))?;
        let wanted = config.address;
        let unavailable = |error: std::io::Error| {
            let what = format!("HTTP cannot listen: {error} address={wanted}");
            Error::caused(ErrorKind::Unavailable, what, error)
        };
        let listener = TcpListener::bind(wanted).await.map_err(unavailable)?;
        let address = listener.local_addr().map_err(unavailable)?;
        Ok(Self { listener, address, gate, node: node.clone() })
    }

    /// The address, with the port that was given for port 0.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is ready. Then requests under way may end, within 10 s, and streams are
    /// ended. The node stays open.
    ///
    /// # Errors
    /// None: what fails is a connection, and the gateway goes on.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let (closer, closing) = watch::channel(false);
        let gateway = Gateway::new(self.node, (self.gate, Bounds::default()), closing);
        let stopping = async move {
            stop.await;
            closer.send_replace(true);
            // The channel stays open, so that whoever looks later sees what it says.
            closer.closed().await;
        };
        tokio::spawn(stopping);
        serving::serve(self.listener, gateway).await;
        Ok(())
    }
}

/// Ready once the gateway stops.
async fn stopped(mut closing: watch::Receiver<bool>) {
    // Whoever tells it is gone only when the gateway is.
    closing.wait_for(|is_closing| *is_closing).await.ok();
}

/// What the handlers share. Cheap to clone.
#[derive(Clone)]
struct Gateway(Arc<Shared>);

struct Shared {
    node: Weald,
    gate: Gate,
    bounds: Bounds,
    handles: Handles,
    cursors: Arc<Cursors>,
    meters: Meters,
    requests: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    closing: watch::Receiver<bool>,
}

impl Deref for Gateway {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Gateway {
    fn new(node: Weald, (gate, bounds): (Gate, Bounds), closing: watch::Receiver<bool>) -> Self {
        Self(Arc::new(Shared {
            node,
            gate,
            bounds,
            handles: Handles::default(),
            cursors: Arc::default(),
            meters: Meters::default(),
            requests: Arc::new(Semaphore::new(bounds.requests)),
            streams: Arc::new(Semaphore::new(bounds.streams)),
            closing,
        }))
    }

    /// Runs a write to `name`, under the caller's own id if the request has one.
    async fn write<T: 'static>(
        &self,
        parts: &Parts,
        name: &CollectionName,
        write: Write<T>,
    ) -> std::result::Result<T, Problem> {
        let write = match headers::own_id(&parts.headers)? {
            Some(id) => write.transaction_id(id),
            None => write,
        };
        match self.handles.heed(name, write.await) {
            Ok(done) => Ok(done),
            Err(error) => {
                let position = reading::position(&self.node, name).await;
                Err(Problem::from(error).at(position))
            }
        }
    }

    /// Room for one more stream.
    fn admit_stream(&self) -> std::result::Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            self.meters.count_busy();
            Problem::busy(format!("too many streams: max={}", self.bounds.streams))
        })
    }
}
