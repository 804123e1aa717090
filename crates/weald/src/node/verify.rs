//! Checking everything that is stored.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::sync::mpsc;
use weald_cluster::partition::{collection_of, collections_prefix};
use weald_collections::{
    CollectionState, RawTree, ReadError, TreeType,
    chain::{ChainDamage, ChainVerifier},
};
use weald_core::{At, BlockId, Halt, StateStore as _, Time};
use weald_storage::{
    engine::EngineError, header::IDENTITY_FILE, log::Notifier, state::PartitionStore,
};

use super::{
    Weald,
    home::{Home, has_run, state_error},
    listing::header,
    read::read_blocking,
    system::{SystemClock, SystemEntropy},
};
use crate::{
    Config, Damage, Error, ErrorKind, Result, VerifyProgress, VerifyReport,
    backend::{Kept, Version},
};

/// How often the engine's check is tried while somebody holds a snapshot of it, with pauses between.
const ENGINE_TRIES: u32 = 1000;
const ENGINE_PAUSE: Duration = Duration::from_millis(10);

impl Weald {
    /// Reads everything that is stored and checks it: checksums of log, blocks and engine, hash
    /// chains, order and counts of trees. `progress` is called now and then. Reads and writes go on
    /// meanwhile.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// let report = node.verify(|progress| println!("{} parts checked", progress.done)).await?;
    /// assert!(report.is_clean());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the check itself cannot go on. What it finds is in the report.
    pub async fn verify(
        &self,
        mut progress: impl FnMut(VerifyProgress) + Send,
    ) -> Result<VerifyReport> {
        let ids = self.collection_ids().await?;
        let version = self.whole().await?;
        let kept = self.running()?.backend.kept();
        let subject = move || Ok(Subject { kept, parts: vec![Part { version, ids }] });
        check(subject, &mut progress).await
    }

    /// [`Self::verify`] of the directory `path`, which nobody has open. Of a node of a network it is what
    /// the node keeps itself, collections as its last checkpoints left them.
    ///
    /// # Errors
    /// When the directory cannot be opened, or the check cannot go on. What it finds is in the report.
    pub async fn verify_directory(
        path: impl AsRef<Path>,
        config: Config,
        mut progress: impl FnMut(VerifyProgress) + Send,
    ) -> Result<VerifyReport> {
        let path = path.as_ref().to_owned();
        if has_run(&path)? {
            return check(move || stopped(&path, &config), &mut progress).await;
        }
        let node = Self::builder().config(config).open(path).await?;
        let report = node.verify(progress).await;
        node.close().await?;
        report
    }
}

/// What a node of a network keeps while it does not run.
fn stopped(path: &Path, config: &Config) -> Result<Subject> {
    let quiet: Notifier = Arc::new(|| {});
    let home = Home::open(path, config, &SystemClock, &mut SystemEntropy, quiet)?;
    let mut kept = Kept { home: Arc::new(home), stores: Vec::new() };
    let mut parts = Vec::new();
    for partition in kept.home.log.store().recovered().into_keys() {
        let store = kept.home.store(partition, config)?;
        let view = store.view(At::Latest).map_err(state_error)?;
        // What has expired is looked at like everything else.
        let version = Version::new(partition, view, Time::ZERO);
        let rows = store.rows(collections_prefix()).map_err(state_error)?;
        let ids = rows.iter().filter_map(|(key, _)| collection_of(key)).collect();
        parts.push(Part { version, ids });
        kept.stores.push(store);
    }
    Ok(Subject { kept: Some(kept), parts })
}

/// Checks what `subject` gives, on a thread that may block.
async fn check(
    subject: impl FnOnce() -> Result<Subject> + Send + 'static,
    progress: &mut (impl FnMut(VerifyProgress) + Send),
) -> Result<VerifyReport> {
    let (sender, mut receiver) = mpsc::channel(16);
    let work = tokio::task::spawn_blocking(move || {
        let Subject { kept, parts } = subject()?;
        let ids = parts.iter().map(|part| part.ids.len()).sum::<usize>();
        let total = u64::try_from(ids).unwrap_or(u64::MAX).saturating_add(3);
        let now = VerifyProgress { done: 0, total };
        let mut check = Check { sender, now, report: VerifyReport::default() };
        if let Some(kept) = kept {
            check.check_kept(&kept)?;
        }
        for part in &parts {
            check.check_part(part);
        }
        Ok(check.report)
    });
    while let Some(step) = receiver.recv().await {
        progress(step);
    }
    work.await.map_err(|error| {
        Error::caused(ErrorKind::Unavailable, "the runtime ended during the check", error)
    })?
}

