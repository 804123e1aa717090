//! What members do for subscribers: the real delivery machine of each process, which reads the topic
//! from the member's own state.

use std::{collections::BTreeMap, sync::Arc};

use weald_core::LogIndex;
use weald_pubsub::{
    Delivery, DeliveryInput, DeliveryOutput, Part, StreamId, StreamRequest, TopicItem, TopicPage,
    TopicPosition,
};

use super::{Event, Seen, TopicMutation, Topics, topic};
use crate::{machine::RealMachine, name::Name};

/// Messages that a member reads at once: few, so that streams take several reads.
const READ_MAX: usize = 40;
/// How long it takes until a subscriber sees that a member is gone, us.
const NOTICE: (u64, u64) = (1_000, 300_000);

/// One process that delivers.
#[derive(Debug)]
pub(super) struct Member {
    process: u64,
    applied: LogIndex,
    delivery: Delivery,
    /// Whose the streams are.
    streams: BTreeMap<StreamId, u8>,
}

impl Topics {
    /// Tells members' deliveries what has been applied; those of processes that have ended end.
    pub(super) fn follow_members(&mut self) {
        for number in 0..self.world.nodes.len() {
            let Some((name, node)) = self.world.nodes.iter().nth(number) else { break };
            let (name, running) = (*name, node.process.as_ref());
            let now = running.map(|process| (process.id, process.machine.applied()));
            let known = self.members.get(&name).map(|member| (member.process, member.applied));
            match (now, known) {
                (now, known) if now == known => {}
                (Some((process, applied)), Some((before, was)))
                    if process == before && applied > was =>
                {
                    self.applied_at(name, applied);
                }
                (_, Some(_)) => self.forget_member(name),
                (Some((process, applied)), None) => self.begin_member(name, process, applied),
                (None, None) => {}
            }
        }
    }

    fn machine(&self, name: Name) -> Option<&RealMachine> {
        self.world.nodes.get(&name)?.process.as_ref()?.machine.real()
    }

    /// The position that the next message gets, as a member has it; `None` where it has no topic.
    fn end_at(&self, name: Name) -> Option<TopicPosition> {
        let head = self.machine(name)?.topic(|reader| topic().head(reader))?;
        Some(head.next)
    }

    fn begin_member(&mut self, name: Name, process: u64, applied: LogIndex) {
        if !self.is_founded {
            return;
        }
        let end = self.end_at(name).unwrap_or(TopicPosition(1));
        let (delivery, streams) = (Delivery::new(end), BTreeMap::new());
        self.members.insert(name, Member { process, applied, delivery, streams });
    }

    /// A process is gone, or has another state; a part of its subscribers see it.
    fn forget_member(&mut self, name: Name) {
        let Some(member) = self.members.remove(&name) else { return };
        for (stream, subscriber) in member.streams {
            if self.random.one_in(2) {
                self.after(NOTICE, Event::Linked { subscriber, stream, is_open: false });
            }
        }
    }

    fn applied_at(&mut self, name: Name, applied: LogIndex) {
        let Some(head) = self.machine(name).and_then(|m| m.topic(|r| topic().head(r))) else {
            return;
        };
        self.see(&Seen::Head { head: &head });
        let Some(member) = self.members.get_mut(&name) else { return };
        member.applied = applied;
        member.delivery.handle(DeliveryInput::Applied(head.next));
        self.carry_out_member(name);
    }

    /// A subscriber dials: the member answers if it is there and has the topic.
    pub(super) fn dialled(&mut self, subscriber: u8, stream: StreamId, name: Name) {
        let is_up = self.end_at(name).is_some() && !self.world.nodes[&name].is_paused;
        let member = self.members.get_mut(&name).filter(|_| is_up);
        let is_open = member.is_some();
        if let Some(member) = member {
            member.streams.insert(stream, subscriber);
        }
        let home = self.subscribers[&subscriber].home;
        if self.is_linked(home, name) {
            self.after((200, 5_000), Event::Linked { subscriber, stream, is_open });
        } else {
            self.after((500_000, 1_000_000), Event::Linked { subscriber, stream, is_open: false });
        }
    }

