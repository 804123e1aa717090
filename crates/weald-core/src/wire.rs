//! What two nodes say to each other on a substream: messages behind their length.
//!
//! ```text
//! length u32 | kind u8 | fields of the kind | body
//! ```
//!
//! Numbers are little-endian; the length counts all that follows it. What a peer sends is decoded
//! or refused, with memory bounded by what has come rather than by what is announced. This is the
//! other half of the traits for asking peers, without a network.

mod decoder;
mod message;

pub use decoder::Decoder;
pub use message::{Answer, Failure, Message, OVERHEAD_BYTES_MAX, WireError};
