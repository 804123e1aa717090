//! One member that lives here: its replicated log's state, its partition's state machine, and who
//! waits for them.

mod apply;
mod checkpoint;
mod outputs;
mod proposing;
mod spanning;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use weald_cluster::{
    configuration::{Configuration, ConfigurationId, Member},
    partition::Partition,
    recovery::Act,
    replica::{
        Change, Health, Input, LogEntry, Point, Role, Standing as PeerStanding, State, Stop,
    },
};
use weald_core::{
    LogIndex, PartitionId, PeerId, Settings, StateStore, StateView, Time, TransactionId,
};
use weald_storage::state::PartitionStore;

use super::{
    Caller, ChangeRefused, HostError, Hosted, MemberHealth, MemberRun, PartitionStatus, Standing,
    desk::Desk, office::Office, stopwatch::Stopwatch, waiting::Waiting,
};
use crate::consistency::Consistency;
use checkpoint::Checkpoints;
use spanning::Spanning;

/// See the module's page.
pub(super) struct Replica {
    pub(super) state: State,
    partition: Partition,
    store: Arc<PartitionStore>,
    hosted: Arc<Hosted>,
    pub(super) waiting: Waiting,
    pub(super) desk: Desk,
    watch: Stopwatch,
    /// The last applied entry.
    applied: Point,
    /// A view whose missing blocks have been brought, or are being brought, into memory.
    loading: Loading,
    /// Entries to be applied that are no longer in the state's memory.
    recalled: VecDeque<LogEntry>,
    /// Why nothing more is applied, if so.
    fault: Option<String>,
    /// What is here is not what it should be, and nothing of it is shown.
    is_wrong: bool,
    /// When the state's timer is due, as the loop has noted it.
    pub(super) timer: Option<Time>,
    /// Whether this coordination has settled what the partition's log says of types and level.
    has_settled: bool,
    checkpoints: Checkpoints,
    spanning: Spanning,
    /// Who waits for the membership to be durable.
    founder: Option<Caller<Result<Member, HostError>>>,
    /// Whether what is here has been the latest at some moment of this run.
    has_been_fresh: bool,
    /// By the steady clock, when a coordinator was last heard, or this member was it.
    heard: Option<Time>,
    /// While this member takes over: since when nobody was heard.
    takes_over_since: Option<Time>,
    /// What was shown last of what changes rarely.
    rare: Option<Rare>,
}

/// Blocks that an entry waits for.
#[derive(Default)]
enum Loading {
    /// None.
    #[default]
    No,
    /// They are being read.
    Asked(Arc<dyn StateView>),
    /// Entries are being read.
    Recalling,
    /// They are in memory, held by the view.
    Done(Arc<dyn StateView>),
}

/// What a replica begins with.
pub(super) struct Beginning {
    pub(super) state: State,
    pub(super) partition: Partition,
    pub(super) store: Arc<PartitionStore>,
    pub(super) applied: Point,
    pub(super) desk: Desk,
}

impl Replica {
    pub(super) fn new(beginning: Beginning, now: Time) -> Self {
        let Beginning { state, partition, store, applied, desk } = beginning;
        let status = first_status(&state, &partition);
        let hosted = Arc::new(Hosted::new(Arc::clone(&store), status));
        let mut replica = Self {
            state,
            partition,
            store,
            hosted,
            waiting: Waiting::default(),
            desk,
            watch: Stopwatch::default(),
            applied,
            loading: Loading::No,
            recalled: VecDeque::new(),
            fault: None,
            timer: None,
            has_settled: false,
            checkpoints: Checkpoints::new(now),
            spanning: Spanning::default(),
            founder: None,
            is_wrong: false,
            has_been_fresh: false,
            heard: None,
            takes_over_since: None,
            rare: None,
        };
        replica.publish();
        replica
    }

    pub(super) fn id(&self) -> PartitionId {
        self.partition.id()
    }

    pub(super) fn hosted(&self) -> &Arc<Hosted> {
        &self.hosted
    }

    /// Somebody waits for what the desk has now to be durable.
    pub(super) fn set_founder(&mut self, founder: Caller<Result<Member, HostError>>) {
        self.founder = Some(founder);
    }

    /// Hands an input to the state; [`Replica::carry_out`] does what follows from it.
    pub(super) fn handle(&mut self, office: &Office, input: Input) {
        self.state.handle(office.now, input);
    }

    /// Tells the state what a node says of itself, where that is a member.
    pub(super) fn note_standing(&mut self, office: &Office, peer: PeerId, known: PeerStanding) {
        let members: Vec<_> =
            self.state.configuration().members().filter(|member| member.peer == peer).collect();
        for member in members {
            self.state.handle(office.now, Input::Standing(member, known));
        }
    }

