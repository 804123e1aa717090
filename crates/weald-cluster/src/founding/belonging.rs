//! A node in its network: it keeps the map, follows what placement wants and tells how it stands.

use std::{collections::BTreeMap, sync::Arc};

use weald_core::{
    LogIndex, NodeStanding, PartitionId, Payload, PeerId, SystemEntry, SystemState, Time,
};

use super::{
    Answer, Map, NetworkId, Output, PartitionView, Phase, Proposed, Readiness, Report, SYSTEM,
    Standing, State, Ticket, Wish, dissolving::Ending, growth::Outlook,
};
use crate::placement::{membership::Liveness, place};

/// What a node in its network remembers.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Belonging {
    /// The end of the network that is under way.
    pub(super) ending: Option<Ending>,
    /// Proposals about the end of the network that have no answer yet, and where.
    pub(super) proposed: BTreeMap<Ticket, PartitionId>,
    /// The founding entry, or one about nodes, that has no answer yet.
    pub(super) written: Option<Ticket>,
    /// Whether every partition that this node should hold lives here, at the last look.
    is_complete: bool,
    /// When members are looked at again.
    growth_due: Time,
    /// Networks that were reported as never to be joined, the last ones.
    pub(super) strangers: Vec<NetworkId>,
}

/// Networks of which is remembered that they were reported.
const STRANGERS_MAX: usize = 16;

impl Belonging {
    pub(super) fn new(now: Time) -> Self {
        Self {
            ending: None,
            proposed: BTreeMap::new(),
            written: None,
            is_complete: false,
            growth_due: now,
            strangers: Vec::new(),
        }
    }
}

impl State {
    pub(super) fn belong(&mut self) {
        self.end_or_go_on();
        self.send_waiting_away();
        let Phase::Belonging(belonging) = &self.phase else { return };
        if belonging.ending.is_none() {
            self.write_founding();
            self.write_nodes();
            self.say_strangers();
            self.grow();
        }
    }

    /// Whether nothing is expected to change soon: peers are asked less often.
    pub(super) fn is_quiet(&self) -> bool {
        let Phase::Belonging(belonging) = &self.phase else { return false };
        let is_settled = matches!(self.standing(), Standing::Settled { .. });
        let is_placed = self.belonging_readiness(belonging) == Readiness::Ready;
        is_settled && is_placed && self.own_wish().is_none() && belonging.is_complete
    }

    /// Whether every partition that this node should hold lives here.
    fn has_its_partitions(&self, map: &Map) -> bool {
        let (nodes, k) = (map.nodes(), map.responsibility_k());
        let mut partitions = map.system.ranges.keys();
        partitions.all(|partition| {
            let is_placed = || place(&nodes, *partition, k).iter().any(|peer| peer == self.local);
            self.views.contains_key(partition) || !is_placed()
        })
    }

    pub(super) fn handle_system(&mut self, system: SystemState) {
        let Some(genesis) = self.pin.genesis.clone() else { return };
        self.has_system = true;
        self.learn_map(Map { genesis, system });
    }

    pub(super) fn handle_replica(
        &mut self,
        partition: PartitionId,
        view: Option<Box<PartitionView>>,
    ) {
        match view {
            Some(view) => drop(self.views.insert(partition, *view)),
            None => drop(self.views.remove(&partition)),
        }
        self.has_system &= self.views.contains_key(&SYSTEM) || partition != SYSTEM;
    }

    /// Takes in a state of the network, if it is newer. Of the pinned network only.
    pub(super) fn learn_map(&mut self, map: Map) {
        let is_of_network = self.pin.genesis.as_ref() == Some(&map.genesis);
        let is_newer = |known: &Arc<Map>| known.system.changed < map.system.changed;
        if is_of_network && map.is_sound() && self.map.as_ref().is_none_or(is_newer) {
            self.keep_nodes(&map);
            self.map = Some(Arc::new(map));
            self.publish_map();
        }
    }

    /// Keeps who is listed, so that it is known after a restart, too.
    fn keep_nodes(&mut self, map: &Map) {
        let nodes = map.others(self.local);
        if self.pin.nodes != nodes {
            self.pin.nodes = nodes;
            self.outputs.push_back(Output::Pin(Box::new(self.pin.clone())));
        }
    }

    /// Whether what a peer says of the network and of this node's members counts here. Anybody can be
    /// connected who knows the network's name; what is said decides where data is. A node that knows
    /// nobody and holds nothing believes who answers, as one that joins does.
    fn is_believed(&self, peer: &PeerId) -> bool {
        let is_member =
            |view: &PartitionView| view.configuration.members().any(|member| member.peer == *peer);
        let knows_nobody = self.pin.nodes.is_empty() && self.views.is_empty();
        knows_nobody || self.pin.nodes.contains(peer) || self.views.values().any(is_member)
    }

