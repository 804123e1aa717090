//! Small files that are there whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Ends the name of a file that is being written. One left over from a crash means nothing.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// As the process's mask says.
    Default,
    /// The owner only (mode 0600 where there are modes), from the moment it exists.
    Private,
}

/// Writes `bytes` to `path`: to a file beside it, synced, renamed over it, and the folder synced.
/// After a power cut the file has its old bytes or all of the new ones.
pub(crate) fn write(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    let temporary = temporary_of(path);
    // A leftover may have other permissions.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    restrict(&mut options, access);
    let mut file = options.open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary, path)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Makes names made or renamed in `folder` durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

fn temporary_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(path.file_name().unwrap_or_default());
    name.push(TEMPORARY_SUFFIX);
    path.with_file_name(name)
}

#[cfg(unix)]
fn restrict(options: &mut OpenOptions, access: Access) {
    if access == Access::Private {
        std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    }
}

#[cfg(not(unix))]
fn restrict(_options: &mut OpenOptions, _access: Access) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_bytes_replace_the_old_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write(&path, b"old", Access::Default).unwrap();
        fs::write(temporary_of(&path), b"left over from a crash").unwrap();
        write(&path, b"new", Access::Default).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write(&path, b"old", Access::Default).unwrap();
        // A folder with the temporary's name cannot be replaced by a file.
        fs::create_dir(temporary_of(&path)).unwrap();
        assert!(write(&path, b"new", Access::Default).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }
}
