//! Whom to dial, and when again.
//!
//! Pure: time comes in as a value and chance as a seed. A target is dialled until its peer is
//! connected; each failure doubles the pause. When a connected peer is lost, dialling starts afresh.
//!
//! Seeds stay for good. All other targets are what peers have told, who may be anybody: an address at which nobody is
//! met is let go, and where there is no room for another the one that has failed most makes it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};
use weald_core::Digest;

use super::address::peer_of;
use crate::config::Redial;
use crate::identity;
use crate::limits::{
    DIALS_MIN, KEPT_PEERS_MAX, KNOWN_FAILURES_MAX, LEAD_FAILURES_MAX, PEER_ADDRESSES_MAX,
    SEEDS_MAX, STRANGER_PAUSE, STRANGERS_MAX,
};

/// Somebody to stay connected to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// Whoever is at this address.
    Address(Multiaddr),
    /// This peer, wherever it is.
    Peer(PeerId),
}

/// One dial to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dial {
    pub(super) target: Target,
    pub(super) peer: Option<PeerId>,
    pub(super) addresses: Vec<Multiaddr>,
}

/// The targets and what is known of each.
#[derive(Debug)]
pub(super) struct Dialer {
    redial: Redial,
    seed: u64,
    draw_count: u64,
    targets: BTreeMap<Target, Standing>,
    dialling: BTreeMap<ConnectionId, Target>,
    /// Peers of other networks, and until when they are not dialled.
    strangers: BTreeMap<PeerId, Instant>,
}

#[derive(Debug)]
struct Standing {
    /// Who the target is, or who answered last at an address.
    peer: Option<PeerId>,
    addresses: Vec<Multiaddr>,
    state: State,
    failure_count: u32,
    /// It stays, however often it fails.
    is_seed: bool,
    /// A peer of this network was met there.
    was_connected: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting {
        until: Instant,
    },
    Dialling,
    Connected,
    /// The address leads to this node itself.
    Own,
}

impl Dialer {
    pub(super) const fn new(redial: Redial, seed: u64) -> Self {
        Self {
            redial,
            seed,
            draw_count: 0,
            targets: BTreeMap::new(),
            dialling: BTreeMap::new(),
            strangers: BTreeMap::new(),
        }
    }

    /// Adds an address to stay connected to for good.
    pub(super) fn add_seed(&mut self, address: Multiaddr, now: Instant) {
        let peer = peer_of(&address);
        let standing = Standing::new(peer, vec![address.clone()], now);
        self.targets.insert(Target::Address(address), Standing { is_seed: true, ..standing });
    }

    /// Adds an address to stay connected to as long as it leads to somebody, or asks for it again at once; `false`
    /// when there are [`SEEDS_MAX`] that do, or have not been tried.
    pub(super) fn add_lead(&mut self, address: Multiaddr, now: Instant) -> bool {
        let target = Target::Address(address.clone());
        if let Some(standing) = self.targets.get_mut(&target) {
            standing.hurry(now);
            return true;
        }
        if !self.make_room(|target| matches!(target, Target::Address(_)), SEEDS_MAX) {
            return false;
        }
        let peer = peer_of(&address);
        self.targets.insert(target, Standing::new(peer, vec![address], now));
        true
    }

    /// Adds a peer to stay connected to, or an address of one; the newest addresses come first.
    /// Peers beyond [`KEPT_PEERS_MAX`] are taken in the place of those that fail.
    pub(super) fn add_peer(&mut self, peer: PeerId, addresses: &[Multiaddr], now: Instant) {
        if self.strangers.get(&peer).is_some_and(|until| now < *until) {
            return;
        }
        let target = Target::Peer(peer);
        let is_peer = |target: &Target| matches!(target, Target::Peer(_));
        if !self.targets.contains_key(&target)
            && (addresses.is_empty() || !self.make_room(is_peer, KEPT_PEERS_MAX))
        {
            return;
        }
        let standing =
            self.targets.entry(target).or_insert_with(|| Standing::new(Some(peer), vec![], now));
        let old = std::mem::take(&mut standing.addresses);
        for address in addresses.iter().cloned().chain(old) {
            if standing.addresses.len() < PEER_ADDRESSES_MAX
                && !standing.addresses.contains(&address)
            {
                standing.addresses.push(address);
            }
        }
    }

