//! Which series there are, and what their samples come to.

use std::time::Duration;

use axum::extract::{Query, State};
use holdfast_core::model::{Interval, MetricKind, SeriesKey, Timestamp};

use super::ApiContext;
use super::params::Params;
use super::read::{Pairs, reading};
use super::routes::Reply;
use super::wire::{MetricsDocument, QueryDocument, SeriesDocument};
use crate::request::{Refusal, RefusalKind};
use crate::store::{Across, Agg, Fill, Joined, Query as MetricQuery, SeriesFilter, SeriesPoints};

/// Series that a list gives at most.
const SERIES_MAX: usize = 5_000;
/// Points that one answer carries at most, all series together.
const POINTS_MAX: usize = 200_000;
/// Points of one series, unless the query says otherwise, and at most.
const SERIES_POINTS: (usize, usize) = (2_000, 20_000);
/// What a query without `since` looks at.
const WINDOW: Duration = Duration::from_hours(1);
/// Steps that a query with `agg` and without `step` is cut into, about.
const STEPS: u64 = 120;

/// `where=name=value`, repeated.
fn attributes(params: &mut Params) -> Result<Vec<(String, String)>, Refusal> {
    let pair = |text: String| {
        text.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())).ok_or_else(|| {
            Refusal::new(
                RefusalKind::Usage,
                format!("`{text}` is not an attribute and its value, such as `device=sda`"),
            )
        })
    };
    params.all("where").into_iter().map(pair).collect()
}

pub(super) async fn metrics(State(context): State<ApiContext>, Query(pairs): Pairs) -> Reply<MetricsDocument> {
    let mut params = Params::new(pairs);
    let filter = SeriesFilter { metric: params.text("metric")?, where_: attributes(&mut params)? };
    params.end()?;
    reading(context, move |context| {
        let mut series: Vec<SeriesKey> =
            context.telemetry.list_series(&filter).into_iter().map(|(_, key)| key.as_ref().clone()).collect();
        series.sort();
        let truncated = series.len() > SERIES_MAX;
        series.truncate(SERIES_MAX);
        Ok(MetricsDocument { series, truncated })
    })
    .await
}

/// A step that people would choose, so that the window has about [`STEPS`] of them.
fn pleasant_step(window: Duration) -> Interval {
    const STEPS_S: [u64; 14] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 21_600, 86_400];
    let wanted = window.as_secs() / STEPS;
    Interval::secs(STEPS_S.into_iter().find(|s| *s >= wanted).unwrap_or(86_400))
}

pub(super) async fn query(State(context): State<ApiContext>, Query(pairs): Pairs) -> Reply<QueryDocument> {
    let now = context.clock.wall();
    let mut params = Params::new(pairs);
    let metric =
        params.text("metric")?.ok_or_else(|| Refusal::new(RefusalKind::Usage, "the parameter `metric` is missing"))?;
    let where_ = attributes(&mut params)?;
    let since = params.moment("since", now)?.unwrap_or(now.minus(WINDOW));
    let until = params.moment("until", now)?.unwrap_or(now);
    let agg = params.text("agg")?.map(|text| aggregate(&text)).transpose()?;
    let mut step = params.parsed::<Interval>("step")?;
    let fill = params.parsed::<Fill>("fill")?.unwrap_or_default();
    let (across, by) = (params.parsed::<Across>("across")?, params.all("by"));
    let origin = match params.text("align")?.as_deref() {
        None | Some("epoch") => Timestamp::from_ns(0),
        Some("since") => since,
        Some(other) => {
            return Err(Refusal::new(RefusalKind::Usage, format!("`{other}` is neither epoch nor since")).into());
        }
    };
    let limit = params.limit(SERIES_POINTS.0, SERIES_POINTS.1)?;
    params.end()?;
    if since >= until {
        return Err(
            Refusal::new(RefusalKind::Usage, format!("`since` ({since}) is not before `until` ({until})")).into()
        );
    }
    if step.is_some_and(|s| s.0.is_zero()) {
        return Err(Refusal::new(RefusalKind::Usage, "`step` must be longer than nothing").into());
    }
    if across.is_none() && !by.is_empty() {
        let refusal = Refusal::new(RefusalKind::Usage, "`by` says what stays apart when series are joined");
        return Err(refusal.hint("say with `across` what stands for them: sum, avg, min, max, count").into());
    }
    // Series are joined step by step: their samples seldom lie at the same moment.
    if (agg.is_some() || across.is_some()) && step.is_none() {
        step = Some(pleasant_step(until.since(since)));
    }
    if fill != Fill::None && step.is_none() {
        let refusal = Refusal::new(RefusalKind::Usage, "without steps there is nothing to fill");
        return Err(refusal.hint("give a `step`, or an aggregate").into());
    }
    // Steps without an aggregate are means; single samples are themselves.
    let agg = agg.unwrap_or(if step.is_some() { Agg::Avg } else { Agg::Last });
    reading(context, move |context| {
        let filter = SeriesFilter { metric: Some(metric.clone()), where_: where_.clone() };
        let matching = context.telemetry.list_series(&filter).len();
        if matching == 0 {
            return Err(no_series(context, &metric, &where_));
        }
        let limit = limit.min(POINTS_MAX / matching).max(1);
        let question =
            MetricQuery { metric: metric.clone(), where_, since, until, step: step.map(|s| s.0), origin, agg, limit };
        let window = (question.start_of(since), question.start_of(until));
        let found = context.telemetry.query(&question)?;
        known(&by, &found)?;
        let filled = |points: &[_]| fill.fill(points, window, step.map_or(Duration::ZERO, |s| s.0), limit);
        let mut series: Vec<SeriesDocument> = match across {
            None => found.iter().map(|it| single(it, filled(&it.points))).collect(),
            Some(across) => across.join(&found, &by).iter().map(|it| joined(it, filled(&it.points))).collect(),
        };
        series.sort_by(|a, b| a.attributes.cmp(&b.attributes));
        Ok(QueryDocument { metric, since, until, step, agg, fill, across, by, series })
    })
    .await
}

