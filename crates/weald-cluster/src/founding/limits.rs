//! Bounds of founding and joining, by name.

/// Bytes of a network's name.
pub const NAME_BYTES_MAX: usize = 64;
/// Peers that are remembered: nodes of the network and whoever is connected.
pub const PEERS_MAX: usize = 12_000;
/// Questions to peers under way at once.
pub const ASKS_MAX: usize = 64;
/// Nodes that wait to be written into the list at once.
pub const WISHES_MAX: usize = 256;
/// Peers that are named in an answer, so that the asker can reach them.
pub const LEADS_MAX: usize = 8;
/// Addresses of one peer.
pub const ADDRESSES_MAX: usize = 16;
/// Bytes of one address.
pub const ADDRESS_BYTES_MAX: usize = 256;
/// Bytes of an encoded request.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024;
