//! Questions of peers, and letting nodes in: what is granted is in the system partition's log first.

use std::collections::BTreeMap;

use weald_core::{
    AdmissionPolicy, LogIndex, NodeRecord, NodeStanding, PeerId, Rejection, SystemChange, Time,
    limits::NODES_MAX,
};

use super::{
    Answer, Invitation, JoinRefusal, Lead, Map, Output, Phase, Proposed, QuestionId, Report,
    Request, SYSTEM, Standing, State, Verdict, Wish,
    limits::{LEADS_MAX, WISHES_MAX},
};

/// Nodes that wait to be written into the list.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Admissions {
    wanted: Vec<Wanted>,
    /// Not before then, since the last attempt failed.
    retry_due: Time,
}

/// A record that is to be in the list.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Wanted {
    record: NodeRecord,
    asker: Asker,
    /// Whether it is in the entry that is under way.
    is_written: bool,
}

/// Who is told what came of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Asker {
    peer: PeerId,
    /// `None` when it is this node itself.
    question: Option<QuestionId>,
    have: LogIndex,
}

impl Admissions {
    /// Whether an entry may be tried again.
    pub(super) fn is_due(&self, now: Time) -> bool {
        self.retry_due <= now
    }
}

impl State {
    pub(super) fn handle_asked(&mut self, question: QuestionId, from: PeerId, request: &Request) {
        let asker = Asker { peer: from, question: Some(question), have: request.have };
        match self.judge(from, request) {
            Judgement::Now(verdict) => self.reply(asker, verdict),
            Judgement::Refuse(refusal) => {
                self.report(Report::Refused { peer: from, refusal });
                self.reply(asker, Verdict::Refused(refusal));
            }
            Judgement::Write(record) => {
                self.admissions.wanted.push(Wanted { record, asker, is_written: false });
            }
        }
    }

    fn judge(&self, from: PeerId, request: &Request) -> Judgement {
        if request.name != self.config.name {
            return Judgement::Refuse(JoinRefusal::OtherName);
        }
        if request.from.peer() != from {
            return Judgement::Refuse(JoinRefusal::OtherKey);
        }
        if request.wish == Wish::Greet {
            return Judgement::Now(Verdict::Greeted);
        }
        let (Some(network), Some(map)) = (self.standing().open(), &self.map) else {
            return Judgement::Now(Verdict::Later);
        };
        let system = self.views.get(&SYSTEM);
        if !self.is_authority() || !system.is_some_and(|view| view.is_coordinator) {
            let other = system.and_then(|view| view.coordinator).filter(|p| *p != self.local);
            let elsewhere = other.or_else(|| self.member_of_system(map, from));
            return Judgement::Now(
                elsewhere.map_or(Verdict::Later, |peer| Verdict::Elsewhere { peer }),
            );
        }
        if request.standing.network().is_some_and(|other| other != network) {
            return Judgement::Refuse(JoinRefusal::Belongs);
        }
        if self.admissions.wanted.len() >= WISHES_MAX {
            return Judgement::Now(Verdict::Later);
        }
        match self.wanted_record(from, request, map) {
            Ok(record) if map.system.nodes.get(&from) == Some(&record) => {
                let genesis = Box::new(map.genesis.clone());
                Judgement::Now(Verdict::Granted { genesis })
            }
            Ok(record) => Judgement::Write(record),
            Err(refusal) => Judgement::Refuse(refusal),
        }
    }

    /// Another node than this one and the asker that should hold the system partition and is
    /// connected.
    fn member_of_system(&self, map: &Map, asker: PeerId) -> Option<PeerId> {
        let placed = map.placement(SYSTEM);
        let is_other = |peer: &PeerId| *peer != self.local && *peer != asker;
        placed.iter().find(|peer| is_other(peer) && self.peers.is_up(peer))
    }

    /// The record that the asker shall have.
    fn wanted_record(
        &self,
        from: PeerId,
        request: &Request,
        map: &Map,
    ) -> Result<NodeRecord, JoinRefusal> {
        let known = map.system.nodes.get(&from);
        let standing = match &request.wish {
            Wish::Join { invitation } => {
                if known.is_none() {
                    self.check_admission(from, invitation.as_deref(), map)?;
                }
                if known.is_none() && map.system.nodes.len() >= NODES_MAX {
                    return Err(JoinRefusal::Full);
                }
                return Ok(request.from.record(NodeStanding::Up));
            }
            Wish::Drain => NodeStanding::Draining,
            Wish::Leave => NodeStanding::Gone,
            Wish::Greet => unreachable!("a greeting was answered before"),
        };
        let known = known.filter(|record| record.store == request.from.store);
        known.map(|record| NodeRecord { standing, ..record.clone() }).ok_or(JoinRefusal::NotListed)
    }

    /// Who is no node yet is let in as the network's policy says; an invitation is always good.
    fn check_admission(
        &self,
        from: PeerId,
        invitation: Option<&Invitation>,
        map: &Map,
    ) -> Result<(), JoinRefusal> {
        if self.is_open_to(from, map) {
            return Ok(());
        }
        let invitation = invitation.ok_or(JoinRefusal::NotAdmitted)?;
        let holds = invitation.admits(map.network(), &map.system, from, self.now.wall);
        if holds { Ok(()) } else { Err(JoinRefusal::BadInvitation) }
    }

