//! A writer that syncs the log itself when nobody else does.

use std::sync::{Arc, Weak};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::yield_now,
};

use crate::backend::Backend;

/// Owed by who was told to lead. Dropped before it is carried out, it leaves that to the log's own
/// thread.
pub(super) struct Lead {
    /// `None` once it is done. Who waits for a write does not keep the node open.
    backend: Option<Weak<dyn Backend>>,
}

impl Lead {
    /// Whether the node and the runtime allow it.
    pub(super) fn is_possible(backend: &dyn Backend) -> bool {
        backend.may_lead() && has_other_workers()
    }

    pub(super) fn new(backend: &Arc<dyn Backend>) -> Self {
        Self { backend: Some(Arc::downgrade(backend)) }
    }

    /// Lets whatever else is ready have its turn first, so that writes made at once ride in one sync;
    /// then leads.
    pub(super) async fn carry_out(mut self) {
        yield_now().await;
        if let Some(backend) = self.take() {
            backend.lead();
        }
    }

    fn take(&mut self) -> Option<Arc<dyn Backend>> {
        self.backend.take().and_then(|backend| backend.upgrade())
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if let Some(backend) = self.take() {
            backend.rouse();
        }
    }
}

/// Whether other threads go on with the runtime's tasks while this one waits for a disk.
fn has_other_workers() -> bool {
    Handle::try_current().is_ok_and(|runtime| {
        runtime.runtime_flavor() == RuntimeFlavor::MultiThread
            && runtime.metrics().num_workers() > 1
    })
}
