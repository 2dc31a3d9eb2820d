//! From a scraped page to points: names as the target exposes them, counters as counters, histograms and summaries whole. Pure.

use std::collections::BTreeMap;

use holdfast_core::model::{Attributes, MetricKind, SeriesKey, Timestamp};
use holdfast_core::redact::Redactor;

use super::super::intake::quantile::Shape;
use super::super::intake::{Point, Said};
use super::super::privacy;
use super::text::{Kind, Page, Sample};

/// Parts of a histogram or summary while they are gathered.
#[derive(Debug, Default)]
struct Parts {
    buckets: Vec<(f64, f64)>,
    quantiles: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: Option<f64>,
}

type Group = (String, Attributes);

/// The metric that a sample belongs to: itself, or what its suffix is taken from.
fn family<'p>(page: &'p Page, name: &'p str) -> (&'p str, &'p str, Option<Kind>) {
    if let Some(kind) = page.kinds.get(name) {
        return (name, "", Some(*kind));
    }
    for suffix in ["_bucket", "_count", "_sum", "_total", "_created", "_info"] {
        if let Some(base) = name.strip_suffix(suffix)
            && let Some(kind) = page.kinds.get(base)
        {
            return (base, suffix, Some(*kind));
        }
    }
    (name, "", None)
}

/// Every point of the page, at `now` unless the target tells its own time.
pub(super) fn points(
    page: &Page,
    open_metrics: bool,
    target: &Attributes,
    redactor: &Redactor,
    now: Timestamp,
) -> Vec<Point> {
    let attributes = |sample: &Sample, without: &str| attributes(sample, target, redactor, without);
    let mut out = Vec::new();
    let mut histograms: BTreeMap<Group, Parts> = BTreeMap::new();
    let mut summaries: BTreeMap<Group, Parts> = BTreeMap::new();
    for sample in &page.samples {
        let (base, suffix, kind) = family(page, &sample.name);
        let unit = page.units.get(base).cloned().unwrap_or_else(|| "1".to_owned());
        match (kind, suffix) {
            // When a series began; the store sees restarts by itself.
            (Some(_), "_created") => {}
            (Some(Kind::Histogram), "_bucket") => {
                if let Some(le) = bound(sample, "le") {
                    let group = (base.to_owned(), attributes(sample, "le"));
                    histograms.entry(group).or_default().buckets.push((le, sample.value));
                }
            }
            (Some(kind @ (Kind::Histogram | Kind::Summary)), "_count" | "_sum") => {
                let groups = if kind == Kind::Histogram { &mut histograms } else { &mut summaries };
                let parts = groups.entry((base.to_owned(), attributes(sample, ""))).or_default();
                let part = if suffix == "_sum" { &mut parts.sum } else { &mut parts.count };
                *part = Some(sample.value);
            }
            (Some(Kind::Summary), "") => {
                if let Some(q) = bound(sample, "quantile") {
                    let group = (base.to_owned(), attributes(sample, "quantile"));
                    summaries.entry(group).or_default().quantiles.push((q, sample.value));
                }
            }
            (kind, _) => {
                let kind = if kind == Some(Kind::Counter) { MetricKind::Counter } else { MetricKind::Gauge };
                let key = SeriesKey { metric: sample.name.clone(), unit, kind, attributes: attributes(sample, "") };
                out.push(Point {
                    key,
                    at: moment(sample.time, open_metrics, now),
                    start: None,
                    said: Said::Value(sample.value),
                });
            }
        }
    }
    let point = |(metric, attributes): Group, said| {
        let unit = page.units.get(&metric).cloned().unwrap_or_else(|| "1".to_owned());
        let key = SeriesKey { metric, unit, kind: MetricKind::Gauge, attributes };
        Point { key, at: now, start: None, said }
    };
    out.extend(histograms.into_iter().map(|(group, parts)| point(group, histogram(parts))));
    out.extend(summaries.into_iter().map(|(group, parts)| {
        let (count, sum) = (parts.count.unwrap_or(0.0) as u64, parts.sum.unwrap_or(0.0));
        point(group, Said::Summary { count, sum, quantiles: parts.quantiles })
    }));
    out
}

fn bound(sample: &Sample, name: &str) -> Option<f64> {
    let text = &sample.labels.iter().find(|(label, _)| label == name)?.1;
    if text == "+Inf" { Some(f64::INFINITY) } else { text.parse().ok() }
}

