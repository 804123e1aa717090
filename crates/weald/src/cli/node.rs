//! `weald node`: serves a database until it is told to stop.

mod card;
mod log;

use std::path::Path;

use clap::Args;
use weald::{HttpGateway, Weald};

use self::card::Card;
use super::{
    failure::Failure,
    options::{NodeOptions, Settings},
    output::Output,
    session,
    stop::Stop,
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
        let node = session::start_node(&settings.node).await?;
        let served = serve(&node, &settings, stop, output).await;
        let closed = node.close().await;
        served?;
        Ok(closed?)
    }
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
