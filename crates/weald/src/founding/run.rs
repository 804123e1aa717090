//! The task: hands in what happens and carries out what the machine wants, in order.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use weald_cluster::{
    configuration::ConfigurationId,
    founding::{Input, Output, Pin, QuestionId, Report, State},
    replica::{Change, Now},
};
use weald_core::{PartitionId, PeerId, PeerInfo, Reply, Time};

use super::{FoundingParts, Told, authority, call, event::Event, look::Look};

/// What the task works with.
pub(super) struct Loop {
    state: State,
    parts: FoundingParts,
    told: Told,
    look: Look,
    started: Instant,
    /// Questions of peers that have no answer yet. Each ends: the machine answers all.
    replies: BTreeMap<QuestionId, Reply>,
    next_question: u64,
    /// The peers of which the machine was told.
    connected: BTreeMap<PeerId, PeerInfo>,
    is_over: bool,
}

impl Loop {
    pub(super) fn new(parts: FoundingParts, told: Told, seed: u64) -> Self {
        let steady = Time::ZERO;
        let now = Now { steady, wall: parts.clock.now() };
        let (config, me, pin) = (parts.config.clone(), parts.me.clone(), parts.pin.clone());
        Self {
            state: State::new(config, me, pin, (now, seed)),
            parts,
            told,
            look: Look::default(),
            started: Instant::now(),
            replies: BTreeMap::new(),
            next_question: 0,
            connected: BTreeMap::new(),
            is_over: false,
        }
    }

    /// Runs until the node closes or begins anew.
    pub(super) async fn run(mut self) {
        let Some(mut events) = self.parts.inbox.take() else { return };
        self.carry_out().await;
        while !self.is_over {
            let due = self.state.poll_timeout().since(self.now().steady);
            let event = match due.is_zero() {
                true => None,
                false => tokio::time::timeout(due, events.recv()).await.ok(),
            };
            match event {
                Some(Some(event)) => self.handle(event),
                Some(None) => return,
                None => self.look_around(),
            }
            self.carry_out().await;
        }
    }

    fn now(&self) -> Now {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { steady: Time::from_millis(elapsed), wall: self.parts.clock.now() }
    }

    fn input(&mut self, input: Input) {
        self.state.handle(self.now(), input);
    }

    fn handle(&mut self, event: Event) {
        self.parts.inbox.note_taken(&event);
        match event {
            Event::Connected(peer) => self.note_up(*peer),
            Event::Disconnected(peer) => self.note_down(peer),
            Event::Asked(from, request, reply) => {
                self.next_question += 1;
                let question = QuestionId(self.next_question);
                self.replies.insert(question, reply);
                self.input(Input::Asked { question, from, request });
            }
            Event::Answered(peer, answer) => self.input(Input::Answered { peer, answer }),
            Event::Founded => {
                self.look_at_members();
                self.input(Input::Founded);
            }
            Event::Proposed(partition, ticket, proposed) => {
                // What the entry has changed is known before its proposer acts on it.
                for news in self.look.news_of(&self.parts.members, partition) {
                    self.input(news);
                }
                self.input(Input::Proposed(ticket, proposed));
            }
            Event::Drain(true) => self.input(Input::Drain),
            Event::Drain(false) => self.input(Input::Stay),
            Event::Close => self.is_over = true,
        }
    }

    /// Nothing has happened for a while: time passes, and what nobody tells is looked at.
    fn look_around(&mut self) {
        let peers = self.parts.network.peers();
        let gone: Vec<_> = self.connected.keys().copied().collect();
        for peer in gone.into_iter().filter(|gone| !peers.iter().any(|peer| peer.peer == *gone)) {
            self.note_down(peer);
        }
        for peer in peers {
            self.note_up(peer);
        }
        self.look_at_members();
        self.input(Input::Timeout);
    }

    fn look_at_members(&mut self) {
        for news in self.look.news(&self.parts.members) {
            self.input(news);
        }
    }

    fn note_up(&mut self, info: PeerInfo) {
        let is_same =
            |known: &PeerInfo| (&known.addresses, known.near) == (&info.addresses, info.near);
        if self.connected.get(&info.peer).is_some_and(is_same) {
            return;
        }
        let (peer, addresses, is_near) = (info.peer, info.addresses.clone(), info.near);
        self.connected.insert(peer, info);
        self.input(Input::PeerUp { peer, addresses, is_near });
    }

