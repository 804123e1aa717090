//! Pages come back, and damage does not.

use super::*;

const BIG: usize = GROUP_PAGES + 40;

fn fresh() -> CheckedFile {
    CheckedFile::new(tempfile::tempfile().unwrap(), Damage::default())
}

/// The same bytes read by a process that has nothing in memory.
fn reopened(file: &CheckedFile) -> CheckedFile {
    CheckedFile::new(file.disk.try_clone().unwrap(), Damage::default())
}

fn bytes_of(pages: std::ops::Range<usize>) -> Vec<u8> {
    pages.flat_map(|page| vec![page.to_le_bytes()[0] | 1; PAGE]).collect()
}

fn offset(page: usize) -> u64 {
    length_of_pages(page)
}

/// A file whose pages from 1 on are written and synced, over the border of a group.
fn written() -> CheckedFile {
    let file = fresh();
    file.set_len(offset(BIG)).unwrap();
    file.write(0, b"header").unwrap();
    file.write(offset(1), &bytes_of(1..BIG)).unwrap();
    file.sync_data().unwrap();
    file
}

#[test]
fn pages_and_header_come_back_across_groups_and_reopening() {
    let file = reopened(&written());
    assert_eq!(file.len().unwrap(), offset(BIG));
    let mut header = [0; 6];
    file.read(0, &mut header).unwrap();
    assert_eq!(&header, b"header");
    for (from, count) in [(1, 1), (GROUP_PAGES - 1, 2), (1, BIG - 1)] {
        let mut out = vec![0; count * PAGE];
        file.read(offset(from), &mut out).unwrap();
        assert!(out == bytes_of(from..from + count), "from={from}");
    }
    assert_eq!(file.damage.found(), None);
}

#[test]
fn lengths_round_trip_at_the_borders_of_groups() {
    let file = fresh();
    for pages in [0, 1, 2, GROUP_PAGES - 1, GROUP_PAGES, GROUP_PAGES + 1, 3 * GROUP_PAGES, 5] {
        file.set_len(offset(pages)).unwrap();
        assert_eq!(file.len().unwrap(), offset(pages), "pages={pages}");
    }
}

#[test]
fn a_flipped_bit_in_a_page_its_checksum_or_the_header_is_damage() {
    let last = u64::try_from(BIG).unwrap() - 1;
    let places = [
        (place_of(7) + 100, 7),
        (place_of(last) + 4095, last),
        (place_of_sums(0) + 7 * 4, 7),
        (place_of_sums(1), u64::try_from(GROUP_PAGES).unwrap()),
        (place_of(0) + 3, 0),
        (place_of(0) + 508, 0),
    ];
    for (place, page) in places {
        let file = written();
        let mut byte = [0];
        file.disk.read_at(&mut byte, place).unwrap();
        file.disk.write_at(&[byte[0] ^ 4], place).unwrap();
        let file = reopened(&file);
        let mut out = vec![0; if page == 0 { 320 } else { PAGE }];
        let error = file.read(page * offset(1), &mut out).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "place={place}");
        assert!(file.damage.found().unwrap().ends_with(&format!("page={page}")));
    }
}

#[test]
fn two_pages_that_changed_places_are_damage() {
    let file = written();
    let (mut a, mut b) = (vec![0; PAGE], vec![0; PAGE]);
    file.disk.read_at(&mut a, place_of(3)).unwrap();
    file.disk.read_at(&mut b, place_of(4)).unwrap();
    file.disk.write_at(&b, place_of(3)).unwrap();
    file.disk.write_at(&a, place_of(4)).unwrap();
    assert!(file.read(offset(3), &mut a).is_err());
}

#[test]
fn a_file_that_shrank_and_grew_has_new_pages() {
    for keep in [10, GROUP_PAGES, GROUP_PAGES + 3] {
        let file = written();
        file.set_len(offset(keep)).unwrap();
        file.set_len(offset(BIG)).unwrap();
        file.sync_data().unwrap();
        let file = reopened(&file);
        let mut out = vec![1; (BIG - keep) * PAGE];
        file.read(offset(keep), &mut out).unwrap();
        assert!(out.iter().all(|byte| *byte == 0), "keep={keep}");
        let mut kept = vec![0; PAGE];
        file.read(offset(keep - 1), &mut kept).unwrap();
        assert!(kept == bytes_of(keep - 1..keep));
    }
}

#[test]
fn checksums_beyond_the_memory_bound_are_read_again() {
    let file = fresh();
    let groups = GROUPS_MAX + 3;
    file.set_len(offset(groups * GROUP_PAGES)).unwrap();
    // Few pages, each in another group; the file is sparse.
    for group in 1..groups {
        let page = group * GROUP_PAGES;
        file.write(offset(page), &bytes_of(page..page + 1)).unwrap();
        if group % 100 == 0 {
            file.sync_data().unwrap();
        }
    }
    file.sync_data().unwrap();
    for group in 1..groups {
        let page = group * GROUP_PAGES;
        let mut out = vec![0; PAGE];
        file.read(offset(page), &mut out).unwrap();
        assert!(out == bytes_of(page..page + 1), "group={group}");
    }
    assert!(file.groups.lock().len() <= GROUPS_MAX);
}

#[test]
fn parts_of_pages_are_refused() {
    let file = written();
    assert!(file.read(offset(1) + 1, &mut [0; PAGE]).is_err());
    assert!(file.write(offset(1), &[0; 100]).is_err());
}
