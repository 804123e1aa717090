//! Settings change through the partition's own log, all changes of an entry or none.

use weald_core::{
    ApplyLimits, Rejection, Settings, SettingsChange, SettingsEntry,
    limits::{POLICIES_MAX, POLICY_BYTES_MAX, TYPES_MAX},
};

/// The settings after `entry`.
pub(super) fn changed(settings: &Settings, entry: &SettingsEntry) -> Result<Settings, Rejection> {
    if entry.decided < settings.decided {
        let (based_on, changed) = (entry.decided, settings.decided);
        return Err(Rejection::Superseded { based_on, changed });
    }
    let mut after = Settings { decided: entry.decided, ..settings.clone() };
    for change in &entry.changes {
        take(&mut after, change)?;
    }
    check("types", after.types.len(), TYPES_MAX)?;
    check("policies", after.policies.len(), POLICIES_MAX)?;
    Ok(after)
}

fn take(after: &mut Settings, change: &SettingsChange) -> Result<(), Rejection> {
    match change {
        SettingsChange::Level(level) => after.level = after.level.max(*level),
        SettingsChange::Limits(limits) => {
            check_limits(limits)?;
            after.limits = *limits;
        }
        SettingsChange::Register { type_name, version } => {
            after.types = after.types.with(type_name.clone(), *version);
        }
        SettingsChange::Policy { name, value: None } => drop(after.policies.remove(name)),
        SettingsChange::Policy { name, value: Some(value) } => {
            check("policy bytes", name.len() + value.len(), POLICY_BYTES_MAX)?;
            after.policies.insert(name.clone(), value.clone());
        }
    }
    Ok(())
}

/// With a bound of zero nothing could be logged that raises it again.
fn check_limits(limits: &ApplyLimits) -> Result<(), Rejection> {
    let &ApplyLimits {
        results_max,
        sessions_max,
        pends_max,
        intent_bytes_max,
        decisions_max,
        blocks_max,
        bytes_max,
    } = limits;
    let counts = [results_max, sessions_max, pends_max, decisions_max, blocks_max];
    if counts.contains(&0) || intent_bytes_max == 0 || bytes_max == 0 {
        return Err(Rejection::Invalid { detail: "a bound of zero".to_owned() });
    }
    Ok(())
}

pub(super) fn check(what: &str, actual: usize, max: usize) -> Result<(), Rejection> {
    if actual <= max {
        return Ok(());
    }
    let wide = |number| u64::try_from(number).unwrap_or(u64::MAX);
    Err(Rejection::TooLarge { what: what.to_owned(), actual: wide(actual), max: wide(max) })
}
