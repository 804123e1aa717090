//! Carrying out what the state of a member asks for, in order. No decision about the protocol is
//! made here.

use weald_cluster::replica::{Attestation, Input, Output, Report as Told, Role, Stop};
use weald_core::{LogIndex, PartitionId};

use super::Replica;
use crate::members::{clerk::Job, figures::count, office::Office, refusals::Refused};

impl Replica {
    /// Carries out everything that the state asks for.
    pub(in crate::members) fn carry_out(&mut self, office: &mut Office) {
        while let Some(output) = self.state.poll_output() {
            self.output(office, output);
        }
    }

    fn output(&mut self, office: &mut Office, output: Output) {
        let partition = self.id();
        match output {
            Output::Persist(persist) => {
                self.desk.take(*persist);
                office.to_submit.insert(partition);
            }
            Output::Send(envelope) => office.post.send(*envelope),
            Output::Committed { .. } => {
                self.watch.commit(self.state.watermark(), &office.counters.phases);
                office.to_apply.insert(partition);
            }
            Output::Cut { from } => {
                self.waiting.cut(from);
                self.watch.cut(from);
            }
            Output::Fetch { to, from, max_bytes } => {
                office.reader.ask(Job::Fetch { partition, to, from, max_bytes });
            }
            Output::Install { from, at_least } => self.install(office, from, at_least),
            Output::ReadReady { ids, index } => {
                self.waiting.confirm(&ids, index);
                office.to_apply.insert(partition);
            }
            Output::ReadFailed { ids } => self.waiting.fail(&ids),
            Output::Became { role, .. } => self.became(office, role),
            Output::Configured { .. } => {
                office.has_peers_changed = true;
                self.publish_all();
            }
            Output::Sign { index, attested } => self.sign(office, index, &attested),
            Output::Certified(_) => {}
            Output::Reborn { member } => {
                tracing::info!(target: "weald::members", %partition, %member, "a new life");
                self.begin_anew(office);
            }
            Output::Recovered { recovery, held } => {
                let (generation, kept) = (recovery.act.generation, recovery.act.kept.index);
                tracing::warn!(
                    target: "weald::members", %partition, generation, %kept, held = %held.index,
                    "a forced recovery has begun a new generation: what was held here counts no more"
                );
                self.waiting.abandon();
                if recovery.act.gave_life_to(&self.state.me()) {
                    self.begin_anew(office);
                }
            }
            Output::Stopped(stop) => self.stopped(office, &stop),
            Output::Report(told) => report(office, partition, &told),
        }
    }

    fn became(&mut self, office: &mut Office, role: Role) {
        self.has_settled = false;
        let (partition, epoch) = (self.id(), self.state.epoch().number);
        tracing::info!(target: "weald::members", %partition, ?role, epoch, "the role has changed");
        match role {
            Role::Coordinator => {
                count(&office.counters.coordinations);
                self.takes_over_since = self.heard;
            }
            _ => {
                self.takes_over_since = None;
                self.end_spanning(office);
            }
        }
        self.publish_all();
    }

    /// An entry of this coordination is applied: where somebody coordinated before, that is taken over.
    pub(super) fn took_over(&mut self, office: &Office) {
        let Some(since) = self.takes_over_since.take() else { return };
        let (partition, took) = (self.id(), office.now.steady.since(since));
        tracing::info!(target: "weald::members", %partition, ?took, "the partition is taken over");
        office.counters.takeovers.count(took);
    }

    fn sign(&mut self, office: &Office, index: LogIndex, attested: &[u8]) {
        match office.keys.sign(Attestation::DOMAIN, attested) {
            Ok(signature) => {
                let key = office.keys.public();
                self.state.handle(office.now, Input::Signed { index, key, signature });
            }
            // It is asked for again.
            Err(error) => {
                tracing::warn!(target: "weald::members", %error, "an attestation is not signed");
            }
        }
    }

    fn stopped(&mut self, office: &mut Office, stop: &Stop) {
        count(&office.counters.stops);
        let (partition, why) = (self.id(), self.stop_text(stop));
        tracing::error!(target: "weald::members", %partition, why, "a member has stopped");
        self.waiting.abandon();
        if *stop == Stop::Amnesiac {
            self.keep_loss(office);
        }
        self.publish_all();
    }
}

fn report(office: &Office, partition: PartitionId, told: &Told) {
    match told {
        Told::Refused { from, reason } => {
            office.counters.refused.count(Refused::ByMember(*reason));
            tracing::debug!(target: "weald::members", %partition, %from, ?reason, "a message is refused");
        }
        Told::Diverged { member, .. } => {
            tracing::error!(target: "weald::members", %partition, %member, "a member's state differs from the majority's");
        }
        Told::Evidence(evidence) => {
            office.counters.refused.count(Refused::TwoHistories);
            tracing::error!(target: "weald::members", %partition, ?evidence, "a member has shown two histories");
        }
        Told::Attested(_) => {}
    }
}
