//! What each event does.

use std::sync::Arc;

use weald_cluster::{
    partition::coordination::primary::Begin,
    replica::{Envelope, Input, RefusedReason, Standing},
};
use weald_core::{Caller as Asker, PartitionId, PeerId, Refusal, Reply, StateError};

use super::Work;
use crate::members::{
    Answer, Caller, ChangeRefused, HostError, ReadRefused, Terms, TransferRefused,
    caller::Gathered,
    clerk::{Job, Report},
    event::{Event, Hosting},
    opening,
    post::{Opened, Step, standing},
    proposal::{ProposeError, Standing as Known},
    refusals::Refused,
    replica::Replica,
    snapshot::{PageAnswer, PageRequest},
};

impl Work {
    pub(super) fn handle(&mut self, event: Event) {
        match event {
            Event::Frame { from, frame } => {
                let opened = self.office.post.open(from, frame);
                self.opened(from, opened);
            }
            Event::Connection(peer) => self.office.post.begin_anew(peer),
            Event::Propose(partition, proposal) => match self.replicas.get_mut(&partition) {
                Some(replica) => {
                    replica.waiting.propose(proposal);
                    self.touched.insert(partition);
                }
                None => proposal.refuse(ProposeError::NotMember),
            },
            Event::Read(partition, ask, caller) => match self.replicas.get_mut(&partition) {
                Some(replica) if !replica.is_member() => {
                    caller.tell(Err(ReadRefused::NotMember));
                }
                Some(replica) if replica.refuses(ask.consistency) => {
                    caller.tell(Err(ReadRefused::Stopped));
                }
                Some(replica) => {
                    replica.waiting.read(ask, caller);
                    self.touched.insert(partition);
                }
                None => caller.tell(Err(ReadRefused::NotMember)),
            },
            Event::Standing(partition, id, caller) => {
                let known = self.replicas.get(&partition).map(|replica| replica.standing(&id));
                caller.tell(known.unwrap_or(Known::Unheard));
            }
            Event::Tell(partition, message) => {
                self.with(partition, |replica, office| replica.tell_spanning(office, message));
            }
            Event::Met(partition, lock) => {
                self.with(partition, |replica, office| replica.met(office, lock));
            }
            Event::Begin(partition, begin, terms, caller) => {
                self.begin_transaction(partition, *begin, (terms, caller));
            }
            Event::Report(report) => self.report(report),
            other => self.administer(other),
        }
    }

    /// What happens rarely.
    fn administer(&mut self, event: Event) {
        match event {
            Event::Host(hosting, caller) => match self.host(hosting) {
                Ok(replica) => {
                    replica.set_founder(caller);
                }
                Err(error) => caller.tell(Err(error)),
            },
            Event::Trust(authority) => self.office.config.replica.authority = authority,
            Event::Courier(courier) => self.office.courier = Some(courier),
            Event::Auditor(auditor) => self.office.auditor = Some(auditor),
            Event::Retire(partition, caller) => {
                self.retire(partition);
                caller.tell(());
            }
            Event::Change(partition, decided, caller) => {
                let mut changed = Err(ChangeRefused::NotMember);
                self.with(partition, |replica, office| changed = replica.change(office, &decided));
                caller.tell(changed);
            }
            Event::Transfer(partition, to, caller) => {
                let mut begun = Err(TransferRefused::NotMember);
                self.with(partition, |replica, office| {
                    begun = replica.state.transfer(office.now, to).map_err(Into::into);
                });
                caller.tell(begun);
            }
            Event::Checkpoint(caller) => self.checkpoint_all(caller),
            Event::Page(asker, body, reply) => self.page(asker, &body, reply),
            Event::Close(caller) => self.begin_closing(caller),
            Event::Abandon => self.is_ended = true,
            _ => unreachable!("everything else is handled as it comes"),
        }
    }

    fn begin_transaction(
        &mut self,
        partition: PartitionId,
        begin: Begin,
        waits: (Terms, Caller<Answer>),
    ) {
        match self.replicas.get_mut(&partition) {
            Some(replica) => {
                replica.begin_transaction(&mut self.office, begin, waits);
                self.touched.insert(partition);
            }
            None => waits.1.tell(Answer::Refused(ProposeError::NotMember)),
        }
    }