    /// Whether `peer` is let in without an invitation.
    fn is_open_to(&self, peer: PeerId, map: &Map) -> bool {
        let is_near = self.peers.get(&peer).is_some_and(|known| known.is_up() && known.is_near);
        map.system.nodes.contains_key(&peer)
            || match map.system.admission {
                AdmissionPolicy::Nearby => is_near || self.config.has_shared_key,
                AdmissionPolicy::SharedKey => self.config.has_shared_key,
                AdmissionPolicy::Invited => false,
            }
    }

    fn reply(&mut self, asker: Asker, verdict: Verdict) {
        let Some(question) = asker.question else { return };
        let standing = self.standing();
        let map = self.map.as_ref();
        let is_node = map.is_some_and(|map| map.system.nodes.contains_key(&asker.peer));
        let is_newer = |map: &&std::sync::Arc<Map>| map.system.changed > asker.have;
        let handed = map.filter(|map| self.is_authority() && is_node && is_newer(map));
        let answer = Answer {
            name: self.config.name.clone(),
            standing,
            admits: map.is_some_and(|map| self.is_open_to(asker.peer, map)),
            leads: self.leads(asker.peer, &verdict),
            verdict,
            map: handed.map(|map| Box::new((**map).clone())),
            memberships: if is_node { self.memberships_of(asker.peer) } else { Vec::new() },
        };
        self.outputs.push_back(Output::Reply { question, answer: Box::new(answer) });
    }

    /// Whom the asker should reach: who decides, then others of the network, or of the one that is
    /// joined instead.
    fn leads(&self, asker: PeerId, verdict: &Verdict) -> Vec<Lead> {
        if let Some(sought) = &self.pin.sought {
            return sought.leads.clone();
        }
        let network = match self.standing() {
            Standing::Dissolving { into, .. } => Some(into),
            standing => standing.network(),
        };
        let mut leads: Vec<_> = network.map(|network| self.leads_to(network)).unwrap_or_default();
        if let Verdict::Elsewhere { peer } = verdict
            && let Some(known) = self.peers.get(peer)
        {
            let addresses = known.addresses.clone();
            leads.retain(|lead| lead.peer != *peer);
            leads.insert(0, Lead { peer: *peer, addresses });
        }
        leads.retain(|lead| lead.peer != asker);
        leads.truncate(LEADS_MAX);
        leads
    }

    /// Writes what nodes wait for, and what this node wishes itself, in one entry.
    pub(super) fn write_nodes(&mut self) {
        if !self.may_write() || !self.admissions.is_due(self.now.steady) {
            return;
        }
        let is_founded = self.map.as_ref().is_some_and(|map| !map.system.ranges.is_empty());
        if !self.is_authority() || !is_founded {
            return;
        }
        let mut changes = BTreeMap::new();
        for wanted in &mut self.admissions.wanted {
            wanted.is_written = true;
            changes.insert(wanted.asker.peer, wanted.record.clone());
        }
        if let Some(wish) = self.own_wish() {
            changes.insert(self.local, self.me.record(wish.standing()));
        }
        if !changes.is_empty() {
            let put = |(peer, record)| SystemChange::PutNode(peer, record);
            self.write(changes.into_iter().map(put).collect());
        }
    }

    /// What came of the entry of the system partition that was under way.
    pub(super) fn handle_written(&mut self, proposed: &Proposed) {
        let is_applied = *proposed == Proposed::Applied;
        if !is_applied {
            self.admissions.retry_due = self.now.steady.after(self.config.timing.ask_interval);
        }
        if matches!(proposed, Proposed::Refused(Rejection::Superseded { .. })) {
            // The list has changed meanwhile; the same is decided anew.
            self.admissions.wanted.iter_mut().for_each(|wanted| wanted.is_written = false);
            return;
        }
        let wanted = std::mem::take(&mut self.admissions.wanted);
        let (written, rest): (Vec<_>, _) = wanted.into_iter().partition(|wanted| wanted.is_written);
        self.admissions.wanted = rest;
        for Wanted { asker, record, .. } in written {
            if is_applied && record.standing == NodeStanding::Up {
                self.report(Report::Admitted(asker.peer));
            }
            self.reply(asker, self.verdict(proposed));
        }
    }

    fn verdict(&self, proposed: &Proposed) -> Verdict {
        let genesis = self.pin.genesis.clone().map(Box::new);
        match (proposed, genesis) {
            (Proposed::Applied, Some(genesis)) => Verdict::Granted { genesis },
            (Proposed::NotCoordinator(Some(peer)), _) => Verdict::Elsewhere { peer: *peer },
            _ => Verdict::Later,
        }
    }

    /// Lets go of those that wait although this node cannot write any more.
    pub(super) fn send_waiting_away(&mut self) {
        let coordinates = self.views.get(&SYSTEM).is_some_and(|view| view.is_coordinator);
        let is_open = self.standing().open().is_some();
        let is_writing = matches!(&self.phase, Phase::Belonging(b) if b.written.is_some());
        if (coordinates && is_open) || is_writing {
            return;
        }
        for wanted in std::mem::take(&mut self.admissions.wanted) {
            self.reply(wanted.asker, Verdict::Later);
        }
    }
}

/// What a question comes to.
enum Judgement {
    /// It is answered.
    Now(Verdict),
    /// It is refused, which operators want to know.
    Refuse(JoinRefusal),
    /// It is answered once this record is in the list.
    Write(NodeRecord),
}

impl Wish {
    /// How whoever has this wish is to be listed.
    const fn standing(&self) -> NodeStanding {
        match self {
            Self::Greet | Self::Join { .. } => NodeStanding::Up,
            Self::Drain => NodeStanding::Draining,
            Self::Leave => NodeStanding::Gone,
        }
    }
}
