//! What is said of a departure, and of a change of spread.

use super::super::activity::{ACTIVITY_REACH, Activity};
use super::super::baseline::Expected;
use super::super::confidence;
use super::super::config::DetectConfig;
use super::super::said::{number, series_target};
use super::episode::{Decides, Episode};
use super::spread::{Figures, Turn};
use super::{Anomaly, KIND, METHOD, SPREAD_KIND, SPREAD_METHOD, SPREAD_VERSION, VERSION};
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
            evidence.extend(self.sketch.location().map(|it| Evidence::new("series.now", it.level)));
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

    /// One bin for the spread, and what there is to say of that.
    pub(super) fn vary(
        &mut self,
        config: &DetectConfig,
        key: &SeriesKey,
        at: Timestamp,
        value: f64,
        activity: &[Activity],
    ) -> Option<Detection> {
        let expected = self.baseline.expected(self.floor)?;
        let lasts = |it: &Episode| it.known || it.has_lasted(self.settings.sustained_s);
        if self.said.present || self.episode.as_ref().is_some_and(lasts) {
            self.spread.pause();
            return None;
        }
        let (least, adopt_after_s) = (self.floor.at(expected.level), config.adopt_after.0.as_secs_f64());
        let wanted = config.anomalies && config.spread;
        let turn = self.spread.push(at, value, least, adopt_after_s, wanted)?;
        let figures = self.spread.figures()?;
        if turn == Turn::Stands {
            let due = self.spread.said.due(at, figures.severity());
            return due.then(|| self.spread_detection(key, at, expected, figures, Presence::Present, activity));
        }
        let mut over = self.spread_detection(key, at, expected, figures, Presence::Cleared, &[]);
        if turn == Turn::Adopted {
            over.title = format!("{key} goes on varying by {}; that is taken as its new normal", number(figures.now));
            over.evidence.push(Evidence::new("series.adopted", true));
        }
        let told = self.spread.said.present;
        self.spread.forget();
        told.then_some(over)
    }

    pub(super) fn silent_spread(&mut self, key: &SeriesKey, at: Timestamp) -> Option<Detection> {
        let (expected, figures) = (self.baseline.expected(self.floor)?, self.spread.figures()?);
        self.spread.said.silent().then(|| {
            let mut detection = self.spread_detection(key, at, expected, figures, Presence::Inconclusive, &[]);
            detection.title = format!("{key} gives no samples any more");
            detection
        })
    }

    fn spread_detection(
        &self,
        key: &SeriesKey,
        at: Timestamp,
        expected: Expected,
        figures: Figures,
        presence: Presence,
        activity: &[Activity],
    ) -> Detection {
        let Figures { up, began_at, before, now, most } = figures;
        let lasted_s = at.since(began_at).as_secs();
        let context = activity.iter().rev().find(|it| it.at <= at && began_at.since(it.at) <= ACTIVITY_REACH);
        let title = match presence {
            Presence::Cleared => format!("{key} varies by {} again", number(now)),
            _ => format!(
                "{key} varies by {} around {}, usually by {}, for {lasted_s} s",
                number(now),
                number(expected.level),
                number(before)
            ),
        };
        let mut evidence = vec![
            Evidence::new("series.key", key.to_string()),
            Evidence::new("series.shape", if up { "spread grew" } else { "spread shrank" }),
            Evidence::new("series.changed_at", began_at.to_string()),
            Evidence::new("series.spread_before", before),
            Evidence::new("series.spread", now),
            Evidence::new("series.spread_ratio", if up { most } else { 1.0 / most }),
            Evidence::new("series.level", expected.level),
            Evidence::new("series.lasted_s", lasted_s),
            Evidence::new("series.history_s", self.baseline.history(at).as_secs()),
        ];
        evidence.extend(context.map(|it| Evidence::new("context.activity", it.what.as_str())));
        let alone = confidence::of_spread();
        Detection {
            kind: SPREAD_KIND.to_owned(),
            class: Class::Reliability,
            target: series_target(key),
            discriminator: String::new(),
            presence,
            title,
            severity: figures.severity(),
            confidence: if context.is_some() { confidence::beside_activity(alone) } else { alone },
            method: Method { name: SPREAD_METHOD.to_owned(), version: SPREAD_VERSION },
            evidence,
            began_at,
            cause: None,
        }
    }
}
