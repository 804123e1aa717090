//! One partition that grows, shrinks and is repaired, change by change.

use std::time::Duration;

use weald_core::{Digest, LogIndex, NodeRecord, StoreId, SystemState};

use super::*;
use crate::{
    founding::{Genesis, Introduction},
    partition::Dissolution,
};

const PARTITION: PartitionId = PartitionId(1);
const GRACE: Duration = Duration::from_secs(600);

fn peer(id: u8) -> PeerId {
    PeerId::from_digest(Digest::from_bytes([id; 32]))
}

/// A partition, the nodes of its network, and who of them is heard.
struct Site {
    map: Map,
    configuration: Configuration,
    liveness: BTreeMap<PeerId, Liveness>,
    /// Members whose logs are not complete.
    behind: BTreeSet<PeerId>,
    now: Time,
    /// All lives that were ever given.
    lives: BTreeSet<Member>,
}

impl Site {
    fn new(k: u8, nodes: u8) -> Self {
        let public_key = weald_core::identity::PublicKey::from_bytes([1; 32]);
        let store = StoreId([1; 16]);
        let founder = Introduction { store, public_key, weight: 100, domain: String::new() };
        let genesis = Genesis {
            name: "weald".to_owned(),
            founder,
            nonce: [0; 16],
            founded_at: Time::ZERO,
            partition_count: 4,
            responsibility_k: k.try_into().unwrap(),
            admission: weald_core::AdmissionPolicy::Nearby,
            level: weald_core::FeatureLevel::NEWEST,
        };
        let system = SystemState { responsibility: u32::from(k), ..SystemState::default() };
        let first = Member { peer: peer(1), store: StoreId([1; 16]), life: 0 };
        let mut site = Self {
            map: Map { genesis, system },
            configuration: Configuration::founding([first], []).unwrap(),
            liveness: BTreeMap::new(),
            behind: BTreeSet::new(),
            now: Time::from_millis(10_000_000),
            lives: BTreeSet::from([first]),
        };
        (1..=nodes).for_each(|id| site.join(id, id));
        site
    }

    /// A node is listed, with a disk, and has been heard for long.
    fn join(&mut self, id: u8, disk: u8) {
        let record = NodeRecord {
            store: StoreId([disk; 16]),
            weight: 100,
            domain: String::new(),
            standing: NodeStanding::Up,
            public_key: bytes::Bytes::new(),
        };
        self.map.system.nodes.insert(peer(id), record);
        self.map.system.changed = LogIndex(self.map.system.changed.0 + 1);
        self.liveness.insert(peer(id), Liveness::AliveSince(Time::ZERO));
    }

    fn list(&mut self, id: u8, standing: NodeStanding) {
        self.map.system.nodes.get_mut(&peer(id)).unwrap().standing = standing;
    }

    fn fall_silent(&mut self, id: u8) {
        self.liveness.insert(peer(id), Liveness::GoneSince(self.now));
    }

    fn next(&self) -> Option<Change> {
        let is_behind = |member: &Member| self.behind.contains(&member.peer);
        let view = PartitionView {
            member: Member { peer: peer(1), store: StoreId([1; 16]), life: 0 },
            configuration: self.configuration.clone(),
            is_coordinator: true,
            coordinator: Some(peer(1)),
            may_change: true,
            caught_up: self.configuration.members().filter(|m| !is_behind(m)).collect(),
            is_amnesiac: false,
            dissolution: Dissolution::default(),
        };
        let policy = Policy::default();
        Outlook::new(&self.map, &self.liveness, &policy, self.now).next_change(PARTITION, &view)
    }

