//! `data`.

use super::super::args::Data;
use super::super::exit::{DONE, NO, Outcome};
use super::super::view;
use super::{Session, given};
use crate::data::{Lineage, Quality};

pub(super) fn run(it: &Session, command: Data) -> Outcome {
    match command {
        Data::Quality { since, metric, all } => {
            let all = all.then(|| "true".to_owned());
            let parameters = given(vec![("since", Some(since)), ("metric", metric), ("all", all)]);
            let report: Quality = it.client()?.get("/data/quality", &parameters)?;
            it.out.document(&report, |look| view::data::quality(&report, look))?;
            let silent = report.good == report.series && report.clock_jumps.is_empty() && report.lacking.is_empty();
            Ok(if silent { DONE } else { NO })
        }
        Data::Lineage { id } => {
            let found: Lineage = it.client()?.get(&format!("/data/lineage/{id}"), &[])?;
            it.out.document(&found, |look| view::data::lineage(&found, look))?;
            Ok(DONE)
        }
    }
}
