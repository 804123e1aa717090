//! Giving proposals their places, at a coordinator.

use std::time::Duration;

use bytes::Bytes;
use weald_cluster::replica;
use weald_core::{
    LogError, LogIndex, Payload, Settings, SettingsChange, SettingsEntry, TypeName, TypeVersion,
};

use super::Replica;
use crate::{
    members::{
        Caller, Proposal, ProposeError, Terms,
        figures::{add, count},
        office::Office,
        waiting::proposal_bytes_max,
    },
    write::Ack,
};

/// When a caller may try again that found too much waiting.
const RETRY_AFTER: Duration = Duration::from_millis(20);

impl Replica {
    /// Gives the proposals of this turn their places.
    pub(in crate::members) fn propose(&mut self, office: &mut Office) {
        let mut proposals = self.waiting.take_incoming();
        if proposals.is_empty() {
            return;
        }
        if let Some(error) = self.refusal(office) {
            return proposals.into_iter().for_each(|proposal| proposal.refuse(error.clone()));
        }
        for proposal in proposals.extract_if(.., |proposal| self.check(office, proposal).is_err()) {
            if let Err(error) = self.check(office, &proposal) {
                proposal.refuse(error);
            }
        }
        let free: Vec<_> =
            proposals.into_iter().filter_map(|proposal| self.gate(office, proposal)).collect();
        if !free.is_empty() {
            self.place(office, free);
        }
    }

    pub(super) fn place(&mut self, office: &mut Office, proposals: Vec<Proposal>) {
        let commands: Vec<Bytes> = proposals.iter().map(|p| p.command.clone()).collect();
        let first = match self.state.propose(office.now, &commands) {
            Ok(first) => first,
            Err(error) => {
                let error = self.error_of(&error);
                return proposals.into_iter().for_each(|proposal| proposal.refuse(error.clone()));
            }
        };
        add(&office.counters.proposed, proposals.len());
        self.watch.place(first);
        let epoch = self.state.epoch();
        let time = self.state.log_time();
        for (index, proposal) in (first.0..).zip(proposals) {
            self.waiting.place((LogIndex(index), epoch), time, proposal);
        }
    }

    /// Why nothing is proposed here now.
    pub(super) fn refusal(&self, office: &Office) -> Option<ProposeError> {
        if office.is_closing || self.fault.is_some() || self.state.stop().is_some() {
            return Some(ProposeError::Stopped);
        }
        if self.state.coordinating().is_none() {
            if !self.is_member() {
                return Some(ProposeError::NotMember);
            }
            return Some(ProposeError::NotCoordinator { hint: self.state.coordinator() });
        }
        match self.desk.trouble() {
            Some(LogError::DiskFull(_)) => Some(ProposeError::DiskFull),
            Some(_) => Some(busy()),
            None if office.is_over_budget => Some(busy()),
            None => None,
        }
    }

    fn check(&self, office: &Office, proposal: &Proposal) -> Result<(), ProposeError> {
        let (bytes, max) = (proposal.len(), proposal_bytes_max());
        if bytes > max {
            return Err(ProposeError::TooLarge { bytes, max });
        }
        match proposal.payload() {
            Payload::Transaction(request) => {
                Ok(self.partition.admit(request, &office.config.limits)?)
            }
            _ => Ok(()),
        }
    }

    fn error_of(&self, error: &replica::ProposeError) -> ProposeError {
        match *error {
            replica::ProposeError::NotCoordinator { coordinator } => {
                ProposeError::NotCoordinator { hint: coordinator }
            }
            replica::ProposeError::HandingOver { to } => {
                ProposeError::NotCoordinator { hint: Some(to) }
            }
            replica::ProposeError::Busy { .. } => busy(),
            replica::ProposeError::TooLarge { bytes, max } => ProposeError::TooLarge { bytes, max },
        }
    }

    /// Has the log of a new partition say which types and which feature level hold, once this
    /// coordination has an entry of its own applied. A partition whose settings were ever changed
    /// is left alone.
    pub(in crate::members) fn settle_settings(&mut self, office: &mut Office) {
        if self.has_settled || self.state.coordinating() != Some(self.applied.epoch) {
            return;
        }
        self.has_settled = true;
        self.took_over(office);
        self.begin_spanning(office);
        if *self.partition.settings() != Settings::default() {
            return;
        }
        let register = |(type_name, version): &(TypeName, TypeVersion)| SettingsChange::Register {
            type_name: type_name.clone(),
            version: *version,
        };
        let level = SettingsChange::Level(office.config.level);
        let changes = office.config.types.iter().map(register).chain([level]).collect();
        let entry = SettingsEntry { decided: LogIndex::ZERO, changes };
        self.propose_own(office, Payload::Settings(entry));
    }

    /// Lets log time go on when something is due and nothing else comes.
    pub(in crate::members) fn tick(&mut self, office: &mut Office) {
        let is_due = self.partition.due().is_some_and(|due| due < office.now.wall);
        let is_idle = self.state.last().index == self.state.watermark();
        if is_due && is_idle && self.state.coordinating().is_some() {
            self.propose_own(office, Payload::Tick);
        }
    }

    /// Logs something of the node's own. Whether there is room for it.
    pub(super) fn propose_own(&mut self, office: &mut Office, payload: Payload) -> bool {
        if self.fault.is_some() || self.desk.trouble().is_some() {
            return false;
        }
        let deadline = office.clocks.instant(office.now.steady);
        let terms = Terms { ack: Ack::Durable, deadline };
        let proposal = Proposal::new(payload, terms, Caller::nobody());
        let Ok(first) = self.state.propose(office.now, std::slice::from_ref(&proposal.command))
        else {
            return false;
        };
        count(&office.counters.proposed);
        let place = (first, self.state.epoch());
        self.waiting.place(place, self.state.log_time(), proposal);
        true
    }
}

/// The refusal of a proposal for which there is no room now.
pub(super) fn busy() -> ProposeError {
    ProposeError::Busy { retry_after: RETRY_AFTER }
}
