//! One transaction's run over its actions.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

use bytes::Bytes;
use weald_core::{
    Action, ActionBody, BlockId, CollectionCommit, CollectionName, CollectionPolicy, Context,
    CreateMode, Fault, Halt, Overlay, Rejection, TypeSet, TypeVersion,
};

use super::{
    ANSWERS_BYTES_MAX, ChangeRecord, CollectionExecutor, CreateAnswer, Needed, Opened, known::Ids,
};
use crate::{
    BlockReader, ChainUse, CollectionHeader, CollectionState, CollectionType, Registry, Scope,
    Stop,
    chain::{self, EntryStamp},
    header::HEADER_BYTES_MAX,
    scope::{Ledger, too_large},
};

/// Actions between two looks at the caps on what is staged, which costs a walk over it.
const CAPS_CHECK_INTERVAL: u64 = 64;

/// The collections that a transaction has looked at, and the blocks it has made.
#[derive(Clone, Debug)]
pub(crate) struct Execution {
    context: Context,
    /// Boxed, so that the nodes of the map are small.
    opened: BTreeMap<BlockId, Box<Opened>>,
    /// The collection of the action under way.
    current: Option<(CollectionName, Ids)>,
    ledger: Ledger,
    acted: u64,
    answers_bytes: usize,
}

impl Execution {
    pub(crate) fn new(context: Context) -> Self {
        let ledger = Ledger::default();
        Self { context, opened: BTreeMap::new(), current: None, ledger, acted: 0, answers_bytes: 0 }
    }

    /// Whether what actions read becomes a dependency.
    pub(crate) fn note_reads(&mut self, is_noting: bool) {
        self.ledger.is_noting = is_noting;
    }

    /// Runs one action and returns its answer. After an error this gives no result any more, but
    /// further actions may tell which other blocks are needed.
    pub(crate) fn act(
        &mut self,
        executor: &CollectionExecutor,
        overlay: &mut Overlay<'_>,
        action: &Action,
    ) -> Result<Bytes, Stop> {
        self.turn_to(executor, &action.collection);
        let answer = match &action.body {
            ActionBody::Create { mode, .. } => self.create(executor, overlay, action, *mode)?,
            ActionBody::Apply(operation) => {
                let code = self.open(executor, overlay, action)?;
                self.call(overlay, action, |scope| code.apply(scope, operation), code)?
            }
            ActionBody::SetPolicy(policy) => {
                self.open(executor, overlay, action)?;
                self.set_policy(overlay, action, policy)?
            }
        };
        self.opened_of(action).note_action(&action.body);
        self.check_answers(&answer)?;
        self.acted += 1;
        if self.acted.is_multiple_of(CAPS_CHECK_INTERVAL) {
            self.check_caps(overlay)?;
        }
        Ok(answer)
    }

    /// Brings the state blocks up to date, so that reads through the overlay see this run.
    pub(crate) fn flush(&mut self, overlay: &mut Overlay<'_>) -> Result<(), Halt> {
        for opened in self.opened.values_mut() {
            opened.flush(overlay)?;
        }
        Ok(())
    }

    /// Writes chain records, applies retention, and tells what was changed.
    pub(crate) fn finish(
        mut self,
        overlay: &mut Overlay<'_>,
        needed: &mut Needed,
    ) -> Result<BTreeMap<BlockId, CollectionCommit>, Stop> {
        let mut commits = BTreeMap::new();
        let opened = std::mem::take(&mut self.opened);
        for (id, mut opened) in opened.into_iter().filter(|(_, opened)| opened.is_changed) {
            match self.commit(overlay, &mut opened) {
                Ok(commit) => drop(commits.insert(id, commit)),
                Err(stop) => needed.gather(stop)?,
            }
            self.ledger.stop = None;
        }
        self.check_caps(overlay).or_else(|stop| needed.gather(stop))?;
        Ok(commits)
    }

    fn commit(
        &mut self,
        overlay: &mut Overlay<'_>,
        opened: &mut Opened,
    ) -> Result<CollectionCommit, Stop> {
        if opened.header.chain_use == ChainUse::Changes {
            let notes = std::mem::take(&mut opened.notes);
            let record = ChangeRecord { actions: opened.actions_digest(), notes }.encode();
            let stamp = EntryStamp::new(&self.context, opened.revision());
            opened.appended = 1;
            self.scope(overlay, opened)
                .with_chain(|scope, chain| chain::append(scope, chain, &stamp, &[record]))?;
        }
        let (retention, appended) = (opened.header.policy.retention, opened.appended);
        let now = self.context.time;
        let has_pruned = self
            .scope(overlay, opened)
            .with_chain(|scope, chain| chain::retain(scope, chain, &retention, now, appended))?;
        opened.flush(overlay).map_err(Halt::from)?;
        self.stopped()?;
        let oldest = opened.state.chain.ends.map(|ends| ends.oldest_index);
        Ok(CollectionCommit {
            name: opened.header.name.clone(),
            revision: opened.revision(),
            floor: oldest.filter(|_| has_pruned),
            created: opened.created.clone(),
        })
    }

