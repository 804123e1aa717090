//! Why a network did not start.

use weald_core::identity::KeyError;

/// Why a network did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The key cannot sign handshakes: libp2p needs the secret, and the store keeps it.
    #[error("the identity is of no use to the network: {0}")]
    Key(#[from] KeyError),
    /// A text is no multiaddress.
    #[error("not an address: address={address:?} reason={reason}")]
    Address {
        /// The text.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// This address cannot be listened on.
    #[error("cannot listen: address={address} reason={reason}")]
    Listen {
        /// The address.
        address: String,
        /// What the system says.
        reason: String,
    },
    /// A transport could not be set up.
    #[error("a transport cannot be set up: {0}")]
    Transport(String),
    /// QUIC cannot carry a pre-shared key.
    #[error("a network with a pre-shared key cannot use QUIC: address={0}")]
    QuicWithKey(String),
    /// There are more seeds than are dialled.
    #[error("too many seeds: seeds_max={0}")]
    TooManySeeds(usize),
    /// This does not lead to a relay, or not say which peer it is.
    #[error(
        "a relay's address is direct and ends with its peer, as in /ip4/203.0.113.7/tcp/4001/p2p/12D3KooW..: address={0}"
    )]
    NoRelay(String),
    /// There are more relays than are used.
    #[error("too many relays: relays_max={0}")]
    TooManyRelays(usize),
    /// The network runs on tokio, and is started where there is none.
    #[error("the network is started outside a tokio runtime")]
    NoRuntime,
}

/// Why a dial or a lookup was not begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// A text is no multiaddress.
    #[error("not an address: address={address:?} reason={reason}")]
    Address {
        /// The text.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The network has as much to do as it may.
    #[error("the network has too much to do")]
    Busy,
    /// The network has stopped.
    #[error("the network has stopped")]
    Stopped,
}
