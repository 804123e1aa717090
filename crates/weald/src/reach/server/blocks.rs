//! Blocks for those who read from afar.

use std::{sync::Arc, time::Instant};

use weald_cluster::routing::Answer;
use weald_core::{At, BlockRead, Fault, LogIndex, Refusal, StateError, StateView};

use super::{Pending, Server, done, unavailable};
use crate::{
    members::Hosted,
    reach::{
        limits::{ANSWER_BYTES_MAX, BLOCKS_MAX},
        message::{Answered, Found, Wanted},
    },
};

/// The first of some blocks.
struct Batch {
    found: Vec<Found>,
    /// Whether the next one is not in memory.
    is_missing: bool,
}

impl Server {
    pub(super) fn blocks(
        &self,
        hosted: Arc<Hosted>,
        (index, wanted): (LogIndex, Vec<Wanted>),
        pending: Pending,
        deadline: Instant,
    ) {
        if wanted.is_empty() || wanted.len() > BLOCKS_MAX {
            return pending.refuse(Refusal::Malformed);
        }
        let view = match hosted.view(At::Index(index)) {
            Ok(view) => view,
            Err(StateError::Fault(Fault::Pruned(_))) => {
                return pending.answer(done(&hosted, &Answered::Gone));
            }
            // It lags, or has trouble of its own: another member may tell.
            Err(_) => return pending.answer(unavailable()),
        };
        match found(&*view, &wanted) {
            Ok(batch) if batch.is_missing => {
                self.answer_from_disk(pending, deadline, move || load(&hosted, &*view, &wanted));
            }
            Ok(batch) => pending.answer(done(&hosted, &Answered::Blocks(batch.found))),
            Err(fault) => pending.answer(stopped(&hosted, fault)),
        }
    }
}

/// Loads what is missing; blocks on the disk.
fn load(hosted: &Hosted, view: &dyn StateView, wanted: &[Wanted]) -> Answer {
    let mut ids = Vec::new();
    for one in wanted {
        if matches!(view.block(one.id), Ok(BlockRead::NotHere)) {
            ids.push(one.id);
        }
    }
    if let Err(fault) = view.load(&ids) {
        return stopped(hosted, fault);
    }
    match found(view, wanted) {
        Ok(batch) if batch.is_missing => unavailable(),
        Ok(batch) => done(hosted, &Answered::Blocks(batch.found)),
        Err(fault) => stopped(hosted, fault),
    }
}

/// The state right after `index`, with those of the wanted blocks that are at hand: whoever asks for
/// the others may wait for them.
pub(super) fn view(hosted: &Hosted, index: LogIndex, wanted: &[Wanted]) -> Answer {
    let at_hand = || found(&*hosted.view(At::Index(index)).ok()?, wanted).ok();
    let found = match wanted {
        [] => Vec::new(),
        _ => at_hand().map(|batch| batch.found).unwrap_or_default(),
    };
    done(hosted, &Answered::View { index, log_time: hosted.log_time(), found })
}

/// As many blocks as one answer holds and are in memory.
fn found(view: &dyn StateView, wanted: &[Wanted]) -> Result<Batch, Fault> {
    let (mut found, mut bytes) = (Vec::with_capacity(wanted.len()), 0);
    for one in wanted {
        found.push(match view.block(one.id)? {
            BlockRead::NotHere => return Ok(Batch { found, is_missing: true }),
            BlockRead::Absent => Found::Absent,
            BlockRead::Present(stored) if one.known == Some(stored.revision) => Found::Known,
            BlockRead::Present(stored) => {
                bytes += stored.block.payload.len();
                Found::Present((*stored).clone())
            }
        });
        if bytes >= ANSWER_BYTES_MAX {
            break;
        }
    }
    Ok(Batch { found, is_missing: false })
}

fn stopped(hosted: &Hosted, fault: Fault) -> Answer {
    match fault {
        Fault::Pruned(_) => done(hosted, &Answered::Gone),
        _ => unavailable(),
    }
}
