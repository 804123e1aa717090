//! Carrying out what the state of a member asks for, in order. No decision about the protocol is
//! made here.

use weald_cluster::replica::{Attestation, Input, Output, Report as Told, Role, Stop};
use weald_core::{LogIndex, PartitionId};

use super::Replica;
use crate::members::{
    clerk::Job,
    common::Common,
    figures::{add, count},
};

impl Replica {
    /// Carries out everything that the state asks for.
    pub(in crate::members) fn carry_out(&mut self, common: &mut Common) {
        while let Some(output) = self.state.poll_output() {
            self.output(common, output);
        }
    }

    fn output(&mut self, common: &mut Common, output: Output) {
        let partition = self.id();
        match output {
            Output::Persist(persist) => {
                self.desk.take(*persist);
                common.to_submit.insert(partition);
            }
            Output::Send(envelope) => common.post.send(*envelope),
            Output::Committed { .. } => drop(common.to_apply.insert(partition)),
            Output::Cut { from } => self.waiting.cut(from),
            Output::Fetch { to, from, max_bytes } => {
                common.reader.ask(Job::Fetch { partition, to, from, max_bytes });
            }
            Output::Install { from, point } => self.install(common, from, point),
            Output::ReadReady { ids, index } => {
                self.waiting.confirm(&ids, index);
                common.to_apply.insert(partition);
            }
            Output::ReadFailed { ids } => self.waiting.fail(&ids),
            Output::Became { role, .. } => self.became(common, role),
            Output::Configured { .. } => {
                common.has_peers_changed = true;
                common.has_news |= self.publish_all();
            }
            Output::Sign { index, attested } => self.sign(common, index, &attested),
            Output::Certified(_) => {}
            Output::Reborn { member } => {
                tracing::info!(target: "weald::members", %partition, %member, "a new life");
                self.begin_anew(common);
            }
            Output::Stopped(stop) => self.stopped(common, &stop),
            Output::Report(told) => report(common, partition, &told),
        }
    }

    fn became(&mut self, common: &mut Common, role: Role) {
        self.has_settled = false;
        let (partition, epoch) = (self.id(), self.state.epoch().number);
        tracing::info!(target: "weald::members", %partition, ?role, epoch, "the role has changed");
        match role {
            Role::Coordinator => count(&common.counters.coordinations),
            _ => self.end_spanning(common),
        }
        common.has_news |= self.publish_all();
    }

    fn sign(&mut self, common: &Common, index: LogIndex, attested: &[u8]) {
        match common.keys.sign(Attestation::DOMAIN, attested) {
            Ok(signature) => {
                let key = common.keys.public();
                self.state.handle(common.now, Input::Signed { index, key, signature });
            }
            // It is asked for again.
            Err(error) => {
                tracing::warn!(target: "weald::members", %error, "an attestation is not signed");
            }
        }
    }

    fn stopped(&mut self, common: &mut Common, stop: &Stop) {
        count(&common.counters.stops);
        let (partition, why) = (self.id(), super::stop_text(stop));
        tracing::error!(target: "weald::members", %partition, why, "a member has stopped");
        self.waiting.abandon();
        if *stop == Stop::Amnesiac {
            self.keep_loss(common);
        }
        common.has_news |= self.publish_all();
    }
}

fn report(common: &Common, partition: PartitionId, told: &Told) {
    match told {
        Told::Refused { from, reason } => {
            count(&common.counters.refused);
            tracing::debug!(target: "weald::members", %partition, %from, ?reason, "a message is refused");
        }
        Told::Diverged { member, .. } => {
            tracing::error!(target: "weald::members", %partition, %member, "a member's state differs from the majority's");
        }
        Told::Evidence(evidence) => {
            add(&common.counters.refused, 1);
            tracing::error!(target: "weald::members", %partition, ?evidence, "a member has shown two histories");
        }
        Told::Attested(_) => {}
    }
}
