//! The network between nodes: delays, losses, copies, cut links, and rules that drop messages by
//! their name.

use std::collections::BTreeSet;

use crate::{name::Name, random::Random, schedule::Instant};

/// How a network is on a usual day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Weather {
    /// The least delay of a message, us.
    pub(crate) delay_min: u64,
    /// The most, us; messages overtake each other within.
    pub(crate) delay_max: u64,
    /// Of a million messages, those that are much later.
    pub(crate) late: u64,
    /// How much later at most, us.
    pub(crate) late_max: u64,
    /// Of a million messages, those that are lost.
    pub(crate) loss: u64,
    /// Of a million messages, those that come twice.
    pub(crate) copies: u64,
}

/// Messages that are lost for a while.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct DropRule {
    /// Of this name; any if none is given.
    pub(crate) message: Option<String>,
    /// Of this sender.
    pub(crate) from: Option<Name>,
    /// To this receiver.
    pub(crate) to: Option<Name>,
    /// Until then.
    pub(crate) until: Instant,
    /// This many, if not all.
    pub(crate) count: Option<u32>,
}

/// The network of a world.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) weather: Weather,
    cut: BTreeSet<(Name, Name)>,
    rules: Vec<DropRule>,
}

impl Weather {
    /// Every message takes 1 ms.
    pub(crate) const CALM: Self =
        Self { delay_min: 1000, delay_max: 1000, late: 0, late_max: 0, loss: 0, copies: 0 };

    /// Some network, from a quiet one to a bad one.
    pub(crate) fn draw(random: &mut Random) -> Self {
        let delay_min = random.between(100, 1000);
        Self {
            delay_min,
            delay_max: delay_min + *random.pick(&[200, 2000, 2000, 20_000, 60_000]),
            late: *random.pick(&[0, 0, 1000, 10_000]),
            late_max: *random.pick(&[100_000, 500_000, 3_000_000]),
            loss: *random.pick(&[0, 0, 1000, 10_000, 50_000]),
            copies: *random.pick(&[0, 0, 5000, 50_000]),
        }
    }
}

impl Network {
    pub(crate) const fn new(weather: Weather) -> Self {
        Self { weather, cut: BTreeSet::new(), rules: Vec::new() }
    }

    /// Cuts a link, one way.
    pub(crate) fn cut(&mut self, from: Name, to: Name) {
        self.cut.insert((from, to));
    }

    /// Mends a link, one way.
    pub(crate) fn mend(&mut self, from: Name, to: Name) {
        self.cut.remove(&(from, to));
    }

    /// Mends all links and forgets all rules.
    pub(crate) fn heal(&mut self) {
        self.cut.clear();
        self.rules.clear();
    }

    /// Loses messages for a while.
    pub(crate) fn add_rule(&mut self, rule: DropRule) {
        self.rules.push(rule);
    }

    /// Whether messages are lost by name.
    pub(crate) fn has_rules(&self) -> bool {
        !self.rules.is_empty()
    }

    /// Whether the link is there.
    pub(crate) fn is_open(&self, from: Name, to: Name) -> bool {
        !self.cut.contains(&(from, to))
    }

    /// When a message that leaves now arrives, us from now: once, twice or never.
    pub(crate) fn route(
        &mut self,
        link: (Name, Name),
        message: &str,
        now: Instant,
        random: &mut Random,
    ) -> [Option<u64>; 2] {
        let weather = self.weather;
        let is_lost = random.in_million(weather.loss);
        if is_lost || !self.is_open(link.0, link.1) || self.is_dropped(link, message, now) {
            return [None, None];
        }
        let copy = random.in_million(weather.copies);
        let first = self.delay(random);
        [Some(first), copy.then(|| self.delay(random))]
    }

    /// How long a message is on its way, us.
    pub(crate) fn delay(&self, random: &mut Random) -> u64 {
        let weather = self.weather;
        let late = if random.in_million(weather.late) { random.below(weather.late_max) } else { 0 };
        random.between(weather.delay_min, weather.delay_max) + late
    }

    fn is_dropped(&mut self, (from, to): (Name, Name), message: &str, now: Instant) -> bool {
        self.rules.retain(|rule| rule.until > now && rule.count != Some(0));
        let is_hit = |rule: &&mut DropRule| {
            rule.message.as_deref().is_none_or(|name| name == message)
                && rule.from.is_none_or(|name| name == from)
                && rule.to.is_none_or(|name| name == to)
        };
        let Some(rule) = self.rules.iter_mut().find(is_hit) else { return false };
        if let Some(count) = &mut rule.count {
            *count -= 1;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_drops_what_it_names_as_often_as_it_says() {
        let mut network = Network::new(Weather::CALM);
        let mut random = Random::new(1);
        network.add_rule(DropRule {
            message: Some("Heartbeat".into()),
            from: None,
            to: Some(Name(1)),
            until: Instant(100),
            count: Some(1),
        });
        let mut arrives = |to, name, at| {
            network.route((Name(0), Name(to)), name, Instant(at), &mut random)[0].is_some()
        };
        assert!(arrives(2, "Heartbeat", 0) && arrives(1, "Promise", 0));
        assert!(!arrives(1, "Heartbeat", 0));
        assert!(arrives(1, "Heartbeat", 0), "it was to drop one");
    }

    #[test]
    fn a_cut_link_is_cut_one_way() {
        let mut network = Network::new(Weather::CALM);
        let mut random = Random::new(1);
        network.cut(Name(0), Name(1));
        let mut route =
            |from, to| network.route((Name(from), Name(to)), "Promise", Instant(0), &mut random)[0];
        assert_eq!((route(0, 1), route(1, 0)), (None, Some(1000)));
    }
}
