//! What departs beside a finding, as its evidence.
//!
//! - `related.oddness`: how odd all series of the same unit, or of the host, are together; 0 to 1.
//! - `related.series`: those that depart most, the finding's own left out, with their share of what is odd.
//! - `related.units`: of a finding about the host, the units that use more of the resource than they did, as `NAME SHARE`: their share of
//!   all that units use more. [`correlate`](crate::correlate) reads it.

use super::places::{self, Resource};
use super::{Group, Standing, Together};
use crate::detect::said::number;
use crate::model::{Detection, Evidence, RELATED_UNITS};

/// A series departs from so many of its scales on.
const DEPARTS: f64 = 3.0;
/// Named at most.
const NAMED_MAX: usize = 3;
/// A smaller share is not worth a line.
const SHARE_MIN: f64 = 0.05;
impl Together {
    /// Adds what departs now. `own`: where the finding's series stands. Says nothing while too little is known.
    pub(in crate::detect) fn tell(&self, detection: &mut Detection, own: Option<Standing>) {
        let unit = if detection.target.kind == "unit" {
            Some(detection.target.name.as_str())
        } else {
            own.and_then(|it| self.groups.get(it.group)).map(|it| it.unit.as_str()).filter(|it| !it.is_empty())
        };
        let group = self.groups.iter().find(|it| it.unit == unit.unwrap_or_default());
        let Some(group) = group.filter(|it| it.host.is_known()) else { return };
        let place = own.filter(|it| self.groups.get(it.group).is_some_and(|own| own.unit == group.unit));
        let series = departing(group, place.map(|it| it.place));
        let units = if unit.is_none() { self.units(detection) } else { Vec::new() };
        if series.is_empty() && units.is_empty() {
            return;
        }
        detection.evidence.push(Evidence::new("related.oddness", (group.score * 1e3).round() / 1e3));
        if !series.is_empty() {
            detection.evidence.push(Evidence::new("related.series", series));
        }
        if !units.is_empty() {
            detection.evidence.push(Evidence::new(RELATED_UNITS, units));
        }
    }

    /// Units that use more than they did of what the finding is about, the largest share first.
    fn units(&self, detection: &Detection) -> Vec<String> {
        if !["series", "host", "filesystem"].contains(&detection.target.kind.as_str()) {
            return Vec::new();
        }
        let subject = detection.evidence.iter().find(|it| it.name == "series.key").map(|it| it.value.to_string());
        let subject = subject.unwrap_or_else(|| format!("{} {}", detection.target.name, detection.discriminator));
        let Some(resource) = Resource::of(&detection.kind, &subject) else { return Vec::new() };
        let more = |group: &Group| {
            // A unit that ended does not use more any longer.
            let there = resource.places().iter().filter(|place| group.sums[**place].value.is_some());
            let parts = there.filter_map(|place| group.host.part(*place));
            let least: f64 = resource.places().iter().map(|place| places::UNIT[*place].least).sum();
            let (away, most) = parts.fold((0.0, 0.0_f64), |(away, most), it| (away + it.away, most.max(it.scales)));
            (away > least && most >= DEPARTS).then_some(away)
        };
        let known = self.groups.iter().filter(|it| !it.unit.is_empty() && it.host.is_known());
        let mut all: Vec<(f64, &str)> = known.filter_map(|it| Some((more(it)?, it.unit.as_str()))).collect();
        let sum: f64 = all.iter().map(|it| it.0).sum();
        all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        all.retain(|it| it.0 / sum >= SHARE_MIN);
        all.truncate(NAMED_MAX);
        all.iter().map(|(away, unit)| format!("{unit} {:.2}", away / sum)).collect()
    }
}

/// `system.disk.io_time: 0.91, usually 0.05 (38 %)`.
fn departing(group: &Group, own: Option<usize>) -> Vec<String> {
    let there = (0..group.sums.len()).filter(|place| group.sums[*place].value.is_some());
    let parts = there.filter_map(|place| Some((place, group.host.part(place)?)));
    let mut all: Vec<_> = parts.collect();
    let sum: f64 = all.iter().map(|(_, it)| it.contribution).sum();
    all.retain(|(place, it)| it.scales >= DEPARTS && Some(*place) != own);
    all.sort_by(|a, b| b.1.contribution.total_cmp(&a.1.contribution).then(a.0.cmp(&b.0)));
    all.truncate(NAMED_MAX);
    let line = |(place, it): &(usize, crate::detect::odd::HostPart)| {
        let now = group.sums[*place].value?;
        Some(format!(
            "{}: {}, usually {} ({:.0} %)",
            places::name(&group.places()[*place]),
            number(now),
            number(now - it.away),
            100.0 * it.contribution / sum.max(f64::MIN_POSITIVE)
        ))
    };
    all.iter().filter_map(line).collect()
}