    fn is_linked(&self, home: Name, member: Name) -> bool {
        let network = &self.world.network;
        network.is_open(home, member) && network.is_open(member, home)
    }

    /// A subscriber's request arrives.
    pub(super) fn wanted(
        &mut self,
        name: Name,
        (subscriber, stream): (u8, StreamId),
        request: StreamRequest,
    ) {
        let is_paused = self.world.nodes.get(&name).is_none_or(|node| node.is_paused);
        let Some(member) = self.members.get_mut(&name).filter(|_| !is_paused) else { return };
        if member.streams.get(&stream) != Some(&subscriber) {
            return;
        }
        let request = match (request, self.mutation) {
            (StreamRequest::Open { from, .. }, Some(TopicMutation::IgnoreCredit)) => {
                StreamRequest::Open { from, until: TopicPosition(u64::MAX) }
            }
            (request, _) => request,
        };
        member.delivery.handle(DeliveryInput::Asked(stream, request));
        self.carry_out_member(name);
    }

    /// A subscriber has hung up.
    pub(super) fn closed(&mut self, name: Name, stream: StreamId) {
        if let Some(member) = self.members.get_mut(&name) {
            member.streams.remove(&stream);
            member.delivery.handle(DeliveryInput::Closed(stream));
        }
    }

    fn carry_out_member(&mut self, name: Name) {
        loop {
            let member = self.members.get_mut(&name);
            let Some(output) = member.and_then(|member| member.delivery.poll_output()) else {
                return;
            };
            match output {
                DeliveryOutput::Read { from, limit } => {
                    let Some(page) = self.read_at(name, from, limit) else { return };
                    let member = self.members.get_mut(&name).expect("it has an output");
                    member.delivery.handle(DeliveryInput::Read { from, page });
                }
                DeliveryOutput::Send(stream, part) => {
                    self.send_part(name, stream, Arc::unwrap_or_clone(part));
                }
                DeliveryOutput::Refuse(stream) => {
                    self.fail("INV11 bounded", format!("{name} has too many streams: {stream:?}"));
                }
            }
        }
    }

    /// The topic as a member has it, at its log time.
    fn read_at(&self, name: Name, from: TopicPosition, limit: usize) -> Option<TopicPage> {
        let machine = self.machine(name)?;
        let how = (limit.min(READ_MAX), machine.partition().time());
        machine.topic(|reader| topic().read_lazily(reader, from, how))
    }

    fn send_part(&mut self, from: Name, stream: StreamId, mut part: Part) {
        let Some(subscriber) = self.members[&from].streams.get(&stream).copied() else { return };
        if self.mutation == Some(TopicMutation::HideGaps) {
            hide_gaps(&mut part);
        }
        let link = (from, self.subscribers[&subscriber].home);
        for delay in self.route(link, "Part") {
            let part = Box::new(part.clone());
            let event = Event::Part { subscriber, stream, part };
            self.schedule.add(self.now.after(delay), event);
        }
    }

    /// When what is sent over a link now arrives, us from now: once, twice or never.
    pub(super) fn route(&mut self, link: (Name, Name), message: &str) -> Vec<u64> {
        if link.0 == link.1 {
            return vec![self.random.between(10, 100)];
        }
        let arrivals = self.world.network.route(link, message, self.now, &mut self.random);
        arrivals.into_iter().flatten().collect()
    }
}

/// Makes the messages of a part follow each other, as if nothing were missing between them.
fn hide_gaps(part: &mut Part) {
    part.items.retain(|item| matches!(item, TopicItem::Message { .. }));
    let mut next = part.from;
    for item in &mut part.items {
        if let TopicItem::Message { position, .. } = item {
            *position = next;
            next = next.next();
        }
    }
    part.next = if part.items.is_empty() { part.next } else { next };
}