    /// Looks a collection up, checks its type and finds the code.
    fn open<'r>(
        &mut self,
        executor: &'r CollectionExecutor,
        overlay: &mut Overlay<'_>,
        action: &Action,
    ) -> Result<&'r dyn CollectionType, Stop> {
        if !self.find(executor, overlay, action)? {
            let collection = action.collection.clone();
            return Err(Rejection::NoSuchCollection { collection }.into());
        }
        let version = self.opened_of(action).header.version;
        code_of(&executor.registry, &self.context.types, action, version)
    }

    /// Whether the collection is there; if so, it is opened.
    fn find(
        &mut self,
        executor: &CollectionExecutor,
        overlay: &mut Overlay<'_>,
        action: &Action,
    ) -> Result<bool, Stop> {
        let (ids, is_noting) = (self.ids_of(&action.collection), self.ledger.is_noting);
        let known = self.opened.get(&ids.header);
        if let Some(opened) = known.filter(|_| !is_noting) {
            return check_type(&opened.header, action).map(|()| true);
        }
        let mut reader = Noting { overlay, is_noting };
        let Some(stored) = reader.read(ids.header)? else { return Ok(false) };
        let header = executor.known.header(&action.collection, &stored).map_err(Halt::from)?;
        check_type(&header, action)?;
        code_of(&executor.registry, &self.context.types, action, header.version)?;
        if known.is_none() {
            // Noted only once the type looks at it: what a tree's put does not see is no conflict.
            reader.is_noting = false;
            let state = CollectionState::read_at(&mut reader, ids.state)?;
            self.opened.insert(ids.header, Box::new(Opened::new(ids, header, state)));
        }
        Ok(true)
    }

    fn create(
        &mut self,
        executor: &CollectionExecutor,
        overlay: &mut Overlay<'_>,
        action: &Action,
        mode: CreateMode,
    ) -> Result<Bytes, Stop> {
        if !self.find(executor, overlay, action)? {
            return self.create_absent(executor, overlay, action);
        }
        match mode {
            CreateMode::OpenOrCreate => Ok(CreateAnswer { is_new: false }.encode()),
            CreateMode::Create => {
                let collection = action.collection.clone();
                Err(Rejection::AlreadyExists { collection }.into())
            }
        }
    }

    fn create_absent(
        &mut self,
        executor: &CollectionExecutor,
        overlay: &mut Overlay<'_>,
        action: &Action,
    ) -> Result<Bytes, Stop> {
        let ActionBody::Create { version, policy, options, .. } = &action.body else {
            unreachable!("only a create makes a collection");
        };
        let code = code_of(&executor.registry, &self.context.types, action, *version)?;
        let header = CollectionHeader {
            name: action.collection.clone(),
            type_name: action.type_name.clone(),
            version: *version,
            chain_use: code.chain_use(),
            policy: policy.clone(),
            options: options.clone(),
            root: Bytes::new(),
            created_at: self.context.time,
            created_by: self.context.transaction,
        };
        let ids = self.ids_of(&action.collection);
        let mut opened = Opened::new(ids, header, CollectionState::default());
        opened.is_changed = true;
        opened.created = Some(action.type_name.clone());
        let id = opened.id;
        overlay.insert(opened.state_block()).map_err(Halt::from)?;
        self.opened.insert(id, Box::new(opened));
        let root = self.call(overlay, action, |scope| code.create(scope, options), code)?;
        let opened = self.opened_of(action);
        opened.header.root = root;
        let block = opened.header_block();
        if block.payload.len() > HEADER_BYTES_MAX {
            return Err(too_large("header bytes", block.payload.len(), HEADER_BYTES_MAX).into());
        }
        overlay.insert(block).map_err(Halt::from)?;
        Ok(CreateAnswer { is_new: true }.encode())
    }

    fn set_policy(
        &mut self,
        overlay: &mut Overlay<'_>,
        action: &Action,
        policy: &CollectionPolicy,
    ) -> Result<Bytes, Stop> {
        let opened = self.opened_of(action);
        if opened.header.policy != *policy {
            opened.header.policy = policy.clone();
            opened.is_changed = true;
            overlay.replace(opened.header_block()).map_err(Halt::from)?;
        }
        Ok(Bytes::new())
    }

    /// Calls into a collection type. What it met comes before what it says, so that neither an
    /// ignored halt nor a panic over one becomes a result.
    fn call(
        &mut self,
        overlay: &mut Overlay<'_>,
        action: &Action,
        operation: impl FnOnce(&mut Scope<'_, '_>) -> Result<Bytes, Stop>,
        code: &dyn CollectionType,
    ) -> Result<Bytes, Stop> {
        let ids = self.ids_of(&action.collection);
        let Self { context, opened, ledger, .. } = self;
        let opened = opened.get_mut(&ids.header).expect("a called collection was opened");
        ledger.has_seen_state.set(false);
        let mut scope = Scope::new(overlay, context, ledger, opened);
        let result = catch_unwind(AssertUnwindSafe(|| operation(&mut scope)));
        if ledger.is_noting && ledger.has_seen_state.take() {
            overlay.read_noted(ids.state)?;
        }
        self.stopped()?;
        result.unwrap_or_else(|_| Err(Rejection::Panicked { type_name: code.name() }.into()))
    }

    fn scope<'a, 's>(
        &'a mut self,
        overlay: &'a mut Overlay<'s>,
        opened: &'a mut Opened,
    ) -> Scope<'a, 's> {
        self.ledger.is_noting = false;
        Scope::new(overlay, &self.context, &mut self.ledger, opened)
    }

    fn opened_of(&mut self, action: &Action) -> &mut Opened {
        let ids = self.ids_of(&action.collection);
        self.opened.get_mut(&ids.header).expect("an action opened its collection")
    }

    /// Begins with an action on `name`.
    fn turn_to(&mut self, executor: &CollectionExecutor, name: &CollectionName) {
        if self.current.as_ref().is_none_or(|(current, _)| current != name) {
            self.current = Some((name.clone(), executor.known.ids(name)));
        }
    }

    /// The ids of the collection of the action under way.
    fn ids_of(&self, name: &CollectionName) -> Ids {
        let (current, ids) = self.current.as_ref().expect("an action is under way");
        assert!(current == name, "nothing is asked of another collection");
        *ids
    }

    fn stopped(&mut self) -> Result<(), Stop> {
        self.ledger.stop.take().map_or(Ok(()), Err)
    }

    fn check_answers(&mut self, answer: &Bytes) -> Result<(), Stop> {
        self.answers_bytes += answer.len();
        if self.answers_bytes > ANSWERS_BYTES_MAX {
            return Err(too_large("answer bytes", self.answers_bytes, ANSWERS_BYTES_MAX).into());
        }
        Ok(())
    }

    fn check_caps(&self, overlay: &Overlay<'_>) -> Result<(), Stop> {
        let limits = &self.context.limits;
        let blocks = overlay.changed_count();
        if blocks > limits.blocks_max {
            return Err(too_large("blocks", blocks, limits.blocks_max).into());
        }
        let bytes = overlay.changed_bytes();
        if bytes > limits.bytes_max {
            return Err(too_large("bytes", bytes, limits.bytes_max).into());
        }
        Ok(())
    }
}

