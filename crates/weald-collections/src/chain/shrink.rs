//! Taking entries from either end, and retention.
//!
//! Entries taken from the front stay in their block until it is empty: the block's hash and those
//! of the entries behind them stand, and only the state block moves.

use weald_core::{Halt, Retention, Revision, Sequence, Time};

use super::block::{ChainBlock, ChainEntry, set_next, set_prev};
use crate::{BlockWriter, ChainEnds, ChainState};

/// Entries that one transaction drops for retention beyond twice what it appended, so that its work
/// stays bounded when a policy was tightened.
const RETENTION_WORK: u64 = 64;

/// Takes up to `count` entries from the front, oldest first.
///
/// # Errors
/// [`Halt`] when a block of the chain cannot be read; `chain` is then of no use.
pub fn dequeue<W: BlockWriter + ?Sized>(
    writer: &mut W,
    chain: &mut ChainState,
    count: usize,
) -> Result<Vec<ChainEntry>, Halt> {
    let mut taken = Vec::new();
    let mut left = count;
    drop_front(
        writer,
        chain,
        |_| left.checked_sub(1).map(|less| left = less).is_some(),
        &mut |e| {
            taken.push(e);
        },
    )?;
    Ok(taken)
}

/// Takes up to `count` entries from the end, newest first. The running hash is again the one
/// before them.
///
/// # Errors
/// As [`dequeue`].
pub fn pop<W: BlockWriter + ?Sized>(
    writer: &mut W,
    chain: &mut ChainState,
    count: usize,
) -> Result<Vec<ChainEntry>, Halt> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let Some(ends) = chain.ends else { break };
        let block = ChainBlock::read(writer, ends.tail)?;
        let wanted = (count - taken.len()) as u64;
        let lowest = block.head.first.max(chain.first);
        let keep = Sequence(chain.next.0.saturating_sub(wanted)).max(lowest);
        for sequence in (keep.0..chain.next.0).rev() {
            let entry = block.expect_entry(Sequence(sequence))?;
            chain.bytes = chain.bytes.saturating_sub(entry.payload.len() as u64);
            taken.push(entry);
        }
        cut_tail(writer, chain, ends, &block, keep)?;
    }
    Ok(taken)
}

/// Drops what `retention` no longer keeps at log time `now`; the newest entry always stays. A
/// transaction that appended `appended` entries drops a bounded number, so a policy that was just
/// tightened takes effect over the next ones. Returns whether anything went.
///
/// # Errors
/// As [`dequeue`].
pub fn retain<W: BlockWriter + ?Sized>(
    writer: &mut W,
    chain: &mut ChainState,
    retention: &Retention,
    now: Time,
    appended: u64,
) -> Result<bool, Halt> {
    let first = chain.first;
    let mut work = appended.saturating_mul(2).saturating_add(RETENTION_WORK);
    let exceeds = |chain: &ChainState| {
        work = work.saturating_sub(1);
        work > 0 && chain.len() > 1 && is_beyond(chain, retention, now)
    };
    drop_front(writer, chain, exceeds, &mut drop)?;
    Ok(chain.first != first)
}

fn is_beyond(chain: &ChainState, retention: &Retention, now: Time) -> bool {
    let oldest = chain.ends.map_or(now, |ends| ends.oldest_time);
    retention.entries_max.is_some_and(|max| chain.len() > max)
        || retention.bytes_max.is_some_and(|max| chain.bytes > max)
        || retention.age_max.is_some_and(|max| now.since(oldest) > max)
}

/// Drops entries from the front while `more` says so.
fn drop_front<W: BlockWriter + ?Sized>(
    writer: &mut W,
    chain: &mut ChainState,
    mut more: impl FnMut(&ChainState) -> bool,
    dropped: &mut dyn FnMut(ChainEntry),
) -> Result<(), Halt> {
    let Some(ends) = chain.ends.filter(|_| more(chain)) else { return Ok(()) };
    let mut block = ChainBlock::read(writer, ends.head)?;
    loop {
        let entry = block.expect_entry(chain.first)?;
        chain.bytes = chain.bytes.saturating_sub(entry.payload.len() as u64);
        chain.pruned = entry.revision;
        chain.first = chain.first.next();
        dropped(entry);
        if chain.first >= block.end() {
            writer.delete(block.id)?;
            let Some(next) = block.head.next.filter(|_| chain.first < chain.next) else {
                chain.ends = None;
                return Ok(());
            };
            writer.splice(next, vec![set_prev(None)])?;
            block = ChainBlock::read(writer, next)?;
        }
        name_oldest(chain, &block)?;
        if !more(chain) {
            return Ok(());
        }
    }
}

fn name_oldest(chain: &mut ChainState, head: &ChainBlock) -> Result<(), Halt> {
    let oldest = head.expect_entry(chain.first)?;
    if let Some(ends) = &mut chain.ends {
        *ends = ChainEnds {
            head: head.id,
            tail: ends.tail,
            oldest_revision: oldest.revision,
            oldest_index: oldest.index,
            oldest_time: oldest.time,
        };
    }
    Ok(())
}

/// Makes `keep` the sequence of the next entry; `block` is the tail and holds the last entry that
/// goes.
fn cut_tail<W: BlockWriter + ?Sized>(
    writer: &mut W,
    chain: &mut ChainState,
    ends: ChainEnds,
    block: &ChainBlock,
    keep: Sequence,
) -> Result<(), Halt> {
    let kept = usize::try_from(keep.0 - block.head.first.0).unwrap_or(usize::MAX);
    chain.hash = block.hash_after(kept);
    chain.next = keep;
    if keep == chain.first {
        writer.delete(block.id)?;
        chain.ends = None;
    } else if keep == block.head.first {
        writer.delete(block.id)?;
        let prev = block.head.prev.ok_or_else(|| {
            super::block::damaged(block.id, "the chain ends before its oldest entry")
        })?;
        writer.splice(prev, vec![set_next(None)])?;
        chain.ends = Some(ChainEnds { tail: prev, ..ends });
    } else {
        writer.splice(block.id, vec![block.cut_from(keep)?])?;
    }
    Ok(())
}

impl ChainState {
    /// The first revision from which on nothing is missing: everything that revision `from` or a
    /// later one appended is retained. `None` when that is so for `from` itself.
    pub(crate) fn gap_until(&self, from: Revision) -> Option<Revision> {
        let floor = self.ends.map_or(self.pruned.next(), |ends| ends.oldest_revision);
        (self.pruned > Revision::ZERO && from <= self.pruned && from < floor).then_some(floor)
    }
}