    pub(super) fn publish_map(&mut self) {
        let Some(map) = self.map.clone().filter(|map| !map.system.ranges.is_empty()) else {
            return;
        };
        if matches!(self.phase, Phase::Belonging(_)) {
            self.outputs.push_back(Output::Map(map));
        }
    }

    /// What a node of whatever network said.
    pub(super) fn handle_network_answer(&mut self, peer: PeerId, answer: Answer) {
        if answer.standing.network() != self.network || !self.is_believed(&peer) {
            return;
        }
        if let Some(map) = answer.map.filter(|_| !self.is_authority()) {
            self.learn_map(*map);
        }
        self.follow_memberships(&answer.memberships);
    }

    /// How this node stands, from what its logs hold.
    pub(super) fn standing_in(&self, network: NetworkId, belonging: &Belonging) -> Standing {
        if let Some(ending) = &belonging.ending {
            return Standing::Dissolving { network, into: ending.into };
        }
        let is_founder = self.pin.genesis.as_ref().is_some_and(|g| g.member().peer == self.local);
        let has_company = self.map.as_ref().is_some_and(|map| map.system.nodes.len() > 1);
        let is_spent = |view: &PartitionView| !view.dissolution.is_pristine();
        if !is_founder || has_company || self.views.values().any(is_spent) {
            return Standing::Settled { network };
        }
        match self.knows_all_partitions() && self.is_listed() {
            true => Standing::Pristine { network },
            false => Standing::Opening { network },
        }
    }

    pub(super) fn knows_all_partitions(&self) -> bool {
        let genesis = self.pin.genesis.as_ref();
        genesis.is_some_and(|genesis| genesis.partitions().all(|p| self.views.contains_key(&p)))
    }

    fn is_listed(&self) -> bool {
        let nodes = self.map.as_ref().map(|map| &map.system.nodes);
        let record = nodes.and_then(|nodes| nodes.get(&self.local));
        record.is_some_and(|record| {
            record.store == self.me.store && record.standing != NodeStanding::Gone
        })
    }

    pub(super) fn belonging_readiness(&self, belonging: &Belonging) -> Readiness {
        if let Some(ending) = &belonging.ending {
            return Readiness::Dissolving { into: ending.into };
        }
        let Some(map) = self.map.as_ref().filter(|map| !map.system.ranges.is_empty()) else {
            return Readiness::Opening;
        };
        let standing = map.system.nodes.get(&self.local).map(|record| record.standing);
        match standing {
            Some(NodeStanding::Gone) if self.is_draining => Readiness::Left,
            _ if self.is_listed() => Readiness::Ready,
            _ => Readiness::Opening,
        }
    }

    /// The first entry of the system partition, until it is there.
    fn write_founding(&mut self) {
        let Some(genesis) = self.pin.genesis.clone() else { return };
        let is_first = self.map.as_ref().is_none_or(|map| map.system.ranges.is_empty());
        let is_due = self.admissions.is_due(self.now.steady);
        if is_first && is_due && self.is_authority() && self.may_write() {
            let changes = genesis.changes().expect("a genesis was checked before it was pinned");
            self.write(changes);
        }
    }

    /// Whether this node coordinates the system partition and no entry of its own is under way.
    pub(super) fn may_write(&self) -> bool {
        let Phase::Belonging(belonging) = &self.phase else { return false };
        let coordinates = self.views.get(&SYSTEM).is_some_and(|view| view.is_coordinator);
        coordinates && belonging.written.is_none() && belonging.ending.is_none()
    }

    /// Proposes an entry of the system partition.
    pub(super) fn write(&mut self, changes: Vec<weald_core::SystemChange>) {
        let based_on = self.map.as_ref().map_or(LogIndex::ZERO, |map| map.system.changed);
        let entry = SystemEntry { based_on, changes };
        let ticket = self.propose(SYSTEM, Payload::System(entry));
        self.belonging().written = Some(ticket);
    }

    pub(super) fn propose(&mut self, partition: PartitionId, payload: Payload) -> Ticket {
        self.next_ticket.0 += 1;
        let ticket = self.next_ticket;
        let payload = Box::new(payload);
        self.outputs.push_back(Output::Propose { ticket, partition, payload });
        ticket
    }

    pub(super) fn handle_proposed(&mut self, ticket: Ticket, proposed: &Proposed) {
        let retry_due = self.now.steady.after(self.config.timing.ask_interval);
        let Phase::Belonging(belonging) = &mut self.phase else { return };
        let was_about_end = belonging.proposed.remove(&ticket).is_some();
        if let (Some(ending), Proposed::Failed | Proposed::NotCoordinator(_), true) =
            (&mut belonging.ending, proposed, was_about_end)
        {
            ending.retry_due = retry_due;
        }
        if belonging.written == Some(ticket) {
            belonging.written = None;
            self.handle_written(proposed);
        }
    }