/// What is checked.
struct Subject {
    /// What is on this machine.
    kept: Option<Kept>,
    parts: Vec<Part>,
}

/// Collections, and the version in which they are looked at.
struct Part {
    version: Version,
    ids: Vec<BlockId>,
}

/// One check of everything, on a thread that may block.
struct Check {
    sender: mpsc::Sender<VerifyProgress>,
    now: VerifyProgress,
    report: VerifyReport,
}

impl Check {
    fn check_part(&mut self, Part { version, ids }: &Part) {
        for id in ids {
            self.check_collection(version, *id);
            self.step();
        }
    }

    fn check_kept(&mut self, kept: &Kept) -> Result<()> {
        if let Some(damage) = kept.home.identity_damage() {
            self.damage(IDENTITY_FILE, &damage);
        }
        self.check_log(kept)?;
        self.step();
        self.check_engine(kept)?;
        self.step();
        for store in &kept.stores {
            self.check_blocks(store)?;
        }
        self.step();
        Ok(())
    }

    /// The engine cannot be checked under a snapshot, and a checkpoint or a read holds one for a
    /// moment: that is no damage.
    fn check_engine(&mut self, kept: &Kept) -> Result<()> {
        for _ in 0..ENGINE_TRIES {
            match kept.home.engine.verify() {
                Ok(()) => return Ok(()),
                Err(EngineError::Busy { .. }) => std::thread::sleep(ENGINE_PAUSE),
                Err(error) => {
                    self.damage("engine", &error);
                    return Ok(());
                }
            }
        }
        let what = "the engine cannot be checked: somebody reads or checkpoints all the time";
        Err(Error::new(ErrorKind::Busy, what))
    }

    fn check_log(&mut self, kept: &Kept) -> Result<()> {
        let found = kept
            .home
            .log
            .verify()
            .map_err(|error| Error::caused(ErrorKind::Damaged, error.to_string(), error))?;
        self.report.log_batches = u64::try_from(found.batches).unwrap_or(u64::MAX);
        for damage in found.damages {
            self.damage(&format!("log/{} offset={}", damage.file, damage.offset), &damage.what);
        }
        if kept.home.log.is_lost() {
            self.damage("log", &"its end is missing: files were deleted, or are of an earlier day");
        }
        Ok(())
    }

    fn check_blocks(&mut self, store: &PartitionStore) -> Result<()> {
        let found = store.verify(|page| {
            self.now.done += page.blocks;
            self.now.total += page.blocks;
            self.tell()
        });
        let found = found.map_err(state_error)?;
        self.report.blocks += found.blocks;
        for damage in found.damages {
            let block = damage.block.map_or_else(|| "?".to_owned(), |id| id.to_string());
            self.damage(&format!("block={block} index={}", damage.index), &damage.detail);
        }
        Ok(())
    }

    fn check_collection(&mut self, version: &Version, id: BlockId) {
        let found = match read_blocking(version, |reader| header(reader, id)) {
            Ok(Some(found)) => found,
            Ok(None) => return,
            Err(error) => return self.damage(&format!("collection={id}"), &error),
        };
        self.report.collections += 1;
        let place = format!("collection={}", found.name);
        let state =
            read_blocking(version, |reader| Ok(CollectionState::read(reader, &found.name)?));
        let state = match state {
            Ok(state) => state,
            Err(error) => return self.damage(&place, &error),
        };
        let mut chain = ChainVerifier::new(&state.chain);
        let checked = read_blocking(version, |reader| match chain.run(reader) {
            Ok(_) => Ok(None),
            Err(ChainDamage::Halt(halt @ Halt::Need(_))) => Err(ReadError::Halt(halt)),
            Err(damage) => Ok(Some(damage)),
        });
        match checked {
            Ok(None) => {}
            Ok(Some(damage)) => self.damage(&place, &damage),
            Err(error) => self.damage(&place, &error),
        }
        if found.type_name == TreeType::type_name() {
            let tree = RawTree::new(found.name);
            let checked = read_blocking(version, |reader| Ok(tree.open(reader)?.verify(reader)?));
            if let Err(error) = checked {
                self.damage(&place, &error);
            }
        }
    }

    fn damage(&mut self, place: &str, detail: &dyn std::fmt::Display) {
        let (place, detail) = (place.to_owned(), detail.to_string());
        self.report.damages.push(Damage { place, detail });
    }

    fn step(&mut self) {
        self.now.done += 1;
        self.tell();
    }

    /// Whether somebody still wants to know.
    fn tell(&self) -> bool {
        self.sender.blocking_send(self.now).is_ok()
    }
}
