//! Figures that are no times: JSON files in `target/bench/figures`, which `cargo xtask bench` gathers.

use std::{fs, io, path::Path};

/// Writes `lines`, each a JSON object, as the list `NAME.json`.
///
/// # Errors
/// When the target folder cannot be written.
pub fn write(name: &str, lines: &[String]) -> io::Result<()> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
        std::path::PathBuf::from,
    );
    let folder = target.join("bench/figures");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name).with_extension("json"), format!("[\n{}\n]\n", lines.join(",\n")))
}