    /// What is known here of a transaction.
    pub(super) fn standing(&self, id: &TransactionId) -> Standing {
        match self.partition.outcome(id) {
            _ if self.waiting.holds(id) => Standing::Pending,
            Some(outcome) => Standing::Settled(outcome.clone()),
            None => Standing::Unheard,
        }
    }

    /// Hands the coordination over to another voter that can take it, if there is one.
    pub(super) fn hand_over(&mut self, office: &Office) {
        let (me, matched) = (self.state.me(), self.state.matched());
        let others = self.state.configuration().voters.iter().filter(|other| **other != me);
        let best = others.max_by_key(|other| matched.get(other).copied().unwrap_or_default());
        if let Some(to) = best.copied().filter(|_| self.state.coordinating().is_some()) {
            // Who refuses is waited for no longer than anybody who is gone.
            self.state.transfer(office.now, to).ok();
        }
    }

    /// Looks how far the log has come. Whether it has moved.
    pub(super) fn take_news(&mut self, office: &Office) -> bool {
        let Some(ticket) = self.desk.news(&*office.log) else { return false };
        if let Some(founder) = self.founder.take() {
            founder.tell(Ok(self.state.me()));
        }
        self.state.handle(office.now, Input::Persisted(ticket));
        self.watch.sync(self.state.synced(), &office.counters.phases);
        true
    }

    /// Hands what waits to the log.
    pub(super) fn submit(&mut self, office: &mut Office) {
        if !self.desk.is_waiting() {
            return;
        }
        office.count_batch();
        if self.desk.submit(&*office.log) {
            self.state.handle(office.now, Input::PersistFailed);
        }
    }

    /// What this member is fit for.
    fn health(&self) -> MemberHealth {
        if let Some(fault) = &self.fault {
            return MemberHealth::Stopped(fault.clone());
        }
        match (self.state.stop(), self.state.health()) {
            (Some(Stop::Amnesiac), _) => MemberHealth::Amnesiac,
            (Some(stop), _) => MemberHealth::Stopped(self.stop_text(stop)),
            (None, Health::Damaged { .. }) => MemberHealth::Damaged,
            (None, _) => MemberHealth::Well,
        }
    }

    /// Begins a change of the members that was decided for a configuration.
    pub(super) fn change(
        &mut self,
        office: &Office,
        (from, change): &(ConfigurationId, Change),
    ) -> Result<LogIndex, ChangeRefused> {
        let current = self.state.configuration().id;
        if current != *from {
            return Err(ChangeRefused::Outdated(current));
        }
        Ok(self.state.reconfigure(office.now, change)?)
    }

    /// Whether the configuration that counts here names this member. One that was removed, or is new
    /// and has not been fed so far, knows nothing that others have not; they are to be asked.
    pub(super) fn is_member(&self) -> bool {
        self.state.configuration().contains(&self.state.me())
    }

    /// Whether what is applied here may be shown: it was right when it was applied, and is of the life
    /// that this member has. After a failed sync it is (rule C12).
    pub(super) fn shows(&self) -> bool {
        let is_right = matches!(self.state.stop(), None | Some(Stop::SyncFailed));
        is_right && !self.is_wrong && !self.checkpoints.is_emptying()
    }

    /// Whether a reader is to ask another member. What can be confirmed here no more is not waited for.
    pub(super) fn refuses(&self, consistency: Consistency) -> bool {
        let is_over = self.state.stop().is_some() || self.fault.is_some();
        !self.shows() || (consistency == Consistency::Linearizable && is_over)
    }

    /// When what is here was certainly the latest, for readers. Nothing that was said of a state counts
    /// for the one that takes its place.
    fn freshen(&mut self) -> Option<Time> {
        let fresh = self.state.fresh_as_of().filter(|_| self.shows());
        self.has_been_fresh = self.shows() && (self.has_been_fresh || fresh.is_some());
        fresh
    }

    /// Why it takes no more part, in words.
    pub(super) fn stop_text(&self, stop: &Stop) -> String {
        match (stop, self.desk.trouble()) {
            (Stop::SyncFailed, Some(trouble)) => {
                format!("the log takes nothing more; restart the node: {trouble}")
            }
            (stop, _) => stop_text(stop).to_owned(),
        }
    }

