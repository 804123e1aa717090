//! Reads: in the caller's task while all blocks are in memory, on a blocking thread to load them.

use std::{num::NonZero, sync::LazyLock, thread, time::Duration};

use tokio::{
    runtime::{Builder, Runtime},
    task::{JoinError, JoinSet},
};
use weald_collections::{ReadError, SourceReader};
use weald_core::{BlockId, BlockSource, Fault, Halt, LogIndex};

use super::Weald;
use crate::{
    Error, ErrorKind, Result,
    backend::{Reading, Version},
};

/// The pause of who has all the time before the next attempt.
const PATIENCE: Duration = Duration::from_millis(100);
/// The least number of threads that read from disks for this process; more where there are more
/// processors. Each keeps for itself what it has let go, so that one for each read that waits makes
/// the process larger by more than the disk gains.
const DISK_THREADS_MIN: usize = 2;

/// The threads that read from disks. A runtime's own threads are not bounded as closely: they also
/// run what waits for other nodes, and that must not wait for a thread.
static DISK_THREADS: LazyLock<Runtime> = LazyLock::new(|| {
    let mut threads = Builder::new_current_thread();
    threads.max_blocking_threads(disk_threads()).thread_name("weald-disk");
    threads.build().expect("a runtime without drivers asks nothing of the system")
});

fn disk_threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).max(DISK_THREADS_MIN)
}

impl Weald {
    /// The newest version of the partition of `collection`: whatever was acknowledged before is in it.
    pub(crate) async fn latest(&self, collection: BlockId) -> Result<Version> {
        self.version(collection, &Reading::default()).await
    }

    /// As [`Weald::latest`], for who has all the time: tries again as long as that may help.
    pub(crate) async fn patiently(&self, collection: BlockId) -> Result<Version> {
        loop {
            match self.latest(collection).await {
                Err(error) if error.is_retryable() => {
                    tokio::time::sleep(error.retry_after().unwrap_or(PATIENCE)).await;
                }
                done => return done,
            }
        }
    }

    /// A version of the partition of `collection`.
    pub(crate) async fn version(&self, collection: BlockId, reading: &Reading) -> Result<Version> {
        let view = self.running()?.backend.view(collection, reading, &mut |_| ());
        view.wait().await
    }

