//! Connections that come in, at the pace that their sources have earned.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures::future::FutureExt;
use libp2p::Multiaddr;
use libp2p::Transport;
use libp2p::core::transport::{Boxed, DialOpts, ListenerId, TransportError, TransportEvent};
use parking_lot::Mutex;

use super::Secured;
use crate::hub::Hub;
use crate::limits::REFUSALS_PER_TURN_MAX;
use crate::metrics::add;
use crate::origins::ip_of;
use crate::sources::{SourceLimiter, Turn};

/// A transport whose incoming connections are negotiated when it is the turn of their sources, and not at all where
/// too many wait.
pub(super) struct Paced {
    inner: Boxed<Secured>,
    sources: Arc<Mutex<SourceLimiter>>,
    hub: Arc<Hub>,
}

/// The negotiation of one connection.
type Negotiation = <Boxed<Secured> as Transport>::ListenerUpgrade;

impl Paced {
    pub(super) fn new(inner: Boxed<Secured>, hub: Arc<Hub>) -> Self {
        Self { inner, sources: Arc::default(), hub }
    }

    /// The negotiation with `remote` at its pace; `None` if it is refused.
    fn pace(&self, negotiation: Negotiation, remote: &Multiaddr) -> Option<Negotiation> {
        let Some(source) = ip_of(remote) else { return Some(negotiation) };
        let wait = match self.sources.lock().turn(Instant::now(), source) {
            Turn::Now => None,
            Turn::After(wait) => Some(wait),
            Turn::Never => {
                add(&self.hub.counters.connections_refused_count, 1);
                return None;
            }
        };
        let sources = Arc::clone(&self.sources);
        let paced = async move {
            if let Some(wait) = wait {
                tokio::time::sleep(wait).await;
            }
            let negotiated = negotiation.await;
            if negotiated.is_err() {
                sources.lock().failed(Instant::now(), source);
            }
            negotiated
        };
        Some(paced.boxed())
    }
}

impl Transport for Paced {
    type Output = Secured;
    type Error = io::Error;
    type ListenerUpgrade = Negotiation;
    type Dial = <Boxed<Secured> as Transport>::Dial;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<io::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        self.inner.dial(address, options)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        for _ in 0..REFUSALS_PER_TURN_MAX {
            let event = match Pin::new(&mut self.inner).poll(cx) {
                Poll::Ready(event) => event,
                Poll::Pending => return Poll::Pending,
            };
            let TransportEvent::Incoming { listener_id, upgrade, local_addr, send_back_addr } =
                event
            else {
                return Poll::Ready(event);
            };
            if let Some(upgrade) = self.pace(upgrade, &send_back_addr) {
                let paced =
                    TransportEvent::Incoming { listener_id, upgrade, local_addr, send_back_addr };
                return Poll::Ready(paced);
            }
        }
        // Others have their turn before more are refused.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
