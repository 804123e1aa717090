//! Prepared segments: files that are allocated, filled with their pattern and synced before the log
//! needs them. A full disk is met here and nowhere else (rule C12).

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::{Condvar, Mutex};
use weald_core::{Entropy, StoreId};

use super::{
    disk::{Disk, DiskFile},
    image::Segment,
    segment::{SECTOR, SegmentHeader, segment_name, spare_name},
};

/// Bytes written and synced in one step, so that the log's own syncs are not held up: 256 KiB.
const STEP_BYTES: usize = 256 * 1024;

/// How the latest preparation went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DepotState {
    Ready,
    Full(String),
    Failed(String),
}

/// Prepares, keeps and reuses segment files.
pub(crate) struct Depot {
    disk: Arc<dyn Disk>,
    store: StoreId,
    sectors: u32,
    spare_max: usize,
    inner: Mutex<Inner>,
    changed: Condvar,
    stock_count: AtomicUsize,
}

struct Inner {
    stock: VecDeque<Segment>,
    /// Numbers of spare files.
    spare: Vec<u64>,
    /// Numbers of segment files that hold nothing needed, lowest first.
    obsolete: VecDeque<u64>,
    next_number: u64,
    state: DepotState,
    /// Someone waits for a segment although the last attempt failed.
    is_wanted: bool,
    /// Nothing is prepared yet.
    is_resting: bool,
    is_closing: bool,
    entropy: Box<dyn Entropy + Send>,
}

/// What a depot begins with.
pub(crate) struct DepotStart {
    pub(crate) store: StoreId,
    pub(crate) sectors: u32,
    pub(crate) spare_max: usize,
    pub(crate) stock: Vec<Segment>,
    pub(crate) spare: Vec<u64>,
    pub(crate) next_number: u64,
    /// Nothing is prepared until [`Depot::wake`].
    pub(crate) is_resting: bool,
    pub(crate) entropy: Box<dyn Entropy + Send>,
}

impl Depot {
    pub(crate) fn new(disk: Arc<dyn Disk>, start: DepotStart) -> Self {
        Self {
            disk,
            store: start.store,
            sectors: start.sectors,
            spare_max: start.spare_max,
            stock_count: AtomicUsize::new(start.stock.len()),
            inner: Mutex::new(Inner {
                stock: start.stock.into(),
                spare: start.spare,
                obsolete: VecDeque::new(),
                next_number: start.next_number,
                state: DepotState::Ready,
                is_wanted: false,
                is_resting: start.is_resting,
                is_closing: false,
                entropy: start.entropy,
            }),
            changed: Condvar::new(),
        }
    }

    /// Prepared segments at hand.
    pub(crate) fn stock_count(&self) -> usize {
        self.stock_count.load(Ordering::Acquire)
    }

    pub(crate) fn state(&self) -> DepotState {
        self.inner.lock().state.clone()
    }

    /// Takes the next prepared segment.
    pub(crate) fn take(&self) -> Option<Segment> {
        let mut inner = self.inner.lock();
        let segment = inner.stock.pop_front();
        self.stock_count.store(inner.stock.len(), Ordering::Release);
        self.changed.notify_all();
        segment
    }

    /// Asks for another attempt after one that failed.
    pub(crate) fn want(&self) {
        self.inner.lock().is_wanted = true;
        self.changed.notify_all();
    }

    /// From now on segments are prepared.
    pub(crate) fn wake(&self) {
        self.inner.lock().is_resting = false;
        self.changed.notify_all();
    }

    /// Gives back segments that hold nothing needed. They must be durably unneeded.
    pub(crate) fn give_back(&self, numbers: impl IntoIterator<Item = u64>) {
        let mut inner = self.inner.lock();
        inner.obsolete.extend(numbers);
        inner.obsolete.make_contiguous().sort_unstable();
        self.changed.notify_all();
    }

    pub(crate) fn close(&self) {
        self.inner.lock().is_closing = true;
        self.changed.notify_all();
    }

    /// Waits until a segment is at hand. `false` when the depot closes.
    pub(crate) fn wait_for_stock(&self) -> bool {
        let mut inner = self.inner.lock();
        while inner.stock.is_empty() && !inner.is_closing {
            self.changed.wait(&mut inner);
        }
        !inner.stock.is_empty()
    }

