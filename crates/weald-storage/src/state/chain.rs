//! The versions of one block that no checkpoint has covered yet.
//!
//! Each version is a step: splices, encoded when they were committed, or a whole image, or a
//! deletion. Whole images are kept where they are needed and now and then between, so that memory
//! grows by what changed, not by the size of the block, and any version is a few splices away from
//! an image. The newest image is always kept.

use std::sync::Arc;

use weald_core::{
    Base, Block, BlockEffect, BlockId, Change, Fault, LogIndex, Revision, StoredBlock,
    TransformError,
};

use super::{
    record::{Debt, Op, Step},
    splices::{apply_splices, put_splices},
};

/// Versions between two kept images, at most.
const IMAGE_DISTANCE_MAX: usize = 64;
/// Bytes of splices between two kept images, at least, before another is kept.
const IMAGE_DISTANCE_BYTES_MIN: usize = 4096;
/// Bytes on the heap that an image takes besides its payload: two counted allocations.
pub(crate) const IMAGE_OVERHEAD_BYTES: usize = 176;

/// What is known of a block's records in the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// The block's collection.
    pub(crate) collection: BlockId,
    /// What reading the newest record costs.
    pub(crate) debt: Debt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Splices,
    Image,
    Tombstone,
}

/// A version; its splices are in `Chain::deltas` up to `end`.
#[derive(Clone, Copy, Debug)]
struct Version {
    index: LogIndex,
    revision: Revision,
    end: usize,
    kind: Kind,
}

/// The versions of one block, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chain {
    versions: Vec<Version>,
    deltas: Vec<u8>,
    /// Kept images in the order of their indexes. One may be older than all versions: the block
    /// as a checkpoint left it.
    images: Vec<(LogIndex, Arc<StoredBlock>)>,
    /// Payload bytes and overhead of the images.
    image_bytes: usize,
    /// Whether the newest image stays when a newer one comes.
    is_last_kept: bool,
    /// Versions, and bytes of their splices, since an image that stays.
    since_kept: (usize, usize),
    /// What the engine has of the block, once a checkpoint has told.
    pub(crate) stored: Option<Stored>,
}

