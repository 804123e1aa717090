//! Forced recovery of a stopped node's partitions that have lost their majority for good (rule C16).

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use weald_cluster::recovery::{Act, Authority, Beginning, Recovery, Remains, plan};
use weald_core::{Clock as _, Entropy as _, LogIndex, PartitionId, PeerId, StateStore as _, Time};
use weald_storage::{header::IDENTITY_FILE, identity::FileKeyStore, log::Notifier};

use super::{
    Weald, blocking,
    home::{Home, has_run},
    system::{SystemClock, SystemEntropy},
};
use crate::{
    Config, Error, ErrorKind, Result,
    founding::{authority, read_pin},
    members::{Left, left},
};

/// What is to be recovered by force, from where.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RecoveryRequest {
    /// The directory of the node that goes on alone. Nobody has it open.
    pub directory: PathBuf,
    /// Which partitions; all that have lost their majority where none is named.
    pub partitions: Vec<PartitionId>,
    /// Directories, or copies of them, of other nodes that survive: the one with the most complete
    /// log has to go on. Nobody has them open. Default: none.
    pub survivors: Vec<PathBuf>,
    /// The file of the administrator's key. Default: the node's own, which is the administrator's if
    /// the node founded the network. What is only told needs no key.
    pub key: Option<PathBuf>,
    /// Whose keys may sign beside the founder's, as in the nodes' settings. Default: nobody else's.
    pub administrators: Vec<PeerId>,
    /// Whether a node that has lost the end of its log, or what it promised, goes on with what is left:
    /// what it acknowledged after that is gone, too. Default: no.
    pub accepts_loss: bool,
    /// Whether it is done; otherwise it is only told what would be. Default: no.
    pub apply: bool,
}

/// A forced recovery: a new generation of a partition, in which one node went on alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryInfo {
    /// The generation that it began; the founded one is 0.
    pub generation: u32,
    /// Who went on alone.
    pub beginner: PeerId,
    /// Who voted before.
    pub voters: Vec<PeerId>,
    /// Everything up to here was kept, as the log of who went on had it.
    pub kept: LogIndex,
    /// The last index after that of which a survivor knew; `None` where none knew of any. Of what
    /// only lost nodes had nothing is known.
    pub dropped_to: Option<LogIndex>,
    /// When, by the clock of the machine.
    pub at: Time,
}

/// What comes, or would come, of a forced recovery of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryOutcome {
    /// The partition.
    pub partition: PartitionId,
    /// What was done, or would be; or why not, and what to do.
    pub recovery: std::result::Result<RecoveryInfo, String>,
}

impl From<&Act> for RecoveryInfo {
    fn from(act: &Act) -> Self {
        Self {
            generation: act.generation,
            beginner: act.beginner.peer,
            voters: act.old.all_voters().map(|voter| voter.peer).collect(),
            kept: act.kept.index,
            dropped_to: act.dropped().map(|dropped| dropped.to),
            at: act.at,
        }
    }
}

impl Weald {
    /// Lets a stopped node go on alone with partitions that have lost their majority for good, in a
    /// new generation that an administrator signs: what it holds stays, what only the lost nodes
    /// held is gone, and a lost node that comes back begins with nothing. Without
    /// [`RecoveryRequest::apply`] nothing is changed. `docs/recovery.md` says when and how.
    ///
    /// A partition that cannot or need not be recovered has the reason in its outcome.
    ///
    /// # Errors
    /// `Invalid` when the directory is no node's, the key is no administrator's, or a partition that
    /// is named is not there; `Unavailable` when a directory is in use: stop its node first.
    pub async fn recover(request: RecoveryRequest) -> Result<Vec<RecoveryOutcome>> {
        blocking(move || Bench::open(&request)?.work(&request)).await?
    }
}

/// The directories of a recovery, opened.
struct Bench {
    home: Home,
    authority: Authority,
    /// The administrator's; none is needed where it is only told what would be done.
    keys: Option<FileKeyStore>,
    left: Vec<Left>,
    /// Of other survivors; nobody opens them meanwhile.
    others: Vec<(Home, Vec<Left>)>,
}

