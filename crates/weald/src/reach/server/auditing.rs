//! Checking in the background what other coordinators have logged: they should have let no message
//! through that its publisher did not sign.
//!
//! At most a tenth of a processor is spent on it. What is more than that is passed over and counted;
//! which entries these are nobody can tell before, so that who lets forgeries through is found out.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use weald_core::{
    Digest, LogIndex, PartitionId, Payload, PeerId,
    identity::{Claim, verify_all},
};

use super::{Server, topics};
use crate::{
    members::{self, Logged},
    reach::limits::{AUDITS_BYTES_MAX, AUDITS_MAX, BATCH_BYTES_MAX},
};

/// Of the time, one part in so many is spent.
const SHARE: u32 = 10;
/// The pause between two batches, at least: what comes meanwhile is one batch.
const PAUSE: Duration = Duration::from_millis(10);

/// An entry that is to be looked at.
struct Audit {
    partition: PartitionId,
    index: LogIndex,
    coordinator: PeerId,
    command: Bytes,
}

/// Entries that wait to be looked at.
#[derive(Default)]
pub(super) struct Audits(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    audits: VecDeque<Audit>,
    bytes: usize,
    is_under_way: bool,
}

/// Told by the members. It does not keep the server alive, which keeps them.
pub(super) struct Auditor(Weak<Server>);

impl Auditor {
    pub(super) fn of(server: &Arc<Server>) -> Arc<Self> {
        Arc::new(Self(Arc::downgrade(server)))
    }
}

impl members::Auditor for Auditor {
    fn audit(&self, logged: Logged<'_>) {
        if !topics::has_topics(logged.payload) {
            return;
        }
        let Some(server) = self.0.upgrade() else { return };
        let Logged { partition, index, coordinator, .. } = logged;
        let command = logged.command();
        server.audit(Audit { partition, index, coordinator, command });
    }
}

impl Server {
    fn audit(self: &Arc<Self>, audit: Audit) {
        let mut waiting = self.audits.0.lock();
        if waiting.audits.len() >= AUDITS_MAX || waiting.bytes >= AUDITS_BYTES_MAX {
            return self.figures.note_passed_over();
        }
        waiting.bytes += audit.command.len();
        waiting.audits.push_back(audit);
        if !std::mem::replace(&mut waiting.is_under_way, true) {
            let runtime = self.asker.runtime();
            runtime.spawn(run(Ending { server: Arc::downgrade(self), is_over: false }));
        }
    }

    fn take_audits(&self) -> Vec<Audit> {
        let mut waiting = self.audits.0.lock();
        let mut batch = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH_BYTES_MAX {
            let Some(audit) = waiting.audits.pop_front() else { break };
            bytes += audit.command.len();
            batch.push(audit);
        }
        waiting.bytes -= bytes;
        waiting.is_under_way = !batch.is_empty();
        batch
    }

    /// Looks at entries and reports who let a forged message through.
    fn audit_batch(&self, batch: &[Audit]) {
        let Some(network) = *self.asker.network().borrow() else {
            return batch.iter().for_each(|_| self.figures.note_passed_over());
        };
        let mut claims = Vec::new();
        let mut claimed = |audit: &Audit| {
            let from = claims.len();
            claims.extend(claims_of(audit, &network));
            from..claims.len()
        };
        let spans: Vec<_> = batch.iter().map(&mut claimed).collect();
        let forged = verify_all(&claims).err().unwrap_or_default();
        self.figures.note_audited(claims.len(), forged.len());
        for (audit, span) in batch.iter().zip(spans) {
            let count = forged.range(span).count();
            if count > 0 {
                let Audit { partition, index, coordinator, .. } = audit;
                tracing::warn!(
                    target: "weald::topic", %coordinator, %partition, %index, count,
                    "a coordinator has let messages through that their publishers did not sign"
                );
            }
        }
    }
}

/// What an entry that was applied claims; what is no operation of a topic was refused then.
fn claims_of(audit: &Audit, network: &Digest) -> Vec<Claim> {
    let payload = members::decode(&audit.command).unwrap_or(Payload::Noop);
    topics::claims(&payload, network).unwrap_or_default()
}

/// Lets another task begin where one ends early, as with the runtime.
struct Ending {
    server: Weak<Server>,
    is_over: bool,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(server) = self.server.upgrade().filter(|_| !self.is_over) {
            server.audits.0.lock().is_under_way = false;
        }
    }
}

async fn run(mut ending: Ending) {
    loop {
        let Some(near) = ending.server.upgrade() else { return };
        let batch = near.take_audits();
        if batch.is_empty() {
            ending.is_over = true;
            return;
        }
        let checked = tokio::task::spawn_blocking(move || {
            let begun = Instant::now();
            near.audit_batch(&batch);
            begun.elapsed()
        });
        let Ok(took) = checked.await else { return };
        tokio::time::sleep((took * (SHARE - 1)).max(PAUSE)).await;
    }
}
