//! Accounts for the tests of transactions over several partitions. An account is a collection whose
//! state block holds a balance and the ids of the transactions that changed it.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use weald_core::{
    Action, ActionBody, Block, BlockId, BlockKind, BlockRead, BlockSource, CollectionCommit,
    CollectionName, Context, Entry, Executed, Executor, Fault, FeatureLevel, Halt, LogIndex,
    Overlay, PartitionId, Payload, PlacementKey, Rejection, Revision, SettingsChange,
    SettingsEntry, StoredBlock, Time, TransactionBody, TransactionId, TypeName, TypeVersion,
};

use crate::partition::{Applied, Partition};

/// Operations: `+5`, `-5` (refused below zero), `?` (only looks).
#[derive(Debug)]
pub(super) struct Bank;

impl Executor for Bank {
    fn execute(
        &self,
        context: &Context,
        actions: &[Action],
        overlay: &mut Overlay<'_>,
    ) -> Result<Executed, Halt> {
        let mut answers = Vec::new();
        let mut commits = BTreeMap::new();
        for action in actions {
            assert!(context.types.contains(&action.type_name, TypeVersion(1)), "registered");
            let ActionBody::Apply(operation) = &action.body else { unreachable!("an operation") };
            let account = Account::read(overlay, &action.collection)?;
            let before = account.balance;
            if &operation[..] == b"?" {
                answers.push(Bytes::from(before.to_string()));
                continue;
            }
            let amount: i64 = std::str::from_utf8(operation).unwrap().parse().unwrap();
            if before + amount < 0 {
                let detail = "not enough".to_owned();
                return Ok(Executed::Refused(Rejection::Custom { code: 1, detail }));
            }
            let id = BlockId::header(&action.collection);
            let revision = account.write(overlay, action, amount, context.transaction)?;
            answers.push(Bytes::from((before + amount).to_string()));
            let created = (revision == Revision(1)).then(|| action.type_name.clone());
            let name = action.collection.clone();
            commits.insert(id, CollectionCommit { name, revision, floor: None, created });
        }
        Ok(Executed::Done { answers, commits })
    }

    fn supports(&self, _: &TypeName, _: TypeVersion) -> bool {
        true
    }
}

/// An account as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) balance: i64,
    pub(super) changed_by: Vec<TransactionId>,
    pub(super) revision: Revision,
}

impl Account {
    fn read(overlay: &mut Overlay<'_>, name: &CollectionName) -> Result<Self, Halt> {
        let stored = overlay.read(BlockId::state(name))?;
        Ok(stored.map_or_else(Self::default, |stored| Self::decode(&stored)))
    }

    fn decode(stored: &StoredBlock) -> Self {
        let (balance, ids) = stored.block.payload.split_first_chunk::<8>().unwrap();
        let ids = ids.chunks(24).map(|id| TransactionId::from_bytes(id.try_into().unwrap()));
        let balance = i64::from_le_bytes(*balance);
        Self { balance, changed_by: ids.collect(), revision: stored.revision }
    }

    fn write(
        mut self,
        overlay: &mut Overlay<'_>,
        action: &Action,
        amount: i64,
        by: TransactionId,
    ) -> Result<Revision, Halt> {
        let (collection, id) =
            (BlockId::header(&action.collection), BlockId::state(&action.collection));
        self.balance += amount;
        self.changed_by.push(by);
        let mut payload = self.balance.to_le_bytes().to_vec();
        self.changed_by.iter().for_each(|id| payload.extend(id.to_bytes()));
        let block = Block { id, kind: BlockKind::STATE, collection, payload: payload.into() };
        if self.revision == Revision::ZERO {
            let payload = Bytes::new();
            let header = Block { id: collection, kind: BlockKind::HEADER, collection, payload };
            overlay.insert(header).map_err(Halt::from)?;
            overlay.insert(block).map_err(Halt::from)?;
        } else {
            overlay.replace(block).map_err(Halt::from)?;
        }
        Ok(self.revision.next())
    }
}

/// One partition with its blocks and rows. After every entry its rows alone give the same state.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) partition: Partition,
    blocks: RefCell<BTreeMap<BlockId, Arc<StoredBlock>>>,
    rows: BTreeMap<Bytes, Bytes>,
    /// The log.
    pub(super) entries: Vec<Entry>,
    /// Blocks come into memory only when they are asked for.
    loaded: Option<RefCell<std::collections::BTreeSet<BlockId>>>,
}

