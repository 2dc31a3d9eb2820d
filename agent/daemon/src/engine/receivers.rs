//! Receivers that refuse telemetry, or do not work: findings about the agent, so that nothing is lost in silence.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holdfast_core::model::{Detection, Evidence, Target};

use super::findings::about_agent;
use super::{Command, Engine, Moment};
use crate::status::ReceiverStatus;

/// How often they are looked at.
const EVERY: Duration = Duration::from_secs(10);
/// A receiver fails after so long without a break; starting takes its time.
const FAILS_AFTER: Duration = Duration::from_mins(1);
/// Nothing refused for so long: it is over.
const OVER_AFTER: Duration = Duration::from_mins(10);
/// Reasons that are a limit of ours, and the key under `[ingest.limits]` that sets it. What is malformed, late or not a number is
/// the sender's affair, and told to it.
const LIMITS: [(&str, &str); 5] = [
    ("sources_max", "sources-max"),
    ("series_per_source", "series-per-source"),
    ("series_max", "series-max"),
    ("attributes", "attributes-max"),
    ("rate", "requests-per-second"),
];

/// What was refused by one receiver over its limits.
#[derive(Debug, Default)]
struct Refusals {
    counts: BTreeMap<&'static str, u64>,
    grew_at: Duration,
    /// Reported and not over yet; with the counts at its beginning.
    since: Option<BTreeMap<&'static str, u64>>,
}

/// How the receivers stood when they were looked at last.
#[derive(Debug, Default)]
pub(super) struct Receivers {
    looked: Option<Duration>,
    refusals: BTreeMap<String, Refusals>,
    failing: BTreeMap<String, (Duration, bool)>,
}

impl Receivers {
    fn look(&mut self, all: &[ReceiverStatus], now: Moment) -> Vec<Detection> {
        let mut out = Vec::new();
        let mut there = BTreeSet::new();
        for receiver in all {
            // A target that does not answer is a silent source, which detection tells from the samples.
            let target = receiver.name == "scrape" && receiver.address.starts_with("http");
            let name = if target { receiver.address.clone() } else { receiver.name.clone() };
            out.extend(self.refuses(&name, receiver, now));
            if !target {
                out.extend(self.fails(&name, receiver.failing.as_deref(), now));
            }
            there.insert(name);
        }
        let gone: Vec<String> = self.failing.keys().filter(|name| !there.contains(*name)).cloned().collect();
        for name in gone {
            out.extend(self.fails(&name, None, now));
        }
        out
    }

    fn refuses(&mut self, name: &str, receiver: &ReceiverStatus, now: Moment) -> Option<Detection> {
        let counts: BTreeMap<&'static str, u64> = LIMITS
            .iter()
            .filter_map(|(reason, key)| receiver.rejected.get(*reason).map(|count| (*key, *count)))
            .collect();
        let it = self.refusals.entry(name.to_owned()).or_default();
        let kind = ("telemetry.refused", "refusal");
        if counts == it.counts {
            let over = it.since.is_some() && now.mono.saturating_sub(it.grew_at) >= OVER_AFTER;
            let title = format!("{name} refuses nothing over its limits any more");
            return over.then(|| {
                it.since = None;
                about_agent(kind, Target::new("receiver", name), (false, title), Vec::new(), now)
            });
        }
        let before = std::mem::replace(&mut it.counts, counts);
        it.grew_at = now.mono;
        let since = it.since.get_or_insert(before);
        let grown = it.counts.iter().map(|(key, count)| (key, count - since.get(key).copied().unwrap_or(0)));
        let grown: Vec<(&&str, u64)> = grown.filter(|(_, count)| *count > 0).collect();
        let words: Vec<String> = grown.iter().map(|(key, count)| format!("{count} over ingest.limits.{key}")).collect();
        let mut evidence: Vec<Evidence> =
            grown.iter().map(|(key, count)| Evidence::new(format!("receiver.refused.{key}"), *count)).collect();
        if let Some(error) = &receiver.last_error {
            evidence.push(Evidence::new("receiver.error", error.as_str()));
        }
        let title = format!("{name} refuses telemetry: {}", words.join(", "));
        Some(about_agent(kind, Target::new("receiver", name), (true, title), evidence, now))
    }

