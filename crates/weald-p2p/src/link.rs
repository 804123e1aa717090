//! One connection to a peer, as libp2p drives it.
//!
//! Each side opens a substream for each priority that it sends in: frames and requests go out on
//! it, and the answers to those requests come back on it. All substreams of a connection are read
//! and written by the connection's own task, the one that also drives Yamux: a message takes no
//! hop between threads, and what is more urgent is written first.

mod connection;
mod inbound;
mod outbound;
mod upgrade;

pub(crate) use connection::{FromLink, Link, ToLink};
