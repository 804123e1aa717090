//! Building a node.

use std::{fmt, path::Path, sync::Arc};

use weald_collections::CollectionType;
use weald_core::{Clock, Entropy};

use super::{
    blocking,
    start::Start,
    system::{SystemClock, SystemEntropy},
};
use crate::{Config, Result, Weald, topic::look_after};

/// Builds a node: settings are values, components are handed in.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
/// use weald::{Config, Weald};
/// let config = Config { cache_bytes: 16 << 20, ..Config::default() };
/// let node = Weald::builder().config(config).in_memory().await?;
/// # Ok(()) }
/// ```
#[derive(Default)]
pub struct Builder {
    config: Config,
    clock: Option<Arc<dyn Clock>>,
    entropy: Option<Box<dyn Entropy + Send>>,
    types: Vec<Arc<dyn CollectionType>>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The settings. Default: [`Config::default`].
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The clock. Default: the machine's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Where random bytes come from. Default: the operating system.
    #[must_use]
    pub fn entropy(mut self, entropy: impl Entropy + Send + 'static) -> Self {
        self.entropy = Some(Box::new(entropy));
        self
    }

    /// Adds a collection type beside `Tree` and `Diary`.
    #[must_use]
    pub fn register(mut self, collection_type: Arc<dyn CollectionType>) -> Self {
        self.types.push(collection_type);
        self
    }

    /// Opens the database in the directory `path`, which is made if it is not there.
    ///
    /// # Errors
    /// As [`Weald::open`]; `Invalid` for settings out of range.
    pub async fn open(self, path: impl AsRef<Path>) -> Result<Weald> {
        let path = path.as_ref().to_owned();
        let start = self.start();
        let node = blocking(move || start.run(Some(&path))).await?.map(Weald::started)?;
        look_after(&node);
        Ok(node)
    }

    /// A database that ends with the process.
    ///
    /// # Errors
    /// `Invalid` for settings out of range.
    pub async fn in_memory(self) -> Result<Weald> {
        let node = self.start().run(None).map(Weald::started)?;
        look_after(&node);
        Ok(node)
    }

    fn start(self) -> Start {
        Start {
            config: self.config,
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock)),
            entropy: self.entropy.unwrap_or_else(|| Box::new(SystemEntropy)),
            types: self.types,
        }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("config", &self.config).finish_non_exhaustive()
    }
}
