//! Refuses writes before the disk is full.
//!
//! The engines that write files stop for good when a write fails half way, and a restart would
//! then be needed. So a batch is admitted only while the file system has room for it and for a
//! reserve: it is refused whole, reads go on, and writes work again as soon as space is freed.

use std::path::{Path, PathBuf};

use super::{Batch, EngineConfig, EngineError};

/// Bytes an engine may write for each byte of a batch before it can free any: the journal or the
/// copied pages, and a table built from them.
const WRITE_FACTOR: u64 = 4;

/// Looks at the free space of the file system that holds an engine.
#[derive(Debug)]
pub(crate) struct DiskSpace {
    path: PathBuf,
    reserve_bytes: u64,
    /// Tells the free bytes of the file system.
    free_bytes: fn(&Path) -> Result<u64, EngineError>,
}

impl DiskSpace {
    pub(crate) fn new(path: &Path, config: &EngineConfig) -> Self {
        Self { path: path.to_owned(), reserve_bytes: config.disk_reserve_bytes, free_bytes }
    }

    /// Asks another for the free bytes.
    #[cfg(test)]
    pub(crate) fn asking(self, free_bytes: fn(&Path) -> Result<u64, EngineError>) -> Self {
        Self { free_bytes, ..self }
    }

    /// Refuses a batch that would leave less than the reserve. A batch without puts always passes:
    /// deleting is how an owner makes room.
    pub(crate) fn admit(&self, batch: &Batch) -> Result<(), EngineError> {
        if self.reserve_bytes == 0 || !has_puts(batch) {
            return Ok(());
        }
        let free_bytes = (self.free_bytes)(&self.path)?;
        let batch_bytes = u64::try_from(batch.byte_count()).unwrap_or(u64::MAX);
        let wanted = batch_bytes.saturating_mul(WRITE_FACTOR).saturating_add(self.reserve_bytes);
        if free_bytes >= wanted {
            return Ok(());
        }
        let reserve_bytes = self.reserve_bytes;
        Err(EngineError::Full { during: "admitting a batch", free_bytes, reserve_bytes })
    }
}

fn has_puts(batch: &Batch) -> bool {
    batch.operations().any(|(_, _, operation)| matches!(operation, super::Operation::Put(_)))
}

#[cfg(unix)]
fn free_bytes(path: &Path) -> Result<u64, EngineError> {
    let stat = rustix::fs::statvfs(path)
        .map_err(|errno| EngineError::from_io("asking for free space", errno.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// No call of the standard library tells; the engine's own error is what remains.
#[cfg(not(unix))]
fn free_bytes(_path: &Path) -> Result<u64, EngineError> {
    Ok(u64::MAX)
}

/// Bytes the files below `path` take on disk. Holes do not count.
pub(crate) fn allocated_bytes(path: &Path) -> Result<u64, EngineError> {
    const DURING: &str = "adding up file sizes";
    let mut sum = 0_u64;
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|e| EngineError::from_io(DURING, e))? {
            let entry = entry.map_err(|e| EngineError::from_io(DURING, e))?;
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                Ok(metadata) => sum = sum.saturating_add(file_bytes(&metadata)),
                // Engines remove files in the background.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(EngineError::from_io(DURING, error)),
            }
        }
    }
    Ok(sum)
}

#[cfg(unix)]
fn file_bytes(metadata: &std::fs::Metadata) -> u64 {
    /// The unit of `st_blocks`, whatever the file system's own block size.
    const STAT_BLOCK_BYTES: u64 = 512;
    std::os::unix::fs::MetadataExt::blocks(metadata).saturating_mul(STAT_BLOCK_BYTES)
}

#[cfg(not(unix))]
fn file_bytes(metadata: &std::fs::Metadata) -> u64 {
    metadata.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Keyspace;

    #[test]
    fn d58_a_batch_passes_if_it_and_the_reserve_fit() {
        let config = EngineConfig { disk_reserve_bytes: 10_000, ..EngineConfig::default() };
        let space = DiskSpace::new(Path::new("/"), &config).asking(|_| Ok(14_004));
        let batch = |bytes: usize| {
            let mut batch = Batch::new();
            batch.put(Keyspace::Meta, &b"k"[..], vec![1; bytes]);
            batch
        };
        space.admit(&batch(1000)).unwrap();
        let refused = space.admit(&batch(1001)).unwrap_err();
        let text = refused.to_string();
        assert!(text.contains("free_bytes=14004 reserve_bytes=10000"), "{text}");
    }

    #[test]
    fn the_file_system_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free_bytes(folder.path()).unwrap() > 0);
        assert!(free_bytes(&folder.path().join("missing")).is_err());
        std::fs::create_dir(folder.path().join("inner")).unwrap();
        std::fs::write(folder.path().join("inner").join("file"), vec![1; 100_000]).unwrap();
        assert!(allocated_bytes(folder.path()).unwrap() >= 100_000);
    }
}
