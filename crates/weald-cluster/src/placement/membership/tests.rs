//! The policy: which step comes next, and that it never does what rule C8 forbids.

use proptest::prelude::*;
use weald_core::Digest;

use super::*;

fn peer(i: u8) -> PeerId {
    PeerId::from_digest(Digest::from_bytes([i; 32]))
}

fn peers(list: &[u8]) -> Vec<PeerId> {
    list.iter().map(|i| peer(*i)).collect()
}

/// Members, target and health of one case. Nodes are alive for a long time unless said otherwise.
#[derive(Debug)]
struct Case {
    members: Members,
    target: Placement,
    health: BTreeMap<PeerId, Health>,
    is_changing: bool,
}

const NOW: Time = Time::from_millis(10_000_000);

fn case(voters: &[u8], learners: &[u8], target: &[u8]) -> Case {
    let members = Placement { voters: peers(voters), learners: peers(learners) }.members();
    let target = Placement { voters: peers(target), learners: Vec::new() };
    let alive = Health { liveness: Liveness::AliveSince(Time::ZERO), is_caught_up: true };
    let known = members.voters.iter().chain(&members.learners).chain(&target.voters);
    let health = known.map(|peer| (*peer, alive)).collect();
    Case { members, target, health, is_changing: false }
}

impl Case {
    fn gone(mut self, who: &[u8], seconds: u64) -> Self {
        let since = NOW.before(Duration::from_secs(seconds));
        for id in who {
            let health = Health { liveness: Liveness::GoneSince(since), is_caught_up: true };
            self.health.insert(peer(*id), health);
        }
        self
    }

    fn behind(mut self, who: u8, seconds: u64) -> Self {
        let since = NOW.before(Duration::from_secs(seconds));
        let health = Health { liveness: Liveness::AliveSince(since), is_caught_up: false };
        self.health.insert(peer(who), health);
        self
    }

    fn spare(mut self, learners: &[u8]) -> Self {
        self.target.learners = peers(learners);
        self
    }

    fn proposal(&self) -> Option<Step> {
        let Self { members, target, health, is_changing } = self;
        let situation = Situation { members, target, health, is_changing: *is_changing, now: NOW };
        propose(&Policy::default(), &situation)
    }

    fn check(&self, expect: Option<Step>) {
        assert_eq!(self.proposal(), expect, "{:?} -> {:?}", self.members, self.target);
    }
}

/// Longer than the grace time.
const LONG: u64 = 601;

#[test]
fn a_settled_configuration_is_left_alone() {
    case(&[1, 2, 3], &[], &[1, 2, 3]).check(None);
    case(&[1], &[2], &[1]).spare(&[2]).check(None);
}

#[test]
fn nodes_learn_before_they_vote_and_votes_come_in_pairs() {
    case(&[1], &[], &[1, 2, 3]).check(Some(Step::AddLearner(peer(2))));
    case(&[1], &[2], &[1, 2, 3]).check(Some(Step::AddLearner(peer(3))));
    case(&[1], &[2, 3], &[1, 2, 3]).behind(3, 100).check(None);
    case(&[1], &[2, 3], &[1, 2, 3]).check(Some(Step::Promote([peer(2), peer(3)])));
    case(&[1, 2, 3], &[4, 5], &[1, 2, 3, 4, 5]).check(Some(Step::Promote([peer(4), peer(5)])));
}

#[test]
fn a_node_that_has_just_come_is_not_taken_yet() {
    case(&[1, 2, 3], &[], &[1, 2, 4]).behind(4, 9).check(None);
    case(&[1, 2, 3], &[], &[1, 2, 4]).behind(4, 10).check(Some(Step::AddLearner(peer(4))));
}

#[test]
fn a_vote_moves_once_the_new_voter_is_ready() {
    let replace = Step::Replace { old: peer(3), new: peer(4) };
    case(&[1, 2, 3], &[4], &[1, 2, 4]).check(Some(replace.clone()));
    case(&[1, 2, 3], &[4], &[1, 2, 4]).behind(4, 100).check(None);
    case(&[1, 2, 4], &[3], &[1, 2, 4]).check(Some(Step::Remove(peer(3))));
    case(&[1, 2, 3], &[4], &[1, 2, 3]).spare(&[4]).gone(&[3], LONG).check(Some(replace));
}

#[test]
fn w214_two_dead_of_five_shrink_to_three() {
    let five = || case(&[1, 2, 3, 4, 5], &[], &[1, 2, 3, 4, 5]);
    five().gone(&[4, 5], LONG).check(Some(Step::Shrink([peer(4), peer(5)])));
    five().gone(&[4, 5], 600).check(None);
    five().gone(&[5], LONG).check(None);
    five().gone(&[5], LONG).gone(&[4], 10).check(None);
    let after = Step::Shrink([peer(4), peer(5)]).applied_to(&five().members);
    assert_eq!(after, case(&[1, 2, 3], &[4, 5], &[]).members, "they stay learners");
    // Back again, and behind until they have caught up.
    case(&[1, 2, 3], &[4, 5], &[1, 2, 3, 4, 5]).behind(4, 60).check(None);
    case(&[1, 2, 3], &[4, 5], &[1, 2, 3, 4, 5]).check(Some(Step::Promote([peer(4), peer(5)])));
}

