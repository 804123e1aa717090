//! A simulated disk: it loses, tears, rots, fills up and fails, reproducibly from a seed.
//!
//! What it does to unsynced bytes is what real disks do: of each write not yet synced, any subset of
//! 512-byte units survives a power cut; of unsynced changes to the folder, any prefix does. After a
//! failed sync the written bytes can still be read but are never made durable by a later sync.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

use super::disk::{Disk, DiskFile};

const UNIT: usize = 512;

/// A disk in memory with faults on demand. Clones are handles to the same disk.
#[derive(Clone)]
pub struct SimDisk {
    inner: Arc<Mutex<Inner>>,
}

/// How often the disk was asked to do what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SimCounts {
    /// Writes that were carried out.
    pub writes: u64,
    /// Syncs of files that succeeded.
    pub syncs: u64,
}

/// What becomes of each unsynced unit when power fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerCut {
    /// All are lost.
    LoseAll,
    /// All survive.
    KeepAll,
    /// Each survives or not.
    Tear,
}

struct Inner {
    random: u64,
    capacity: u64,
    files: BTreeMap<u64, SimFile>,
    next_file: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    folder_changes: Vec<BTreeMap<String, u64>>,
    counts: SimCounts,
    fail_write: Option<u64>,
    fail_sync: Option<u64>,
    fail_creation: bool,
    /// Changes until the machine stops.
    stop: Option<u64>,
    is_stopped: bool,
    last_synced: Option<(u64, u64, usize)>,
}

#[derive(Clone, Default)]
struct SimFile {
    durable: Vec<u8>,
    current: Vec<u8>,
    unsynced: Vec<Unsynced>,
}

#[derive(Clone)]
struct Unsynced {
    offset: u64,
    bytes: Vec<u8>,
}

struct SimHandle {
    disk: Weak<Mutex<Inner>>,
    file: u64,
}

