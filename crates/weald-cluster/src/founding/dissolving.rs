//! The end of a network that nobody has used. It is logged in every partition, in the system
//! partition first, which closes admission; a user's entry in one of the logs calls it off.

use weald_core::{PartitionId, Payload, Time};

use super::{
    Lead, NetworkId, Output, PartitionView, Phase, Pin, Report, SYSTEM, Sought, Standing, State,
    peers::Said,
};

/// The end of this node's network, as it is under way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Ending {
    /// What is joined instead.
    pub(super) into: NetworkId,
    /// Where that was met.
    pub(super) leads: Vec<Lead>,
    /// When a partition that did not take its entry is asked again.
    pub(super) retry_due: Time,
}

impl State {
    /// Begins, moves on or calls off the end of the network.
    pub(super) fn end_or_go_on(&mut self) {
        let Phase::Belonging(belonging) = &self.phase else { return };
        if belonging.ending.is_none() {
            let ending = self.logged_ending().or_else(|| self.wanted_ending());
            self.belonging().ending = ending;
        }
        if self.belonging().ending.is_none() {
            return;
        }
        if self.is_spent() {
            self.call_off();
        } else if self.knows_all_partitions() {
            self.move_on();
        }
    }

    /// An end that the logs speak of, as after a restart.
    fn logged_ending(&self) -> Option<Ending> {
        let into = self.views.values().find_map(|view| view.dissolution.into)?;
        Some(self.ending(NetworkId(into)))
    }

    /// The network that this one, still pristine, is to join: one in use, else one whose hash is
    /// lower. Each would have to let this node in.
    fn wanted_ending(&mut self) -> Option<Ending> {
        let Standing::Pristine { network } = self.standing() else { return None };
        let Phase::Belonging(belonging) = &self.phase else { return None };
        if belonging.written.is_some() {
            return None;
        }
        let better = |said: &Said| match said.standing {
            Standing::Settled { network: other } if other != network => Some((false, other)),
            Standing::Pristine { network: other } if other < network => Some((true, other)),
            _ => None,
        };
        let candidates = self.peers.said();
        let best = candidates
            .filter_map(|(peer, said)| Some((!said.admits, better(said)?, peer)))
            .min()?;
        let (is_closed, (_, into), peer) = best;
        if is_closed {
            self.say_not_admitted(peer, into);
            return None;
        }
        self.report(Report::Dissolving { network, into });
        Some(self.ending(into))
    }

    fn say_not_admitted(&mut self, peer: weald_core::PeerId, network: NetworkId) {
        if self.note_stranger(network) {
            self.report(Report::NotAdmitted { peer, network });
        }
    }

    fn ending(&self, into: NetworkId) -> Ending {
        Ending { into, leads: self.leads_to(into), retry_due: self.now.steady }
    }

    /// Whether the network is in use, so that it stays. Never becomes untrue.
    fn is_spent(&self) -> bool {
        let has_company = self.map.as_ref().is_some_and(|map| map.system.nodes.len() > 1);
        has_company || self.views.values().any(|view| !view.dissolution.is_pristine())
    }

    fn call_off(&mut self) {
        let ended = self.undecided(|view| view.dissolution.into.is_some());
        for partition in ended {
            self.propose_end(partition, None);
        }
        self.drop_ending();
    }

    /// Lets the end go once no log speaks of it, and none will.
    fn drop_ending(&mut self) {
        let is_logged = self.views.values().any(|view| view.dissolution.into.is_some());
        if !is_logged && self.belonging().proposed.is_empty() {
            self.belonging().ending = None;
            let network = self.network.expect("a node in a network has pinned it");
            self.report(Report::CalledOff { network });
        }
    }

    fn move_on(&mut self) {
        let is_ended = |view: &PartitionView| view.dissolution.into.is_some();
        if self.views.values().all(is_ended) {
            return self.become_over();
        }
        let Some(ending) = self.belonging().ending.clone() else { return };
        let is_begun = self.views.values().any(is_ended);
        let is_there = self.peers.said().any(|(_, s)| s.standing.network() == Some(ending.into));
        if !is_begun && !is_there {
            return self.drop_ending();
        }
        // Admission closes before anything else.
        let is_closed = self.views.get(&SYSTEM).is_some_and(is_ended);
        let open = self.undecided(|view| !is_ended(view));
        for partition in open.into_iter().filter(|partition| is_closed || *partition == SYSTEM) {
            self.propose_end(partition, Some(ending.into));
        }
    }

    /// The partitions of which `matches` holds and that have nothing under way.
    fn undecided(&mut self, matches: impl Fn(&PartitionView) -> bool) -> Vec<PartitionId> {
        let now = self.now.steady;
        let Phase::Belonging(belonging) = &self.phase else { return Vec::new() };
        if belonging.ending.as_ref().is_none_or(|ending| ending.retry_due > now) {
            return Vec::new();
        }
        let is_free = |partition: &PartitionId| {
            !belonging.proposed.values().any(|proposed| proposed == partition)
        };
        let of_interest = self
            .views
            .iter()
            .filter(|(partition, view)| view.is_coordinator && is_free(partition) && matches(view));
        of_interest.map(|(partition, _)| *partition).collect()
    }

    fn propose_end(&mut self, partition: PartitionId, into: Option<NetworkId>) {
        let into = into.map(|network| network.0);
        let ticket = self.propose(partition, Payload::Dissolve { into });
        self.belonging().proposed.insert(ticket, partition);
    }

    /// Every log says that the network has joined another: the node begins anew there.
    fn become_over(&mut self) {
        let Some(ending) = self.belonging().ending.take() else { return };
        let mut leads = self.leads_to(ending.into);
        leads.extend(ending.leads.into_iter().filter(|lead| !self.peers.is_up(&lead.peer)));
        let sought = Sought { network: ending.into, leads };
        let pin = Pin { sought: Some(sought), ..Pin::default() };
        self.phase = Phase::Over;
        self.outputs.push_back(Output::Reset(Box::new(pin)));
    }
}
