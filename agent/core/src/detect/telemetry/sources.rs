//! `telemetry.silent`: an application that told of itself, or a target that should be scraped, gives nothing any more.
//!
//! A source is a `service.name`; whether one of its series ends is its own affair. It is missed once it has been heard for a while, and a
//! target that is scraped from the beginning, because somebody named it. A day later it is not expected any more.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::config::TelemetryConfig;
use super::super::said::{Said, span};
use super::SEVERITY;
use crate::model::{Detection, Evidence, Presence, SeriesId, SeriesKey, Target, Timestamp};

/// Sources that are told apart.
const SOURCES_MAX: usize = 256;
/// A source may miss so many of its own steps.
const STEPS: f64 = 10.0;
/// Moments at which it was heard, before it is missed.
const KNOWN_MOMENTS: u32 = 20;
/// After so long it is not expected any more.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(24);
/// Batches further apart than this: it was the agent that did not listen.
const DEAF_AFTER: Duration = Duration::from_secs(30);
/// The agent's own word on a target, there whether the target answers or not: 1 or 0.
const UP: &str = "holdfast.scrape.up";
/// Own words on a target besides.
const OWN: &str = "holdfast.scrape.";
const TARGET: &str = "holdfast.scrape.target";
const SERVICE: &str = "service.name";

/// One source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Source {
    name: String,
    /// The address, of one that is scraped, and when that was tried last.
    target: Option<String>,
    tried: Timestamp,
    first: Timestamp,
    /// When it was heard last.
    last: Option<Timestamp>,
    moments: u32,
    /// Usual seconds between two moments at which it is heard.
    step_s: f64,
    said: Said,
}

/// What a series says of its source.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Word {
    /// It is there.
    Heard,
    /// It is there if this is not 0.
    Up,
}

/// All sources.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in super::super) struct Sources {
    list: Vec<Source>,
    /// Whose series a number is.
    series: HashMap<SeriesId, (usize, Word)>,
    last_batch: Option<Timestamp>,
    /// Since when the agent listens without a break.
    listens_since: Timestamp,
}

impl Sources {
    /// A series has a number now.
    pub(in super::super) fn bind(&mut self, id: SeriesId, key: &SeriesKey, at: Timestamp) {
        self.series.remove(&id);
        let Some(name) = key.attributes.get(SERVICE) else { return };
        let word = match key.metric.as_str() {
            UP => Word::Up,
            own if own.starts_with(OWN) => return,
            _ => Word::Heard,
        };
        let found = self.list.iter().position(|it| it.name == *name);
        if found.is_none() && self.list.len() >= SOURCES_MAX {
            return;
        }
        let place = found.unwrap_or_else(|| {
            let (name, said) = (name.clone(), Said::default());
            let (target, tried) = (None, at);
            self.list.push(Source { name, target, tried, first: at, last: None, moments: 0, step_s: 0.0, said });
            self.list.len() - 1
        });
        if word == Word::Up {
            self.list[place].target = key.attributes.get(TARGET).cloned();
        }
        self.series.insert(id, (place, word));
    }

    /// Whether there is any: else nothing needs to be asked for each sample.
    pub(in super::super) fn are_there(&self) -> bool {
        !self.series.is_empty()
    }

    /// A sample of a series.
    pub(in super::super) fn heard(&mut self, id: SeriesId, at: Timestamp, value: f64) {
        let Some((place, word)) = self.series.get(&id) else { return };
        let Some(source) = self.list.get_mut(*place) else { return };
        if *word == Word::Up {
            source.tried = at;
            if value == 0.0 {
                return;
            }
        }
        match source.last {
            Some(last) if last >= at && source.moments > 0 => {}
            last => {
                let step_s = last.map_or(0.0, |last| at.since(last).as_secs_f64());
                let weight = if source.step_s == 0.0 { 1.0 } else { 0.1 };
                // A long silence is no step.
                if step_s > 0.0 && (source.step_s == 0.0 || step_s < source.step_s * STEPS) {
                    source.step_s += weight * (step_s - source.step_s);
                }
                source.moments = source.moments.saturating_add(1);
            }
        }
        source.last = Some(at);
    }

    /// A batch has come, whatever is in it.
    pub(in super::super) fn listened(&mut self, at: Timestamp) {
        let deaf = self.last_batch.is_none_or(|last| at < last || at.since(last) > DEAF_AFTER);
        if deaf {
            self.listens_since = at;
        }
        self.last_batch = Some(at);
    }

