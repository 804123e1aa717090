//! What apply looks at is in the log: settings, and the state of the system partition.

use weald_core::{
    AdmissionPolicy, FeatureLevel, KeyBounds, NodeRecord, NodeStanding, PeerId, Settings, StoreId,
    SystemChange, SystemEntry,
};

use super::{bank::Site, *};

fn change(decided: u64, changes: Vec<SettingsChange>) -> Payload {
    Payload::Settings(SettingsEntry { decided: LogIndex(decided), changes })
}

fn system(based_on: u64, changes: Vec<SystemChange>) -> Payload {
    Payload::System(SystemEntry { based_on: LogIndex(based_on), changes })
}

fn key(number: u64) -> PlacementKey {
    PlacementKey::from_u64(number)
}

fn peer(byte: u8) -> PeerId {
    PeerId::from_digest(Digest::from_bytes([byte; 32]))
}

fn node(standing: NodeStanding) -> NodeRecord {
    NodeRecord {
        store: StoreId([1; 16]),
        weight: 100,
        domain: "rack-1".to_owned(),
        standing,
        public_key: Bytes::from_static(&[2; 32]),
    }
}

#[test]
fn every_partition_begins_with_the_same_settings() {
    let settings = Partition::new(PartitionId(3)).settings().clone();
    assert_eq!(settings, Settings::default());
    assert_eq!(settings.level, FeatureLevel::FIRST);
    let names: Vec<_> = settings.types.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["diary", "topic", "tree"]);
}

#[test]
fn w226_the_feature_level_rises_and_never_falls() {
    let mut site = Site::empty(1);
    site.apply(1, change(0, vec![SettingsChange::Level(FeatureLevel(7))]));
    site.apply(2, change(0, vec![SettingsChange::Level(FeatureLevel(3))]));
    assert_eq!(site.partition.settings().level, FeatureLevel(7));
}

#[test]
fn settings_change_as_a_whole_and_not_by_what_was_decided_before() {
    let mut site = Site::empty(1);
    let policy = |value: &'static str| SettingsChange::Policy {
        name: "p".to_owned(),
        value: Some(Bytes::from_static(value.as_bytes())),
    };
    site.apply(1, change(8, vec![policy("new")]));
    let refused = site.apply(2, change(7, vec![policy("old")])).refusal;
    let superseded = Rejection::Superseded { based_on: LogIndex(7), changed: LogIndex(8) };
    assert_eq!(refused, Some(superseded));
    let zero = ApplyLimits { results_max: 0, ..ApplyLimits::default() };
    let both = vec![policy("half"), SettingsChange::Limits(zero)];
    assert!(site.apply(3, change(9, both)).refusal.is_some());
    let settings = site.partition.settings();
    assert_eq!((settings.decided, &settings.policies["p"][..]), (LogIndex(8), &b"new"[..]));
    let huge = Bytes::from(vec![0; weald_core::limits::POLICY_BYTES_MAX + 1]);
    let huge = SettingsChange::Policy { name: "q".to_owned(), value: Some(huge) };
    let refused = site.apply(4, change(9, vec![huge])).refusal;
    assert!(matches!(refused, Some(Rejection::TooLarge { .. })));
    let gone = SettingsChange::Policy { name: "p".to_owned(), value: None };
    site.apply(5, change(9, vec![gone]));
    assert!(site.partition.settings().policies.is_empty());
}

#[test]
fn r29_members_with_other_bounds_of_their_own_apply_alike() {
    let strict = PartitionLimits { results_max: 1, ..PartitionLimits::default() };
    let wide = PartitionLimits::default();
    let mut members = [bench(), bench()];
    for (at, byte) in (1..).zip([1, 2, 3]) {
        let outcomes = members.each_mut().map(|member| member.apply(at, put(byte, 1_000, "x")));
        assert_eq!(outcomes[0], outcomes[1]);
    }
    let [one, other] = &members;
    assert_eq!(one.partition.effect_hash(), other.partition.effect_hash());
    let fresh = put(9, 1_000, "y");
    let refused = one.partition.admit(&fresh, &strict);
    assert_eq!(refused, Err(Rejection::Busy { what: "results".to_owned(), max: 1 }));
    assert_eq!(other.partition.admit(&fresh, &wide), Ok(()));
    assert_eq!(one.partition.admit(&put(1, 1_000, "x"), &strict), Ok(()), "a repeat is answered");
}

#[test]
fn the_network_is_founded_once_and_split_without_a_gap() {
    let mut site = Site::empty(0);
    let cut = |last, next| {
        vec![
            (PartitionId(1), KeyBounds { first: key(0), last: key(last) }),
            (PartitionId(2), KeyBounds { first: key(next), last: key(u64::MAX) }),
        ]
    };
    for (last, next) in [(9, 11), (9, 9)] {
        let refused = site.apply(1, system(0, vec![SystemChange::Found(cut(last, next))])).refusal;
        assert!(matches!(refused, Some(Rejection::Invalid { .. })), "{last} {next}");
    }
    site.apply(2, system(0, vec![SystemChange::Found(cut(9, 10))]));
    let founded = site.partition.system().changed;
    assert_eq!(site.partition.system().partition_of(key(9)), Some(PartitionId(1)));
    assert_eq!(site.partition.system().partition_of(key(10)), Some(PartitionId(2)));
    let split = |at, child| SystemChange::Split {
        partition: PartitionId(1),
        at: key(at),
        child: PartitionId(child),
    };
    for (at, child) in [(0, 3), (10, 3), (5, 2)] {
        let refused = site.apply(3, system(founded.0, vec![split(at, child)])).refusal;
        assert!(refused.is_some(), "{at} {child}");
    }
    site.apply(4, system(founded.0, vec![split(5, 3)]));
    let state = site.partition.system();
    let owners: Vec<_> = [0, 4, 5, 9, 10].map(|k| state.partition_of(key(k)).unwrap().0).to_vec();
    assert_eq!(owners, [1, 1, 3, 3, 2]);
}

#[test]
fn a_system_entry_decided_on_another_state_changes_nothing() {
    let mut site = Site::empty(0);
    let up = SystemChange::PutNode(peer(1), node(NodeStanding::Up));
    site.apply(1, system(0, vec![up.clone()]));
    let stale = site.apply(2, system(0, vec![SystemChange::Responsibility(5)])).refusal;
    assert!(matches!(stale, Some(Rejection::Superseded { .. })));
    let even = site.apply(3, system(1, vec![SystemChange::Responsibility(4)])).refusal;
    assert!(matches!(even, Some(Rejection::Invalid { .. })));
    let in_use = site.apply(4, system(1, vec![SystemChange::RemoveNode(peer(1))])).refusal;
    assert!(matches!(in_use, Some(Rejection::Invalid { .. })));
    let gone = SystemChange::PutNode(peer(1), node(NodeStanding::Gone));
    let changes = vec![
        gone,
        SystemChange::RemoveNode(peer(1)),
        SystemChange::Level(FeatureLevel::SPANNING),
        SystemChange::Admission(AdmissionPolicy::Invited),
    ];
    site.apply(5, system(1, changes));
    let state = site.partition.system();
    assert!(state.nodes.is_empty());
    assert_eq!(state.admission, AdmissionPolicy::Invited);
    assert_eq!(state.settings(), [SettingsChange::Level(FeatureLevel::SPANNING)]);
}

#[test]
fn only_partition_zero_holds_the_networks_state() {
    let mut site = Site::empty(1);
    let refused = site.apply(1, system(0, vec![SystemChange::Responsibility(5)])).refusal;
    assert!(matches!(refused, Some(Rejection::Invalid { .. })));
}
