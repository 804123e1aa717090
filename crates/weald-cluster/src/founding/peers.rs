//! Who is connected, what each has said last, and whom to ask next.

use std::collections::BTreeMap;

use weald_core::{LogIndex, PeerId, Time};

use super::{
    Answer, Lead, NetworkId, Output, Phase, Request, Standing, State, Wish,
    limits::{ADDRESSES_MAX, ASKS_MAX, LEADS_MAX, PEERS_MAX},
};
use crate::placement::membership::Liveness;

/// A peer that is, or was, connected.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Peer {
    pub(super) addresses: Vec<String>,
    pub(super) is_near: bool,
    pub(super) liveness: Liveness,
    /// Whether it is remembered while it is away.
    is_node: bool,
    /// What it said last, in this connection.
    pub(super) said: Option<Said>,
    is_asked: bool,
    /// Asked again from then on.
    due: Time,
    /// Questions in a row without an answer.
    silent_count: u32,
}

/// What a peer has said of itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Said {
    pub(super) standing: Standing,
    /// Whether it is of this node's name.
    pub(super) is_of_name: bool,
    /// Whether it would let this node in.
    pub(super) admits: bool,
}

impl Peer {
    pub(super) fn is_up(&self) -> bool {
        matches!(self.liveness, Liveness::AliveSince(_))
    }

    /// What it said, if it is connected and of this node's name.
    fn current(&self) -> Option<&Said> {
        self.said.as_ref().filter(|said| said.is_of_name && self.is_up())
    }
}

/// The peers.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Peers {
    known: BTreeMap<PeerId, Peer>,
    asked_count: usize,
}

impl Peers {
    pub(super) fn up(&mut self, now: Time, peer: PeerId, addresses: Vec<String>, is_near: bool) {
        if self.known.len() >= PEERS_MAX && !self.known.contains_key(&peer) {
            return;
        }
        let known = self.known.entry(peer).or_insert_with(|| Peer {
            addresses: Vec::new(),
            is_near,
            liveness: Liveness::GoneSince(now),
            is_node: false,
            said: None,
            is_asked: false,
            due: now,
            silent_count: 0,
        });
        (known.addresses, known.is_near) = (addresses, is_near);
        known.addresses.truncate(ADDRESSES_MAX);
        if !known.is_up() {
            known.liveness = Liveness::AliveSince(now);
            (known.due, known.silent_count) = (now, 0);
        }
    }

    /// Notes that a peer is gone; `is_node` says whether that is worth remembering.
    pub(super) fn down(&mut self, now: Time, peer: PeerId, is_node: bool) {
        let Some(known) = self.known.get_mut(&peer) else { return };
        known.liveness = Liveness::GoneSince(now);
        (known.said, known.is_node) = (None, is_node);
        self.forget_stranger(&peer);
    }

    fn forget_stranger(&mut self, peer: &PeerId) {
        let is_of_use = |known: &Peer| known.is_up() || known.is_asked || known.is_node;
        if !self.known.get(peer).is_some_and(is_of_use) {
            self.known.remove(peer);
        }
    }

    pub(super) fn get(&self, peer: &PeerId) -> Option<&Peer> {
        self.known.get(peer)
    }

    pub(super) fn is_up(&self, peer: &PeerId) -> bool {
        self.known.get(peer).is_some_and(Peer::is_up)
    }

    /// The connected peers of this node's name, with what they said.
    pub(super) fn said(&self) -> impl Iterator<Item = (PeerId, &Said)> {
        self.known.iter().filter_map(|(peer, known)| Some((*peer, known.current()?)))
    }

    /// Whether a connected peer has not said anything yet and may still.
    pub(super) fn has_unheard(&self) -> bool {
        let is_new = |peer: &Peer| peer.is_up() && peer.said.is_none() && peer.silent_count == 0;
        self.known.values().any(is_new)
    }

    /// Since when each known peer is heard, or not.
    pub(super) fn liveness(&self) -> impl Iterator<Item = (PeerId, Liveness)> {
        self.known.iter().map(|(peer, known)| (*peer, known.liveness))
    }

    /// Whether a question to `peer` may be asked now.
    pub(super) fn may_ask(&self, now: Time, peer: &PeerId) -> bool {
        let is_due = |known: &Peer| known.is_up() && !known.is_asked && known.due <= now;
        self.asked_count < ASKS_MAX && self.known.get(peer).is_some_and(is_due)
    }

    fn due(&self, now: Time) -> Vec<PeerId> {
        let room = ASKS_MAX.saturating_sub(self.asked_count);
        let mut due: Vec<_> = self
            .known
            .iter()
            .filter(|(peer, _)| self.may_ask(now, peer))
            .map(|(peer, known)| (known.due, *peer))
            .collect();
        due.sort_unstable();
        due.into_iter().take(room).map(|(_, peer)| peer).collect()
    }

