//! Where a node keeps to which network it belongs: in its folder.

use std::{path::Path, sync::Arc};

use weald_cluster::founding::Pin;
use weald_storage::header::{StoreFolder, StoreFolderError};

use crate::{Error, ErrorKind, Result};

/// Keeps a pin, in the folder of a store.
#[derive(Clone, Debug)]
pub(crate) struct Pins(pub(crate) Arc<StoreFolder>);

impl Pins {
    /// Makes `pin` durable in place of the one before.
    pub(super) fn write(&self, pin: &Pin) -> Result<()> {
        self.0.write_pin(&pin.encode()).map_err(trouble)
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
