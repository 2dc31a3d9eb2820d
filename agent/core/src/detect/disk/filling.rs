//! `disk.filling`: the trend reaches full within the horizon, and this way down is news.

use std::time::Duration;

use super::trend::Forecast;
use super::turns::TURNS_USUAL;
use super::{METHOD_FILLING, Mount};
use crate::detect::confidence;
use crate::detect::config::DiskConfig;
use crate::detect::said::span;
use crate::model::unit::human_bytes;
use crate::model::{Confidence, Detection, Evidence, Presence, Severity, Timestamp};

/// Filling is cleared after space was seen not to go down for so long.
const CALM: Duration = Duration::from_secs(10);

impl Mount {
    pub(super) fn judge_filling(
        &mut self,
        config: &DiskConfig,
        at: Timestamp,
        free: f64,
        scratch: &mut Vec<f64>,
        out: &mut Vec<Detection>,
    ) {
        // While a finding stands somebody may have helped; it takes several of these to be called usual. One that needed none is enough.
        let weight = if self.standing() { 1 } else { TURNS_USUAL };
        let recovered = self.turns.watch(at, free, self.limit.unwrap_or(0.0).max(free), weight);
        if recovered {
            self.trend.restart();
        }
        self.trend.push(at, free, config.horizon.0.as_secs_f64(), self.filling.present, scratch);
        let forecast = self.trend.forecast();
        if !self.filling.present {
            let usual = !self.known_incident && self.turns.usual(at, free);
            let Some(forecast) = forecast.filter(|_| free > 0.0 && !usual) else { return };
            self.free_at_onset = forecast.free_at_begin;
            let seen = Duration::from_secs_f64(forecast.since_s.clamp(0.0, 1e9));
            self.filling_since = Some(at.minus(seen));
            self.last_forecast = Some(forecast);
            self.calm_since = None;
            self.filling.present(at, urgency(&forecast));
            out.push(self.filling_detection(at, free, Presence::Present));
            return;
        }
        if let Some(forecast) = forecast {
            self.last_forecast = Some(forecast);
            self.calm_since = None;
            if self.filling.due(at, urgency(&forecast)) {
                out.push(self.filling_detection(at, free, Presence::Present));
            }
            return;
        }
        if self.full.said.present || self.full.readings > 0 || free <= 0.0 {
            self.calm_since = None;
            return;
        }
        // More free than when it began: whoever freed it, the trouble that was reported is gone.
        let freed = recovered && free >= self.free_at_onset;
        if !freed && !self.trend.calm() {
            self.calm_since = None;
            return;
        }
        let since = *self.calm_since.get_or_insert(at);
        if freed || at.since(since) >= CALM {
            out.push(self.filling_detection(at, free, Presence::Cleared));
            self.filling.cleared();
            (self.filling_since, self.calm_since, self.last_forecast) = (None, None, None);
        }
    }

    pub(super) fn filling_detection(&self, at: Timestamp, free: f64, presence: Presence) -> Detection {
        let mut evidence = self.space();
        let (mut title, mut severity, mut certain) = (String::new(), Severity::Low, Confidence::clamped(0.0));
        if let Some(forecast) = &self.last_forecast {
            severity = urgency(forecast);
            certain = confidence::of_trend(forecast.score, forecast.rate_low, forecast.rate_high);
            let rate = human_bytes(forecast.rate.max(0.0) as u64);
            title = format!(
                "{} will be full in about {} ({} to {}): {} free, filling at {rate}/s",
                self.name,
                span(forecast.full_in_s),
                span(forecast.low_s),
                span(forecast.high_s),
                human_bytes(free.max(0.0) as u64)
            );
            let forecast = [
                Evidence::new("filesystem.full_in_s", forecast.full_in_s),
                Evidence::new("filesystem.full_in_s_low", forecast.low_s),
                Evidence::new("filesystem.full_in_s_high", forecast.high_s),
                Evidence::new("filesystem.fill_rate_bytes_per_s", forecast.rate),
                Evidence::new("filesystem.trend_seen_s", forecast.seen_s),
                Evidence::new("filesystem.trend_points", forecast.points as u64),
            ];
            if presence == Presence::Present {
                evidence.extend(forecast);
            }
        }
        match presence {
            Presence::Present => {}
            Presence::Cleared => {
                title = format!("{} is not filling any more: {} free", self.name, human_bytes(free.max(0.0) as u64));
            }
            Presence::Inconclusive => title = format!("{} is not measured any more", self.name),
        }
        let since = self.filling_since.unwrap_or(at);
        self.detection(METHOD_FILLING, "disk.filling", "", presence, title, severity, certain, evidence, since)
    }
}

/// The sooner, the worse.
fn urgency(forecast: &Forecast) -> Severity {
    match forecast.full_in_s {
        s if s < 300.0 => Severity::Critical,
        s if s < 3_600.0 => Severity::High,
        s if s < 6.0 * 3_600.0 => Severity::Medium,
        _ => Severity::Low,
    }
}
