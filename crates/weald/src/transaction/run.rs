//! Running a closure until nobody else was faster.

use std::sync::Arc;

use weald_collections::transaction::{Attempts, Draft, GaveUp, RetryPolicy, Verdict};
use weald_core::{
    BlockSource, Context, LogIndex, Outcome, PlacementKey, TransactionBody, TransactionId,
    limits::TransactionLimits,
};

use super::{Transacted, Transaction};
use crate::{
    Error, ErrorKind, Result, Weald,
    backend::Version,
    node::{Drawn, Running, blocking, load, rejected, unknown},
    write::WriteOptions,
};

/// What one run of the closure gave: its value, and what is to be committed.
struct Ran<T> {
    value: T,
    body: TransactionBody,
}

impl Weald {
    /// Runs `closure` as one transaction: all that it reads and writes happens at one point in
    /// time, or nothing of it does. It is run again, on the state then current and under a fresh
    /// id, as long as somebody else was faster; so it must not have effects of its own. An error
    /// that it returns ends it, and nothing is committed.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// let node = weald::Weald::in_memory().await?;
    /// node.raw_tree("visits").create().await?;
    /// let done = node.transact(|tx| {
    ///     let mut visits = tx.raw_tree("visits")?;
    ///     let before = visits.get("today")?.map_or(0, |count| count[0]);
    ///     visits.put("today", [before + 1])?;
    ///     Ok(before + 1)
    /// }).await?;
    /// assert_eq!(done.value, 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The closure's own error; `Conflict` with the number of attempts when others were faster each
    /// time; `Unknown` when the outcome of an attempt is.
    pub async fn transact<T, F>(&self, closure: F) -> Result<Transacted<T>>
    where
        T: Send + 'static,
        F: FnMut(&mut Transaction<'_>) -> Result<T> + Send + 'static,
    {
        let running = self.running()?;
        let policy = RetryPolicy {
            attempts_max: running.config.transact_attempts_max,
            deadline: running.config.write_timeout,
            ..RetryPolicy::default()
        };
        let mut attempts = Attempts::new(policy, running.clock.now());
        let mut closure = closure;
        loop {
            let id = begin(&running, &mut attempts)?;
            let version = self.whole().await?;
            let (returned, ran) = run(&running, closure, version, id).await?;
            closure = returned;
            let Ran { value, body } = ran?;
            if body.actions.is_empty() {
                return Ok(Transacted { value, commit: None, attempts: attempts.count() });
            }
            let id = at_home(id, &body);
            let outcome = self.outcome_of(id, body, &WriteOptions::default()).await?;
            match settle(&running, &mut attempts, outcome) {
                Verdict::Committed(commit) => {
                    let commit = Some((id, commit));
                    return Ok(Transacted { value, commit, attempts: attempts.count() });
                }
                Verdict::Refused(rejection) => {
                    return Err(rejected(rejection, id).with_attempts(attempts.count()));
                }
                Verdict::Unknown(_, cause) => {
                    return Err(unknown(cause, id).with_attempts(attempts.count()));
                }
                Verdict::Rerun(wait) => tokio::time::sleep(wait).await,
                Verdict::GaveUp(gave_up) => return Err(gave_up_error(gave_up)),
            }
        }
    }
}

/// The id with its home where the first collection is, which the closure has only now named.
fn at_home(id: TransactionId, body: &TransactionBody) -> TransactionId {
    let [_, _, _, _, _, _, _, _, unique @ ..] = id.to_bytes();
    let first = body.actions.first().map(|action| PlacementKey::of(&action.collection));
    TransactionId::new(first.unwrap_or(id.home()), unique)
}

fn begin(running: &Running, attempts: &mut Attempts) -> Result<TransactionId> {
    let mut entropy = running.entropy.lock();
    let home = PlacementKey::from_u64(0);
    attempts.begin(running.clock.now(), home, &mut Drawn(&mut **entropy)).map_err(gave_up_error)
}

fn settle(running: &Running, attempts: &mut Attempts, outcome: Outcome) -> Verdict {
    let mut entropy = running.entropy.lock();
    attempts.settle(running.clock.now(), outcome, &mut Drawn(&mut **entropy))
}

fn gave_up_error(gave_up: GaveUp) -> Error {
    let error = Error::new(ErrorKind::Conflict, gave_up.to_string());
    match gave_up.lost_to {
        Some(rejection) => error.with_rejection(rejection),
        None => error,
    }
    .with_attempts(gave_up.attempts)
}

/// Runs the closure once: here while everything is in memory, else on a thread that may block.
async fn run<T, F>(
    running: &Arc<Running>,
    mut closure: F,
    version: Version,
    id: TransactionId,
) -> Result<(F, Result<Ran<T>>)>
where
    T: Send + 'static,
    F: FnMut(&mut Transaction<'_>) -> Result<T> + Send + 'static,
{
    let missing = match run_once(running, &mut closure, &version, id, false) {
        Ok(ran) => return Ok((closure, ran)),
        Err(missing) => missing,
    };
    load(&version, missing).await?;
    let running = Arc::clone(running);
    blocking(move || {
        let ran = run_once(&running, &mut closure, &version, id, true);
        let ran = ran.unwrap_or_else(|_| unreachable!("a run that may block loads by itself"));
        (closure, ran)
    })
    .await
}

/// What the closure gave, or the blocks that it lacks.
fn run_once<T, F>(
    running: &Running,
    closure: &mut F,
    version: &Version,
    id: TransactionId,
    may_block: bool,
) -> std::result::Result<Result<Ran<T>>, Vec<weald_core::BlockId>>
where
    F: FnMut(&mut Transaction<'_>) -> Result<T>,
{
    let context = Context {
        transaction: id,
        index: LogIndex(version.index().0.saturating_add(1)),
        time: running.clock.now(),
        limits: TransactionLimits::default(),
        types: running.executor.registry().types(),
    };
    let source: &dyn BlockSource = &**version;
    let draft = Draft::new(&running.executor, source, context);
    let mut transaction = Transaction::new(draft, id, version, may_block);
    let value = closure(&mut transaction);
    if let Some(weald_core::Halt::Need(ids)) = transaction.halt {
        return Err(ids);
    }
    Ok(value.map(|value| Ran { value, body: transaction.draft.finish() }))
}
