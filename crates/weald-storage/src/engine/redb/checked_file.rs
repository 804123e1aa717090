//! The file below `redb`, with a checksum for each page.
//!
//! `redb` checks its own page checksums when it repairs and panics on a page that makes no sense.
//! Here every page is checked when it is read, so damage is an error before `redb` sees it.
//!
//! **Layout.** The file is a row of groups. A group is one page with 1024 checksums, 4 bytes each,
//! little-endian, and the 1024 pages they are for. A checksum is CRC-32 over the page's number and
//! bytes; 0 means never written, and then the page is all zeros. The first page holds `redb`'s
//! header, which is rewritten in place: it is one sector that ends in its own checksum.
//!
//! **Power cuts.** `redb` never overwrites a page that a synced root refers to, so a page whose
//! checksum lags behind is one that nothing refers to. A checksum page is rewritten in place, but
//! the checksums of pages in use do not change, and sectors are written whole.
//!
//! **After damage** the engine stops: `redb` reads nothing more from a file that gave an error.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

/// Bytes of a page; `redb` reads and writes multiples of it.
const PAGE: usize = 4096;
/// Pages for which one page of checksums serves.
const GROUP_PAGES: usize = PAGE / SUM_LEN;
const SUM_LEN: usize = 4;
/// Checksum pages kept in memory: 4 MiB, enough for a file of 4 GiB.
const GROUPS_MAX: usize = 1024;
/// The header's sector, with its checksum in the last bytes.
const SECTOR: usize = 512;
const HEADER_LEN_MAX: usize = SECTOR - SUM_LEN;

/// The first damage that was found, shared with the engine that reports it.
#[derive(Clone, Debug, Default)]
pub(super) struct Damage(Arc<Mutex<Option<String>>>);

impl Damage {
    /// What was found.
    pub(super) fn found(&self) -> Option<String> {
        self.0.lock().clone()
    }

    fn at_page(&self, page: u64) -> io::Error {
        let what = format!("checksum does not match page={page}");
        self.0.lock().get_or_insert_with(|| what.clone());
        io::Error::new(io::ErrorKind::InvalidData, what)
    }
}

/// What a [`CheckedFile`] needs of a file.
pub(super) trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Fills `out` from `place` on; an error if the file is shorter.
    fn read_at(&self, out: &mut [u8], place: u64) -> io::Result<()>;
    /// Writes all of `bytes` from `place` on.
    fn write_at(&self, bytes: &[u8], place: u64) -> io::Result<()>;
    /// Bytes of the file.
    fn length(&self) -> io::Result<u64>;
    /// Cuts the file or fills it up with zeros.
    fn set_length(&self, length: u64) -> io::Result<()>;
    /// Returns when what was written survives a power cut.
    fn sync(&self) -> io::Result<()>;
}

/// The checksums of one group.
#[derive(Debug)]
struct Group {
    sums: Vec<u32>,
    /// Differs from the file.
    is_dirty: bool,
}

/// A file of pages and their checksums.
#[derive(Debug)]
pub(super) struct CheckedFile<D = File> {
    disk: D,
    groups: Mutex<BTreeMap<u64, Group>>,
    damage: Damage,
}

impl<D: Disk> CheckedFile<D> {
    pub(super) fn new(disk: D, damage: Damage) -> Self {
        Self { disk, groups: Mutex::default(), damage }
    }

    fn read_header(&self, out: &mut [u8]) -> io::Result<()> {
        let mut sector = [0; SECTOR];
        self.disk.read_at(&mut sector, place_of(0))?;
        let (header, sum) = sector.split_at(HEADER_LEN_MAX);
        let is_new = sector.iter().all(|byte| *byte == 0);
        if !is_new && sum != checksum(0, header).to_le_bytes() {
            return Err(self.damage.at_page(0));
        }
        out.copy_from_slice(&header[..out.len()]);
        Ok(())
    }

    fn write_header(&self, header: &[u8]) -> io::Result<()> {
        let mut sector = [0; SECTOR];
        sector[..header.len()].copy_from_slice(header);
        let sum = checksum(0, &sector[..HEADER_LEN_MAX]);
        sector[HEADER_LEN_MAX..].copy_from_slice(&sum.to_le_bytes());
        self.disk.write_at(&sector, place_of(0))
    }

    fn check(&self, first: u64, pages: &[u8]) -> io::Result<()> {
        let mut groups = self.groups.lock();
        for (page, bytes) in (first..).zip(pages.chunks(PAGE)) {
            let (group, slot) = group_of(page);
            let expected = self.group(&mut groups, group)?.sums[slot];
            let matches = match expected {
                0 => bytes.iter().all(|byte| *byte == 0),
                sum => sum == checksum(page, bytes),
            };
            if !matches {
                return Err(self.damage.at_page(page));
            }
        }
        Ok(())
    }

