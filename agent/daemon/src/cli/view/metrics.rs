//! `holdfast metrics`.

use std::fmt::Write as _;

use holdfast_core::model::{Attributes, MetricKind};

use super::super::ink::{bold, dim};
use super::super::out::Look;
use super::super::plot::plot;
use super::super::table::Table;
use super::super::when::{measured, stamp};
use crate::api::wire::{MetricsDocument, QueryDocument, SeriesDocument};
use crate::store::Agg;

/// Columns of a plot that goes into a pipe.
const COLUMNS_DEFAULT: usize = 100;

fn attributes(it: &Attributes) -> String {
    if it.is_empty() {
        return "-".to_owned();
    }
    it.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ")
}

pub(in super::super) fn list(it: &MetricsDocument, look: Look) -> String {
    if it.series.is_empty() {
        return "No series.\n".to_owned();
    }
    let mut table = Table::new(&["METRIC", "KIND", "UNIT", "ATTRIBUTES"]);
    for one in &it.series {
        let kind = match one.kind {
            MetricKind::Gauge => "gauge",
            MetricKind::Counter => "counter",
        };
        table.row(vec![one.metric.clone(), kind.to_owned(), one.unit.clone(), attributes(&one.attributes)]);
    }
    let mut out = table.render(look.columns);
    if it.truncated {
        let _ = writeln!(out, "{}", dim("There are more; name a metric."));
    }
    out
}

/// The unit of what is printed: a rate is so much a second, a count has none.
fn unit(agg: Agg, series: &SeriesDocument) -> String {
    match agg {
        Agg::Rate => format!("{}/s", series.unit),
        Agg::Count => "1".to_owned(),
        _ => series.unit.clone(),
    }
}

fn agg(agg: Agg) -> &'static str {
    match agg {
        Agg::Avg => "avg",
        Agg::Min => "min",
        Agg::Max => "max",
        Agg::Sum => "sum",
        Agg::Count => "count",
        Agg::Last => "last",
        Agg::Rate => "rate",
        Agg::P50 => "p50",
        Agg::P95 => "p95",
        Agg::P99 => "p99",
    }
}

pub(in super::super) fn query(it: &QueryDocument, drawn: bool, look: Look) -> String {
    if it.series.is_empty() {
        return format!("No samples of {} between {} and {}.\n", it.metric, stamp(it.since), stamp(it.until));
    }
    let mut out = String::new();
    for (index, one) in it.series.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let how = match it.step {
            Some(step) => format!("{} of each {step}", agg(it.agg)),
            None if it.agg == Agg::Rate => "rate".to_owned(),
            None => "every sample".to_owned(),
        };
        let how = match it.across {
            Some(across) => format!("{} of {} series, {how}", across.as_str(), one.of),
            None => how,
        };
        let _ = writeln!(out, "{} {} {}", bold(&it.metric), attributes(&one.attributes), dim(&how));
        let unit = unit(it.agg, one);
        if drawn {
            let points: Vec<_> = one.points.iter().filter_map(|(at, value)| Some((*at, (*value)?))).collect();
            out.push_str(&plot(&points, it.since, it.until, &unit, look.columns.unwrap_or(COLUMNS_DEFAULT)));
        } else {
            let mut table = Table::new(&["TIME", ">VALUE"]);
            for (at, value) in &one.points {
                let shown = value.map_or_else(|| "-".to_owned(), |value| measured(value, &unit));
                table.row(vec![stamp(*at), shown]);
            }
            out.push_str(&table.render(look.columns));
        }
        if let Some(resolution) = one.resolution {
            let note = format!("The oldest samples are kept by steps of {resolution} only.");
            let _ = writeln!(out, "{}", dim(&note));
        }
        if one.truncated {
            let _ = writeln!(out, "{}", dim("Older points were left out: narrow --since, or give a --step."));
        }
    }
    out
}
