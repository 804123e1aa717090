//! One machine and what it is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use weald_core::{
    AdmissionPolicy, LogIndex, NodeStanding, PartitionId, Payload, PeerId, SeededEntropy, StoreId,
    SystemChange, SystemState, Time,
    identity::{Identity, KeyStore},
};

use crate::{
    configuration::{ConfigurationId, Member},
    founding::{
        Answer, Config, Genesis, Input, Introduction, Invitation, JoinRefusal, Lead, Map,
        Membership, NetworkId, Output, PartitionView, Pin, Proposed, QuestionId, Readiness, Report,
        Request, Sought, Standing, State, Terms, Ticket, Verdict, Wish,
    },
    partition::Dissolution,
    replica::Now,
};

fn identity(seed: u64) -> Identity {
    Identity::generate(&mut SeededEntropy::new(seed))
}

fn introduction(seed: u64) -> Introduction {
    let public_key = identity(seed).public();
    let store = StoreId([u8::try_from(seed).unwrap(); 16]);
    Introduction { store, public_key, weight: 100, domain: String::new() }
}

fn peer(seed: u64) -> PeerId {
    introduction(seed).peer()
}

fn config() -> Config {
    Config { partition_count: 2, ..Config::default() }
}

fn genesis(founder: u64) -> Genesis {
    Genesis {
        name: "weald".to_owned(),
        founder: introduction(founder),
        nonce: [9; 16],
        founded_at: Time::ZERO,
        partition_count: 2,
        responsibility_k: 3.try_into().unwrap(),
        admission: AdmissionPolicy::Nearby,
        level: weald_core::FeatureLevel::NEWEST,
    }
}

/// The state of a network with these nodes.
fn system(genesis: &Genesis, nodes: &[u64]) -> SystemState {
    let mut state = SystemState { changed: LogIndex(2), ..SystemState::default() };
    for change in genesis.changes().unwrap() {
        if let SystemChange::Found(cut) = change {
            state.ranges = cut.into_iter().collect();
        }
    }
    for node in nodes {
        state.nodes.insert(peer(*node), introduction(*node).record(NodeStanding::Up));
    }
    state
}

/// The machine of node 1.
struct Rig {
    state: State,
    now: u64,
    outputs: Vec<Output>,
}

impl Rig {
    fn new(config: Config, pin: Pin) -> Self {
        let state = State::new(config, introduction(1), pin, (Now::default(), 7));
        let mut rig = Self { state, now: 0, outputs: Vec::new() };
        rig.drain();
        rig
    }

    /// The founder of a network, which coordinates both of its partitions.
    fn founder(nodes: &[u64]) -> Self {
        Self::founder_of(genesis(1), nodes)
    }

    fn founder_of(genesis: Genesis, nodes: &[u64]) -> Self {
        let state = system(&genesis, nodes);
        let pin = Pin { genesis: Some(genesis), ..Pin::default() };
        let mut rig = Self::new(config(), pin);
        rig.replica(0, |_| {});
        rig.replica(1, |_| {});
        rig.input(Input::System(Box::new(SystemState { admission: rig.admission(), ..state })));
        rig.outputs.clear();
        rig
    }

    fn admission(&self) -> AdmissionPolicy {
        self.state.genesis().unwrap().admission
    }

    fn replica(&mut self, partition: u32, change: impl FnOnce(&mut PartitionView)) {
        let genesis = self.state.genesis().unwrap();
        let mut view = PartitionView {
            member: genesis.member(),
            configuration: genesis.configuration(),
            is_coordinator: true,
            coordinator: Some(peer(1)),
            may_change: true,
            caught_up: BTreeSet::new(),
            is_amnesiac: false,
            dissolution: Dissolution::default(),
        };
        change(&mut view);
        self.input(Input::Replica(PartitionId(partition), Some(Box::new(view))));
    }