    /// The checksums of `group`, read if they are not in memory.
    fn group<'g>(
        &self,
        groups: &'g mut BTreeMap<u64, Group>,
        group: u64,
    ) -> io::Result<&'g mut Group> {
        if groups.len() >= GROUPS_MAX && !groups.contains_key(&group) {
            groups.retain(|_, group| group.is_dirty);
        }
        match groups.entry(group) {
            std::collections::btree_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let mut page = [0; PAGE];
                let place = place_of_sums(group);
                if place < self.disk.length()? {
                    self.disk.read_at(&mut page, place)?;
                }
                let (sums, _) = page.as_chunks::<SUM_LEN>();
                let sums = sums.iter().map(|sum| u32::from_le_bytes(*sum)).collect();
                Ok(entry.insert(Group { sums, is_dirty: false }))
            }
        }
    }

    fn write_sums(&self) -> io::Result<()> {
        let mut groups = self.groups.lock();
        for (number, group) in groups.iter_mut().filter(|(_, group)| group.is_dirty) {
            let page: Vec<u8> = group.sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
            self.disk.write_at(&page, place_of_sums(*number))?;
            group.is_dirty = false;
        }
        Ok(())
    }

    /// Forgets the checksums of pages from `end` on, so that they are new if the file grows again.
    fn forget_from(&self, end: u64) -> io::Result<()> {
        let (boundary, slot) = group_of(end);
        let mut groups = self.groups.lock();
        groups.split_off(&(boundary + 1));
        if slot == 0 {
            groups.remove(&boundary);
            return Ok(());
        }
        let group = self.group(&mut groups, boundary)?;
        group.sums[slot..].fill(0);
        group.is_dirty = true;
        Ok(())
    }
}

impl<D: Disk> StorageBackend for CheckedFile<D> {
    fn len(&self) -> io::Result<u64> {
        let bytes = self.disk.length()?;
        let groups = bytes.div_ceil(length_of_pages(GROUP_PAGES + 1));
        Ok(bytes - groups * length_of_pages(1))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset == 0 && out.len() <= HEADER_LEN_MAX {
            return self.read_header(out);
        }
        let first = page_of(offset, out.len())?;
        for (page, bytes) in runs(first, out.len()) {
            self.disk.read_at(&mut out[bytes.clone()], place_of(page))?;
            self.check(page, &out[bytes])?;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let old = self.len()?;
        let end = page_of(len, 0)?;
        if len < old {
            self.forget_from(end)?;
        }
        let group_pages = length_of_pages(GROUP_PAGES) / length_of_pages(1);
        let groups = end.div_ceil(group_pages);
        self.disk.set_length(len + groups * length_of_pages(1))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.write_sums()?;
        self.disk.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset == 0 && data.len() <= HEADER_LEN_MAX {
            return self.write_header(data);
        }
        let first = page_of(offset, data.len())?;
        for (page, bytes) in runs(first, data.len()) {
            let run = &data[bytes];
            let mut groups = self.groups.lock();
            for (page, bytes) in (page..).zip(run.chunks(PAGE)) {
                let (group, slot) = group_of(page);
                let group = self.group(&mut groups, group)?;
                group.sums[slot] = checksum(page, bytes);
                group.is_dirty = true;
            }
            drop(groups);
            self.disk.write_at(run, place_of(page))?;
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.write_sums()
    }
}

/// CRC-32 of a page and its number, never 0.
fn checksum(page: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&page.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize().max(1)
}

fn length_of_pages(pages: usize) -> u64 {
    u64::try_from(pages * PAGE).expect("a few thousand pages fit in 64 bits")
}

/// The number of the page at `offset`. `redb` asks for whole pages only.
fn page_of(offset: u64, length: usize) -> io::Result<u64> {
    let page = length_of_pages(1);
    if !offset.is_multiple_of(page) || !length.is_multiple_of(PAGE) {
        let text = format!("not whole pages offset={offset} length={length}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(offset / page)
}

/// The group of a page and its slot there.
fn group_of(page: u64) -> (u64, usize) {
    let pages = length_of_pages(GROUP_PAGES) / length_of_pages(1);
    let slot = usize::try_from(page % pages).expect("a slot is below the pages of a group");
    (page / pages, slot)
}

/// Where a page lies in the file: after the checksum pages of its group and those before.
fn place_of(page: u64) -> u64 {
    let (group, _) = group_of(page);
    (page + group + 1) * length_of_pages(1)
}

fn place_of_sums(group: u64) -> u64 {
    group * length_of_pages(GROUP_PAGES + 1)
}

/// Cuts `length` bytes of pages from `first` on where groups meet: first page and bytes of each.
fn runs(first: u64, length: usize) -> impl Iterator<Item = (u64, std::ops::Range<usize>)> {
    let (mut page, mut at) = (first, 0);
    std::iter::from_fn(move || {
        if at == length {
            return None;
        }
        let (_, slot) = group_of(page);
        let count = ((length - at) / PAGE).min(GROUP_PAGES - slot);
        let run = (page, at..at + count * PAGE);
        page += length_of_pages(count) / length_of_pages(1);
        at += count * PAGE;
        Some(run)
    })
}

impl Disk for File {
    #[cfg(unix)]
    fn read_at(&self, out: &mut [u8], place: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, out, place)
    }

    #[cfg(windows)]
    fn read_at(&self, mut out: &mut [u8], mut place: u64) -> io::Result<()> {
        while !out.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(self, out, place)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => {
                    out = &mut out[count..];
                    place += u64::try_from(count).expect("a length fits in 64 bits");
                }
            }
        }
        Ok(())
    }

    #[cfg(unix)]
    fn write_at(&self, bytes: &[u8], place: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(self, bytes, place)
    }

    #[cfg(windows)]
    fn write_at(&self, mut bytes: &[u8], mut place: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = std::os::windows::fs::FileExt::seek_write(self, bytes, place)?;
            bytes = &bytes[count..];
            place += u64::try_from(count).expect("a length fits in 64 bits");
        }
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

#[cfg(test)]
mod tests;