    fn note_asked(&mut self, peer: &PeerId) {
        let known = self.known.get_mut(peer).expect("only known peers are asked");
        assert!(!known.is_asked, "one question to a peer at a time");
        known.is_asked = true;
        self.asked_count += 1;
    }

    /// Notes an answer, or that there is none. Whether one was waited for.
    fn note_answered(&mut self, peer: &PeerId, said: Option<Said>, next: Next) -> bool {
        let Some(known) = self.known.get_mut(peer).filter(|known| known.is_asked) else {
            return false;
        };
        known.is_asked = false;
        self.asked_count -= 1;
        match said {
            Some(said) if known.is_up() => (known.said, known.silent_count) = (Some(said), 0),
            Some(_) => {}
            None => known.silent_count = known.silent_count.saturating_add(1),
        }
        let factor = 1u32 << known.silent_count.min(7);
        known.due = next.now.after((next.interval * factor).min(next.max.max(next.interval)));
        self.forget_stranger(peer);
        true
    }
}

/// When a peer is asked again.
struct Next {
    now: Time,
    interval: std::time::Duration,
    max: std::time::Duration,
}

impl State {
    pub(super) fn handle_peer_down(&mut self, peer: PeerId) {
        let is_node = self.map.as_ref().is_some_and(|map| map.system.nodes.contains_key(&peer));
        self.peers.down(self.now.steady, peer, is_node);
    }

    pub(super) fn ask(&mut self, peer: PeerId, wish: Wish) {
        self.peers.note_asked(&peer);
        let have = self.map.as_ref().map_or(LogIndex::ZERO, |map| map.system.changed);
        let request = Request {
            name: self.config.name.clone(),
            from: self.me.clone(),
            standing: self.standing(),
            have,
            wish,
        };
        self.outputs.push_back(Output::Ask { peer, request: Box::new(request) });
    }

    /// Asks whoever is due how it stands.
    pub(super) fn greet(&mut self) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        let own = self.own_wish();
        for peer in self.peers.due(self.now.steady) {
            let said = self.peers.get(&peer).and_then(Peer::current);
            let network = said.and_then(|said| said.standing.network());
            let is_fellow = network.is_some() && network == self.network;
            let wish = own.clone().filter(|_| is_fellow).unwrap_or(Wish::Greet);
            self.ask(peer, wish);
        }
    }

    pub(super) fn handle_answered(&mut self, peer: PeerId, answer: Option<Box<Answer>>) {
        let said = answer.as_ref().map(|answer| Said {
            standing: answer.standing,
            is_of_name: answer.name == self.config.name,
            admits: answer.admits,
        });
        let timing = &self.config.timing;
        let interval = match self.is_quiet() {
            true => timing.greet_interval,
            false => timing.ask_interval,
        };
        let next = Next { now: self.now.steady, interval, max: timing.silence_max };
        if !self.peers.note_answered(&peer, said, next) {
            return;
        }
        let Some(answer) = answer.filter(|_| said.is_some_and(|said| said.is_of_name)) else {
            return;
        };
        self.follow_leads(&answer);
        match self.phase {
            Phase::Seeking(_) => self.handle_join_answer(peer, *answer),
            Phase::Belonging(_) => self.handle_network_answer(peer, *answer),
            Phase::Founding(_) | Phase::Joining | Phase::Over => {}
        }
    }

    /// Tries to reach those that an answer names, where that is of use.
    fn follow_leads(&mut self, answer: &Answer) {
        let is_seeking = matches!(self.phase, Phase::Seeking(_));
        let is_same = answer.standing.network() == self.network;
        if !is_seeking && !is_same {
            return;
        }
        let unknown = |lead: &&Lead| lead.peer != self.local && !self.peers.is_up(&lead.peer);
        let leads: Vec<_> = answer.leads.iter().filter(unknown).cloned().collect();
        for Lead { peer, addresses } in leads {
            self.outputs.push_back(Output::Dial { peer, addresses });
        }
    }

    /// Connected peers through which `network` can be reached.
    pub(super) fn leads_to(&self, network: NetworkId) -> Vec<Lead> {
        let of_network =
            self.peers.said().filter(|(_, said)| said.standing.network() == Some(network));
        let lead = |(peer, _): (PeerId, &Said)| {
            let addresses = self.peers.get(&peer).map(|known| known.addresses.clone());
            Lead { peer, addresses: addresses.unwrap_or_default() }
        };
        of_network.map(lead).filter(|lead| !lead.addresses.is_empty()).take(LEADS_MAX).collect()
    }
}
