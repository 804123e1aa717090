//! The rows in which an engine keeps a partition's state, as a disk may give them back: a changed row is an error that
//! names the block, never data; a row whose checksum fits after all is decoded or refused.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use weald_core::{
    At, Block, BlockId, BlockKind, BlockRead, CollectionName, Effects, Fault, LogIndex, Overlay,
    PartitionId, PlacementKey, Revision, Splice, StateStore, StoredBlock, TransactionId,
};
use weald_storage::engine::{
    Batch, Direction, Durability, Engine, KeyRange, Keyspace, MemoryEngine,
};
use weald_storage::state::{BlockCache, PartitionStore, StateConfig, decode_record};

use crate::script::Script;

const PARTITION: PartitionId = PartitionId(0);
const LAST: LogIndex = LogIndex(12);

/// A row of an engine.
type Row = (Keyspace, Bytes, Bytes);

/// What a store wrote, and every block at every index.
struct Intact {
    rows: Vec<Row>,
    blocks: Vec<Vec<(BlockId, Option<Arc<StoredBlock>>)>>,
}

static INTACT: LazyLock<Intact> = LazyLock::new(intact);

/// Reads `data` as which row to change and how.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut rows = INTACT.rows.clone();
    let (position, fits) = (script.below(rows.len()), script.byte().is_multiple_of(2));
    let (keyspace, key, value) = rows[position].clone();
    let mut changed = if script.byte().is_multiple_of(4) { Vec::new() } else { value.to_vec() };
    while !script.is_finished() {
        let at = script.below(changed.len() + 1);
        let remove = script.below(changed.len() - at + 1).min(16);
        changed.splice(at..at + remove, script.bytes(256).iter().copied());
    }
    if fits {
        seal(keyspace, &key, &mut changed);
    }
    let is_same = changed[..] == value[..];
    if keyspace == Keyspace::Blocks {
        let decoded = decode_record(&key, &changed);
        assert!(fits || is_same || decoded.is_err(), "a changed record was decoded: {decoded:?}");
    }
    rows[position].2 = changed.into();
    check(&rows, fits && !is_same, is_same);
}

fn check(rows: &[Row], is_forged: bool, is_same: bool) {
    let Ok(store) = open(rows) else {
        assert!(!is_same, "an unchanged store does not open");
        return;
    };
    for index in 1..=LAST.0 {
        let Ok(view) = store.view(At::Index(LogIndex(index))) else {
            assert!(!is_same, "an unchanged store lost a version");
            continue;
        };
        for (id, expected) in &INTACT.blocks[usize::try_from(index - 1).expect("few indexes")] {
            match read(&*view, *id) {
                Ok(found) => assert!(
                    is_forged || found == *expected,
                    "a changed row was taken for data: {found:?}"
                ),
                Err(fault) => assert!(!is_same, "an unchanged row is a fault: {fault}"),
            }
        }
    }
    let _ = store.digest();
    let _ = store.rows(b"");
    if let Ok(page) = store.verify(|_| true) {
        assert!(!is_same || page.damaged == 0);
    }
}

fn read(view: &dyn weald_core::StateView, id: BlockId) -> Result<Option<Arc<StoredBlock>>, Fault> {
    view.load(&[id])?;
    match view.block(id)? {
        BlockRead::Present(stored) => Ok(Some(stored)),
        BlockRead::Absent => Ok(None),
        BlockRead::NotHere => panic!("a loaded block is not here"),
    }
}

/// Makes the checksum of a row fit its content.
fn seal(keyspace: Keyspace, key: &[u8], value: &mut [u8]) {
    let mut sum = crc32fast::Hasher::new();
    sum.update(key);
    let place = match keyspace {
        Keyspace::Blocks if value.len() >= 6 => {
            sum.update(&value[..2]);
            sum.update(&value[6..]);
            2..6
        }
        Keyspace::Meta if value.len() >= 4 => {
            sum.update(&value[4..]);
            0..4
        }
        _ => return,
    };
    value[place].copy_from_slice(&sum.finalize().to_le_bytes());
}

