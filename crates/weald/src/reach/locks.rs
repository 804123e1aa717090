//! Locks of transactions over several partitions, as readers meet them: what is locked may have been
//! committed elsewhere already, so a reader waits until that is settled here. Locks are looked for
//! by placement key: a reader waits for the whole group of its collection.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use weald_cluster::partition::{lock_of, locks_prefix};
use weald_core::{Lock, PlacementKey, StateStore};

use crate::{
    Consistency, Error, ErrorKind, Result,
    members::{Hosted, Members},
    node::{read_disk, state_error},
};

/// The pause before the locks are looked at again.
const PAUSE: Duration = Duration::from_millis(10);

/// Whether a read that is as fresh as `consistency` has to look for locks.
pub(super) fn may_be_locked(hosted: &Hosted, consistency: Consistency) -> bool {
    let waiting = || hosted.with_status(|status| status.waiting_count);
    consistency == Consistency::Linearizable && waiting() > 0
}

/// Waits until nothing at `key` is locked.
pub(super) async fn unlocked(
    members: &Members,
    hosted: &Arc<Hosted>,
    key: PlacementKey,
    deadline: Instant,
) -> Result<()> {
    while let Some(lock) = first_lock(hosted, key).await? {
        if Instant::now() + PAUSE >= deadline {
            let what = format!("locked by another transaction: holder={}", lock.holder.id);
            return Err(Error::new(ErrorKind::Unavailable, what).with_retry_after(PAUSE));
        }
        // Elsewhere than at the coordinator there is nothing to be done but to wait.
        members.met(hosted.partition(), lock).ok();
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

async fn first_lock(hosted: &Arc<Hosted>, key: PlacementKey) -> Result<Option<Lock>> {
    let prefix = [locks_prefix(), &key.as_u64().to_be_bytes()].concat();
    let hosted = Arc::clone(hosted);
    let rows = read_disk(move || hosted.store().rows(&prefix)).await?.map_err(state_error)?;
    let first = rows.first().map(|(key, value)| lock_of(key, value)).transpose();
    let first =
        first.map_err(|error| Error::caused(ErrorKind::Damaged, error.to_string(), error))?;
    Ok(first.map(|(_, lock)| lock))
}
