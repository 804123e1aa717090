//! What a checkpoint writes of one block.
//!
//! The steps since the last checkpoint become one record, or several when they are many. The block
//! as a whole goes with them (*materialised*) once reading it would otherwise cost more: when the
//! steps since the last whole image have come to more bytes than the image, or are spread over too
//! many records. Versions below the collection's floor are left out where that saves bytes.

use std::sync::Arc;

use weald_core::{BlockId, Fault, LogIndex, PartitionId, StoredBlock};

use super::{
    chain::{Chain, Stored},
    compression::Compression,
    record::{Debt, Draft, Latest, Op, RecordKey, STEPS_BYTES_MAX, Step},
};

/// Records between two that are whole, at most.
const DEBT_RECORDS_MAX: u64 = 16;
/// Bytes of steps that are not worth an image, however small the image.
const DEBT_BYTES_MIN: u64 = 512;

/// The records of one block, and how the block is after them.
#[derive(Debug)]
pub(crate) struct Harvest {
    pub(crate) block: BlockId,
    pub(crate) records: Vec<(RecordKey, Vec<u8>)>,
    pub(crate) image_count: u64,
    /// The index of the newest version written.
    pub(crate) index: LogIndex,
    pub(crate) newest: Option<Arc<StoredBlock>>,
    pub(crate) stored: Stored,
}

/// Makes records of a block's versions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Harvester<'c> {
    pub(crate) partition: PartitionId,
    pub(crate) block: BlockId,
    /// Versions of the block, at least one.
    pub(crate) chain: &'c Chain,
    /// The floor of its collection.
    pub(crate) floor: LogIndex,
    pub(crate) compression: Compression,
}

/// A record that is being filled.
#[derive(Debug)]
struct Open {
    steps: Vec<u8>,
    is_self_contained: bool,
    debt: Debt,
}

impl Harvester<'_> {
    /// The records; `stored` is what the engine has of the block.
    pub(crate) fn harvest(self, stored: Stored) -> Result<Harvest, Fault> {
        let all: Vec<_> = self.chain.steps().collect();
        let index = all.last().map_or(LogIndex::ZERO, |step| step.index);
        let mut harvest = Harvest {
            block: self.block,
            records: Vec::new(),
            image_count: 0,
            index,
            newest: self.image_at(index)?,
            stored,
        };
        let (from, replacement) = self.oldest_needed(&all)?;
        let mut open = Open { steps: Vec::new(), is_self_contained: false, debt: stored.debt };
        for (position, step) in all.iter().enumerate().skip(from) {
            let image = replacement.as_ref().filter(|_| position == from).map(image_op);
            open.put(Step { op: image.unwrap_or(step.op), ..*step });
            if open.steps.len() >= STEPS_BYTES_MAX || position + 1 == all.len() {
                self.close(&mut open, *step, &mut harvest)?;
            }
        }
        Ok(harvest)
    }

    /// The first step to write and, if it must not need what came before, the block after it.
    fn oldest_needed(&self, all: &[Step<'_>]) -> Result<(usize, Option<Arc<StoredBlock>>), Fault> {
        let below = &all[..all.partition_point(|step| step.index <= self.floor)];
        let Some(last) = below.last() else { return Ok((0, None)) };
        let whole = below.iter().rposition(|step| !matches!(step.op, Op::Splices(_)));
        let from = whole.unwrap_or(0);
        let bytes: usize = below[from..].iter().map(|step| op_bytes(step.op)).sum();
        if from + 1 == below.len() {
            return Ok((from, None));
        }
        match self.image_at(last.index)? {
            Some(image) if image.block.payload.len() < bytes => Ok((below.len() - 1, Some(image))),
            _ => Ok((from, None)),
        }
    }

    fn close(&self, open: &mut Open, last: Step<'_>, harvest: &mut Harvest) -> Result<(), Fault> {
        if !open.is_self_contained {
            open.debt.records += 1;
        }
        let image = match last.op {
            Op::Tombstone => None,
            _ if open.debt == Debt::default() => None,
            _ => self.image_at(last.index)?.filter(|image| open.debt.is_too_much(image)),
        };
        let latest = image.as_ref().map(|image| {
            open.debt = Debt::default();
            harvest.image_count += 1;
            let payload = &image.block.payload;
            Latest::Image { revision: image.revision, kind: image.block.kind, payload }
        });
        // Nothing older than the image will be asked for.
        if latest.is_some() && last.index <= self.floor {
            open.steps.clear();
        }
        harvest.stored.debt = open.debt;
        let key = RecordKey { partition: self.partition, block: self.block, last: last.index };
        let collection = harvest.stored.collection;
        let draft = Draft { collection, debt: open.debt, latest, steps: &open.steps };
        harvest.records.push((key, draft.encode(key, self.compression)));
        open.steps.clear();
        open.is_self_contained = false;
        Ok(())
    }

    fn image_at(&self, index: LogIndex) -> Result<Option<Arc<StoredBlock>>, Fault> {
        Ok(self.chain.at(self.block, index)?.flatten())
    }
}

impl Open {
    fn put(&mut self, step: Step<'_>) {
        step.put(&mut self.steps);
        if matches!(step.op, Op::Splices(_)) {
            self.debt.bytes += u64::try_from(op_bytes(step.op)).unwrap_or(u64::MAX);
        } else {
            self.debt = Debt::default();
            self.is_self_contained = true;
        }
    }
}

impl Debt {
    fn is_too_much(&self, image: &StoredBlock) -> bool {
        let image_bytes = u64::try_from(image.block.payload.len()).unwrap_or(u64::MAX);
        self.records > DEBT_RECORDS_MAX || self.bytes > image_bytes.max(DEBT_BYTES_MIN)
    }
}

/// Bytes of a step, about.
fn op_bytes(op: Op<'_>) -> usize {
    const FRAME: usize = 8;
    match op {
        Op::Splices(encoded) => encoded.len() + FRAME,
        Op::Image { payload, .. } => payload.len() + FRAME,
        Op::Tombstone => FRAME,
    }
}

fn image_op(image: &Arc<StoredBlock>) -> Op<'_> {
    Op::Image { kind: image.block.kind, payload: &image.block.payload }
}