    /// Takes a change in as the log would, and swaps lives as a coordinator does.
    fn take(&mut self, change: &Change) {
        let mut learners = self.configuration.learners.clone();
        self.configuration = match change {
            Change::AddLearner(member) => {
                assert!(self.lives.insert(*member), "no life is given twice: {member}");
                learners.insert(*member);
                self.configuration.with_learners(learners)
            }
            Change::RemoveLearner(member) => {
                assert!(learners.remove(member));
                self.configuration.with_learners(learners)
            }
            Change::SetVoters(voters) => self.configuration.joint(voters.clone()).settled(),
        };
        self.configuration.check().unwrap();
        let twin = |voter: &Member| {
            let mut learners = self.configuration.learners.iter();
            let of_peer = learners.find(|l| l.peer == voter.peer && l.life > voter.life);
            of_peer.filter(|learner| !self.behind.contains(&learner.peer)).copied()
        };
        let voters: BTreeSet<_> =
            self.configuration.voters.iter().map(|v| twin(v).unwrap_or(*v)).collect();
        if voters != self.configuration.voters {
            self.configuration = self.configuration.joint(voters).settled();
        }
    }

    /// Changes until nothing is left to do; how many it took.
    fn settle(&mut self) -> usize {
        for count in 0..50 {
            match self.next() {
                Some(change) => self.take(&change),
                None => return count,
            }
        }
        panic!("it never ends: {:?}", self.configuration);
    }

    fn voters(&self) -> Vec<PeerId> {
        self.configuration.voters.iter().map(|member| member.peer).collect()
    }

    fn learners(&self) -> Vec<PeerId> {
        self.configuration.learners.iter().map(|member| member.peer).collect()
    }
}

#[test]
fn a_partition_grows_with_its_network_from_one_voter_to_three_to_five() {
    let mut site = Site::new(5, 1);
    assert_eq!(site.settle(), 0);
    for (node, voters, learners) in [(2, 1, 1), (3, 3, 0), (4, 3, 1), (5, 5, 0), (6, 5, 0)] {
        site.join(node, node);
        site.settle();
        assert_eq!(site.voters().len(), voters, "with {node} nodes");
        assert_eq!(site.learners().len(), learners, "with {node} nodes");
    }
}

#[test]
fn r32_of_two_nodes_the_first_keeps_the_vote_whatever_placement_prefers() {
    for id in 2..40 {
        let mut site = Site::new(3, 1);
        site.join(id, id);
        site.settle();
        assert_eq!((site.voters(), site.learners()), (vec![peer(1)], vec![peer(id)]));
        site.fall_silent(id);
        site.now = site.now.after(GRACE * 2);
        assert_eq!(site.next(), None, "the second's end changes nothing");
    }
}

#[test]
fn where_one_voter_is_wanted_partitions_spread_over_the_nodes() {
    let moved = (2..40).filter(|id| {
        let mut site = Site::new(1, 1);
        site.join(*id, *id);
        site.settle();
        assert_eq!(site.configuration.members().count(), 1);
        site.voters() == [peer(*id)]
    });
    let moved = moved.count();
    assert!((8..30).contains(&moved), "about half of them move: {moved} of 38");
}

#[test]
fn a_learner_that_has_not_caught_up_gets_no_vote() {
    let mut site = Site::new(3, 3);
    site.behind.insert(peer(3));
    site.settle();
    assert_eq!((site.voters().len(), site.learners().len()), (1, 2));
    site.behind.clear();
    site.settle();
    assert_eq!(site.voters().len(), 3);
}

#[test]
fn a_node_that_is_given_up_is_replaced_by_another() {
    let mut site = Site::new(3, 4);
    site.settle();
    let dead = *site.voters().iter().find(|voter| **voter != peer(1)).unwrap();
    let spare = (1..=4).map(peer).find(|p| !site.voters().contains(p)).unwrap();
    site.liveness.insert(dead, Liveness::GoneSince(site.now));
    assert_eq!(site.next(), None, "within the grace time nothing moves");
    site.now = site.now.after(GRACE * 2);
    site.map.system.nodes.get_mut(&dead).unwrap().standing = NodeStanding::Gone;
    site.settle();
    assert!(site.voters().contains(&spare) && !site.voters().contains(&dead));
    assert_eq!(site.voters().len(), 3);
}

