//! The header of a store's folder: a newer, damaged or foreign one is refused, and nothing is changed.

use std::fs;

use weald_core::{Digest, PeerId, StoreId, Time};
use weald_storage::engine::EngineKind;
use weald_storage::header::{HEADER_FILE, StoreFolder, StoreHeader};

use crate::folder::Folder;

/// Bytes under each of the two checksums, which stand behind them.
const CHECKED: [std::ops::Range<usize>; 2] = [0..12, 16..77];

/// The first bits of `data` say which checksums are made to fit; the rest is the file.
pub fn run(data: &[u8]) {
    let Some((fits, file)) = data.split_first() else { return };
    let mut file = file.to_vec();
    for (bit, checked) in CHECKED.into_iter().enumerate() {
        if fits >> bit & 1 == 1 && file.len() >= checked.end + 4 {
            let sum = crc32fast::hash(&file[checked.clone()]).to_le_bytes();
            file[checked.end..checked.end + 4].copy_from_slice(&sum);
        }
    }
    let folder = Folder::new();
    let path = folder.path().join(HEADER_FILE);
    fs::write(&path, &file).expect("the folder takes a file");
    if let Ok(store) = StoreFolder::open(folder.path(), fresh) {
        assert!(!store.is_new(), "a store was made over another");
    }
    assert_eq!(
        fs::read(&path).expect("the header is still there"),
        file,
        "opening changed the header"
    );
}

fn fresh() -> StoreHeader {
    StoreHeader {
        node: PeerId::from_digest(Digest::from_bytes([1; 32])),
        store: StoreId([2; 16]),
        engine: EngineKind::Redb,
        partition_count: 1,
        created_at: Time::from_millis(1_700_000_000_000),
    }
}