    /// Shows readers how the member stands.
    pub(super) fn publish(&mut self) {
        let shows = self.shows();
        let fresh_as_of = self.freshen();
        let state = &self.state;
        let (effect, log_time) = (self.effect(), self.partition.time());
        let waiting_count = self.partition.waiting_count();
        let checkpointed = self.store.checkpointed();
        self.heard = self.heard.max(state.coordinator_heard());
        self.hosted.update(|status| {
            status.role = state.role();
            status.heard = self.heard;
            status.epoch = state.epoch();
            status.coordinator = state.coordinator();
            status.watermark = state.watermark();
            status.last = state.last().index;
            status.synced = state.synced();
            status.applied = effect.index;
            status.checkpointed = checkpointed;
            (status.effect, status.log_time, status.fresh_as_of) = (effect, log_time, fresh_as_of);
            status.has_been_fresh = self.has_been_fresh;
            status.shows = shows;
            status.waiting_count = waiting_count;
        });
    }

    /// Shows what changes rarely, or costs more to show.
    pub(super) fn publish_all(&mut self) {
        self.publish();
        let shown = Rare {
            member: self.state.me(),
            role: self.state.role(),
            coordinator: self.state.coordinator(),
            configuration: self.state.configuration().clone(),
            health: self.health(),
            may_change: self.state.may_reconfigure(),
            caught_up: self.state.caught_up(),
            settings: self.partition.settings().clone(),
            recovery: self.recovery(),
            runs: self.runs(),
        };
        let (matched, dirty_bytes) = (self.state.matched(), self.dirty_bytes());
        let members_heard = self.state.members_heard();
        let has_changed = self.rare.as_ref() != Some(&shown);
        self.hosted.update(|status| {
            (status.matched, status.dirty_bytes) = (matched, dirty_bytes);
            status.members_heard = members_heard;
            if has_changed {
                shown.show(status);
            }
        });
        if has_changed {
            self.rare = Some(shown);
        }
    }

    /// Since when the members run, as far as that is known here.
    fn runs(&self) -> BTreeMap<Member, MemberRun> {
        let run = |member: Member| {
            let (run, standing) = self.state.run_of(&member);
            let incarnation = run.map(|run| run.incarnation);
            (member, MemberRun { incarnation, started: standing.map(|known| known.started) })
        };
        self.state.configuration().members().map(run).collect()
    }

    /// The forced recovery that began the generation.
    fn recovery(&self) -> Option<Arc<Act>> {
        let act = &self.state.recoveries().last()?.act;
        let shown = self.rare.as_ref().and_then(|rare| rare.recovery.clone());
        let shown = shown.filter(|shown| shown.generation == act.generation);
        Some(shown.unwrap_or_else(|| Arc::new(act.clone())))
    }
}

/// What changes rarely, as it was shown last.
#[derive(PartialEq)]
struct Rare {
    member: Member,
    role: Role,
    coordinator: Option<Member>,
    configuration: Configuration,
    health: MemberHealth,
    may_change: bool,
    caught_up: BTreeSet<Member>,
    settings: Settings,
    recovery: Option<Arc<Act>>,
    runs: BTreeMap<Member, MemberRun>,
}

impl Rare {
    fn show(&self, status: &mut PartitionStatus) {
        status.member = self.member;
        status.configuration = self.configuration.clone();
        status.health = self.health.clone();
        status.may_change = self.may_change;
        status.caught_up = self.caught_up.clone();
        status.settings = self.settings.clone();
        status.recovery.clone_from(&self.recovery);
        status.runs.clone_from(&self.runs);
    }
}

fn first_status(state: &State, partition: &Partition) -> PartitionStatus {
    PartitionStatus {
        partition: partition.id(),
        member: state.me(),
        role: state.role(),
        epoch: state.epoch(),
        coordinator: None,
        watermark: state.watermark(),
        last: state.last().index,
        synced: state.synced(),
        applied: partition.applied(),
        checkpointed: partition.applied(),
        dirty_bytes: 0,
        configuration: state.configuration().clone(),
        health: MemberHealth::Well,
        effect: weald_cluster::replica::Effect {
            index: partition.applied(),
            hash: partition.effect_hash(),
        },
        log_time: partition.time(),
        matched: BTreeMap::new(),
        members_heard: BTreeMap::new(),
        fresh_as_of: None,
        heard: None,
        runs: BTreeMap::new(),
        has_been_fresh: false,
        shows: false,
        may_change: false,
        caught_up: BTreeSet::new(),
        settings: partition.settings().clone(),
        recovery: None,
        waiting_count: partition.waiting_count(),
    }
}

fn stop_text(stop: &Stop) -> &'static str {
    match stop {
        Stop::Equivocation(_) => "a coordinator has shown two histories",
        Stop::Diverged(_) => "the state differs from the majority's",
        Stop::SyncFailed => "a sync of the log failed; restart the node",
        Stop::Amnesiac => "what was promised is lost",
    }
}