    fn opened(&mut self, from: PeerId, opened: Opened) {
        match opened {
            Opened::Messages(messages) => self.deliver(messages),
            Opened::Beat(known, messages) => {
                self.note_standing(from, known);
                // What was said before is no part of the answer.
                self.carry_out();
                self.office.post.set_step(Step::Answering(from));
                self.deliver(messages);
                self.carry_out();
                self.office.post.set_step(Step::Talking);
                let own = (self.office.clocks.started_wall(), self.office.is_healthy);
                self.office.post.send_answers(from, standing(own.0, own.1));
            }
            Opened::Answers(known, messages) => {
                self.note_standing(from, known);
                self.deliver(messages);
            }
            Opened::Nothing => {}
        }
    }

    fn deliver(&mut self, messages: Vec<Envelope>) {
        for envelope in messages {
            let partition = envelope.partition;
            let is_hosted = self.with(partition, |replica, office| {
                replica.handle(office, Input::Message(envelope));
            });
            if !is_hosted {
                let why = Refused::ByMember(RefusedReason::NotForMe);
                self.office.counters.refused.count(why);
            }
        }
    }

    /// Tells the replicas what a node says of itself, where that is news.
    fn note_standing(&mut self, peer: PeerId, known: Standing) {
        if self.office.standings.get(&peer) == Some(&known) {
            return;
        }
        self.office.standings.insert(peer, known);
        for (id, replica) in &mut self.replicas {
            replica.note_standing(&self.office, peer, known);
            self.touched.insert(*id);
        }
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Fetched { partition, to, entries } => {
                self.carry_out();
                self.office.post.set_step(Step::Feeding);
                self.with(partition, |replica, office| {
                    replica.handle(office, Input::Entries { to, entries });
                });
                self.carry_out();
                self.office.post.set_step(Step::Talking);
            }
            Report::Loaded { partition, view, loaded } => {
                self.with(partition, |replica, office| replica.loaded(office, (&view, loaded)));
            }
            Report::Recalled { partition, entries } => {
                self.with(partition, |replica, office| replica.recalled(office, entries));
            }
            Report::StateFetched { partition, fetched } => {
                self.with(partition, |replica, office| {
                    replica.fetched_state(office, fetched.map(|fetched| *fetched));
                });
            }
            Report::Switched { partition, switched } => {
                self.with(partition, |replica, office| {
                    replica.switched(office, switched.map(|switched| *switched));
                });
            }
            Report::Checkpointed { partition, covered } => {
                self.with(partition, |replica, office| replica.checkpointed(office, covered));
            }
        }
    }

    /// A peer asks for a page of a state. Only members of the partition get one.
    fn page(&mut self, asker: Asker, body: &[u8], reply: Reply) {
        let Ok(request) = PageRequest::decode(body) else {
            return reply.send(Err(Refusal::Malformed));
        };
        let asker = asker.peer;
        match request {
            PageRequest::Page { session, number } => {
                self.office.reader.ask(Job::Page { asker, page: (session, number), reply });
            }
            PageRequest::Open { partition, at_least } => {
                let Some(replica) = self.replicas.get_mut(&partition) else {
                    return reply.send(Err(Refusal::Denied));
                };
                let mut members = replica.state.configuration().members();
                if !members.any(|member| member.peer == asker) {
                    return reply.send(Err(Refusal::Denied));
                }
                drop(members);
                match replica.snapshot_meta().filter(|meta| meta.point.index >= at_least) {
                    Some(meta) => {
                        let (store, meta) = (Arc::clone(replica.store()), Box::new(meta));
                        self.office.reader.ask(Job::Open { asker, store, meta, reply });
                    }
                    None => {
                        replica.want_checkpoint(Caller::nobody());
                        reply.send(Ok(PageAnswer::Later.encode()));
                    }
                }
            }
        }
    }

    fn checkpoint_all(&mut self, caller: Caller<Result<(), StateError>>) {
        let gathered = Gathered::new(caller);
        for replica in self.replicas.values_mut() {
            replica.want_checkpoint(gathered.share());
            replica.start_checkpoint(&mut self.office, false);
        }
    }

    /// Ends once everything under way is done; coordinations go to whoever can take them.
    fn begin_closing(&mut self, caller: Caller<Result<(), StateError>>) {
        self.office.is_closing = true;
        let now = self.office.now.steady;
        self.closing = Some((now, caller));
        for (id, replica) in &mut self.replicas {
            replica.note_closing(now);
            replica.hand_over(&self.office);
            self.touched.insert(*id);
        }
    }

    fn host(&mut self, hosting: Hosting) -> Result<&mut Replica, HostError> {
        if let Some(replica) = self.replicas.get(&hosting.partition) {
            return Err(HostError::Hosted(replica.state.me()));
        }
        let id = hosting.partition;
        let replica = opening::host(&self.office, hosting)?;
        self.add(replica);
        Ok(self.replicas.get_mut(&id).expect("it was just added"))
    }
}