fn single(it: &SeriesPoints, points: Vec<(Timestamp, Option<f64>)>) -> SeriesDocument {
    SeriesDocument {
        attributes: it.key.attributes.clone(),
        unit: it.key.unit.clone(),
        kind: it.key.kind,
        of: 1,
        points,
        truncated: it.truncated,
        resolution: it.resolution.map(Interval),
    }
}

/// What was joined is a level, whatever it was before.
fn joined(it: &Joined, points: Vec<(Timestamp, Option<f64>)>) -> SeriesDocument {
    SeriesDocument {
        attributes: it.attributes.clone(),
        unit: it.unit.clone(),
        kind: MetricKind::Gauge,
        of: it.of,
        points,
        truncated: it.truncated,
        resolution: it.resolution.map(Interval),
    }
}

fn aggregate(text: &str) -> Result<Agg, Refusal> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|_| {
        Refusal::new(RefusalKind::Usage, format!("`{text}` is not an aggregate"))
            .hint("one of avg, min, max, sum, count, last, rate, p50, p95, p99")
    })
}

/// What series are joined by has to be there: a typing error would join all of them.
fn known(by: &[String], found: &[SeriesPoints]) -> Result<(), Refusal> {
    let Some(unknown) = by.iter().find(|it| !found.iter().any(|of| of.key.attributes.contains_key(*it))) else {
        return Ok(());
    };
    if found.is_empty() {
        return Ok(());
    }
    let names: std::collections::BTreeSet<&str> =
        found.iter().flat_map(|it| it.key.attributes.keys()).map(String::as_str).collect();
    let refusal = Refusal::new(RefusalKind::Usage, format!("no series of this metric has the attribute `{unknown}`"));
    let names: Vec<&str> = names.into_iter().collect();
    Err(if names.is_empty() { refusal } else { refusal.hint(format!("there are {}", names.join(", "))) })
}

fn no_series(context: &ApiContext, metric: &str, where_: &[(String, String)]) -> Refusal {
    let of_metric = SeriesFilter { metric: Some(metric.to_owned()), where_: Vec::new() };
    let known = context.telemetry.list_series(&of_metric);
    if known.is_empty() {
        let refusal = Refusal::new(RefusalKind::NotFound, format!("there is no metric `{metric}` here"));
        return refusal.hint("`holdfast metrics list` shows those that there are");
    }
    let wanted: Vec<String> = where_.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let some: Vec<String> = known.iter().take(5).map(|(_, key)| key.to_string()).collect();
    Refusal::new(RefusalKind::NotFound, format!("no series of `{metric}` has {}", wanted.join(" and ")))
        .hint(format!("there are {}", some.join(", ")))
}
