//! Which units are kept in view, and what was told of each. Pure.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_core::model::{Timestamp, UnitState};

use super::UnitChange;
use super::properties::kind_of;
use super::read::Listed;

/// Mounts that the kernel, systemd or a container engine makes for itself: their state says nothing about the host.
const MOUNTS_APART: [&str; 8] =
    ["sys-", "proc-", "dev-", "run-", "tmp-", "var-lib-docker-", "var-lib-containers-", "snap-"];

/// Whether a unit is of a kind that is kept in view.
pub(super) fn matters(name: &str) -> bool {
    let apart = |name: &str| MOUNTS_APART.iter().any(|apart| name.starts_with(apart));
    kind_of(name).is_some() && !name.strip_suffix(".mount").is_some_and(apart)
}

/// The units to keep in view by name, and how many exceed the bound. What exists comes before what is only mentioned, and
/// what failed before everything else, so that the bound costs the least that it can.
pub(super) fn relevant(listed: Vec<Listed>, max: usize) -> (BTreeMap<String, Listed>, usize) {
    let mut all: Vec<Listed> =
        listed.into_iter().filter(|unit| matters(&unit.name) && unit.load_state != "not-found").collect();
    let left_out = all.len().saturating_sub(max);
    if left_out > 0 {
        let rank = |unit: &Listed| match unit.active_state.as_str() {
            "failed" => 0,
            "inactive" => 2,
            _ => 1,
        };
        all.sort_by(|a, b| (rank(a), &a.name).cmp(&(rank(b), &b.name)));
        all.truncate(max);
    }
    (all.into_iter().map(|unit| (unit.name.clone(), unit)).collect(), left_out)
}

/// What was told of each unit.
#[derive(Debug, Default)]
pub(super) struct View {
    told: BTreeMap<String, UnitState>,
}

impl View {
    pub(super) fn len(&self) -> usize {
        self.told.len()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.told.keys()
    }

    pub(super) fn knows(&self, name: &str) -> bool {
        self.told.contains_key(name)
    }

    /// The units that must be read again so that the view is as listed.
    pub(super) fn stale(&self, listed: &BTreeMap<String, Listed>) -> BTreeSet<String> {
        let differs = |unit: &&Listed| {
            self.told.get(&unit.name).is_none_or(|told| {
                told.active_state != unit.active_state
                    || told.sub_state != unit.sub_state
                    || told.load_state != unit.load_state
            })
        };
        let gone = self.told.keys().filter(|name| !listed.contains_key(*name));
        listed.values().filter(differs).map(|unit| unit.name.clone()).chain(gone.cloned()).collect()
    }

    /// Takes what was read; `Some` when it differs from what was told. `None` for the state: systemd forgot the unit.
    pub(super) fn take(&mut self, name: &str, read: Option<UnitState>, at: Timestamp) -> Option<UnitChange> {
        let before = self.told.get(name).cloned();
        let known = read.filter(|unit| unit.load_state != "not-found" || before.is_some());
        let now = if let Some(now) = known {
            self.told.insert(name.to_owned(), now.clone());
            now
        } else {
            self.told.remove(name)?;
            UnitState {
                name: name.to_owned(),
                load_state: "unloaded".to_owned(),
                active_state: "inactive".to_owned(),
                sub_state: "dead".to_owned(),
                ..UnitState::default()
            }
        };
        (before.as_ref() != Some(&now)).then_some(UnitChange { before, now, at })
    }
}
