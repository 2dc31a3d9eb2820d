//! `holdfast changes`.

use std::fmt::Write as _;

use holdfast_core::model::Change;

use super::super::ink::{Ink, dim, flat, paint};
use super::super::out::Look;
use super::super::table::Table;
use super::super::when::stamp;
use crate::api::wire::ChangesDocument;

fn summary(it: &Change) -> String {
    let mut text = it.summary.clone();
    if let Some(deployment) = &it.deployment {
        let _ = write!(text, " {}", paint(Ink::Cyan, &format!("[deployment {deployment}]")));
    }
    if let Some(cause) = &it.cause {
        let _ = write!(text, " {}", dim(&format!("[by the agent: {cause}]")));
    }
    text
}

pub(in super::super) fn list(it: &ChangesDocument, look: Look) -> String {
    if it.changes.is_empty() {
        return "No changes.\n".to_owned();
    }
    let mut table = Table::new(&["TIME", "KIND", "TARGET", "BY", "WHAT"]);
    for one in &it.changes {
        let by = one.actor.clone().unwrap_or_else(|| "-".to_owned());
        table.row(vec![stamp(one.at), one.kind.clone(), one.target.to_string(), by, summary(one)]);
    }
    table.render(look.columns)
}

/// One line while following: columns of fixed width, since nobody knows what comes next.
pub(in super::super) fn line(it: &Change, _: Look) -> String {
    let target = it.target.to_string();
    format!("{}  {:<20} {:<32} {}\n", stamp(it.at), flat(&it.kind), flat(&target), flat(&summary(it)))
}
