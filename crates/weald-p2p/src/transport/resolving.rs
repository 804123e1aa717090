//! Names of hosts in addresses, resolved as the machine resolves them.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, FutureExt};
use libp2p::Multiaddr;
use libp2p::Transport;
use libp2p::core::transport::{Boxed, DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::multiaddr::Protocol;
use parking_lot::Mutex;

use super::Secured;
use crate::limits::{HANDSHAKE_TIMEOUT, RESOLVED_ADDRESSES_MAX};

/// A transport that dials `/dns/…`, `/dns4/…` and `/dns6/…` through the system's resolver, so that
/// host files and search domains hold as they do for every other program.
pub(super) struct Resolving {
    inner: Arc<Mutex<Boxed<Secured>>>,
}

impl Resolving {
    pub(super) fn new(inner: Boxed<Secured>) -> Self {
        Self { inner: Arc::new(Mutex::new(inner)) }
    }
}

impl Transport for Resolving {
    type Output = Secured;
    type Error = io::Error;
    type ListenerUpgrade = <Boxed<Secured> as Transport>::ListenerUpgrade;
    type Dial = BoxFuture<'static, io::Result<Secured>>;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<io::Error>> {
        self.inner.lock().listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.lock().remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        let Some(name) = Name::of(&address) else {
            return self.inner.lock().dial(address, options).map(FutureExt::boxed);
        };
        let inner = Arc::clone(&self.inner);
        Ok(dial_resolved(inner, address, name, options).boxed())
    }

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Pin::new(&mut *self.inner.lock()).poll(cx)
    }
}

/// The name that an address begins with, and which of its host's addresses are meant.
struct Name {
    host: String,
    accepts: fn(&IpAddr) -> bool,
}

impl Name {
    fn of(address: &Multiaddr) -> Option<Self> {
        let (host, accepts): (_, fn(&IpAddr) -> bool) = match address.iter().next()? {
            Protocol::Dns(host) => (host.into_owned(), |_| true),
            Protocol::Dns4(host) => (host.into_owned(), IpAddr::is_ipv4),
            Protocol::Dns6(host) => (host.into_owned(), IpAddr::is_ipv6),
            _ => return None,
        };
        Some(Self { host, accepts })
    }

    /// The host's addresses, at most [`RESOLVED_ADDRESSES_MAX`].
    async fn resolve(&self) -> io::Result<Vec<IpAddr>> {
        let lookup = tokio::net::lookup_host((self.host.as_str(), 0));
        let found = tokio::time::timeout(HANDSHAKE_TIMEOUT, lookup).await??;
        let found = found.map(|socket| socket.ip()).filter(|ip| (self.accepts)(ip));
        Ok(found.take(RESOLVED_ADDRESSES_MAX).collect())
    }
}

/// Dials the host's addresses one after the other.
async fn dial_resolved(
    inner: Arc<Mutex<Boxed<Secured>>>,
    address: Multiaddr,
    name: Name,
    options: DialOpts,
) -> io::Result<Secured> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no such address");
    for ip in name.resolve().await? {
        let resolved =
            address.replace(0, |_| Some(ip.into())).expect("the address has a name in front");
        let dial = inner.lock().dial(resolved, options);
        let dialled = match dial {
            Ok(dial) => dial.await,
            Err(TransportError::Other(error)) => Err(error),
            Err(error @ TransportError::MultiaddrNotSupported(_)) => Err(io::Error::other(error)),
        };
        match dialled {
            Ok(secured) => return Ok(secured),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}
