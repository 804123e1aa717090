//! Messages that no member says, and proof that they change nothing.

use std::collections::BTreeMap;

use weald_cluster::{
    configuration::{ConfigurationId, Member},
    recovery::{Act, Recovery, Survivor},
    replica::{
        Attested, Certificate, CertifiedConfiguration, Envelope, Health, Heartbeat, Input, LogEnd,
        LogEntry, Message, Run, State,
    },
};
use weald_core::{Digest, Epoch, LogIndex, PeerId, StoreId, Time};

use super::{
    World,
    recovery::{administrator, authority, usurper},
};
use crate::{invariants::Seen, name::Name, node::PARTITION};

impl World {
    /// Tells a node one thing after the other that it must not take, and compares.
    pub(super) fn forge(&mut self, name: Name) {
        self.handle(name, Input::Timeout);
        let Some(node) = self.nodes.get(&name) else { return };
        let Some(process) = &node.process else { return };
        if process.state.health() == Health::Amnesiac {
            // It knows nobody and notes whoever may help it.
            return;
        }
        let now = node.clock.at(self.now);
        let mut told = None;
        for (by, envelope) in forgeries(&process.state) {
            let mut state = process.state.clone();
            state.handle(now, Input::Message(envelope));
            while state.poll_output().is_some() {}
            if state != process.state {
                told = Some(by);
            }
        }
        if let Some(by) = told {
            self.see(&Seen::Misled { node: name, by });
        }
    }
}

/// What nobody of the log says to this member, each with a name.
fn forgeries(state: &State) -> Vec<(&'static str, Envelope)> {
    let stranger = Member {
        peer: PeerId::from_digest(Digest::of("stranger", &[])),
        store: StoreId([9; 16]),
        life: 0,
    };
    let me = state.me();
    let next = |campaigner: Member| Epoch {
        number: state.epoch().number + 1,
        campaigner: Some(campaigner.peer),
    };
    let with = |from: Member, message: Message| Envelope {
        partition: PARTITION,
        generation: state.generation(),
        from,
        run: Run { incarnation: 1_000, nonce: 7 },
        to: me,
        configuration: ConfigurationId::default(),
        message,
    };
    let life = |epoch| Message::Heartbeat(heartbeat(epoch, state));
    let mut all = vec![
        ("a stranger's sign of life", with(stranger, life(next(stranger)))),
        ("a stranger's loss of memory", with(stranger, Message::Amnesiac { nonce: 3 })),
        (
            "a stranger's campaign",
            with(stranger, Message::PreVote { number: 99, last: LogEnd::default() }),
        ),
        ("a forged certificate", with(stranger, forged_chain(state, stranger))),
    ];
    let recoveries = forged_recoveries(state).into_iter();
    all.extend(recoveries.map(|(by, recovery)| {
        (by, with(stranger, Message::Recovered { recoveries: vec![recovery] }))
    }));
    let peer = state.coordinator().filter(|coordinator| *coordinator != me);
    if let Some(peer) = peer {
        let other_life = Member { life: peer.life + 7, ..peer };
        let message = life(next(peer));
        let current = with(peer, message.clone());
        all.push(("another life", with(other_life, message.clone())));
        all.push(("another store", with(Member { store: StoreId([8; 16]), ..peer }, message)));
        all.push((
            "an earlier run",
            Envelope { run: Run { incarnation: 0, nonce: 1 }, ..current.clone() },
        ));
        let out_of_range = Heartbeat { last: LogIndex(u64::MAX), ..heartbeat(next(peer), state) };
        let message = Message::Heartbeat(out_of_range);
        all.push(("an index that nobody reaches", Envelope { message, ..current.clone() }));
        all.push(("another generation", Envelope { generation: 9, ..current.clone() }));
        let to = Member { life: me.life + 1, ..me };
        all.push(("what is meant for another life", Envelope { to, ..current }));
    }
    all
}

fn heartbeat(epoch: Epoch, state: &State) -> Heartbeat {
    Heartbeat {
        epoch,
        last: state.last().index,
        watermark: LogIndex(state.last().index.0 + 5),
        round: 1_000,
        heard: None,
        effect: None,
        settled: None,
    }
}

/// A new generation in the name of nobody of consequence, and another beginning of the one that
/// holds.
fn forged_recoveries(state: &State) -> Vec<(&'static str, Recovery)> {
    let end = state.last();
    let survivor = Survivor {
        member: state.me(),
        end: LogEnd { epoch: end.epoch, index: end.index },
        known: state.watermark(),
    };
    let act = Act {
        network: authority().network,
        partition: PARTITION,
        generation: state.generation() + 1,
        earlier: state.recoveries().last().map(|recovery| recovery.act.digest()),
        old: state.configuration().clone(),
        kept: end,
        beginner: state.me(),
        survivors: vec![survivor],
        at: Time::ZERO,
        nonce: [7; 16],
    };
    let sign = |act: Act, identity| Recovery::sign(act, identity).expect("the key is in memory");
    let mut all = vec![("a stranger's recovery", sign(act, usurper()))];
    if let Some(held) = state.recoveries().last() {
        let act = Act { nonce: [7; 16], ..held.act.clone() };
        all.push(("a second recovery of one generation", sign(act, administrator())));
    }
    all
}

/// A configuration in which the stranger is the only voter, certified by nobody.
fn forged_chain(state: &State, stranger: Member) -> Message {
    let mut next = state.configuration().clone();
    next.id.0 += 1;
    next.voters = [stranger].into();
    let entry = LogEntry::configuration(&state.last(), state.epoch(), Time::ZERO, &next);
    let attested = Attested {
        partition: PARTITION,
        generation: state.generation(),
        configuration: next.id,
        index: entry.index(),
        hash: entry.hash(),
    };
    let certificate = Certificate { attested, signatures: BTreeMap::new() };
    Message::Configurations { chain: vec![CertifiedConfiguration { entry, certificate }] }
}