fn open(rows: &[Row]) -> Result<PartitionStore, weald_core::StateError> {
    let engine = Arc::new(MemoryEngine::new());
    let mut batch = Batch::new();
    rows.iter().for_each(|(keyspace, key, value)| batch.put(*keyspace, key.clone(), value.clone()));
    engine.write(batch, Durability::Synced).expect("memory takes a batch");
    open_engine(engine)
}

fn open_engine(engine: Arc<MemoryEngine>) -> Result<PartitionStore, weald_core::StateError> {
    PartitionStore::open(
        PARTITION,
        engine,
        Arc::new(BlockCache::new(1 << 20)),
        StateConfig::default(),
    )
}

/// Three checkpoints over blocks that are made, spliced, replaced and removed.
fn intact() -> Intact {
    let engine = Arc::new(MemoryEngine::new());
    let store = open_engine(Arc::clone(&engine)).expect("an empty engine is an empty store");
    for index in 1..=LAST.0 {
        let blocks = transaction(&store, index);
        let rows = [(Bytes::from(vec![b'r', 0]), Some(Bytes::from(vec![7; 20])))].into();
        store
            .commit(LogIndex(index), Effects { blocks, rows, ..Effects::default() })
            .expect("indexes ascend");
        if index % 4 == 0 {
            store.checkpoint(LogIndex(index)).expect("memory takes a checkpoint");
        }
    }
    let read_all = |index| {
        let view = store.view(At::Index(LogIndex(index))).expect("the history is kept");
        ids().map(|id| (id, read(&*view, id).expect("an intact block"))).collect()
    };
    let blocks = (1..=LAST.0).map(read_all).collect();
    let snapshot = engine.snapshot().expect("memory has snapshots");
    let scan = |keyspace| {
        let range = KeyRange::prefix(Vec::<u8>::new());
        let found: Vec<_> = snapshot.scan(keyspace, &range, Direction::Forward).collect();
        found
            .into_iter()
            .map(move |row| row.expect("memory reads"))
            .map(move |(key, value)| (keyspace, key, value))
    };
    let rows: Vec<Row> = Keyspace::ALL.into_iter().flat_map(scan).collect();
    for (keyspace, key, value) in &rows {
        let mut again = value.to_vec();
        seal(*keyspace, key, &mut again);
        assert_eq!(again[..], value[..], "checksums are made as this target makes them");
    }
    Intact { rows, blocks }
}

fn ids() -> impl Iterator<Item = BlockId> {
    let transaction = TransactionId::new(PlacementKey::from_u64(1), [1; 16]);
    (0..6).map(move |number| BlockId::derived(PlacementKey::from_u64(1), &transaction, number))
}

fn transaction(store: &PartitionStore, index: u64) -> Vec<weald_core::BlockEffect> {
    let view = store.view(At::Latest).expect("the newest version is kept");
    let ids: Vec<BlockId> = ids().collect();
    view.load(&ids).expect("intact blocks");
    let mut overlay = Overlay::new(&view);
    let byte = u8::try_from(index).expect("few indexes");
    for (number, id) in (0_u64..).zip(&ids) {
        let found = overlay.read(*id).expect("a loaded block");
        match (found, (index + number) % 5) {
            (None, 0 | 1) => {
                let payload = vec![byte; 300].into();
                overlay
                    .insert(Block {
                        id: *id,
                        kind: BlockKind::CHAIN,
                        collection: collection(),
                        payload,
                    })
                    .expect("it is absent");
            }
            (Some(_), 2 | 3) => {
                overlay.splice(*id, vec![Splice::new(3, 2, vec![byte; 4])]).expect("it fits")
            }
            (Some(_), 4) if number == 2 => overlay.delete(*id).expect("it is there"),
            _ => {}
        }
    }
    overlay.into_effects(|_| Revision(index))
}

fn collection() -> BlockId {
    let name: CollectionName = "fuzz".parse().expect("a valid name");
    BlockId::header(&name)
}