    fn input(&mut self, input: Input) {
        let time = Time::from_millis(self.now);
        self.state.handle(Now { steady: time, wall: time }, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.state.poll_output() {
            self.outputs.push(output);
        }
    }

    /// Lets time pass in small steps, everything else being silent.
    fn wait(&mut self, time: Duration) {
        let end = self.now + u64::try_from(time.as_millis()).unwrap();
        while self.now < end {
            self.now += 50;
            self.input(Input::Timeout);
        }
    }

    fn up(&mut self, node: u64, is_near: bool) {
        let addresses = vec![format!("/memory/{node}")];
        self.input(Input::PeerUp { peer: peer(node), addresses, is_near });
    }

    /// A peer answers the question that it was asked last.
    fn says(&mut self, node: u64, standing: Standing, verdict: Verdict) {
        let answer = Answer {
            name: "weald".to_owned(),
            standing,
            admits: true,
            verdict,
            leads: Vec::new(),
            map: None,
            memberships: Vec::new(),
        };
        self.input(Input::Answered { peer: peer(node), answer: Some(Box::new(answer)) });
    }

    fn asked(&mut self, node: u64, wish: Wish) -> Option<Answer> {
        let request = Request {
            name: "weald".to_owned(),
            from: introduction(node),
            standing: Standing::Seeking { may_found: true },
            have: LogIndex::ZERO,
            wish,
        };
        self.asked_as(peer(node), request)
    }

    fn asked_as(&mut self, from: PeerId, request: Request) -> Option<Answer> {
        self.outputs.clear();
        let question = QuestionId(self.now);
        self.input(Input::Asked { question, from, request: Box::new(request) });
        self.reply()
    }

    fn reply(&mut self) -> Option<Answer> {
        self.outputs.iter().rev().find_map(|output| match output {
            Output::Reply { answer, .. } => Some((**answer).clone()),
            _ => None,
        })
    }

    fn has(&self, wanted: impl Fn(&Output) -> bool) -> bool {
        self.outputs.iter().any(wanted)
    }

    fn is_founding(&self) -> bool {
        self.has(|output| matches!(output, Output::Pin(pin) if pin.is_founding))
    }

    /// The last proposal in a partition.
    fn proposal(&self, wanted: u32) -> Option<(Ticket, Payload)> {
        self.outputs.iter().rev().find_map(|output| match output {
            Output::Propose { ticket, partition, payload } if partition.0 == wanted => {
                Some((*ticket, (**payload).clone()))
            }
            _ => None,
        })
    }

    /// The node that the last proposal in the system partition would write.
    fn written(&self) -> Option<(Ticket, PeerId, NodeStanding)> {
        let (ticket, Payload::System(entry)) = self.proposal(0)? else { return None };
        entry.changes.iter().find_map(|change| match change {
            SystemChange::PutNode(peer, record) => Some((ticket, *peer, record.standing)),
            _ => None,
        })
    }
}

const JOIN: Wish = Wish::Join { invitation: None };

fn refusal(answer: Option<Answer>) -> Option<JoinRefusal> {
    match answer?.verdict {
        Verdict::Refused(refusal) => Some(refusal),
        _ => None,
    }
}

fn network(byte: u8) -> NetworkId {
    NetworkId(weald_core::Digest::from_bytes([byte; 32]))
}

#[test]
fn a_node_without_seeds_founds_after_three_seconds_of_silence() {
    let mut rig = Rig::new(config(), Pin::default());
    rig.wait(Duration::from_millis(2900));
    assert!(!rig.is_founding());
    rig.wait(Duration::from_millis(200));
    assert!(rig.is_founding());
    assert!(!rig.has(|output| matches!(output, Output::Found(_))), "the pin is durable first");
    rig.input(Input::Pinned);
    assert!(rig.has(|output| matches!(output, Output::Found(_))));
    rig.input(Input::Founded);
    assert!(!rig.has(|output| matches!(output, Output::Open(_))), "and once more when all is made");
    rig.input(Input::Pinned);
    assert!(rig.has(|output| matches!(output, Output::Open(_))));
}

#[test]
fn a_node_with_seeds_never_founds_and_says_for_whom_it_waits() {
    let bootstrap = vec!["/ip4/10.0.0.1/tcp/4001".to_owned()];
    let mut rig = Rig::new(Config { bootstrap, ..config() }, Pin::default());
    rig.wait(Duration::from_secs(60));
    assert!(!rig.is_founding());
    assert_eq!(rig.state.readiness().to_string(), "waiting for /ip4/10.0.0.1/tcp/4001");
    let bootstrap = vec!["/ip4/10.0.0.1/tcp/4001".to_owned()];
    let mut rig = Rig::new(Config { bootstrap, init: true, ..config() }, Pin::default());
    rig.wait(Duration::from_secs(4));
    assert!(rig.is_founding(), "unless it was told to");
}

#[test]
fn a_node_that_stopped_while_founding_goes_on_with_the_same_genesis() {
    let pin = Pin { genesis: Some(genesis(1)), is_founding: true, ..Pin::default() };
    let rig = Rig::new(config(), pin);
    assert!(rig.has(|output| matches!(output, Output::Found(g) if **g == genesis(1))));
}

#[test]
fn the_first_entry_of_the_system_partition_is_written_once() {
    let mut rig = Rig::new(config(), Pin { genesis: Some(genesis(1)), ..Pin::default() });
    rig.replica(0, |_| {});
    rig.input(Input::System(Box::default()));
    let (ticket, payload) = rig.proposal(0).unwrap();
    let Payload::System(entry) = payload else { panic!("an entry of the system partition") };
    assert_eq!((entry.based_on, entry.changes), (LogIndex::ZERO, genesis(1).changes().unwrap()));
    rig.outputs.clear();
    rig.wait(Duration::from_secs(2));
    assert_eq!(rig.proposal(0), None, "one at a time");
    assert_eq!(rig.state.readiness(), Readiness::Opening);
    rig.input(Input::System(Box::new(system(&genesis(1), &[1]))));
    rig.input(Input::Proposed(ticket, Proposed::Applied));
    assert_eq!(rig.state.readiness(), Readiness::Ready);
    assert!(rig.has(|output| matches!(output, Output::Map(_))));
}

#[test]
fn whoever_comes_from_near_by_is_let_in_and_listed_before_it_is_told() {
    let mut rig = Rig::founder(&[1]);
    rig.up(2, true);
    assert_eq!(rig.asked(2, JOIN), None, "nothing is said before it is in the log");
    let (ticket, peer_2, standing) = rig.written().unwrap();
    assert_eq!((peer_2, standing), (peer(2), NodeStanding::Up));
    rig.input(Input::System(Box::new(SystemState {
        changed: LogIndex(3),
        ..system(&genesis(1), &[1, 2])
    })));
    rig.input(Input::Proposed(ticket, Proposed::Applied));
    let answer = rig.reply().unwrap();
    assert_eq!(answer.verdict, Verdict::Granted { genesis: Box::new(genesis(1)) });
    assert_eq!(answer.standing, Standing::Settled { network: genesis(1).network() });
    assert_eq!(answer.map.unwrap().system.nodes.len(), 2);
    let again = rig.asked(2, JOIN).unwrap();
    assert!(matches!(again.verdict, Verdict::Granted { .. }), "asking again changes nothing");
    assert_eq!(rig.proposal(0), None);
}

#[test]
fn w20_strangers_from_afar_and_forged_names_are_refused() {
    let mut rig = Rig::founder(&[1]);
    rig.up(2, false);
    let answer = rig.asked(2, JOIN);
    assert!(!answer.as_ref().unwrap().admits);
    assert_eq!(refusal(answer), Some(JoinRefusal::NotAdmitted));
    assert!(rig.has(|output| matches!(output, Output::Report(Report::Refused { .. }))));
    rig.up(3, true);
    let request = |from| Request {
        name: "weald".to_owned(),
        from: introduction(from),
        standing: Standing::Seeking { may_found: false },
        have: LogIndex::ZERO,
        wish: JOIN,
    };
    assert_eq!(refusal(rig.asked_as(peer(3), request(4))), Some(JoinRefusal::OtherKey));
    let other = Request { name: "other".to_owned(), ..request(3) };
    assert_eq!(refusal(rig.asked_as(peer(3), other)), Some(JoinRefusal::OtherName));
    let standing = Standing::Settled { network: network(9) };
    let belongs = Request { standing, ..request(3) };
    assert_eq!(refusal(rig.asked_as(peer(3), belongs)), Some(JoinRefusal::Belongs));
    assert_eq!(refusal(rig.asked(3, Wish::Drain)), Some(JoinRefusal::NotListed));
    assert_eq!(refusal(rig.asked(3, Wish::Leave)), Some(JoinRefusal::NotListed));
    assert_eq!(rig.proposal(0), None, "nothing was logged for any of them");
}

#[test]
fn an_invitation_lets_in_whom_it_names_until_it_expires() {
    let genesis = Genesis { admission: AdmissionPolicy::Invited, ..genesis(1) };
    let terms = |network, invitee| Terms {
        network,
        invitee,
        expires: Time::from_millis(1000),
        nonce: [0; 16],
    };
    let invite = |terms, by| Invitation::sign(terms, &identity(by)).unwrap();
    let good = terms(genesis.network(), Some(peer(2)));
    let cases = [
        (invite(good, 1), 0, None),
        (invite(good, 1), 1000, Some(JoinRefusal::BadInvitation)),
        (invite(good, 5), 0, Some(JoinRefusal::BadInvitation)),
        (invite(terms(genesis.network(), Some(peer(3))), 1), 0, Some(JoinRefusal::BadInvitation)),
        (invite(terms(network(3), None), 1), 0, Some(JoinRefusal::BadInvitation)),
        (invite(terms(genesis.network(), None), 1), 0, None),
    ];
    for (invitation, now, expect) in cases {
        let mut rig = Rig::founder_of(genesis.clone(), &[1]);
        rig.now = now;
        rig.up(2, true);
        assert_eq!(refusal(rig.asked(2, JOIN)), Some(JoinRefusal::NotAdmitted));
        let invitation = Some(Box::new(invitation));
        assert_eq!(refusal(rig.asked(2, Wish::Join { invitation })), expect);
        assert_eq!(rig.written().is_some(), expect.is_none());
    }
}

#[test]
fn a_node_that_comes_back_with_another_disk_is_listed_with_it() {
    let mut rig = Rig::founder(&[1, 2, 3]);
    rig.up(2, false);
    let from = Introduction { store: StoreId([77; 16]), ..introduction(2) };
    let standing = Standing::Seeking { may_found: false };
    let request =
        Request { name: "weald".to_owned(), from, standing, have: LogIndex::ZERO, wish: JOIN };
    assert_eq!(rig.asked_as(peer(2), request), None, "it is known, so it is let in from anywhere");
    let (_, Payload::System(entry)) = rig.proposal(0).unwrap() else { panic!("an entry") };
    let [SystemChange::PutNode(who, record)] = entry.changes.as_slice() else { panic!("one") };
    assert_eq!((*who, record.store), (peer(2), StoreId([77; 16])));
}

#[test]
fn w230_a_node_that_cannot_decide_names_one_that_can() {
    let mut rig = Rig::founder(&[1, 2, 3]);
    rig.up(2, true);
    rig.up(4, true);
    rig.says(2, Standing::Settled { network: genesis(1).network() }, Verdict::Greeted);
    rig.replica(0, |view| (view.is_coordinator, view.coordinator) = (false, Some(peer(2))));
    let answer = rig.asked(4, JOIN).unwrap();
    assert_eq!(answer.verdict, Verdict::Elsewhere { peer: peer(2) });
    let lead = Lead { peer: peer(2), addresses: vec!["/memory/2".to_owned()] };
    assert_eq!(answer.leads.first(), Some(&lead));
    assert_eq!(answer.map, None, "who is no node is told nothing of the network");
}

#[test]
fn a_decision_on_an_older_state_is_made_again() {
    let mut rig = Rig::founder(&[1]);
    rig.up(2, true);
    rig.asked(2, JOIN);
    let (ticket, ..) = rig.written().unwrap();
    rig.outputs.clear();
    let newer = SystemState { changed: LogIndex(5), ..system(&genesis(1), &[1]) };
    rig.input(Input::System(Box::new(newer)));
    let (based_on, changed) = (LogIndex(2), LogIndex(5));
    let superseded = weald_core::Rejection::Superseded { based_on, changed };
    rig.input(Input::Proposed(ticket, Proposed::Refused(superseded)));
    rig.wait(Duration::from_millis(500));
    let (_, Payload::System(entry)) = rig.proposal(0).unwrap() else { panic!("an entry") };
    assert_eq!(entry.based_on, LogIndex(5));
    assert_eq!(rig.reply(), None, "the asker still waits");
}

#[test]
fn a_node_seeks_in_use_before_pristine_and_low_before_high() {
    let mut rig = Rig::new(config(), Pin::default());
    for (node, standing) in [
        (2, Standing::Pristine { network: network(1) }),
        (3, Standing::Settled { network: network(9) }),
        (4, Standing::Settled { network: network(8) }),
    ] {
        rig.up(node, true);
        rig.says(node, standing, Verdict::Greeted);
    }
    rig.outputs.clear();
    rig.wait(Duration::from_millis(300));
    let joins = rig.outputs.iter().filter_map(|output| match output {
        Output::Ask { peer, request } if request.wish != Wish::Greet => Some(*peer),
        _ => None,
    });
    assert_eq!(joins.collect::<Vec<_>>(), [peer(4)]);
}

#[test]
fn a_node_that_is_let_in_pins_the_genesis_before_it_belongs() {
    let mut rig = Rig::new(config(), Pin::default());
    let standing = Standing::Settled { network: genesis(2).network() };
    rig.up(2, true);
    rig.says(2, standing, Verdict::Greeted);
    rig.wait(Duration::from_millis(300));
    let wrong = Verdict::Granted { genesis: Box::new(genesis(3)) };
    rig.says(2, standing, wrong);
    assert_eq!(rig.state.genesis(), None, "a genesis of another hash is not taken");
    rig.wait(Duration::from_millis(300));
    rig.says(2, standing, Verdict::Granted { genesis: Box::new(genesis(2)) });
    assert!(rig.has(|o| matches!(o, Output::Pin(pin) if pin.network() == standing.network())));
    assert!(!rig.has(|output| matches!(output, Output::Open(_))));
    rig.input(Input::Pinned);
    assert!(rig.has(|output| matches!(output, Output::Open(_))));
}

#[test]
fn two_networks_in_use_never_mix_and_say_so_once() {
    let mut rig = Rig::founder(&[1, 2]);
    rig.up(3, true);
    for _ in 0..3 {
        rig.says(3, Standing::Settled { network: network(0) }, Verdict::Greeted);
        rig.wait(Duration::from_secs(6));
    }
    let said = Report::OtherNetwork { peer: peer(3), network: network(0) };
    let count = rig.outputs.iter().filter(|o| **o == Output::Report(said.clone())).count();
    assert_eq!((count, rig.proposal(0)), (1, None));
}

#[test]
fn admission_closes_before_the_other_partitions_end_and_a_users_entry_calls_it_off() {
    let mut rig = Rig::founder(&[1]);
    rig.up(2, true);
    rig.says(2, Standing::Settled { network: network(0) }, Verdict::Greeted);
    let into = Some(network(0).0);
    let (ticket, payload) = rig.proposal(0).unwrap();
    assert_eq!(payload, Payload::Dissolve { into });
    assert_eq!(rig.proposal(1), None);
    assert_eq!(rig.asked(3, JOIN).unwrap().verdict, Verdict::Later);
    rig.replica(0, |view| view.dissolution.into = into);
    rig.input(Input::Proposed(ticket, Proposed::Applied));
    assert_eq!(rig.proposal(1).unwrap().1, Payload::Dissolve { into });
    assert!(matches!(rig.state.readiness(), Readiness::Dissolving { .. }));
    let (ticket, _) = rig.proposal(1).unwrap();
    rig.replica(1, |view| view.dissolution.is_used = true);
    rig.input(Input::Proposed(ticket, Proposed::Refused(weald_core::Rejection::InUse)));
    let (ticket, payload) = rig.proposal(0).unwrap();
    assert_eq!(payload, Payload::Dissolve { into: None });
    rig.replica(0, |_| {});
    rig.input(Input::Proposed(ticket, Proposed::Applied));
    assert_eq!(rig.state.readiness(), Readiness::Ready);
    assert!(matches!(rig.state.standing(), Standing::Settled { .. }));
    assert!(!rig.has(|output| matches!(output, Output::Reset(_))));
}

#[test]
fn an_end_that_was_begun_goes_on_after_a_restart() {
    let into = Some(network(0).0);
    let mut rig = Rig::founder(&[1]);
    rig.replica(0, |view| view.dissolution.into = into);
    assert_eq!(rig.proposal(1).unwrap().1, Payload::Dissolve { into });
    rig.replica(1, |view| view.dissolution.into = into);
    let reset = rig.outputs.iter().find_map(|output| match output {
        Output::Reset(pin) => Some((**pin).clone()),
        _ => None,
    });
    let pin = reset.expect("it begins anew");
    assert_eq!((pin.network(), pin.sought.as_ref().unwrap().network), (None, network(0)));
    let mut again = Rig::new(config(), pin);
    again.wait(Duration::from_secs(60));
    assert!(!again.is_founding(), "it waits for the network that it joined");
    assert!(again.state.readiness().to_string().contains(&network(0).to_string()));
}

#[test]
fn a_network_is_not_given_up_for_one_that_would_not_let_its_node_in() {
    let mut rig = Rig::founder(&[1]);
    rig.up(2, true);
    let answer = Answer {
        name: "weald".to_owned(),
        standing: Standing::Settled { network: network(0) },
        admits: false,
        verdict: Verdict::Greeted,
        leads: Vec::new(),
        map: None,
        memberships: Vec::new(),
    };
    rig.input(Input::Answered { peer: peer(2), answer: Some(Box::new(answer)) });
    assert_eq!(rig.proposal(0), None);
    assert!(rig.has(|output| matches!(output, Output::Report(Report::NotAdmitted { .. }))));
}

#[test]
fn a_silent_node_is_given_up_after_the_grace_time_if_others_stand_by() {
    for (nodes, expect) in [(&[1, 2, 3][..], false), (&[1, 2, 3, 4][..], true)] {
        let mut rig = Rig::founder(nodes);
        let network = genesis(1).network();
        for node in nodes.iter().skip(1) {
            rig.up(*node, true);
            rig.says(*node, Standing::Settled { network }, Verdict::Greeted);
        }
        rig.input(Input::PeerDown(peer(2)));
        rig.wait(Duration::from_secs(590));
        assert_eq!(rig.written(), None);
        rig.wait(Duration::from_secs(30));
        let written = rig.written().map(|(_, who, standing)| (who, standing));
        assert_eq!(written, expect.then_some((peer(2), NodeStanding::Gone)));
    }
}

#[test]
fn w189_a_drained_node_is_listed_so_and_leaves_once_it_holds_nothing() {
    let mut rig = Rig::founder(&[1, 2, 3]);
    rig.input(Input::Drain);
    let (ticket, who, standing) = rig.written().unwrap();
    assert_eq!((who, standing), (peer(1), NodeStanding::Draining));
    let mut state = SystemState { changed: LogIndex(3), ..system(&genesis(1), &[1, 2, 3]) };
    state.nodes.get_mut(&peer(1)).unwrap().standing = NodeStanding::Draining;
    rig.input(Input::System(Box::new(state.clone())));
    rig.input(Input::Proposed(ticket, Proposed::Applied));
    rig.input(Input::Replica(PartitionId(1), None));
    rig.up(2, true);
    rig.says(2, Standing::Settled { network: genesis(1).network() }, Verdict::Greeted);
    rig.outputs.clear();
    rig.input(Input::Replica(PartitionId(0), None));
    rig.wait(Duration::from_secs(6));
    let leaves =
        |o: &Output| matches!(o, Output::Ask { request, .. } if request.wish == Wish::Leave);
    assert!(rig.has(leaves), "another node writes that it has left");
    state.changed = LogIndex(4);
    state.nodes.get_mut(&peer(1)).unwrap().standing = NodeStanding::Gone;
    let mut answer = rig_answer(Standing::Settled { network: genesis(1).network() });
    answer.map = Some(Box::new(Map { genesis: genesis(1), system: state }));
    rig.input(Input::Answered { peer: peer(2), answer: Some(Box::new(answer)) });
    assert_eq!(rig.state.readiness(), Readiness::Left);
}

fn rig_answer(standing: Standing) -> Answer {
    Answer {
        name: "weald".to_owned(),
        standing,
        admits: true,
        verdict: Verdict::Greeted,
        leads: Vec::new(),
        map: None,
        memberships: Vec::new(),
    }
}

/// A node of a network that 2 has founded, told of a membership by 2.
fn told(rig: &mut Rig, configuration: u64, life: Option<u32>) {
    told_by(rig, 2, (configuration, life), None);
}

/// The same, told by a peer and with a map.
fn told_by(rig: &mut Rig, node: u64, (configuration, life): (u64, Option<u32>), map: Option<Map>) {
    let store = introduction(1).store;
    let member = life.map(|life| Member { peer: peer(1), store, life });
    let configuration = ConfigurationId(configuration);
    let mut answer = rig_answer(Standing::Settled { network: genesis(2).network() });
    answer.memberships = vec![Membership { partition: PartitionId(1), configuration, member }];
    answer.map = map.map(Box::new);
    rig.up(node, true);
    rig.wait(Duration::from_secs(6));
    rig.outputs.clear();
    rig.input(Input::Answered { peer: peer(node), answer: Some(Box::new(answer)) });
}

#[test]
fn members_live_here_as_coordinators_say_and_none_lives_twice() {
    let pin = Pin { genesis: Some(genesis(2)), ..Pin::default() };
    let mut rig = Rig::new(config(), pin);
    let host = |rig: &Rig| {
        rig.outputs.iter().find_map(|output| match output {
            Output::Host { member, .. } => Some(member.life),
            _ => None,
        })
    };
    let retires = |rig: &Rig| rig.has(|output| matches!(output, Output::Retire(_)));
    told(&mut rig, 1, Some(1));
    assert_eq!(host(&rig), Some(1));
    let member = Member { peer: peer(1), store: introduction(1).store, life: 1 };
    rig.replica(1, |view| {
        (view.member, view.is_coordinator) = (member, false);
        view.configuration.id = ConfigurationId(4);
    });
    told(&mut rig, 3, None);
    assert!(!retires(&rig), "an older configuration does not remove a member");
    told(&mut rig, 4, None);
    assert!(retires(&rig), "the configuration that its log ends with has removed it");
    let pinned = rig.outputs.iter().position(|o| matches!(o, Output::Pin(_))).unwrap();
    let retired = rig.outputs.iter().position(|o| matches!(o, Output::Retire(_))).unwrap();
    assert!(pinned < retired, "that it lived is durable before it ends");
    told(&mut rig, 4, Some(1));
    assert_eq!(host(&rig), None, "it never lives again");
    told(&mut rig, 7, Some(7));
    assert_eq!(host(&rig), Some(7), "but another life may begin");
}

#[test]
fn c11_a_member_that_asks_for_its_next_life_is_left_alone_until_it_is_none_any_more() {
    let pin = Pin { genesis: Some(genesis(2)), ..Pin::default() };
    let mut rig = Rig::new(config(), pin);
    let member = Member { peer: peer(1), store: introduction(1).store, life: 1 };
    rig.replica(1, |view| {
        (view.member, view.is_coordinator, view.is_amnesiac) = (member, false, true);
        view.configuration.id = ConfigurationId(4);
    });
    let is_moved =
        |rig: &Rig| rig.has(|output| matches!(output, Output::Retire(_) | Output::Host { .. }));
    // It may have lived that life, too, and forgotten it.
    told(&mut rig, 7, Some(7));
    assert!(!is_moved(&rig), "it asks by itself");
    told(&mut rig, 8, None);
    assert!(rig.has(|output| matches!(output, Output::Retire(_))));
}

#[test]
fn w20_what_a_stranger_says_of_the_network_moves_no_data() {
    let founded = genesis(2);
    let map = |nodes: &[u64], changed| {
        let system = SystemState { changed: LogIndex(changed), ..system(&founded, nodes) };
        Map { genesis: founded.clone(), system }
    };
    let pin = Pin { genesis: Some(founded.clone()), ..Pin::default() };
    let mut rig = Rig::new(config(), pin);
    let member = Member { peer: peer(1), store: introduction(1).store, life: 1 };
    let lives = |rig: &mut Rig| {
        rig.replica(1, |view| {
            (view.member, view.is_coordinator) = (member, false);
            view.configuration.id = ConfigurationId(4);
        });
    };
    let is_moved = |rig: &Rig| {
        let is_one =
            |o: &Output| matches!(o, Output::Retire(_) | Output::Host { .. } | Output::Map(_));
        rig.has(is_one)
    };
    lives(&mut rig);
    // Whoever is connected knows the name, the network and this node's store.
    for membership in [(u64::MAX, None), (u64::MAX, Some(9))] {
        told_by(&mut rig, 9, membership, Some(map(&[1, 9], u64::MAX)));
        assert!(!is_moved(&rig), "9 is no node");
    }
    // 2 is a member beside this one, and says who else is a node; that is kept.
    told_by(&mut rig, 2, (4, Some(1)), Some(map(&[1, 2, 3], 5)));
    assert!(rig.has(|output| matches!(output, Output::Map(_))));
    let kept = rig.outputs.iter().find_map(|output| match output {
        Output::Pin(pin) => Some((**pin).clone()),
        _ => None,
    });
    let kept = Pin::decode(&kept.unwrap().encode()).unwrap();
    assert_eq!(kept.nodes, [peer(2), peer(3)].into());
    let mut rig = Rig::new(config(), kept);
    lives(&mut rig);
    told_by(&mut rig, 9, (u64::MAX, None), None);
    assert!(!is_moved(&rig));
    told_by(&mut rig, 3, (5, None), None);
    assert!(rig.has(|output| matches!(output, Output::Retire(_))), "3 is a node");
}

#[test]
fn what_early_builds_have_kept_is_read() {
    #[derive(serde::Serialize)]
    struct Early {
        genesis: Option<Genesis>,
        is_founding: bool,
        sought: Option<Sought>,
        lived: BTreeMap<PartitionId, u32>,
    }
    let lived: BTreeMap<_, _> = [(PartitionId(1), 3)].into();
    let early =
        Early { genesis: Some(genesis(1)), is_founding: false, sought: None, lived: lived.clone() };
    let bytes = weald_core::codec::encode(crate::kinds::EARLY_PIN, &early);
    let expected = Pin { genesis: Some(genesis(1)), lived, ..Pin::default() };
    assert_eq!(Pin::decode(&bytes), Ok(expected));
}

#[test]
fn what_is_sent_and_kept_survives_its_bytes_and_its_bounds() {
    let request = Request {
        name: "weald".to_owned(),
        from: introduction(1),
        standing: Standing::Dissolving { network: network(1), into: network(2) },
        have: LogIndex(3),
        wish: Wish::Leave,
    };
    assert_eq!(Request::decode(&request.encode()).as_ref(), Ok(&request));
    let long = Request { name: "x".repeat(65), ..request };
    assert!(Request::decode(&long.encode()).is_err());
    let mut answer = rig_answer(Standing::Opening { network: network(3) });
    let addresses = vec!["/a".repeat(200), "/b".to_owned()];
    answer.leads = vec![Lead { peer: peer(1), addresses }; 20];
    answer.map = Some(Box::new(Map { genesis: genesis(1), system: system(&genesis(1), &[1]) }));
    let decoded = Answer::decode(&answer.encode()).unwrap();
    assert_eq!((decoded.leads.len(), decoded.map), (8, answer.map));
    assert_eq!(decoded.leads[0].addresses, ["/b"]);
    let pin = Pin { genesis: Some(genesis(1)), is_founding: true, ..Pin::default() };
    assert_eq!(Pin::decode(&pin.encode()), Ok(pin));
    assert_eq!(Genesis::decode(&genesis(1).encode()), Ok(genesis(1)));
}
