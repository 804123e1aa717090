//! Carries what coordinators say to each other about transactions over several partitions.

use std::{
    sync::{Arc, Weak},
    time::Instant,
};

use weald_cluster::{partition::coordination::Message, routing::Purpose};
use weald_core::PlacementKey;

use super::{
    Core,
    asker::Ask,
    limits::ATTEMPT_MAX,
    message::{TELL, Wire},
};
use crate::members::{self, Caller};

/// See the module's page. It does not keep the reach alive, which keeps the members.
pub(super) struct Courier(Weak<Core>);

impl Courier {
    pub(super) fn of(core: &Arc<Core>) -> Arc<Self> {
        Arc::new(Self(Arc::downgrade(core)))
    }
}

impl members::Courier for Courier {
    fn carry(&self, key: PlacementKey, message: Message) {
        let Some(core) = self.0.upgrade() else { return };
        let partition = core.partition(key);
        if core.coordinates(partition) {
            let Some(members) = &core.members else { return };
            // What is lost is said again.
            members.tell(partition, message).ok();
            return;
        }
        let ask = Ask {
            service: TELL,
            purpose: Purpose::Read(key),
            payload: message.to_wire(),
            deadline: Instant::now() + ATTEMPT_MAX,
            tried: Vec::new(),
        };
        core.asker.ask(ask, Caller::nobody());
    }
}
