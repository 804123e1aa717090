//! Reads: in the caller's task while all blocks are in memory, on a blocking thread to load them.

use std::sync::Arc;

use weald_collections::{ReadError, SourceReader};
use weald_core::{At, BlockId, Fault, Halt, StateStore, StateView};

use super::{Weald, home::state_error};
use crate::{Error, ErrorKind, Result};

/// One version of a node's state.
pub(crate) type Version = Arc<dyn StateView>;

impl Weald {
    /// The newest version. Whatever was acknowledged before is in it: acks come after apply.
    pub(crate) fn latest(&self) -> Result<Version> {
        self.version(At::Latest)
    }

    /// The version right after a log index.
    pub(crate) fn version(&self, at: At) -> Result<Version> {
        self.running()?.home.store.view(at).map_err(state_error)
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
    let version = Arc::clone(version);
    blocking(move || version.load(&ids)).await?.map_err(fault_error)
}

/// Runs `work` on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        Error::caused(ErrorKind::Unavailable, "the runtime ended while blocks were read", error)
    })
}

/// The facade's error for what a read met.
pub(crate) fn read_error(error: ReadError) -> Error {
    let kind = match &error {
        ReadError::NoSuchCollection(_) => ErrorKind::NotFound,
        ReadError::WrongType { .. } | ReadError::Value { .. } | ReadError::Key { .. } => {
            ErrorKind::Invalid
        }
        ReadError::Gone { .. } => ErrorKind::Gone,
        ReadError::Halt(Halt::Fault(fault)) => fault_kind(fault),
        _ => ErrorKind::Unavailable,
    };
    Error::caused(kind, error.to_string(), error)
}

/// The facade's error for this node's own trouble.
pub(crate) fn fault_error(fault: Fault) -> Error {
    Error::caused(fault_kind(&fault), fault.to_string(), fault)
}

pub(crate) fn fault_kind(fault: &Fault) -> ErrorKind {
    match fault {
        Fault::Pruned(_) => ErrorKind::Gone,
        Fault::Damaged { .. } | Fault::Missing { .. } | Fault::Transform(_) | Fault::Storage(_) => {
            ErrorKind::Damaged
        }
        Fault::NoCode { .. } => ErrorKind::Unavailable,
    }
}