    /// Runs `read` on a version of the partition of `collection`. Where that is another node's, a read
    /// whose like was done before costs one way there and back.
    pub(crate) async fn read_in<T>(
        &self,
        collection: BlockId,
        reading: &Reading,
        mut read: impl FnMut(&mut SourceReader<'_>) -> std::result::Result<T, ReadError>,
    ) -> Result<T> {
        // Whether it ends, or where it stops, the blocks that it looked at have been noted.
        let mut rehearse = |remembered: &dyn BlockSource| drop(read(&mut SourceReader(remembered)));
        let view = self.running()?.backend.view(collection, reading, &mut rehearse);
        self::read(&view.wait().await?, read).await
    }

    /// The version of the partition of `collection` right after a log index.
    pub(crate) async fn past(&self, collection: BlockId, index: LogIndex) -> Result<Version> {
        let view = self.running()?.backend.past(collection, index);
        view.wait().await
    }

    /// The newest version of everything.
    pub(crate) async fn whole(&self) -> Result<Version> {
        let view = self.running()?.backend.whole();
        view.wait().await
    }
}

/// Runs `read` on `version`; loads what is missing and runs it again until it has an answer.
pub(crate) async fn read<T>(
    version: &Version,
    mut read: impl FnMut(&mut SourceReader<'_>) -> std::result::Result<T, ReadError>,
) -> Result<T> {
    loop {
        let done = read(&mut SourceReader(&**version));
        match done {
            Ok(value) => return Ok(value),
            Err(ReadError::Halt(Halt::Need(ids))) => load(version, ids).await?,
            Err(error) => return Err(read_error(error)),
        }
    }
}

/// As [`read`], blocking.
pub(crate) fn read_blocking<T>(
    version: &Version,
    mut read: impl FnMut(&mut SourceReader<'_>) -> std::result::Result<T, ReadError>,
) -> std::result::Result<T, ReadError> {
    loop {
        match read(&mut SourceReader(&**version)) {
            Err(ReadError::Halt(Halt::Need(ids))) => version.load(&ids).map_err(Halt::Fault)?,
            done => return done,
        }
    }
}

/// Brings blocks into memory.
pub(crate) async fn load(version: &Version, ids: Vec<BlockId>) -> Result<()> {
    fetch(version, ids).await.map_err(fault_error)
}

/// As [`load`]; the error is what was met.
pub(crate) async fn fetch(version: &Version, ids: Vec<BlockId>) -> std::result::Result<(), Fault> {
    if let Some(fetching) = version.fetch(&ids) {
        return fetching.await;
    }
    let version = version.clone();
    let loaded = read_disk(move || version.load(&ids)).await;
    loaded.unwrap_or_else(|error| Err(Fault::Storage(error.to_string())))
}

/// Runs `work`, which waits for a disk and for nothing else, on one of the threads for that. Whoever
/// no longer waits for it takes it back, unless it has begun.
pub(crate) async fn read_disk<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let mut reading = JoinSet::new();
    reading.spawn_blocking_on(work, DISK_THREADS.handle());
    reading.join_next().await.expect("one was spawned").map_err(ended)
}

/// Runs `work` on a thread that may block, for whatever it is.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(ended)
}

fn ended(error: JoinError) -> Error {
    let what = match error.is_panic() {
        true => "what reads blocks has failed",
        false => "the runtime ended while blocks were read",
    };
    Error::caused(ErrorKind::Unavailable, what, error)
}

/// The facade's error for what a read met.
pub(crate) fn read_error(error: ReadError) -> Error {
    if let ReadError::Halt(Halt::Fault(fault)) = error {
        return fault_error(fault);
    }
    let kind = match &error {
        ReadError::NoSuchCollection(_) => ErrorKind::NotFound,
        ReadError::WrongType { .. } | ReadError::Value { .. } | ReadError::Key { .. } => {
            ErrorKind::Invalid
        }
        ReadError::Gone { .. } => ErrorKind::Gone,
        _ => ErrorKind::Unavailable,
    };
    Error::caused(kind, error.to_string(), error)
}

/// The facade's error for this node's own trouble.
pub(crate) fn fault_error(fault: Fault) -> Error {
    let is_passing = matches!(fault, Fault::Unreachable(_));
    let error = Error::caused(fault_kind(&fault), fault.to_string(), fault);
    if is_passing { error.with_retry_after(PATIENCE) } else { error }
}

pub(crate) fn fault_kind(fault: &Fault) -> ErrorKind {
    match fault {
        Fault::Pruned(_) => ErrorKind::Gone,
        Fault::Damaged { .. } | Fault::Missing { .. } | Fault::Transform(_) | Fault::Storage(_) => {
            ErrorKind::Damaged
        }
        Fault::NoCode { .. } | Fault::Unreachable(_) => ErrorKind::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_read_that_nobody_waits_for_any_more_is_not_begun() {
        let (begun, beginning) = mpsc::channel();
        let holding: Vec<_> = (0..disk_threads())
            .map(|_| {
                let (begun, (let_go, held)) = (begun.clone(), mpsc::channel::<()>());
                let work = move || {
                    begun.send(()).unwrap();
                    held.recv().ok();
                };
                (let_go, tokio::spawn(read_disk(work)))
            })
            .collect();
        let held = blocking(move || beginning.iter().take(disk_threads()).count()).await.unwrap();
        assert_eq!(held, disk_threads(), "as many as there are threads");
        let (ran, running) = mpsc::channel();
        let late = read_disk(move || ran.send(()).unwrap());
        assert!(tokio::time::timeout(Duration::ZERO, late).await.is_err(), "it waits");
        for (let_go, read) in holding {
            drop(let_go);
            read.await.unwrap().unwrap();
        }
        let ran = blocking(move || running.recv()).await.unwrap();
        assert!(ran.is_err(), "it was dropped and did not run");
    }
}
