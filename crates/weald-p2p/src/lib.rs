//! The libp2p node of Weald: transports, authenticated typed RPC, discovery, lookups, the address book,
//! limits and reputation. The only crate that names libp2p.
//!
//! Holds no code yet: the mesh is built on top of the consensus of `weald-cluster`.