impl SimDisk {
    /// An empty disk without bounds.
    pub fn new(seed: u64) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Inner {
                random: seed,
                capacity: u64::MAX,
                files: BTreeMap::new(),
                next_file: 0,
                names: BTreeMap::new(),
                durable_names: BTreeMap::new(),
                folder_changes: Vec::new(),
                counts: SimCounts::default(),
                fail_write: None,
                fail_sync: None,
                fail_creation: false,
                stop: None,
                is_stopped: false,
                last_synced: None,
            })),
        }
    }

    /// A disk with the same contents, synced or not, and the same future.
    #[must_use]
    pub fn copy(&self) -> Self {
        let inner = self.inner.lock();
        Self {
            inner: Arc::new(Mutex::new(Inner {
                random: inner.random,
                capacity: inner.capacity,
                files: inner.files.clone(),
                next_file: inner.next_file,
                names: inner.names.clone(),
                durable_names: inner.durable_names.clone(),
                folder_changes: inner.folder_changes.clone(),
                counts: inner.counts,
                fail_write: inner.fail_write,
                fail_sync: inner.fail_sync,
                fail_creation: inner.fail_creation,
                stop: inner.stop,
                is_stopped: inner.is_stopped,
                last_synced: inner.last_synced,
            })),
        }
    }

    /// Cuts the power: unsynced bytes and names survive as `cut` says. Open handles stay usable, as
    /// if the files had been opened again.
    pub fn power_cut(&self, cut: PowerCut) {
        let mut inner = self.inner.lock();
        let changes = inner.folder_changes.len();
        let kept = match cut {
            PowerCut::LoseAll => 0,
            PowerCut::KeepAll => changes,
            PowerCut::Tear => inner.below(changes + 1),
        };
        let names = kept.checked_sub(1).map(|at| inner.folder_changes.swap_remove(at));
        let names = names.unwrap_or_else(|| inner.durable_names.clone());
        (inner.names, inner.durable_names) = (names.clone(), names);
        inner.folder_changes.clear();
        let numbers: Vec<_> = inner.files.keys().copied().collect();
        for number in numbers {
            inner.settle(number, cut);
            if let Some(file) = inner.files.get_mut(&number) {
                file.current.clone_from(&file.durable);
            }
        }
        (inner.fail_sync, inner.fail_write) = (None, None);
        (inner.stop, inner.is_stopped) = (None, false);
    }

    /// Bytes that all files together may have; writes that need more fail with `StorageFull`.
    pub fn set_capacity(&self, bytes: u64) {
        self.inner.lock().capacity = bytes;
    }

    /// Bytes in all files together.
    pub fn used(&self) -> u64 {
        self.inner.lock().used()
    }

    /// The write after `count` more fails.
    pub fn fail_write_after(&self, count: u64) {
        self.inner.lock().fail_write = Some(count);
    }

    /// The sync after `count` more fails.
    pub fn fail_sync_after(&self, count: u64) {
        self.inner.lock().fail_sync = Some(count);
    }

    /// The next creation of a file fails.
    pub fn fail_creation(&self) {
        self.inner.lock().fail_creation = true;
    }

    /// After `count` more changes (writes, syncs, creations, renames, removals) every further one
    /// fails, as if the machine had stopped, until the power is cut.
    pub fn stop_after(&self, count: u64) {
        self.inner.lock().stop = Some(count);
    }

    /// Starts the process again after a stop, with the power on: unsynced bytes are still there.
    pub fn restart(&self) {
        let mut inner = self.inner.lock();
        (inner.stop, inner.is_stopped) = (None, false);
    }

    /// What was done so far.
    pub fn counts(&self) -> SimCounts {
        self.inner.lock().counts
    }

    /// Flips one bit, durably. Returns whether the file has such a byte.
    pub fn flip(&self, name: &str, offset: usize, bit: u8) -> bool {
        let mut inner = self.inner.lock();
        let Some(number) = inner.names.get(name).copied() else { return false };
        let Some(file) = inner.files.get_mut(&number) else { return false };
        let flip = |bytes: &mut Vec<u8>| bytes.get_mut(offset).map(|byte| *byte ^= 1 << (bit % 8));
        let current = flip(&mut file.current);
        flip(&mut file.durable);
        current.is_some()
    }

    /// Replaces a stretch of a file by random bytes, durably.
    pub fn rot(&self, name: &str, offset: usize, count: usize) {
        let mut inner = self.inner.lock();
        let noise: Vec<_> = (0..count).map(|_| inner.byte()).collect();
        let Some(number) = inner.names.get(name).copied() else { return };
        let Some(file) = inner.files.get_mut(&number) else { return };
        for bytes in [&mut file.current, &mut file.durable] {
            put(bytes, offset, &noise);
        }
    }

    /// Rots what was written last before the latest sync, one whole unit of it at least. Returns
    /// the file, the offset and the bytes of that write.
    pub fn rot_last_synced(&self) -> Option<(String, u64, usize)> {
        let (name, offset, count) = {
            let inner = self.inner.lock();
            let (number, offset, count) = inner.last_synced?;
            let name = inner.names.iter().find(|(_, file)| **file == number)?.0.clone();
            (name, offset, count)
        };
        let units = count.div_ceil(UNIT);
        let unit = self.inner.lock().below(units);
        let start = usize::try_from(offset).ok()? + unit * UNIT;
        self.rot(&name, start, UNIT.min(count - unit * UNIT));
        Some((name, offset, count))
    }

    /// The bytes of a file as they can be read.
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let inner = self.inner.lock();
        Some(inner.files.get(inner.names.get(name)?)?.current.clone())
    }

    /// Removes a file, durably.
    pub fn lose_file(&self, name: &str) {
        let mut inner = self.inner.lock();
        inner.names.remove(name);
        inner.durable_names.remove(name);
        inner.folder_changes.clear();
    }
}