impl Chain {
    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.versions.capacity() * size_of::<Version>()
            + self.deltas.capacity()
            + self.images.capacity() * size_of::<(LogIndex, Arc<StoredBlock>)>()
            + self.image_bytes
    }

    /// The index of the newest version.
    pub(crate) fn newest_index(&self) -> Option<LogIndex> {
        self.versions.last().map(|version| version.index)
    }

    /// What the next change must be based on, if the chain can tell.
    pub(crate) fn base(&self) -> Option<Base> {
        match self.versions.last() {
            Some(Version { kind: Kind::Tombstone, .. }) => Some(Base::Absent),
            Some(version) => Some(Base::At(version.revision)),
            None => self.images.last().map(|(_, image)| Base::At(image.revision)),
        }
    }

    /// Adds a version. Its index is above all others; [`Chain::base`] was checked.
    pub(crate) fn push(&mut self, index: LogIndex, effect: BlockEffect) {
        let start = self.deltas.len();
        let kind = match (&effect.change, &effect.after) {
            (_, None) => Kind::Tombstone,
            (Change::Update(splices), Some(after)) => {
                put_splices(&mut self.deltas, splices);
                let encoded = self.deltas.len() - start;
                // Many tiny splices may take more bytes than the block: then the block it is.
                if encoded > after.block.payload.len() { Kind::Image } else { Kind::Splices }
            }
            (_, Some(_)) => Kind::Image,
        };
        if kind != Kind::Splices {
            self.deltas.truncate(start);
        }
        let end = self.deltas.len();
        self.versions.push(Version { index, revision: effect.revision, end, kind });
        if let Some(after) = effect.after {
            self.push_image(index, after, kind, end - start);
        }
    }

    fn push_image(
        &mut self,
        index: LogIndex,
        image: Arc<StoredBlock>,
        kind: Kind,
        delta_bytes: usize,
    ) {
        let image_len = image.block.payload.len();
        let (count, bytes) = self.since_kept;
        let is_far =
            count >= IMAGE_DISTANCE_MAX || bytes >= image_len.max(IMAGE_DISTANCE_BYTES_MIN);
        let is_kept = kind == Kind::Image || is_far || self.images.is_empty();
        self.image_bytes += image_len + IMAGE_OVERHEAD_BYTES;
        match self.images.last_mut() {
            Some(last) if !self.is_last_kept => {
                self.image_bytes -= last.1.block.payload.len() + IMAGE_OVERHEAD_BYTES;
                *last = (index, image);
            }
            _ => self.images.push((index, image)),
        }
        self.is_last_kept = is_kept;
        self.since_kept = if is_kept { (0, 0) } else { (count + 1, bytes + delta_bytes) };
    }

    /// The block right after `index`; `None`: no version here is so old.
    pub(crate) fn at(
        &self,
        id: BlockId,
        index: LogIndex,
    ) -> Result<Option<Option<Arc<StoredBlock>>>, Fault> {
        let count = count_up_to(&self.versions, index, |version| version.index);
        let kept = count_up_to(&self.images, index, |(at, _)| *at);
        let image = kept.checked_sub(1).map(|position| &self.images[position]);
        let Some(newest) = count.checked_sub(1).map(|position| self.versions[position]) else {
            return Ok(image.map(|(_, image)| Some(Arc::clone(image))));
        };
        if newest.kind == Kind::Tombstone {
            return Ok(Some(None));
        }
        let (image_index, image) = image.ok_or_else(|| baseless(id))?;
        if *image_index >= newest.index {
            return Ok(Some(Some(Arc::clone(image))));
        }
        let first = self.versions.partition_point(|version| version.index <= *image_index);
        let mut payload = image.block.payload.to_vec();
        for position in first..count {
            apply_splices(&mut payload, self.splices(position))
                .map_err(|detail| Fault::Damaged { id, detail: format!("{detail} in memory") })?;
        }
        let Block { id, kind, collection, .. } = image.block;
        let block = Block { id, kind, collection, payload: payload.into() };
        Ok(Some(Some(Arc::new(StoredBlock { block, revision: newest.revision }))))
    }

    fn splices(&self, position: usize) -> &[u8] {
        let start = position.checked_sub(1).map_or(0, |before| self.versions[before].end);
        &self.deltas[start..self.versions[position].end]
    }

    /// The versions up to `cover` for a checkpoint to write; `None` when there are none.
    pub(crate) fn cut(&self, cover: LogIndex) -> Option<Self> {
        let count = self.versions.partition_point(|version| version.index <= cover);
        let end = self.versions[..count].last()?.end;
        let kept = self.images.partition_point(|(at, _)| *at <= cover);
        Some(Self {
            versions: self.versions[..count].to_vec(),
            deltas: self.deltas[..end].to_vec(),
            images: self.images[..kept].to_vec(),
            image_bytes: 0,
            is_last_kept: true,
            since_kept: (0, 0),
            stored: self.stored,
        })
    }

    /// Forgets the versions up to `cover`, which a checkpoint has made durable with `stored`. The
    /// block as it was then stays as the base of newer versions.
    pub(crate) fn release(
        &mut self,
        cover: LogIndex,
        base: Option<Arc<StoredBlock>>,
        stored: Stored,
    ) {
        let count = self.versions.partition_point(|version| version.index <= cover);
        let end = count.checked_sub(1).map_or(0, |last| self.versions[last].end);
        self.versions.drain(..count);
        self.deltas.drain(..end);
        self.versions.iter_mut().for_each(|version| version.end -= end);
        let kept = self.images.partition_point(|(at, _)| *at <= cover);
        self.images.splice(..kept, base.map(|base| (cover, base)));
        self.image_bytes = self
            .images
            .iter()
            .map(|(_, image)| image.block.payload.len() + IMAGE_OVERHEAD_BYTES)
            .sum();
        self.stored = Some(stored);
        self.versions.shrink_to(self.versions.len() * 2);
        self.deltas.shrink_to(self.deltas.len() * 2);
        self.images.shrink_to(self.images.len() * 2);
        self.since_kept = (self.versions.len(), self.deltas.len());
    }

    /// The steps as a record holds them, oldest first.
    pub(crate) fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        self.versions.iter().enumerate().map(|(position, version)| {
            let op = match version.kind {
                Kind::Splices => Op::Splices(self.splices(position)),
                Kind::Tombstone => Op::Tombstone,
                Kind::Image => {
                    let image = self.images.binary_search_by_key(&version.index, |(at, _)| *at);
                    let image = image.expect("the image of a whole version is kept");
                    let block = &self.images[image].1.block;
                    Op::Image { kind: block.kind, payload: &block.payload }
                }
            };
            Step { index: version.index, revision: version.revision, op }
        })
    }

    /// The collection, if an image tells.
    pub(crate) fn collection(&self) -> Option<BlockId> {
        self.images.last().map(|(_, image)| image.block.collection)
    }

    /// Refuses a change that another version came before, or that would lower the revision.
    pub(crate) fn check(&self, effect: &BlockEffect) -> Result<(), TransformError> {
        let (id, expected) = (effect.id, effect.base);
        if let Some(found) = self.base().filter(|found| *found != expected) {
            return Err(TransformError::BaseMismatch { id, expected, found });
        }
        if self.versions.last().is_some_and(|version| effect.revision < version.revision) {
            return Err(TransformError::Mismatch { id, what: "the revision would go back" });
        }
        Ok(())
    }
}

/// How many of `sorted` are at `index` or before. Most who ask want the newest.
fn count_up_to<T>(sorted: &[T], index: LogIndex, index_of: impl Fn(&T) -> LogIndex) -> usize {
    match sorted.last() {
        Some(last) if index_of(last) <= index => sorted.len(),
        _ => sorted.partition_point(|one| index_of(one) <= index),
    }
}

fn baseless(id: BlockId) -> Fault {
    Fault::Damaged { id, detail: "splices without a base in memory".to_owned() }
}
