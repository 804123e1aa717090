//! Fuzz targets: each a module with `run(data)`, which panics when a promise is broken.
//!
//! Two programs drive them: the binaries in `fuzz_targets`, guided by coverage, and `mutate`, which needs nothing but
//! Rust. `cargo xtask fuzz` chooses.

pub mod actions;
mod blocks;
pub mod chain_block;
pub mod chain_operations;
pub mod collection_blocks;
pub mod entry;
mod folder;
pub mod identity;
pub mod key;
pub mod log_entry;
pub mod log_operations;
pub mod log_recovery;
mod member;
pub mod member_inputs;
pub mod member_message;
pub mod member_state;
pub mod name;
pub mod outcome;
pub mod pulse_frame;
pub mod routing;
mod script;
pub mod splices;
pub mod store_header;
pub mod stored_state;
pub mod topic_delivery;
pub mod topic_objects;
pub mod topic_operations;
pub mod topic_publisher;
pub mod topic_subscriber;
mod topics;
pub mod tree_node;
pub mod tree_operations;
pub mod wire;

/// A target: its name, which is also its folder under `corpus`, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("actions", actions::run),
    ("chain_block", chain_block::run),
    ("chain_operations", chain_operations::run),
    ("collection_blocks", collection_blocks::run),
    ("entry", entry::run),
    ("identity", identity::run),
    ("key", key::run),
    ("log_entry", log_entry::run),
    ("log_operations", log_operations::run),
    ("log_recovery", log_recovery::run),
    ("member_inputs", member_inputs::run),
    ("member_message", member_message::run),
    ("member_state", member_state::run),
    ("name", name::run),
    ("outcome", outcome::run),
    ("pulse_frame", pulse_frame::run),
    ("routing", routing::run),
    ("splices", splices::run),
    ("store_header", store_header::run),
    ("stored_state", stored_state::run),
    ("topic_delivery", topic_delivery::run),
    ("topic_objects", topic_objects::run),
    ("topic_operations", topic_operations::run),
    ("topic_publisher", topic_publisher::run),
    ("topic_subscriber", topic_subscriber::run),
    ("tree_node", tree_node::run),
    ("tree_operations", tree_operations::run),
    ("wire", wire::run),
];
