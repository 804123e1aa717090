//! What failed connections say about who was at the other end.

use libp2p::connection_limits::Exceeded;
use libp2p::swarm::{ConnectionDenied, DialError, ListenError};
use libp2p::{Multiaddr, PeerId};
use weald_core::{Stranger, StrangerReason};

use crate::identity;
use crate::lines::NotAllowed;
use crate::origins::Crowded;

/// Who was turned away with an incoming connection; `None` when that was told of before, or nobody
/// was at fault.
pub(super) fn of_incoming(
    peer: Option<PeerId>,
    address: &Multiaddr,
    error: &ListenError,
) -> Option<Stranger> {
    let reason = match error {
        ListenError::Denied { cause } => of_denial(cause)?,
        ListenError::Transport(_) | ListenError::WrongPeerId { .. } => StrangerReason::Handshake,
        ListenError::Aborted | ListenError::LocalPeerId { .. } => return None,
    };
    let peer = peer.and_then(|peer| identity::peer_id(&peer));
    Some(Stranger { peer, address: address.to_string(), reason })
}

/// Who was met instead of the peer that was dialled.
pub(super) fn of_outgoing(error: &DialError) -> Option<Stranger> {
    let DialError::WrongPeerId { obtained, address } = error else { return None };
    Some(Stranger {
        peer: identity::peer_id(obtained),
        address: address.to_string(),
        reason: StrangerReason::Handshake,
    })
}

fn of_denial(cause: &ConnectionDenied) -> Option<StrangerReason> {
    if cause.downcast_ref::<NotAllowed>().is_some() {
        return None;
    }
    let is_over =
        cause.downcast_ref::<Exceeded>().is_some() || cause.downcast_ref::<Crowded>().is_some();
    is_over.then_some(StrangerReason::TooMany)
}
