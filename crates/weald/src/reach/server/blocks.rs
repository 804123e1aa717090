//! Blocks for those who read from afar.

use std::sync::Arc;

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

/// Why blocks are not answered at once.
enum Stop {
    /// They are not in memory.
    Load,
    /// This member cannot tell.
    Answer(Box<Answer>),
}

impl Server {
    pub(super) fn blocks(
        &self,
        hosted: Arc<Hosted>,
        index: LogIndex,
        wanted: Vec<Wanted>,
        pending: Pending,
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
        match found(&hosted, &*view, &wanted) {
            Ok(answer) => pending.answer(answer),
            Err(Stop::Answer(answer)) => pending.answer(*answer),
            Err(Stop::Load) => {
                self.asker.runtime().spawn_blocking(move || {
                    pending.answer(load(&hosted, &*view, &wanted));
                });
            }
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
    match found(hosted, view, wanted) {
        Ok(answer) => answer,
        Err(Stop::Answer(answer)) => *answer,
        Err(Stop::Load) => unavailable(),
    }
}

/// As many blocks as one answer holds.
fn found(hosted: &Hosted, view: &dyn StateView, wanted: &[Wanted]) -> Result<Answer, Stop> {
    let (mut all, mut bytes) = (Vec::with_capacity(wanted.len()), 0);
    for one in wanted {
        let read =
            view.block(one.id).map_err(|fault| Stop::Answer(stopped(hosted, fault).into()))?;
        all.push(match read {
            BlockRead::NotHere => return Err(Stop::Load),
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
    Ok(done(hosted, &Answered::Blocks(all)))
}

fn stopped(hosted: &Hosted, fault: Fault) -> Answer {
    match fault {
        Fault::Pruned(_) => done(hosted, &Answered::Gone),
        _ => unavailable(),
    }
}
