//! A disk in memory for the tests of what a real one may do.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::checked_file::Disk;

#[derive(Clone, Debug)]
pub(super) enum Event {
    Write(u64, Vec<u8>),
    Length(u64),
    Sync,
    /// The caller was told that this batch is durable.
    Acknowledged(u64),
}

/// A disk in memory that remembers all that was done to it.
#[derive(Clone, Debug, Default)]
pub(super) struct RecordingDisk(Arc<Mutex<Recorded>>);

#[derive(Debug)]
struct Recorded {
    bytes: Vec<u8>,
    events: Vec<Event>,
    /// Writes beyond this fail as on a full disk.
    capacity: usize,
}

impl Default for Recorded {
    fn default() -> Self {
        Self { bytes: Vec::new(), events: Vec::new(), capacity: usize::MAX }
    }
}

impl RecordingDisk {
    pub(super) fn holding(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Recorded { bytes, ..Recorded::default() })))
    }

    /// Bytes beyond `capacity` cannot be written from now on.
    pub(super) fn set_capacity(&self, capacity: usize) {
        self.0.lock().capacity = capacity;
    }

    /// What is on it.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.lock().bytes.clone()
    }

    /// All that was done to it.
    pub(super) fn events(&self) -> Vec<Event> {
        self.0.lock().events.clone()
    }

    /// Notes that the caller was told that `batch` is durable.
    pub(super) fn acknowledge(&self, batch: u64) {
        self.0.lock().events.push(Event::Acknowledged(batch));
    }
}

pub(super) fn at(place: u64) -> usize {
    usize::try_from(place).unwrap()
}

pub(super) fn put(bytes: &mut Vec<u8>, place: u64, data: &[u8]) {
    let end = at(place) + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[at(place)..end].copy_from_slice(data);
}

impl Disk for RecordingDisk {
    fn read_at(&self, out: &mut [u8], place: u64) -> io::Result<()> {
        let disk = self.0.lock();
        let bytes = disk.bytes.get(at(place)..at(place) + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], place: u64) -> io::Result<()> {
        let mut disk = self.0.lock();
        if at(place) + bytes.len() > disk.capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        put(&mut disk.bytes, place, bytes);
        disk.events.push(Event::Write(place, bytes.to_vec()));
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(u64::try_from(self.0.lock().bytes.len()).unwrap())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let mut disk = self.0.lock();
        disk.bytes.resize(at(length), 0);
        disk.events.push(Event::Length(length));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.lock().events.push(Event::Sync);
        Ok(())
    }
}