impl BlockSource for Site {
    fn block(&self, id: BlockId) -> Result<BlockRead, Fault> {
        if self.loaded.as_ref().is_some_and(|loaded| !loaded.borrow().contains(&id)) {
            return Ok(BlockRead::NotHere);
        }
        Ok(self.blocks.borrow().get(&id).cloned().map_or(BlockRead::Absent, BlockRead::Present))
    }
}

impl Site {
    /// A partition without a log.
    pub(super) fn empty(id: u32) -> Self {
        Self {
            partition: Partition::new(PartitionId(id)),
            blocks: RefCell::default(),
            rows: BTreeMap::new(),
            entries: Vec::new(),
            loaded: None,
        }
    }

    /// A partition whose log allows accounts and transactions over several partitions.
    pub(super) fn new(id: u32) -> Self {
        let mut site = Self::empty(id);
        site.apply(0, settings());
        site
    }

    /// Forgets blocks before each entry, so that every execution halts first.
    pub(super) fn forgetful(mut self) -> Self {
        self.loaded = Some(RefCell::default());
        self
    }

    pub(super) fn apply(&mut self, millis: u64, payload: Payload) -> Applied {
        self.apply_entry(Entry { time: Time::from_millis(millis), payload })
    }

    pub(super) fn apply_entry(&mut self, entry: Entry) -> Applied {
        let index = self.partition.applied().next();
        let mut partition = self.partition.clone();
        let applied = loop {
            match partition.apply(index, &entry, self, &Bank) {
                Ok(applied) => break applied,
                Err(Halt::Need(ids)) => {
                    assert_eq!(partition, self.partition, "a halt changes nothing");
                    self.loaded.as_ref().unwrap().borrow_mut().extend(ids);
                }
                Err(halt) => panic!("{halt}"),
            }
        };
        self.partition = partition;
        self.entries.push(entry);
        for effect in &applied.effects.blocks {
            match effect.after.clone() {
                Some(stored) => drop(self.blocks.borrow_mut().insert(effect.id, stored)),
                None => drop(self.blocks.borrow_mut().remove(&effect.id)),
            }
        }
        for (key, value) in applied.effects.rows.clone() {
            match value {
                Some(value) => drop(self.rows.insert(key, value)),
                None => drop(self.rows.remove(&key)),
            }
        }
        if let Some(loaded) = &self.loaded {
            loaded.borrow_mut().clear();
        }
        assert_eq!(self.restored(), self.partition, "rows give the live state back");
        applied
    }

    /// The state that the rows alone give.
    pub(super) fn restored(&self) -> Partition {
        let rows = self.rows.iter().map(|(key, value)| (key.clone(), value.clone()));
        Partition::restore(self.partition.id(), self.partition.applied(), rows).unwrap()
    }

    /// The rows whose keys begin with `prefix`.
    pub(super) fn rows(&self, prefix: &[u8]) -> Vec<(Bytes, Bytes)> {
        let rows = self.rows.iter().filter(|(key, _)| key.starts_with(prefix));
        rows.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    pub(super) fn account(&self, name: &str) -> Account {
        let id = BlockId::state(&account(name));
        self.blocks.borrow().get(&id).map_or_else(Account::default, |s| Account::decode(s))
    }

    pub(super) fn balance(&self, name: &str) -> i64 {
        self.account(name).balance
    }
}

/// The first entry of every partition here.
pub(super) fn settings() -> Payload {
    let register = SettingsChange::Register { type_name: type_name(), version: TypeVersion(1) };
    let changes = vec![SettingsChange::Level(FeatureLevel::SPANNING), register];
    Payload::Settings(SettingsEntry { decided: LogIndex::ZERO, changes })
}

pub(super) fn type_name() -> TypeName {
    "account".parse().unwrap()
}

pub(super) fn account(name: &str) -> CollectionName {
    name.parse().unwrap()
}

pub(super) fn action(name: &str, operation: &str) -> Action {
    let body = ActionBody::Apply(Bytes::copy_from_slice(operation.as_bytes()));
    Action { collection: account(name), type_name: type_name(), body }
}

pub(super) fn body(actions: &[(&str, &str)]) -> TransactionBody {
    let actions = actions.iter().map(|(name, operation)| action(name, operation)).collect();
    TransactionBody { actions, ..TransactionBody::default() }
}

/// An id whose home is `name`'s key.
pub(super) fn id(name: &str, number: u64) -> TransactionId {
    let mut unique = [0; 16];
    unique[..8].copy_from_slice(&number.to_le_bytes());
    TransactionId::new(PlacementKey::of(&account(name)), unique)
}
