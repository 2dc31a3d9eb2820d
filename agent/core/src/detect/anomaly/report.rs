//! What is said of a departure.

use super::super::activity::{ACTIVITY_REACH, Activity};
use super::super::baseline::Expected;
use super::super::confidence;
use super::super::said::{number, series_target};
use super::episode::{Decides, Episode};
use super::{Anomaly, KIND, METHOD, VERSION};
use crate::model::{Class, Detection, Evidence, Method, MetricKind, Presence, SeriesKey, Severity, Timestamp};

impl Anomaly {
    pub(super) fn detection(
        &self,
        key: &SeriesKey,
        at: Timestamp,
        value: f64,
        expected: Expected,
        presence: Presence,
        activity: &[Activity],
    ) -> Detection {
        let began_at = self.episode.as_ref().map_or(at, |it| it.began_at);
        let lasted = at.since(began_at);
        let score = self.episode.as_ref().map_or(0.0, Episode::score);
        let context = activity.iter().rev().find(|it| it.at <= at && began_at.since(it.at) <= ACTIVITY_REACH);
        let unit = if key.kind == MetricKind::Counter { " per second" } else { "" };
        let title = match presence {
            Presence::Cleared => format!("{key} is back at {}{unit}", number(value)),
            _ => format!(
                "{key} is {}{unit}, expected about {}, for {} s",
                number(value),
                number(expected.level),
                lasted.as_secs()
            ),
        };
        let history = self.baseline.history(at);
        let mut evidence = vec![
            Evidence::new("series.key", key.to_string()),
            Evidence::new("series.value", value),
            Evidence::new("series.expected", expected.level),
            Evidence::new("series.scale", expected.scale),
            Evidence::new("series.deviations", score),
            Evidence::new("series.lasted_s", lasted.as_secs()),
            Evidence::new("series.history_s", history.as_secs()),
        ];
        if let Some(episode) = &self.episode {
            evidence.push(Evidence::new("series.extreme", episode.extreme));
            evidence.push(Evidence::new("series.oddness", episode.odd));
            evidence.push(Evidence::new("series.alarm", episode.alarm));
            if !episode.reason.is_empty() {
                evidence.push(Evidence::new("series.reason", episode.reason.as_str()));
            }
        }
        if self.is_known_incident() {
            evidence.push(Evidence::new("series.known_incident", true));
        }
        if let Some(context) = context {
            evidence.push(Evidence::new("context.activity", context.what.as_str()));
        }
        let alone = match (self.decides(at), &self.episode) {
            (Decides::All, Some(it)) => confidence::of_oddness(it.odd),
            (Decides::Alarms, Some(it)) if it.is_news() => confidence::of_oddness(it.odd),
            (Decides::Alarms, _) => confidence::of_lasting(),
            _ => confidence::of_young(score, lasted, history),
        };
        Detection {
            kind: KIND.to_owned(),
            class: Class::Reliability,
            target: series_target(key),
            discriminator: String::new(),
            presence,
            title,
            severity: self.episode.as_ref().map_or(Severity::Low, Episode::severity),
            confidence: if context.is_some() { confidence::beside_activity(alone) } else { alone },
            method: Method { name: METHOD.to_owned(), version: VERSION },
            evidence,
            began_at,
            cause: None,
        }
    }
}