    /// Moves partitions that this node coordinates towards what placement wants.
    fn grow(&mut self) {
        let now = self.now.steady;
        let interval = self.config.timing.growth_interval;
        let Some(map) = self.map.clone().filter(|map| !map.system.ranges.is_empty()) else {
            return;
        };
        if self.belonging().growth_due > now {
            return;
        }
        self.belonging().growth_due = now.after(interval);
        self.belonging().is_complete = self.has_its_partitions(&map);
        let liveness = self.liveness(&map);
        self.give_up(&map, &liveness);
        let policy = &self.config.timing.policy;
        let outlook = Outlook::new(&map, &liveness, policy, now);
        let change = |(partition, view): (&PartitionId, &PartitionView)| {
            let (partition, from) = (*partition, view.configuration.id);
            let change = outlook.next_change(partition, view)?;
            Some(Output::Reconfigure { partition, from, change })
        };
        let changes: Vec<_> = self.views.iter().filter_map(change).collect();
        self.outputs.extend(changes);
    }

    /// Since when each node of the network is heard, or not. One that was not heard in this run
    /// counts as gone since its beginning.
    fn liveness(&self, map: &Map) -> BTreeMap<PeerId, Liveness> {
        let unheard =
            map.system.nodes.keys().map(|peer| (*peer, Liveness::GoneSince(self.started)));
        let own = (self.local, Liveness::AliveSince(Time::ZERO));
        unheard.chain(self.peers.liveness()).chain([own]).collect()
    }

    /// Lists a node as gone that was silent for the grace time, if others can take its place.
    fn give_up(&mut self, map: &Map, liveness: &BTreeMap<PeerId, Liveness>) {
        if !self.may_write() {
            return;
        }
        let (now, grace) = (self.now.steady, self.config.timing.policy.grace);
        let holders = || {
            let nodes = map.system.nodes.iter();
            nodes.filter(|(_, node)| node.standing != NodeStanding::Gone && node.weight > 0)
        };
        let is_up = |peer: &PeerId| matches!(liveness.get(peer), Some(Liveness::AliveSince(_)));
        let up_count = holders().filter(|(peer, _)| is_up(peer)).count();
        if up_count < map.responsibility_k().count() {
            return;
        }
        let is_dead = |peer: &PeerId| match liveness.get(peer) {
            Some(Liveness::GoneSince(since)) => now.since(*since) > grace,
            _ => false,
        };
        let Some((peer, record)) = holders().find(|(peer, _)| is_dead(peer)) else { return };
        let record = weald_core::NodeRecord { standing: NodeStanding::Gone, ..record.clone() };
        self.report(Report::GivenUp(*peer));
        self.write(vec![weald_core::SystemChange::PutNode(*peer, record)]);
    }

    /// Says once of each other network in use that the two never mix.
    fn say_strangers(&mut self) {
        let own = self.network;
        if !matches!(self.standing(), Standing::Settled { .. }) {
            return;
        }
        let other = |(peer, said): (PeerId, &super::peers::Said)| match said.standing {
            Standing::Settled { network } if Some(network) != own => Some((peer, network)),
            _ => None,
        };
        let others: Vec<_> = self.peers.said().filter_map(other).collect();
        for (peer, network) in others {
            if self.note_stranger(network) {
                self.report(Report::OtherNetwork { peer, network });
            }
        }
    }

    /// Notes that another network was reported. Whether that is news.
    pub(super) fn note_stranger(&mut self, network: NetworkId) -> bool {
        let strangers = &mut self.belonging().strangers;
        if strangers.contains(&network) {
            return false;
        }
        strangers.truncate(STRANGERS_MAX - 1);
        strangers.insert(0, network);
        true
    }

    /// What this node wishes of the others about its own place in the list.
    pub(super) fn own_wish(&self) -> Option<Wish> {
        let map = self.map.as_ref().filter(|map| !map.system.ranges.is_empty())?;
        let standing = match map.system.nodes.get(&self.local) {
            Some(record) if record.store == self.me.store => record.standing,
            _ => NodeStanding::Gone,
        };
        match (self.is_draining, standing) {
            (true, NodeStanding::Up) => Some(Wish::Drain),
            (true, NodeStanding::Draining) => self.views.is_empty().then_some(Wish::Leave),
            (false, NodeStanding::Draining | NodeStanding::Gone) => {
                Some(Wish::Join { invitation: self.config.invitation.clone().map(Box::new) })
            }
            (true, NodeStanding::Gone) | (false, NodeStanding::Up) => None,
        }
    }

    pub(super) fn belonging(&mut self) -> &mut Belonging {
        match &mut self.phase {
            Phase::Belonging(belonging) => belonging,
            other => unreachable!("only a node in its network does this: {other:?}"),
        }
    }
}