    /// The dials to begin now. Each is told of with [`Dialer::began`].
    pub(super) fn due(&self, now: Instant) -> Vec<Dial> {
        let dial = |(target, standing): (&Target, &Standing)| Dial {
            target: target.clone(),
            peer: match target {
                Target::Peer(peer) => Some(*peer),
                Target::Address(address) => peer_of(address),
            },
            addresses: standing.addresses.clone(),
        };
        let is_due = |standing: &Standing| match standing.state {
            State::Waiting { until } => until <= now,
            State::Dialling | State::Connected | State::Own => false,
        };
        self.targets.iter().filter(|(_, standing)| is_due(standing)).map(dial).collect()
    }

    /// A dial is under way.
    pub(super) fn began(&mut self, target: Target, connection: ConnectionId) {
        if let Some(standing) = self.targets.get_mut(&target) {
            standing.state = State::Dialling;
            self.dialling.insert(connection, target);
        }
    }

    /// A connection failed, or ended before its peer was of use; `true` if it was a dial of a target.
    pub(super) fn failed(&mut self, connection: ConnectionId, now: Instant) -> bool {
        let Some(target) = self.dialling.remove(&connection) else { return false };
        self.pause(&target, Duration::ZERO, now);
        true
    }

    /// Somebody is not of this network: it is let go, and its address left for a while.
    pub(super) fn foreign(&mut self, peer: PeerId, now: Instant) {
        for target in self.targets_of(peer) {
            self.dialling.retain(|_, dialled| *dialled != target);
            match target {
                Target::Peer(_) => drop(self.targets.remove(&target)),
                Target::Address(_) => self.pause(&target, STRANGER_PAUSE, now),
            }
        }
        if self.strangers.len() >= STRANGERS_MAX {
            self.strangers.retain(|_, until| now < *until);
        }
        if self.strangers.len() < STRANGERS_MAX {
            self.strangers.insert(peer, now + STRANGER_PAUSE);
        }
    }

    /// A dial led to this node itself: it is not repeated.
    pub(super) fn own(&mut self, connection: ConnectionId) {
        let Some(target) = self.dialling.remove(&connection) else { return };
        if let Some(standing) = self.targets.get_mut(&target) {
            standing.state = State::Own;
        }
    }

    /// A dial has met a peer; whether it is of use shows later.
    pub(super) fn met(&mut self, connection: ConnectionId, peer: PeerId) {
        let Some(target) = self.dialling.get(&connection) else { return };
        if let Some(standing) = self.targets.get_mut(target) {
            standing.peer = Some(peer);
        }
    }

    /// A peer is connected, whoever dialled.
    pub(super) fn connected(&mut self, peer: PeerId) {
        for target in self.targets_of(peer) {
            self.dialling.retain(|_, dialled| *dialled != target);
            let standing = self.targets.get_mut(&target).expect("listed a line above");
            standing.state = State::Connected;
            standing.failure_count = 0;
            standing.was_connected = true;
        }
    }

    /// A peer was lost. Who loses one another at once does not dial at once, too.
    pub(super) fn disconnected(&mut self, peer: PeerId, now: Instant) {
        for target in self.targets_of(peer) {
            let until = now + self.jittered(self.redial.first);
            let standing = self.targets.get_mut(&target).expect("listed a line above");
            if standing.state == State::Connected {
                standing.state = State::Waiting { until };
            }
        }
    }

    /// Asks for a peer soon: somebody wants to talk to it.
    pub(super) fn wanted(&mut self, peer: weald_core::PeerId, now: Instant) {
        for standing in self.targets.values_mut() {
            if standing.peer.as_ref().and_then(identity::peer_id) == Some(peer) {
                standing.hurry(now);
            }
        }
    }

