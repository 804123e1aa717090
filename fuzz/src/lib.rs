//! Fuzz targets: each a module with `run(data)`, which panics when a promise is broken.
//!
//! Two programs drive them: the binaries in `fuzz_targets`, guided by coverage, and `mutate`, which needs nothing but
//! Rust. `cargo xtask fuzz` chooses.

pub mod entry;
pub mod identity;
pub mod name;
pub mod outcome;
mod script;
pub mod splices;

/// A target: its name, which is also its folder under `corpus`, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("entry", entry::run),
    ("identity", identity::run),
    ("name", name::run),
    ("outcome", outcome::run),
    ("splices", splices::run),
];