    /// Looks who is missing, and who is back.
    pub(in super::super) fn sweep(&mut self, config: &TelemetryConfig, at: Timestamp, out: &mut Vec<Detection>) {
        let (listens_since, silent_after) = (self.listens_since, config.silent_after.0);
        for source in &mut self.list {
            if source.target.is_some() && at.since(source.tried.max(listens_since)) > source.limit(silent_after) {
                source.not_scraped(at, out);
            }
            let last = source.last.unwrap_or(source.first);
            let quiet = at.since(last.max(listens_since));
            if quiet <= source.limit(silent_after) {
                if source.said.present && last >= listens_since && source.last.is_some() {
                    source.said.cleared();
                    out.push(source.detection((Presence::Cleared, format!("{} is heard again", source.name)), at));
                }
                continue;
            }
            let heard = source.last.map_or(Duration::ZERO, |last| last.since(source.first));
            let known = heard >= config.known_after.0 && source.moments >= KNOWN_MOMENTS;
            if !known && source.target.is_none() {
                continue;
            }
            if source.said.due(at, SEVERITY) {
                out.push(source.detection((Presence::Present, source.title(at)), last.max(source.first)));
            }
        }
        self.forget(at, out);
    }

    fn forget(&mut self, at: Timestamp, out: &mut Vec<Detection>) {
        let listens_since = self.listens_since;
        let gone = |it: &Source| {
            // A target that is scraped is named as long as it is.
            let expected = it.target.is_some();
            !expected && at.since(it.last.unwrap_or(it.first).max(listens_since)) > FORGOTTEN_AFTER
        };
        if !self.list.iter().any(gone) {
            return;
        }
        let mut places = Vec::with_capacity(self.list.len());
        let mut kept = Vec::with_capacity(self.list.len());
        for source in std::mem::take(&mut self.list) {
            let stays = !gone(&source);
            places.push(stays.then_some(kept.len()));
            if stays {
                kept.push(source);
            } else if source.said.present {
                let title = format!("{} has given nothing for a day; it is not expected any more", source.name);
                out.push(source.detection((Presence::Cleared, title), at));
            }
        }
        self.list = kept;
        self.series.retain(|_, (place, _)| match places.get(*place).copied().flatten() {
            Some(now) => {
                *place = now;
                true
            }
            None => false,
        });
    }
}

impl Source {
    fn limit(&self, silent_after: Duration) -> Duration {
        silent_after.max(Duration::from_secs_f64((self.step_s * STEPS).clamp(0.0, 1e6)))
    }

    /// Somebody took the target out of the configuration: from now on it is like any other, and new.
    fn not_scraped(&mut self, at: Timestamp, out: &mut Vec<Detection>) {
        self.target = None;
        (self.first, self.moments) = (at, 0);
        if self.said.present {
            self.said.cleared();
            out.push(self.detection((Presence::Cleared, format!("{} is not scraped any more", self.name)), at));
        }
    }

    fn title(&self, at: Timestamp) -> String {
        match (self.last, &self.target) {
            (None, Some(target)) => format!("{} has never answered at {target}", self.name),
            (last, Some(target)) => {
                let quiet = span(at.since(last.unwrap_or(self.first)).as_secs_f64());
                format!("{} has not answered at {target} for {quiet}", self.name)
            }
            (last, None) => {
                let quiet = span(at.since(last.unwrap_or(self.first)).as_secs_f64());
                format!("{} has sent nothing for {quiet}; it used to every {}", self.name, span(self.step_s.max(1.0)))
            }
        }
    }

    fn detection(&self, what: (Presence, String), began_at: Timestamp) -> Detection {
        let mut evidence = vec![Evidence::new("source.moments", u64::from(self.moments))];
        if let Some(last) = self.last {
            evidence.push(Evidence::new("source.last_heard_at", last.to_string()));
        }
        if self.step_s > 0.0 {
            evidence.push(Evidence::new("source.step_s", self.step_s));
        }
        if let Some(target) = &self.target {
            evidence.push(Evidence::new("source.scraped_at", target.as_str()));
        }
        let (kind, target) = (("telemetry.silent", "silence"), Target::new("service", &self.name));
        Detection::certain(kind, target, SEVERITY, what, evidence, began_at)
    }
}
