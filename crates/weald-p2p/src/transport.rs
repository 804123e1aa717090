//! How connections come about: TCP and QUIC, private networks, relays, names of hosts.

mod paced;
mod resolving;

use std::sync::Arc;

use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, OrTransport};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::pnet::PnetConfig;
use libp2p::{PeerId, Transport, noise, quic, relay, tcp, yamux};

use crate::config::PreSharedKey;
use crate::error::StartError;
use crate::hub::Hub;
use crate::limits::{HANDSHAKE_TIMEOUT, STREAMS_MAX};
use paced::Paced;
use resolving::Resolving;

/// A connection that is authenticated and carries substreams.
pub(crate) type Secured = (PeerId, StreamMuxerBox);

/// What a transport is made of.
pub(crate) struct Parts {
    pub(crate) keypair: Keypair,
    pub(crate) pre_shared_key: Option<PreSharedKey>,
    /// The transport through relays.
    pub(crate) relay: relay::client::Transport,
    /// Where refused connections are counted.
    pub(crate) hub: Arc<Hub>,
}

/// The transport of a node. With a pre-shared key it is TCP only.
pub(crate) fn build(parts: Parts) -> Result<Boxed<Secured>, StartError> {
    let noise = noise::Config::new(&parts.keypair)
        .map_err(|error| StartError::Transport(error.to_string()))?;
    let base = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    let direct = match parts.pre_shared_key {
        Some(key) => {
            let key = libp2p::pnet::PreSharedKey::new(*key.bytes());
            let private = base.and_then(move |socket, _| PnetConfig::new(key).handshake(socket));
            secured(private, noise.clone())
        }
        None => {
            let quic = quic::tokio::Transport::new(quic::Config::new(&parts.keypair))
                .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
            OrTransport::new(quic, secured(base, noise.clone()))
                .map(|either, _| either.into_inner())
                .boxed()
        }
    };
    let direct = Paced::new(direct, parts.hub).boxed();
    let relayed = secured(parts.relay, noise);
    Ok(OrTransport::new(relayed, Resolving::new(direct))
        .map(|either, _| either.into_inner())
        .boxed())
}

/// Noise and Yamux on top of a transport of bytes.
fn secured<T>(transport: T, noise: noise::Config) -> Boxed<Secured>
where
    T: Transport + Send + Unpin + 'static,
    T::Output: futures::AsyncRead + futures::AsyncWrite + Send + Unpin + 'static,
    T::Error: Send + Sync + 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
{
    let mut yamux = yamux::Config::default();
    yamux.set_max_num_streams(STREAMS_MAX);
    transport
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux)
        .timeout(HANDSHAKE_TIMEOUT)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
        .boxed()
}
