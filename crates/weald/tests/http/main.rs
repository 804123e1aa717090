//! The HTTP gateway as programs in other languages use it: real processes, real sockets.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![cfg(unix)]

mod about;
mod client;
mod cursors;
mod diaries;
mod follow;
mod lifecycle;
mod refusals;
mod server;
mod topics;
mod transactions;
mod trees;
