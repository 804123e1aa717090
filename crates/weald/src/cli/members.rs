//! `weald members`: the nodes that keep partitions, and since when they run.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::json;
use weald::{MemberInfo, PartitionInfo, PeerId, Time};
use weald_core::millis;

use super::{
    failure::Failure,
    health::SILENCE_MAX,
    output::Output,
    session::{self, Target},
};

/// What the asked node knows of a node that is a member with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Known {
    incarnation: Option<u64>,
    started: Option<Time>,
    /// For how long nobody has heard it, as far as the asked node can tell.
    silence: Option<Duration>,
    voter_of: usize,
    learner_of: usize,
}

/// Lists the members of the partitions that the asked node keeps.
pub(crate) async fn run(target: &Target, output: &mut Output) -> Result<(), Failure> {
    let all = session::existing(target, async |database| database.partitions().await).await?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Time::ZERO.after(since);
    for (peer, known) in gathered(&all) {
        output.answer(
            || plain(peer, &known, now),
            || {
                json!({
                    "peer_id": peer.map(|peer| peer.to_string()),
                    "incarnation": known.incarnation,
                    "started_at": known.started.map(Time::as_millis),
                    "last_contact_ms": known.silence.map(millis),
                    "voter_of": known.voter_of,
                    "learner_of": known.learner_of,
                })
            },
        )?;
    }
    Ok(())
}

/// Each node once. What is known of it in one partition may be newer than in another.
fn gathered(partitions: &[PartitionInfo]) -> BTreeMap<Option<PeerId>, Known> {
    let mut nodes = BTreeMap::<_, Known>::new();
    for MemberInfo { peer, is_voter, started, incarnation, last_contact, .. } in
        partitions.iter().flat_map(|info| info.members.iter().copied())
    {
        let known = nodes.entry(peer).or_default();
        known.incarnation = known.incarnation.max(incarnation);
        known.started = known.started.max(started);
        known.silence = last_contact.into_iter().chain(known.silence).min();
        match is_voter {
            true => known.voter_of += 1,
            false => known.learner_of += 1,
        }
    }
    nodes
}

fn plain(peer: Option<PeerId>, known: &Known, now: Time) -> String {
    let unknown = || "-".to_owned();
    let peer = peer.map_or_else(unknown, |peer| peer.to_string());
    let run = known.incarnation.map_or_else(unknown, |number| number.to_string());
    let up = match known.silence.filter(|silence| *silence > SILENCE_MAX) {
        Some(silence) => format!("not heard for {}", span(silence)),
        None => {
            let time = known.started.map(|started| span(now.since(started)));
            format!("up {}", time.unwrap_or_else(unknown))
        }
    };
    let Known { voter_of, learner_of, .. } = known;
    let learner =
        if *learner_of == 0 { String::new() } else { format!(", learner of {learner_of}") };
    format!("{peer}\trun {run}\t{up}\tvoter of {voter_of}{learner}")
}

/// A time in its two largest units. Of a node that is up, its clock said when it began, and this
/// machine's says what time it is.
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_node_is_up_has_two_units() {
        let told = |seconds| span(Duration::from_secs(seconds));
        assert_eq!([told(0), told(59)], ["0 s", "59 s"]);
        assert_eq!([told(60), told(3_599)], ["1 min 0 s", "59 min 59 s"]);
        assert_eq!([told(3_600), told(86_399)], ["1 h 0 min", "23 h 59 min"]);
        assert_eq!(told(90_000), "1 d 1 h");
    }

    #[test]
    fn what_is_not_known_of_a_node_is_a_dash() {
        let known = Known { voter_of: 2, learner_of: 1, ..Known::default() };
        let told = plain(None, &known, Time::from_millis(5_000));
        assert_eq!(told, "-\trun -\tup -\tvoter of 2, learner of 1");
        let started = Some(Time::from_millis(2_000));
        let known = Known { incarnation: Some(3), started, voter_of: 2, ..Known::default() };
        let told = plain(None, &known, Time::from_millis(5_000));
        assert_eq!(told, "-\trun 3\tup 3 s\tvoter of 2");
        let known = Known { silence: Some(Duration::from_secs(70)), ..known };
        let told = plain(None, &known, Time::from_millis(5_000));
        assert_eq!(told, "-\trun 3\tnot heard for 1 min 10 s\tvoter of 2");
    }
}
