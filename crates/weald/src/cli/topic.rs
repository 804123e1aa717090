//! `weald topic`: persistent publish/subscribe.

mod create;
mod lineage;
mod publish;
mod recover;
mod show;
mod subscribe;

use clap::Subcommand;

use super::{failure::Failure, output::Output, session::Target};

/// What to do with a topic.
#[derive(Debug, Subcommand)]
pub(crate) enum TopicVerb {
    /// Make a topic under rules of its own; the first message makes one under the default rules
    Create(create::Create),
    /// Publish a message, or one for each line; makes the topic if it is new
    Pub(publish::Publish),
    /// Print messages: those that are retained, then each new one
    Sub(subscribe::Subscribe),
    /// Describe the topic: its head, its policy, who subscribes
    Show(show::Show),
    /// List all versions of the topic that are remembered, with their roots
    Lineage(lineage::Lineage),
    /// Bring in what another copy of the topic has and this one does not
    Recover(recover::Recover),
}

impl TopicVerb {
    /// Runs the verb.
    pub(crate) async fn run(self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(target, output).await,
            Self::Pub(publish) => publish.run(target, output).await,
            Self::Sub(subscribe) => subscribe.run(target, output).await,
            Self::Show(show) => show.run(target, output).await,
            Self::Lineage(lineage) => lineage.run(target, output).await,
            Self::Recover(recover) => recover.run(target, output).await,
        }
    }
}