    /// Waits until there is something to do. `false` when the depot closes.
    pub(crate) fn wait_for_work(&self) -> bool {
        let mut inner = self.inner.lock();
        while !inner.has_work() && !inner.is_closing {
            self.changed.wait(&mut inner);
        }
        !inner.is_closing
    }

    /// Does one piece of work, if there is any: reuses obsolete files or prepares a segment. Returns
    /// whether a segment was added.
    pub(crate) fn work(&self) -> bool {
        if let Err(error) = self.reuse_obsolete() {
            self.inner.lock().state = DepotState::Failed(error.to_string());
            return false;
        }
        let (number, spare, salt) = {
            let mut inner = self.inner.lock();
            if !inner.has_work() {
                return false;
            }
            inner.is_wanted = false;
            let mut salt = [0; 16];
            inner.entropy.fill(&mut salt);
            (inner.next_number, inner.spare.pop(), salt)
        };
        let header = SegmentHeader { store: self.store, number, sectors: self.sectors, salt };
        let prepared = self.prepare(header, spare);
        let mut inner = self.inner.lock();
        let is_added = prepared.is_ok();
        inner.state = match prepared {
            Ok(segment) => {
                inner.stock.push_back(segment);
                inner.next_number += 1;
                DepotState::Ready
            }
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                DepotState::Full(error.to_string())
            }
            Err(error) => DepotState::Failed(error.to_string()),
        };
        self.stock_count.store(inner.stock.len(), Ordering::Release);
        self.changed.notify_all();
        is_added
    }

    /// Turns obsolete segments into spare files, lowest first and each durably before the next, so
    /// that what is left is always one run of numbers.
    fn reuse_obsolete(&self) -> io::Result<()> {
        loop {
            let (number, is_kept) = {
                let mut inner = self.inner.lock();
                let Some(number) = inner.obsolete.pop_front() else { return Ok(()) };
                (number, inner.spare.len() < self.spare_max)
            };
            match is_kept {
                true => self.disk.rename(&segment_name(number), &spare_name(number))?,
                false => self.disk.remove(&segment_name(number))?,
            }
            self.disk.sync_folder()?;
            if is_kept {
                self.inner.lock().spare.push(number);
            }
        }
    }

    fn prepare(&self, header: SegmentHeader, spare: Option<u64>) -> io::Result<Segment> {
        let name = spare_name(header.number);
        let filled = self.file(&name, spare, header.size()).and_then(|file| {
            fill(file.as_ref(), &header)?;
            self.disk.rename(&name, &segment_name(header.number))?;
            self.disk.sync_folder()?;
            Ok(Segment::new(header, file))
        });
        if filled.is_err() {
            // What cannot be removed is found, and reused, when the log is opened again.
            self.disk.remove(&name).ok();
        }
        filled
    }

    /// The file to fill: a spare one of the right size, or a new one.
    fn file(&self, name: &str, spare: Option<u64>, size: u64) -> io::Result<Arc<dyn DiskFile>> {
        if let Some(spare) = spare {
            let spare = spare_name(spare);
            let file = self.disk.open(&spare)?;
            if file.size()? == size {
                self.disk.rename(&spare, name)?;
                return Ok(file);
            }
            self.disk.remove(&spare)?;
        }
        match self.disk.create(name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.disk.remove(name)?;
                self.disk.create(name)
            }
            created => created,
        }
    }
}

impl Inner {
    fn has_work(&self) -> bool {
        let wants_stock = self.stock.is_empty() && !self.is_resting;
        let may_try = self.state == DepotState::Ready || self.is_wanted || !self.spare.is_empty();
        !self.obsolete.is_empty() || (wants_stock && may_try)
    }
}

/// Writes the pattern over the whole file and syncs it; then head and foot, which say that it is so.
pub(super) fn fill(file: &dyn DiskFile, header: &SegmentHeader) -> io::Result<()> {
    let pattern = header.pattern();
    let mut step = vec![0; STEP_BYTES];
    let mut offset = 0;
    while offset < header.size() {
        let rest = usize::try_from(header.size() - offset).unwrap_or(STEP_BYTES);
        let step = &mut step[..rest.min(STEP_BYTES)];
        pattern.fill(offset, step);
        file.write_at(offset, step)?;
        file.sync()?;
        offset += step.len() as u64;
    }
    let sector = header.encode();
    file.write_at(0, &sector)?;
    file.write_at(header.size() - SECTOR as u64, &sector)?;
    file.sync()
}