#[test]
fn a_drained_node_holds_nothing_once_others_do() {
    let mut site = Site::new(3, 4);
    site.settle();
    let drained = (2..=4).find(|id| site.voters().contains(&peer(*id))).unwrap();
    site.list(drained, NodeStanding::Draining);
    site.settle();
    assert!(site.configuration.members().all(|member| member.peer != peer(drained)));
    assert_eq!(site.voters().len(), 3);
}

#[test]
fn a_sole_vote_moves_when_its_holder_is_drained() {
    let mut site = Site::new(3, 2);
    site.settle();
    site.list(1, NodeStanding::Draining);
    site.settle();
    assert_eq!((site.voters(), site.learners()), (vec![peer(2)], vec![]));
}

#[test]
fn r16_a_node_with_another_disk_comes_back_under_the_next_life() {
    let mut site = Site::new(3, 3);
    site.settle();
    site.join(2, 99);
    let Some(Change::AddLearner(member)) = site.next() else { panic!("a learner first") };
    assert_eq!(member.store, StoreId([99; 16]));
    let before = site.configuration.members().find(|m| m.peer == peer(2)).unwrap();
    assert!(member.life > before.life);
    site.behind.insert(peer(2));
    site.take(&Change::AddLearner(member));
    assert_eq!(site.next(), None, "the coordinator swaps the lives when it has caught up");
    site.behind.clear();
    site.take(&Change::AddLearner(Member { life: 900, ..member }));
    assert_eq!(site.configuration.voters.len(), 3);
    assert!(!site.configuration.contains(&before));
}

#[test]
fn a_second_life_that_dies_is_given_up_so_that_another_node_can_step_in() {
    let mut site = Site::new(3, 4);
    site.settle();
    let lost = (2..=4).find(|id| site.voters().contains(&peer(*id))).unwrap();
    site.behind.insert(peer(lost));
    site.join(lost, 99);
    let change = site.next().unwrap();
    site.take(&change);
    site.fall_silent(lost);
    assert_eq!(site.next(), None);
    site.now = site.now.after(GRACE * 2);
    site.list(lost, NodeStanding::Gone);
    site.settle();
    assert_eq!(site.voters().len(), 3);
    assert!(site.configuration.members().all(|member| member.peer != peer(lost)));
}

#[test]
fn a_member_that_was_removed_comes_back_under_a_higher_life() {
    let mut site = Site::new(3, 4);
    site.settle();
    let drained = (2..=4).find(|id| site.voters().contains(&peer(*id))).unwrap();
    let life = |site: &Site| {
        let members = site.configuration.members().filter(|m| m.peer == peer(drained));
        members.map(|member| member.life).max()
    };
    let before = life(&site).unwrap();
    site.list(drained, NodeStanding::Draining);
    site.settle();
    assert_eq!(life(&site), None);
    site.list(drained, NodeStanding::Up);
    site.settle();
    assert!(life(&site).unwrap() > before);
}

#[test]
fn who_does_not_coordinate_or_is_changing_proposes_nothing() {
    let site = Site::new(3, 3);
    let view = |is_coordinator, may_change| PartitionView {
        member: Member { peer: peer(1), store: StoreId([1; 16]), life: 0 },
        configuration: site.configuration.clone(),
        is_coordinator,
        coordinator: None,
        may_change,
        caught_up: BTreeSet::new(),
        is_amnesiac: false,
        dissolution: Dissolution::default(),
    };
    let policy = Policy::default();
    let outlook = Outlook::new(&site.map, &site.liveness, &policy, site.now);
    assert!(outlook.next_change(PARTITION, &view(true, true)).is_some());
    assert_eq!(outlook.next_change(PARTITION, &view(false, true)), None);
    assert_eq!(outlook.next_change(PARTITION, &view(true, false)), None);
}