    /// Lets go of the worst target of a kind where there are so many; `false` when all are of use or have not been
    /// tried.
    fn make_room(&mut self, is_of_kind: impl Fn(&Target) -> bool, count_max: usize) -> bool {
        let of_kind = || self.targets.iter().filter(|(target, _)| is_of_kind(target));
        if of_kind().count() < count_max {
            return true;
        }
        let useless = of_kind().filter(|(_, standing)| standing.is_useless());
        let worst = useless.max_by_key(|(_, standing)| standing.badness());
        let worst = worst.map(|(target, _)| target.clone());
        worst.is_some_and(|worst| self.targets.remove(&worst).is_some())
    }

    fn targets_of(&self, peer: PeerId) -> Vec<Target> {
        self.targets
            .iter()
            .filter(|(_, standing)| standing.peer == Some(peer))
            .map(|(target, _)| target.clone())
            .collect()
    }

    fn pause(&mut self, target: &Target, least: Duration, now: Instant) {
        let longest = match target {
            Target::Address(_) => self.redial.seed_max,
            Target::Peer(_) => self.redial.known_max,
        };
        let Some(standing) = self.targets.get_mut(target) else { return };
        if matches!(standing.state, State::Connected | State::Own) {
            return;
        }
        let doublings = standing.failure_count.min(20);
        standing.failure_count += 1;
        if matches!(target, Target::Address(_)) && standing.is_lost() {
            self.targets.remove(target);
            return;
        }
        let pause = self.redial.first.saturating_mul(1 << doublings).min(longest).max(least);
        let until = now + self.jittered(pause);
        self.targets.get_mut(target).expect("found above").state = State::Waiting { until };
    }

    /// Between half of `pause` and all of it.
    fn jittered(&mut self, pause: Duration) -> Duration {
        self.draw_count += 1;
        let parts = [self.seed.to_le_bytes(), self.draw_count.to_le_bytes()];
        let drawn =
            u16::from_le_bytes(Digest::of("weald redial", &[&parts[0], &parts[1]]).prefix());
        pause / 2 + (pause / 2).mul_f64(f64::from(drawn) / f64::from(u16::MAX))
    }
}

impl Standing {
    const fn new(peer: Option<PeerId>, addresses: Vec<Multiaddr>, now: Instant) -> Self {
        let state = State::Waiting { until: now };
        Self { peer, addresses, state, failure_count: 0, is_seed: false, was_connected: false }
    }

    /// Whether it has failed so often that it is let go.
    fn is_lost(&self) -> bool {
        let failures_max = if self.was_connected { KNOWN_FAILURES_MAX } else { LEAD_FAILURES_MAX };
        !self.is_seed && self.failure_count >= failures_max
    }

    /// Whether it may make room for another.
    fn is_useless(&self) -> bool {
        let has_failed = match self.state {
            State::Own => true,
            State::Connected => false,
            State::Waiting { .. } | State::Dialling => self.failure_count >= DIALS_MIN,
        };
        has_failed && !self.is_seed
    }

    /// The highest makes room first.
    fn badness(&self) -> (bool, bool, u32) {
        (self.state == State::Own, !self.was_connected, self.failure_count)
    }