    fn note_down(&mut self, peer: PeerId) {
        if self.connected.remove(&peer).is_some() {
            self.input(Input::PeerDown(peer));
        }
    }

    async fn carry_out(&mut self) {
        while let Some(output) = self.state.poll_output() {
            self.carry_out_one(output).await;
        }
    }

    async fn carry_out_one(&mut self, output: Output) {
        let (members, inbox) = (self.parts.members.clone(), Arc::clone(&self.parts.inbox));
        match output {
            Output::Ask { peer, request } => {
                let asking = call::ask(Arc::clone(&self.parts.network), peer, request);
                tokio::spawn(async move { inbox.push(Event::Answered(peer, asking.await)) });
            }
            Output::Reply { question, answer } => {
                if let Some(reply) = self.replies.remove(&question) {
                    reply.send(Ok(answer.encode()));
                }
            }
            Output::Dial { addresses, .. } => {
                addresses.iter().for_each(|address| self.parts.dialer.dial(address));
            }
            Output::Pin(pin) => self.pin(&pin).await,
            Output::Found(genesis) => {
                members.trust(authority(&genesis, &self.parts.administrators));
                tokio::spawn(async move {
                    call::found(members, genesis).await;
                    inbox.push(Event::Founded);
                });
            }
            Output::Open(genesis) => {
                members.trust(authority(&genesis, &self.parts.administrators));
                self.look_at_members();
            }
            Output::Host { partition, member } => {
                if let Some(genesis) = self.state.genesis().cloned() {
                    tokio::spawn(call::host(members, partition, (genesis, member)));
                }
            }
            Output::Retire(partition) => drop(members.retire(partition)),
            Output::Propose { ticket, partition, payload } => {
                tokio::spawn(async move {
                    let proposed = call::propose(members, partition, *payload).await;
                    inbox.push(Event::Proposed(partition, ticket, proposed));
                });
            }
            Output::Reconfigure { partition, from, change } => {
                self.reconfigure(partition, from, change);
            }
            Output::Reset(pin) => self.end(*pin),
            Output::Map(map) => drop(self.told.map.send_replace(Some(map))),
            Output::Ready(readiness) => {
                tracing::info!(target: "weald::founding", %readiness, "readiness");
                self.told.readiness.send_replace(readiness);
            }
            Output::Report(report) => say(&report),
        }
    }

    /// Pins, however long that takes: nothing that is said later may be true before.
    async fn pin(&mut self, pin: &Pin) {
        let mut pause = Duration::from_millis(100);
        loop {
            let (pins, pin) = (self.parts.pins.clone(), pin.clone());
            let written = tokio::task::spawn_blocking(move || pins.write(&pin)).await;
            match written {
                Ok(Ok(())) => break,
                Ok(Err(error)) => {
                    tracing::error!(target: "weald::founding", %error, "the pin is not durable");
                }
                Err(_) => return self.is_over = true,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
        self.input(Input::Pinned);
    }

    fn reconfigure(&mut self, partition: PartitionId, from: ConfigurationId, change: Change) {
        tracing::info!(target: "weald::founding", %partition, ?change, "members change");
        let begun = self.parts.members.reconfigure(partition, from, change);
        tokio::spawn(async move {
            if let Ok(Err(error)) = begun.await {
                tracing::debug!(target: "weald::founding", %partition, %error, "no change");
            }
        });
    }

    fn end(&mut self, pin: Pin) {
        self.told.reset.send_replace(Some(pin));
        self.is_over = true;
    }
}

fn say(report: &Report) {
    match report {
        Report::OtherNetwork { .. }
        | Report::NotAdmitted { .. }
        | Report::Refused { .. }
        | Report::GivenUp(_) => {
            tracing::warn!(target: "weald::founding", ?report, "network");
        }
        Report::Founded(_)
        | Report::Joined(_)
        | Report::Dissolving { .. }
        | Report::CalledOff { .. }
        | Report::Admitted(_) => {
            tracing::info!(target: "weald::founding", ?report, "network");
        }
    }
}
