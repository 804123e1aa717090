//! A writer that syncs the log itself when nobody else does.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
};

use tokio::runtime::{Handle, RuntimeFlavor};

use crate::backend::Backend;

/// Lets whatever else is ready have its turn first, so that writes made at once ride in one sync;
/// then leads. Dropped before, it leaves that to the log's own thread.
pub(super) struct Lead {
    /// `None` once it is done. Who waits for a write does not keep the node open.
    backend: Option<Weak<dyn Backend>>,
    has_given_way: bool,
}

impl Lead {
    /// One that leads, where the node and the runtime allow it.
    pub(super) fn new(backend: &Arc<dyn Backend>) -> Option<Self> {
        let may_lead = backend.may_lead() && has_other_workers();
        may_lead.then(|| Self { backend: Some(Arc::downgrade(backend)), has_given_way: false })
    }

    fn take(&mut self) -> Option<Arc<dyn Backend>> {
        self.backend.take().and_then(|backend| backend.upgrade())
    }
}

impl Future for Lead {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if !self.has_given_way {
            self.has_given_way = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(backend) = self.take() {
            backend.lead();
        }
        Poll::Ready(())
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