impl Bench {
    fn open(request: &RecoveryRequest) -> Result<Self> {
        let (home, left) = open(&request.directory)?;
        let folder = home.folder()?;
        let Some(genesis) = read_pin(folder)?.genesis else {
            return Err(invalid("the node belongs to no network; there is nothing to recover"));
        };
        let own = || request.apply.then(|| folder.path().join(IDENTITY_FILE));
        let path = request.key.clone().or_else(own);
        let others = request.survivors.iter().map(|path| open(path));
        let authority = authority(&genesis, &request.administrators);
        let keys = path.map(|path| key(&path, &authority)).transpose()?;
        Ok(Self { authority, keys, left, others: others.collect::<Result<_>>()?, home })
    }

    fn work(&self, request: &RecoveryRequest) -> Result<Vec<RecoveryOutcome>> {
        if self.left.is_empty() {
            return Err(invalid(
                "the log of the node holds nothing of any partition; nothing goes on from here",
            ));
        }
        let is_here = |named: &&PartitionId| self.left.iter().any(|l| l.partition() == **named);
        if let Some(absent) = request.partitions.iter().find(|named| !is_here(named)) {
            let what = format!(
                "the node keeps nothing of partition {absent}; `weald recover` lists \
                what it keeps"
            );
            return Err(invalid(&what));
        }
        let is_meant = |left: &&Left| {
            request.partitions.is_empty() || request.partitions.contains(&left.partition())
        };
        let meant = self.left.iter().filter(is_meant);
        Ok(meant.map(|left| self.outcome(left, request)).collect())
    }

    fn outcome(&self, left: &Left, request: &RecoveryRequest) -> RecoveryOutcome {
        let partition = left.partition();
        RecoveryOutcome { partition, recovery: self.recover(left, request) }
    }

    fn recover(
        &self,
        left: &Left,
        request: &RecoveryRequest,
    ) -> std::result::Result<RecoveryInfo, String> {
        let partition = left.partition();
        let mut nonce = [0; 16];
        SystemEntropy.fill(&mut nonce);
        let beginning = Beginning { partition, at: SystemClock.now(), nonce };
        let remains = left.remains(request.accepts_loss).map_err(|error| error.to_string())?;
        let others = self.others_of(partition);
        let act = plan(&self.authority, beginning, &remains, &others);
        let act = act.map_err(|error| error.to_string())?;
        let info = RecoveryInfo::from(&act);
        if request.apply {
            let keys = self.keys.as_ref().expect("what is done is done with a key");
            let recovery = Recovery::sign(act, keys).map_err(|error| error.to_string())?;
            let log = self.home.log.store();
            let begun = left.begin(&*log, &self.authority, recovery);
            begun.map_err(|error| error.to_string())?;
        }
        Ok(info)
    }

    /// What other survivors have of a partition. One whose log cannot be read has nothing to say.
    fn others_of(&self, partition: PartitionId) -> Vec<Remains> {
        let all = self.others.iter().flat_map(|(_, left)| left);
        let of_partition = all.filter(|left| left.partition() == partition);
        of_partition.filter_map(|left| left.remains(false).ok()).collect()
    }
}

/// A node's directory, and what is left of its members.
fn open(path: &Path) -> Result<(Home, Vec<Left>)> {
    if !has_run(path)? {
        let what = "there is no directory of a node of a network here; name it with --data-dir";
        return Err(invalid(&format!("{what} path={}", path.display())));
    }
    let quiet: Notifier = Arc::new(|| {});
    let config = Config::default();
    let home = Home::open(path, &config, &SystemClock, &mut SystemEntropy, quiet)?;
    let applied = |partition| {
        let store = home.store(partition, &config);
        store.map(|store| store.applied()).map_err(|error| error.to_string())
    };
    let left = left(&*home.log.store(), applied)
        .map_err(|error| Error::caused(ErrorKind::Damaged, error.to_string(), error))?;
    Ok((home, left))
}

/// The key in a file, which has to be an administrator's.
fn key(path: &Path, authority: &Authority) -> Result<FileKeyStore> {
    use weald_core::identity::KeyStore as _;
    let keys = FileKeyStore::load(path, None).map_err(|error| {
        Error::caused(ErrorKind::Invalid, format!("the administrator's key: {error}"), error)
    })?;
    let peer = keys.public().peer_id();
    if authority.administrators.contains(&peer) {
        return Ok(keys);
    }
    let administrators: Vec<_> = authority.administrators.iter().map(ToString::to_string).collect();
    let what = format!(
        "the key is no administrator's; name the file of one with --key, or the administrators that \
         the nodes' settings name with --administrators: key={peer} administrators={}",
        administrators.join(",")
    );
    Err(invalid(&what))
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::Invalid, what.to_owned())
}