impl Inner {
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.random;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % bound).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn used(&self) -> u64 {
        let named = self.names.values().filter_map(|number| self.files.get(number));
        named.map(|file| file.current.len() as u64).sum()
    }

    /// Counts a change; fails when the machine has stopped.
    fn step(&mut self) -> io::Result<()> {
        self.is_stopped |= strikes(&mut self.stop);
        match self.is_stopped {
            true => Err(io::Error::other("simulated stop")),
            false => Ok(()),
        }
    }

    fn change_names(&mut self, change: impl FnOnce(&mut BTreeMap<String, u64>)) {
        change(&mut self.names);
        self.folder_changes.push(self.names.clone());
    }

    /// Decides which unsynced units of a file reach the disk; none stays in doubt.
    fn settle(&mut self, number: u64, cut: PowerCut) {
        let Some(mut file) = self.files.remove(&number) else { return };
        for write in std::mem::take(&mut file.unsynced) {
            for (offset, unit) in write.units() {
                let survives = match cut {
                    PowerCut::LoseAll => false,
                    PowerCut::KeepAll => true,
                    PowerCut::Tear => self.below(2) == 0,
                };
                if survives {
                    put(&mut file.durable, offset, unit);
                }
            }
        }
        self.files.insert(number, file);
    }

    fn file(&mut self, number: u64) -> io::Result<&mut SimFile> {
        self.files.get_mut(&number).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Unsynced {
    /// The write cut at unit borders.
    fn units(&self) -> Vec<(usize, &[u8])> {
        let mut units = Vec::new();
        let mut at = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let mut rest = self.bytes.as_slice();
        while !rest.is_empty() {
            let (unit, after) = rest.split_at((UNIT - at % UNIT).min(rest.len()));
            units.push((at, unit));
            at += unit.len();
            rest = after;
        }
        units
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, new: &[u8]) {
    let end = offset + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(new);
}

/// Counts a fault down; `true` when it strikes.
fn strikes(countdown: &mut Option<u64>) -> bool {
    match countdown {
        Some(0) => {
            *countdown = None;
            true
        }
        Some(count) => {
            *count -= 1;
            false
        }
        None => false,
    }
}

impl Disk for SimDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.inner.lock();
        inner.step()?;
        if std::mem::take(&mut inner.fail_creation) {
            return Err(io::Error::other("simulated creation error"));
        }
        if inner.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = inner.next_file;
        inner.next_file += 1;
        inner.files.insert(file, SimFile::default());
        inner.change_names(|names| {
            names.insert(name.to_owned(), file);
        });
        Ok(Arc::new(SimHandle { disk: Arc::downgrade(&self.inner), file }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.inner.lock().names.get(name).copied();
        let file = file.ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimHandle { disk: Arc::downgrade(&self.inner), file }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.inner.lock().names.keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.step()?;
        let file = inner.names.get(from).copied().ok_or(io::ErrorKind::NotFound)?;
        inner.change_names(|names| {
            names.remove(from);
            names.insert(to.to_owned(), file);
        });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.step()?;
        if !inner.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        inner.change_names(|names| {
            names.remove(name);
        });
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.step()?;
        inner.folder_changes.clear();
        inner.durable_names = inner.names.clone();
        Ok(())
    }
}

impl SimHandle {
    fn with<T>(&self, run: impl FnOnce(&mut Inner) -> io::Result<T>) -> io::Result<T> {
        let disk = self.disk.upgrade().ok_or(io::ErrorKind::NotFound)?;
        let mut inner = disk.lock();
        run(&mut inner)
    }
}

impl DiskFile for SimHandle {
    fn size(&self) -> io::Result<u64> {
        self.with(|inner| Ok(inner.file(self.file)?.current.len() as u64))
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.with(|inner| {
            let start = usize::try_from(offset).map_err(io::Error::other)?;
            let file = inner.file(self.file)?;
            let read = start.checked_add(bytes.len()).and_then(|end| file.current.get(start..end));
            bytes.copy_from_slice(read.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.with(|inner| {
            inner.step()?;
            if strikes(&mut inner.fail_write) {
                return Err(io::Error::other("simulated write error"));
            }
            let (used, capacity) = (inner.used(), inner.capacity);
            let file = inner.file(self.file)?;
            let end = offset + bytes.len() as u64;
            let growth = end.saturating_sub(file.current.len() as u64);
            if growth > 0 && used + growth > capacity {
                return Err(io::ErrorKind::StorageFull.into());
            }
            put(&mut file.current, usize::try_from(offset).map_err(io::Error::other)?, bytes);
            let bytes = bytes.to_vec();
            file.unsynced.push(Unsynced { offset, bytes });
            inner.counts.writes += 1;
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|inner| {
            inner.step()?;
            if strikes(&mut inner.fail_sync) {
                inner.settle(self.file, PowerCut::Tear);
                return Err(io::Error::other("simulated sync error"));
            }
            let file = inner.file(self.file)?;
            let mut last = None;
            for write in std::mem::take(&mut file.unsynced) {
                let offset = usize::try_from(write.offset).map_err(io::Error::other)?;
                put(&mut file.durable, offset, &write.bytes);
                last = Some((self.file, write.offset, write.bytes.len()));
            }
            inner.last_synced = last.or(inner.last_synced);
            inner.counts.syncs += 1;
            Ok(())
        })
    }
}
