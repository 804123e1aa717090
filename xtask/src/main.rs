//! Tasks of the workspace: `cargo xtask TASK`.

fn main() {}