/// The target's own, and the sample's; where both have one the sample's is called `exported_…`, as Prometheus does.
fn attributes(sample: &Sample, target: &Attributes, redactor: &Redactor, without: &str) -> Attributes {
    let mut all = target.clone();
    for (name, value) in sample.labels.iter().filter(|(name, value)| name != without && !value.is_empty()) {
        let name = if target.contains_key(name) { format!("exported_{name}") } else { name.clone() };
        let value = privacy::kept(redactor, &name, value.clone());
        all.insert(name, value);
    }
    all
}

fn moment(time: Option<f64>, open_metrics: bool, now: Timestamp) -> Timestamp {
    match time {
        Some(time) => Timestamp::from_ns((time * if open_metrics { 1e9 } else { 1e6 }) as i64),
        None => now,
    }
}

/// Buckets are told as sums from the lowest on; the shape wants each by itself.
fn histogram(mut parts: Parts) -> Said {
    parts.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut bounds = Vec::new();
    let mut counts = Vec::new();
    let mut below = 0.0;
    for (le, sum) in &parts.buckets {
        counts.push((sum - below).max(0.0) as u64);
        below = sum.max(below);
        if le.is_finite() {
            bounds.push(*le);
        }
    }
    let whole = parts.buckets.last().is_some_and(|(le, _)| !le.is_finite());
    let count = parts.count.unwrap_or(below) as u64;
    let shape = whole.then_some(Shape::Explicit { bounds, counts });
    Said::Histogram { count, sum: parts.sum, shape, delta: false }
}

#[cfg(test)]
mod tests {
    use super::super::text::parse;
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn told(text: &str, open_metrics: bool) -> Vec<Point> {
        let target = Attributes::from([("service.name".to_owned(), "shop".to_owned())]);
        points(&parse(text, open_metrics).unwrap(), open_metrics, &target, &Redactor::standard(), NOW)
    }

    #[test]
    fn counters_stay_counters_in_both_formats() {
        let text = "# TYPE a_total counter\na_total{x=\"1\"} 3\n# TYPE b gauge\nb 2 1800000000500\n";
        let points = told(text, false);
        let kinds: Vec<_> = points.iter().map(|p| (p.key.to_string(), p.key.kind)).collect();
        assert_eq!(kinds[0], ("a_total{service.name=shop,x=1}".to_owned(), MetricKind::Counter));
        assert_eq!(kinds[1].1, MetricKind::Gauge);
        assert_eq!(points[1].at, Timestamp::from_ns(1_800_000_000_500_000_000));
        let points = told("# TYPE a counter\n# UNIT a bytes\na_total 3\na_created 1\n# EOF\n", true);
        assert_eq!(points.len(), 1);
        assert_eq!((points[0].key.kind, points[0].key.unit.as_str()), (MetricKind::Counter, "bytes"));
    }

    #[test]
    fn buckets_are_put_together_whatever_their_order() {
        let text = "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 9\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"2\"} 7\nh_sum 11.5\nh_count 9\n";
        let points = told(text, false);
        let shape = Some(Shape::Explicit { bounds: vec![1.0, 2.0], counts: vec![2, 5, 2] });
        assert_eq!(points[0].said, Said::Histogram { count: 9, sum: Some(11.5), shape, delta: false });
    }

    #[test]
    fn a_summary_keeps_the_quantiles_of_its_application() {
        let points = told("# TYPE s summary\ns{quantile=\"0.95\"} 0.2\ns_sum 5\ns_count 40\n", false);
        assert_eq!(points[0].said, Said::Summary { count: 40, sum: 5.0, quantiles: vec![(0.95, 0.2)] });
    }

    #[test]
    fn a_label_that_the_target_has_too_is_not_lost() {
        let points = told("a{service.name=\"x\"} 1\n".replace("service.name", "service_name").as_str(), false);
        assert_eq!(points[0].key.attributes["service_name"], "x");
        let target = Attributes::from([("job".to_owned(), "mine".to_owned())]);
        let page = parse("a{job=\"theirs\"} 1\n", false).unwrap();
        let key = &points_of(&page, &target)[0].key;
        assert_eq!((key.attributes["job"].as_str(), key.attributes["exported_job"].as_str()), ("mine", "theirs"));
    }

    fn points_of(page: &Page, target: &Attributes) -> Vec<Point> {
        points(page, false, target, &Redactor::standard(), NOW)
    }
}
