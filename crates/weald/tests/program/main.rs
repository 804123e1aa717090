//! The `weald` program as people and scripts use it: what it answers, what it refuses and how.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod asking_a_node;
mod bad_input;
mod checking;
mod damage;
mod demo;
mod directories;
mod examples;
mod export_import;
mod following;
mod hidden;
mod mesh;
mod networks;
mod node;
mod observing;
mod program;
mod recovering;
mod topics;
mod trees_and_diaries;