#[test]
fn w215_a_minority_proposes_nothing_and_three_stay_three() {
    case(&[1, 2, 3, 4, 5], &[], &[1, 2, 3]).gone(&[3, 4, 5], LONG).check(None);
    case(&[1, 2, 3], &[], &[1, 2, 3]).gone(&[3], LONG).check(None);
    case(&[1, 2, 3], &[], &[1]).gone(&[3], LONG).check(None);
    case(&[1, 2, 3], &[], &[1]).check(None);
    case(&[1], &[2], &[1]).spare(&[2]).gone(&[2], LONG).check(None);
    case(&[1], &[2], &[1]).spare(&[2]).gone(&[1], LONG).check(None);
}

#[test]
fn w215_help_that_is_on_its_way_is_awaited_but_not_for_ever() {
    let two_dead = || case(&[1, 2, 3, 4, 5], &[6], &[1, 2, 3, 5, 6]).gone(&[4, 5], LONG);
    two_dead().behind(6, 60).check(None);
    two_dead().behind(6, 1800).check(Some(Step::Shrink([peer(4), peer(5)])));
    two_dead().check(Some(Step::Replace { old: peer(4), new: peer(6) }));
}

#[test]
fn fewer_voters_are_made_when_fewer_are_wanted() {
    case(&[1, 2, 3, 4, 5], &[], &[1, 2, 3]).check(Some(Step::Shrink([peer(4), peer(5)])));
    case(&[1, 2, 3], &[4, 5], &[1, 2, 3]).check(Some(Step::Remove(peer(4))));
    case(&[1, 2, 3, 4, 5], &[], &[1]).check(Some(Step::Shrink([peer(2), peer(3)])));
    case(&[1, 2, 3, 4, 5], &[6], &[]).check(None);
}

#[test]
fn one_change_at_a_time() {
    let mut under_way = case(&[1], &[], &[1, 2, 3]);
    under_way.is_changing = true;
    under_way.check(None);
}

#[test]
fn a_node_of_which_nothing_is_known_is_neither_dead_nor_alive() {
    let mut unknown = case(&[1, 2, 3, 4, 5], &[], &[1, 2, 3, 4, 5]).gone(&[4], LONG);
    unknown.health.remove(&peer(5));
    unknown.check(None);
    let mut stranger = case(&[1, 2, 3], &[], &[1, 2, 4]);
    stranger.health.remove(&peer(4));
    stranger.check(None);
}

fn odd_set() -> impl Strategy<Value = Vec<u8>> {
    let ids: Vec<u8> = (1..=8).collect();
    prop::sample::select(vec![1_usize, 3, 5])
        .prop_flat_map(move |count| prop::sample::subsequence(ids.clone(), count))
}

fn any_case() -> impl Strategy<Value = Case> {
    let learners = prop::sample::subsequence((1..=8).collect::<Vec<u8>>(), 0..4);
    let health = proptest::collection::vec((0_usize..3, 0_u64..1200, any::<bool>()), 8);
    (odd_set(), learners, odd_set(), health).prop_map(|(voters, learners, target, health)| {
        let is_learner = |id: &u8| !voters.contains(id);
        let learners: Vec<_> = learners.into_iter().filter(is_learner).collect();
        let mut case = case(&voters, &learners, &target);
        for (id, (kind, seconds, is_caught_up)) in (1..=8).zip(health) {
            let since = NOW.before(Duration::from_secs(seconds));
            let liveness =
                if kind == 0 { Liveness::GoneSince(since) } else { Liveness::AliveSince(since) };
            case.health.insert(peer(id), Health { liveness, is_caught_up });
        }
        case
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn w214_w215_no_step_breaks_the_rules_of_reconfiguration(case in any_case()) {
        let Some(step) = case.proposal() else { return Ok(()) };
        let (before, after) = (&case.members, step.applied_to(&case.members));
        let alive = |peer: &&PeerId| {
            matches!(case.health[*peer].liveness, Liveness::AliveSince(_))
        };
        let has_majority = |members: &Members| {
            members.voters.iter().filter(alive).count() > members.voters.len() / 2
        };
        prop_assert!(has_majority(before) && has_majority(&after), "{:?}", step);
        prop_assert!(after.voters.len() % 2 == 1 && after.voters.len() <= 5);
        prop_assert!(after.voters.len() >= before.voters.len().min(3));
        prop_assert!(after.voters.is_disjoint(&after.learners));
        let gained: Vec<_> = after.voters.difference(&before.voters).collect();
        prop_assert!(gained.iter().all(|peer| before.learners.contains(peer)), "learner first");
        prop_assert!(gained.iter().all(|peer| case.health[*peer].is_caught_up));
        for lost in before.voters.difference(&after.voters) {
            let is_unwanted = !case.target.voters.contains(lost);
            let is_dead = matches!(case.health[lost].liveness, Liveness::GoneSince(since)
                if NOW.since(since) > Policy::default().grace);
            prop_assert!(is_unwanted || is_dead, "{:?}", step);
        }
    }

    /// With everybody alive and catching up, the steps come to an end, and the end is the target
    /// unless that would leave fewer than three voters.
    #[test]
    fn steps_end_at_the_target(voters in odd_set(), target in odd_set()) {
        let mut case = case(&voters, &[], &target);
        let mut step_count = 0;
        while let Some(step) = case.proposal() {
            case.members = step.applied_to(&case.members);
            step_count += 1;
            prop_assert!(step_count <= 20, "no end: {:?}", case.members);
        }
        if target.len() >= voters.len().min(3) {
            prop_assert_eq!(&case.members, &case.target.members());
        } else {
            prop_assert_eq!(case.members.voters.len(), 3);
        }
    }
}
