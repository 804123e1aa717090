//! Where a node keeps to which network it belongs: in its folder, or, for one without, in memory.

use std::{path::Path, sync::Arc};

use parking_lot::Mutex;
use weald_cluster::founding::Pin;
use weald_storage::header::{StoreFolder, StoreFolderError};

use crate::{Error, ErrorKind, Result};

/// Keeps a pin.
#[derive(Clone, Debug)]
pub(crate) enum Pins {
    /// In the folder of a store.
    Folder(Arc<StoreFolder>),
    /// As long as this lives.
    Memory(Arc<Mutex<Option<Pin>>>),
}

impl Pins {
    /// Makes `pin` durable in place of the one before.
    pub(super) fn write(&self, pin: &Pin) -> Result<()> {
        match self {
            Self::Folder(folder) => folder.write_pin(&pin.encode()).map_err(trouble),
            Self::Memory(kept) => {
                *kept.lock() = Some(pin.clone());
                Ok(())
            }
        }
    }

    /// Empties the folder at `path`, which is used by nobody any more, and pins `pin` in it.
    pub(crate) fn reset(path: &Path, pin: &Pin) -> Result<()> {
        reset(path, Some(pin))
    }
}

/// What a folder's node has pinned.
///
/// # Errors
/// `Damaged` when the file's bytes are not what was written.
pub(crate) fn read_pin(folder: &StoreFolder) -> Result<Pin> {
    let Some(bytes) = folder.pin().map_err(trouble)? else { return Ok(Pin::default()) };
    Pin::decode(&bytes).map_err(|error| {
        Error::caused(ErrorKind::Damaged, format!("the network's pin: {error}"), error)
    })
}

pub(super) fn reset(path: &Path, pin: Option<&Pin>) -> Result<()> {
    let bytes = pin.map(Pin::encode);
    StoreFolder::reset(path, bytes.as_deref()).map_err(trouble)
}

fn trouble(error: StoreFolderError) -> Error {
    let kind = match &error {
        StoreFolderError::Damaged { .. } => ErrorKind::Damaged,
        _ => ErrorKind::Unavailable,
    };
    Error::caused(kind, error.to_string(), error)
}
