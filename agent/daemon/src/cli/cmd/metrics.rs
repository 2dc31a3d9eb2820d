//! `metrics`.

use super::super::args::{Metrics, MetricsQuery};
use super::super::exit::{DONE, Outcome};
use super::super::view;
use super::{Session, given};
use crate::api::wire::{MetricsDocument, QueryDocument};

pub(super) fn run(it: &Session, command: Metrics) -> Outcome {
    match command {
        Metrics::List { metric, where_ } => {
            let mut parameters = given(vec![("metric", metric)]);
            parameters.extend(where_.into_iter().map(|w| ("where", w)));
            let document: MetricsDocument = it.client()?.get("/metrics", &parameters)?;
            it.out.document(&document, |look| view::metrics::list(&document, look))?;
        }
        Metrics::Query(args) => query(it, *args)?,
    }
    Ok(DONE)
}

fn query(it: &Session, args: MetricsQuery) -> Result<(), super::super::exit::Failure> {
    let mut parameters = given(vec![
        ("metric", Some(args.metric)),
        ("since", Some(args.since)),
        ("until", args.until),
        ("step", args.step.map(|s| s.to_string())),
        ("agg", args.agg),
        ("across", args.across),
        ("fill", args.fill),
        ("align", args.align),
        ("limit", args.limit.map(|l| l.to_string())),
    ]);
    parameters.extend(args.where_.into_iter().map(|w| ("where", w)));
    parameters.extend(args.by.into_iter().map(|name| ("by", name)));
    let document: QueryDocument = it.client()?.get("/metrics/query", &parameters)?;
    it.out.document(&document, |look| view::metrics::query(&document, args.plot, look))
}