    fn fails(&mut self, name: &str, why: Option<&str>, now: Moment) -> Option<Detection> {
        let kind = ("agent.receiver_failed", "receiver_failure");
        let target = Target::new("receiver", name);
        let Some(why) = why else {
            let (_, said) = self.failing.remove(name)?;
            let title = format!("Receiver {name} works again");
            return said.then(|| about_agent(kind, target, (false, title), Vec::new(), now));
        };
        let (since, said) = self.failing.entry(name.to_owned()).or_insert((now.mono, false));
        if *said || now.mono.saturating_sub(*since) < FAILS_AFTER {
            return None;
        }
        *said = true;
        let evidence = vec![Evidence::new("receiver.error", why)];
        Some(about_agent(kind, target, (true, format!("Receiver {name} does not work: {why}")), evidence, now))
    }
}

impl Engine {
    /// Every ten seconds; more often says no more.
    pub(super) fn observe_receivers(&mut self, now: Moment, out: &mut Vec<Command>) {
        if self.receivers.looked.is_some_and(|at| now.mono.saturating_sub(at) < EVERY) {
            return;
        }
        self.receivers.looked = Some(now.mono);
        let all = self.plugins.receivers();
        for detection in self.receivers.look(&all, now) {
            self.observe(detection, now, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::model::{Presence, Timestamp};

    use super::*;

    fn receiver(name: &str, address: &str, failing: Option<&str>, rejected: &[(&str, u64)]) -> ReceiverStatus {
        ReceiverStatus {
            name: name.to_owned(),
            address: address.to_owned(),
            failing: failing.map(str::to_owned),
            requests: 0,
            accepted: 0,
            rejected: rejected.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect(),
            attributes_left_out: 0,
            last_error: None,
        }
    }

    /// What is said at these seconds of so many minutes, with how the receiver stands by then.
    fn said(minutes: u64, stands: impl Fn(u64) -> ReceiverStatus) -> Vec<(u64, Presence, String)> {
        let mut receivers = Receivers::default();
        let mut said = Vec::new();
        for second in (0..minutes * 60).step_by(10) {
            let now = Moment { wall: Timestamp::from_secs(second as i64), mono: Duration::from_secs(second) };
            let found = receivers.look(&[stands(second)], now).into_iter();
            said.extend(found.map(|it| (second, it.presence, it.title)));
        }
        said
    }

    #[test]
    fn what_is_over_a_limit_is_a_finding_until_ten_minutes_without() {
        let said = said(30, |second| {
            let over = (second.clamp(100, 130) - 100) * 7;
            let counts = [("series_max", over), ("malformed", second)];
            receiver("otlp-http", "127.0.0.1:4318", None, if over > 0 { &counts } else { &counts[1..] })
        });
        let refuses = |n: u64| format!("otlp-http refuses telemetry: {n} over ingest.limits.series-max");
        assert_eq!(
            said,
            [
                (110, Presence::Present, refuses(70)),
                (120, Presence::Present, refuses(140)),
                (130, Presence::Present, refuses(210)),
                (730, Presence::Cleared, "otlp-http refuses nothing over its limits any more".to_owned()),
            ]
        );
    }

    #[test]
    fn a_receiver_that_does_not_work_is_a_finding_and_a_moment_is_none() {
        let taken = Some("cannot listen: address in use");
        let found = said(10, |second| {
            receiver("otlp-grpc", "127.0.0.1:4317", taken.filter(|_| (30..150).contains(&second)), &[])
        });
        assert_eq!(
            found,
            [
                (90, Presence::Present, "Receiver otlp-grpc does not work: cannot listen: address in use".to_owned()),
                (150, Presence::Cleared, "Receiver otlp-grpc works again".to_owned()),
            ]
        );
        let short = said(10, |second| receiver("journal", "journalctl", taken.filter(|_| second % 60 < 50), &[]));
        assert_eq!(short, []);
    }

    #[test]
    fn a_target_that_does_not_answer_is_told_by_its_samples_instead() {
        assert_eq!(said(10, |_| receiver("scrape", "http://127.0.0.1:9100/metrics", Some("refused"), &[])), []);
        assert_eq!(said(10, |_| receiver("scrape", "/etc/holdfast/scrape.d", Some("not a table"), &[])).len(), 1);
    }
}
