//! `weald node`: serves a database until it is told to stop.

mod card;
mod log;

use std::{io, path::Path};

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use weald::{HttpGateway, NodeConfig, Weald};

use self::card::Card;
use super::{
    failure::{Class, Failure},
    options::{NodeOptions, Settings},
    output::Output,
    session,
};

/// Serves the database until SIGTERM or Ctrl-C.
#[derive(Args, Debug)]
pub(crate) struct Node {
    #[command(flatten)]
    options: NodeOptions,
}

impl Node {
    /// Runs the verb.
    pub(crate) async fn run(
        self,
        data_dir: Option<&Path>,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let settings = Settings::of(&self.options.resolve(data_dir)?)?;
        log::begin()?;
        // Whoever stops the node while it starts stops it as well.
        let stop = Stop::new()?;
        let node = start(&settings.node).await?;
        let served = serve(&node, &settings, stop, output).await;
        let closed = node.close().await;
        served?;
        Ok(closed?)
    }
}

/// Starts the node: alone, with its data in the directory.
async fn start(config: &NodeConfig) -> Result<Weald, Failure> {
    session::open_with(&config.data_dir, config.store.clone()).await
}

async fn serve(
    node: &Weald,
    settings: &Settings,
    stop: Stop,
    output: &mut Output,
) -> Result<(), Failure> {
    let gateway = match &settings.http {
        Some(http) => Some(HttpGateway::bind(node, http).await?),
        None => None,
    };
    let address = gateway.as_ref().map(HttpGateway::address);
    let card = Card::of(node, &settings.node, address);
    card.write(&settings.node.data_dir)?;
    card.tell(output)?;
    output.flush()?;
    let served = match gateway {
        Some(gateway) => gateway.serve(stop.asked()).await.map_err(Failure::from),
        None => {
            stop.asked().await;
            Ok(())
        }
    };
    card.remove(&settings.node.data_dir);
    served
}

/// The signals that stop a node.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            Failure::new(Class::Internal, format_args!("signals cannot be heard: {error}"))
        };
        let terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        Ok(Self { terminate, interrupt })
    }

    /// Ready at the first of them.
    async fn asked(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
