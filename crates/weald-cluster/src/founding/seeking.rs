//! A node without a network: it joins one, or founds one if it may and finds nobody.

use weald_core::{PeerId, Time};

use super::{
    Answer, JoinRefusal, Lead, NetworkId, Output, Phase, Readiness, Standing, State, Verdict, Wish,
};

/// What a node that looks for a network remembers.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Seeking {
    /// Since when no network was found.
    lonely_since: Time,
    /// Whom it asked last to be let in, and why that was refused.
    asked: Option<(PeerId, Option<JoinRefusal>)>,
    /// Who is said to decide about joining; asked first.
    referred: Option<PeerId>,
    /// When the waited-for network's peers are tried to be reached again.
    dial_due: Time,
}

impl Seeking {
    pub(super) fn new(now: Time) -> Self {
        Self { lonely_since: now, asked: None, referred: None, dial_due: now }
    }
}

impl State {
    /// Whether this node founds a network if it finds none.
    pub(super) fn may_found(&self) -> bool {
        let is_first = self.config.init || self.config.bootstrap.is_empty();
        is_first && self.pin.sought.is_none()
    }

    pub(super) fn seek(&mut self) {
        self.dial_sought();
        let now = self.now.steady;
        let is_of_network = |said: &super::peers::Said| said.standing.network().is_some();
        if self.peers.said().any(|(_, said)| is_of_network(said)) {
            self.seeking().lonely_since = now;
        }
        if let Some(peer) = self.best_network() {
            return self.ask_to_join(peer);
        }
        if self.may_found() && self.is_founder_now() {
            self.become_founding();
        }
    }

    /// Whom to ask to be let in: a node of a network in use before one of a pristine one, the lower
    /// network first, so that all who choose among the same choose the same. Of its nodes, who is
    /// said to decide; otherwise each in turn.
    fn best_network(&self) -> Option<PeerId> {
        let Phase::Seeking(seeking) = &self.phase else { return None };
        let open = self.peers.said().filter_map(|(peer, said)| {
            let is_pristine = matches!(said.standing, Standing::Pristine { .. });
            let is_other = seeking.referred != Some(peer);
            let had_its_turn = seeking.asked.is_some_and(|(asked, _)| peer <= asked);
            Some(((is_pristine, said.standing.open()?, is_other, had_its_turn, peer), peer))
        });
        open.min().map(|(_, peer)| peer)
    }

    fn ask_to_join(&mut self, peer: PeerId) {
        if !self.peers.may_ask(self.now.steady, &peer) {
            return;
        }
        let seeking = self.seeking();
        let refusal = seeking.asked.and_then(|(asked, why)| why.filter(|_| asked == peer));
        seeking.asked = Some((peer, refusal));
        let invitation = self.config.invitation.clone().map(Box::new);
        self.ask(peer, Wish::Join { invitation });
    }

    /// Whether it is time to found: nobody of a network was found for long enough. Of several that
    /// look, the first by peer id does it; the others give it as much time again.
    fn is_founder_now(&self) -> bool {
        let Phase::Seeking(seeking) = &self.phase else { return false };
        let lonely = self.now.steady.since(seeking.lonely_since);
        let patience = self.config.timing.found_after;
        let is_earlier = self.peers.said().any(|(peer, said)| {
            peer < self.local && matches!(said.standing, Standing::Seeking { may_found: true })
        });
        let has_to_wait = is_earlier || self.peers.has_unheard();
        lonely >= patience && (!has_to_wait || lonely >= patience * 2)
    }

    /// What a peer said to the wish to join.
    pub(super) fn handle_join_answer(&mut self, peer: PeerId, answer: Answer) {
        match answer.verdict {
            Verdict::Granted { genesis } => {
                let is_of_name = genesis.name == self.config.name && genesis.check().is_ok();
                if is_of_name && answer.standing.network() == Some(genesis.network()) {
                    self.become_joining(*genesis, peer, answer.map);
                }
            }
            Verdict::Elsewhere { peer } => self.seeking().referred = Some(peer),
            Verdict::Refused(refusal) => {
                let seeking = self.seeking();
                (seeking.asked, seeking.referred) = (Some((peer, Some(refusal))), None);
            }
            Verdict::Later => self.seeking().referred = None,
            Verdict::Greeted => {}
        }
    }

    /// A node whose former network has joined another knows where that was met.
    fn dial_sought(&mut self) {
        let now = self.now.steady;
        let interval = self.config.timing.greet_interval;
        let Some(sought) = self.pin.sought.clone() else { return };
        if self.seeking().dial_due > now {
            return;
        }
        self.seeking().dial_due = now.after(interval);
        let leads: Vec<Lead> = sought.leads;
        for Lead { peer, addresses } in leads {
            if !self.peers.is_up(&peer) {
                self.outputs.push_back(Output::Dial { peer, addresses });
            }
        }
    }

    pub(super) fn seeking_readiness(&self, seeking: &Seeking) -> Readiness {
        match seeking.asked {
            Some((peer, Some(refusal))) => return Readiness::Refused { peer, refusal },
            Some((peer, None)) if self.peers.is_up(&peer) => return Readiness::Joining { peer },
            _ => {}
        }
        let sought = self.pin.sought.as_ref();
        let network = sought.map(|sought| describe(sought.network));
        let met = sought.into_iter().flat_map(|sought| &sought.leads);
        let addresses = met.flat_map(|lead| &lead.addresses).chain(&self.config.bootstrap);
        let whom = match self.may_found() {
            true => Vec::new(),
            false => network.into_iter().chain(addresses.cloned()).collect(),
        };
        Readiness::Seeking { whom }
    }

    fn seeking(&mut self) -> &mut Seeking {
        match &mut self.phase {
            Phase::Seeking(seeking) => seeking,
            other => unreachable!("only a node that looks for a network does this: {other:?}"),
        }
    }
}

fn describe(network: NetworkId) -> String {
    format!("network {network}")
}