    /// Who waits for long waits no longer; a target that fails again and again keeps its pauses.
    fn hurry(&mut self, now: Instant) {
        if let State::Waiting { until } = &mut self.state
            && self.failure_count < 3
        {
            *until = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(200);

    fn dialer() -> Dialer {
        Dialer::new(Redial::default(), 1)
    }

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
    }

    fn connection(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    /// Begins the one dial that is due.
    fn begin(dialer: &mut Dialer, number: usize, now: Instant) {
        let mut due = dialer.due(now);
        assert_eq!(due.len(), 1);
        dialer.began(due.remove(0).target, connection(number));
    }

    #[test]
    fn failures_double_the_pause_up_to_the_longest() {
        let (mut dialer, mut now) = (dialer(), Instant::now());
        assert!(dialer.add_lead(address(1), now));
        let mut ceiling = FIRST;
        for number in 0..10 {
            begin(&mut dialer, number, now);
            assert!(dialer.due(now + Duration::from_secs(60)).is_empty(), "it is being dialled");
            assert!(dialer.failed(connection(number), now));
            assert!(dialer.due(now + ceiling / 2 - Duration::from_millis(1)).is_empty());
            now += ceiling;
            ceiling = (ceiling * 2).min(Redial::default().seed_max);
        }
    }

    #[test]
    fn a_connected_peer_is_not_dialled_until_it_is_lost() {
        let (mut dialer, now) = (dialer(), Instant::now());
        let peer = PeerId::random();
        assert!(dialer.add_lead(address(1), now));
        begin(&mut dialer, 1, now);
        dialer.met(connection(1), peer);
        dialer.connected(peer);
        let later = now + Duration::from_secs(600);
        assert!(dialer.due(later).is_empty());
        assert!(!dialer.failed(connection(1), later), "the dial is over");
        dialer.disconnected(peer, later);
        assert!(dialer.due(later).is_empty());
        assert_eq!(dialer.due(later + FIRST).len(), 1);
    }

    #[test]
    fn a_dial_to_a_peer_that_is_of_no_use_counts_as_failed() {
        let (mut dialer, now) = (dialer(), Instant::now());
        let peer = PeerId::random();
        assert!(dialer.add_lead(address(1), now));
        begin(&mut dialer, 1, now);
        dialer.met(connection(1), peer);
        dialer.foreign(peer, now);
        assert!(dialer.due(now + STRANGER_PAUSE / 2 - FIRST).is_empty());
        assert_eq!(dialer.due(now + STRANGER_PAUSE).len(), 1);
        assert!(!dialer.failed(connection(1), now), "the pause is not cut short");
        dialer.add_peer(peer, &[address(2)], now);
        assert_eq!(dialer.due(now + STRANGER_PAUSE).len(), 1, "a stranger is no peer to stay with");
        dialer.add_peer(peer, &[address(2)], now + STRANGER_PAUSE);
        assert_eq!(dialer.due(now + STRANGER_PAUSE).len(), 2);
    }

    #[test]
    fn the_own_address_is_left_alone() {
        let (mut dialer, now) = (dialer(), Instant::now());
        assert!(dialer.add_lead(address(1), now));
        begin(&mut dialer, 1, now);
        dialer.own(connection(1));
        assert!(dialer.due(now + Duration::from_secs(600)).is_empty());
    }

    #[test]
    fn a_known_peer_is_dialled_at_its_newest_addresses_first() {
        let (mut dialer, now) = (dialer(), Instant::now());
        let peer = PeerId::random();
        dialer.add_peer(peer, &[address(1), address(2)], now);
        dialer.add_peer(peer, &[address(3), address(1)], now);
        let due = dialer.due(now);
        assert_eq!(due[0].peer, Some(peer));
        assert_eq!(due[0].addresses, [address(3), address(1), address(2)]);
        let many: Vec<_> = (10..30).map(address).collect();
        dialer.add_peer(peer, &many, now);
        assert_eq!(dialer.due(now)[0].addresses, many[..PEER_ADDRESSES_MAX]);
    }

    #[test]
    fn targets_are_bounded() {
        let (mut dialer, now) = (dialer(), Instant::now());
        (0..2 * KEPT_PEERS_MAX).for_each(|_| dialer.add_peer(PeerId::random(), &[address(1)], now));
        assert_eq!(dialer.due(now).len(), KEPT_PEERS_MAX);
        let ports = 1..=u16::try_from(SEEDS_MAX).unwrap();
        assert!(ports.clone().all(|port| dialer.add_lead(address(port), now)));
        assert!(!dialer.add_lead(address(9999), now), "none has been tried");
        assert!(dialer.add_lead(address(1), now), "it is known");
    }

    /// Dials all that is due, in vain, so many times; the time after that.
    fn fail(dialer: &mut Dialer, times: u32, mut now: Instant) -> Instant {
        for _ in 0..times {
            for (number, dial) in dialer.due(now).into_iter().enumerate() {
                dialer.began(dial.target, connection(number));
                dialer.failed(connection(number), now);
            }
            now += Redial::default().known_max;
        }
        now
    }

    #[test]
    fn an_address_that_leads_to_nobody_is_let_go_and_a_seed_is_not() {
        let (mut dialer, now) = (dialer(), Instant::now());
        dialer.add_seed(address(1), now);
        assert!(dialer.add_lead(address(2), now));
        let now = fail(&mut dialer, LEAD_FAILURES_MAX - 1, now);
        assert_eq!(dialer.due(now).len(), 2);
        let now = fail(&mut dialer, 1, now);
        let due = |dialer: &Dialer, now| {
            dialer.due(now).into_iter().map(|dial| dial.target).collect::<Vec<_>>()
        };
        assert_eq!(due(&dialer, now), [Target::Address(address(1))]);
        assert!(dialer.add_lead(address(1), now), "a seed that is told stays a seed");
        let now = fail(&mut dialer, KNOWN_FAILURES_MAX + 1, now);
        assert_eq!(due(&dialer, now), [Target::Address(address(1))]);
        assert!(dialer.dialling.is_empty());
    }

    #[test]
    fn an_address_at_which_a_peer_was_met_is_kept_for_longer() {
        let (mut dialer, now, peer) = (dialer(), Instant::now(), PeerId::random());
        assert!(dialer.add_lead(address(1), now));
        begin(&mut dialer, 1, now);
        dialer.met(connection(1), peer);
        dialer.connected(peer);
        dialer.disconnected(peer, now);
        let now = fail(&mut dialer, LEAD_FAILURES_MAX + 1, now + FIRST);
        assert_eq!(dialer.due(now).len(), 1);
        let now = fail(&mut dialer, KNOWN_FAILURES_MAX, now);
        assert!(dialer.due(now).is_empty());
    }

    #[test]
    fn the_worst_address_makes_room_for_another_and_what_is_connected_does_not() {
        let (mut dialer, now, peer) = (dialer(), Instant::now(), PeerId::random());
        let known = address(1).with(libp2p::multiaddr::Protocol::P2p(peer));
        assert!(dialer.add_lead(known.clone(), now));
        dialer.connected(peer);
        dialer.add_seed(address(2), now);
        let ports = 3..=u16::try_from(SEEDS_MAX).unwrap();
        assert!(ports.clone().all(|port| dialer.add_lead(address(port), now)));
        let now = fail(&mut dialer, DIALS_MIN, now);
        for port in ports.clone() {
            assert!(dialer.add_lead(address(port + 1000), now));
        }
        assert!(!dialer.add_lead(address(9999), now), "the new ones have not been tried");
        assert_eq!(dialer.targets.len(), SEEDS_MAX);
        let stay = [known, address(2)].map(Target::Address);
        assert!(stay.iter().all(|target| dialer.targets.contains_key(target)));
    }

    #[test]
    fn a_peer_that_fails_makes_room_for_another_and_is_not_let_go_otherwise() {
        let (mut dialer, now, peer) = (dialer(), Instant::now(), PeerId::random());
        let strangers: Vec<_> = (0..KEPT_PEERS_MAX).map(|_| PeerId::random()).collect();
        strangers.iter().for_each(|stranger| dialer.add_peer(*stranger, &[address(1)], now));
        let now = fail(&mut dialer, 2 * LEAD_FAILURES_MAX, now);
        assert_eq!(dialer.due(now).len(), KEPT_PEERS_MAX);
        dialer.add_peer(peer, &[address(1)], now);
        assert!(dialer.targets.contains_key(&Target::Peer(peer)));
        assert_eq!(dialer.targets.len(), KEPT_PEERS_MAX);
    }
}