/// Reads through an overlay, noting or not.
struct Noting<'a, 's> {
    overlay: &'a mut Overlay<'s>,
    is_noting: bool,
}

impl BlockReader for Noting<'_, '_> {
    fn read(
        &mut self,
        id: BlockId,
    ) -> Result<Option<std::sync::Arc<weald_core::StoredBlock>>, Halt> {
        match self.is_noting {
            true => self.overlay.read_noted(id),
            false => self.overlay.read(id),
        }
    }
}

fn check_type(header: &CollectionHeader, action: &Action) -> Result<(), Stop> {
    if header.type_name == action.type_name {
        return Ok(());
    }
    let rejection = Rejection::WrongType {
        collection: action.collection.clone(),
        expected: action.type_name.clone(),
        found: header.type_name.clone(),
    };
    Err(rejection.into())
}

/// The log says which types there are; that this member lacks the code of one is its own fault and
/// never a result.
fn code_of<'r>(
    registry: &'r Registry,
    types: &TypeSet,
    action: &Action,
    version: TypeVersion,
) -> Result<&'r dyn CollectionType, Stop> {
    let type_name = &action.type_name;
    if !types.contains(type_name, version) {
        return Err(Rejection::UnknownType { type_name: type_name.clone(), version }.into());
    }
    let code = registry.find(type_name, version).map(|code| &**code);
    code.ok_or_else(|| Fault::NoCode { type_name: type_name.clone(), version }.into())
}
