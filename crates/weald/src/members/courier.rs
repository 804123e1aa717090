//! Who carries what the coordinators of partitions say to each other about transactions over
//! several of them.

use weald_cluster::partition::coordination::Message;
use weald_core::PlacementKey;

/// Carries messages between coordinators, wherever they are.
pub(crate) trait Courier: Send + Sync {
    /// Carries `message` to whoever coordinates the partition of `key`, which may be a member here.
    /// Called by the loop: returns at once. What is lost is said again.
    fn carry(&self, key: PlacementKey, message: Message);
}
