//! Units: what systemd says becomes changes and findings.

use std::time::Duration;

use holdfast_core::detect::{Restarts, unit_failure};
use holdfast_core::model::{Attributes, Change, ChangeId, Target, Timestamp, UnitState};

use super::{Command, Engine, Moment};

impl Engine {
    /// One unit in another state. What is told for the first time is no change, but a failed unit is a finding all the same.
    pub(super) fn on_unit(&mut self, unit: UnitState, at: Timestamp, now: Moment, out: &mut Vec<Command>) {
        self.units_problem = None;
        let before = self.units.get(&unit.name);
        if before == Some(&unit) {
            return;
        }
        if let Some((kind, summary)) = before.and_then(|before| altered(before, &unit)) {
            let target = Target::unit(&unit.name);
            let cause = self.own.cause_of(&target, now.mono);
            let deployment = self.deployment_of_unit(&unit.name, at);
            let mut attributes = Attributes::new();
            attributes.insert("unit.active_state".into(), unit.active_state.clone());
            attributes.insert("unit.result".into(), unit.result.clone());
            attributes.insert("unit.n_restarts".into(), unit.n_restarts.to_string());
            let id = ChangeId::new(at, self.ids.as_mut());
            let change =
                Change { id, at, kind: kind.into(), target, actor: None, summary, attributes, deployment, cause };
            self.on_change(change, now);
        }
        self.judge_unit(&unit, at, now, out);
        self.count_restarts(&unit, at, now, out);
        self.units.insert(unit.name.clone(), unit);
    }

    /// Looks again at what is known of a unit, so that a verification rests on this moment.
    pub(super) fn look_at_unit(&mut self, name: &str, now: Moment, out: &mut Vec<Command>) {
        if let Some(unit) = self.units.get(name).cloned() {
            self.judge_unit(&unit, now.wall, now, out);
        }
    }

    fn judge_unit(&mut self, unit: &UnitState, at: Timestamp, now: Moment, out: &mut Vec<Command>) {
        let cause = self.own.cause_of(&Target::unit(&unit.name), now.mono);
        let mut detection = unit_failure(unit, at, cause);
        self.detectors.tell_related(&mut detection);
        self.observe(detection, now, out);
    }

    fn count_restarts(&mut self, unit: &UnitState, at: Timestamp, now: Moment, out: &mut Vec<Command>) {
        let cause = self.own.cause_of(&Target::unit(&unit.name), now.mono);
        let said = self.restarts.entry(unit.name.clone()).or_default().step(unit, at, cause);
        if let Some(detection) = said {
            self.observe(detection, now, out);
        }
        // systemd forgot it, and so may we.
        if unit.load_state == "unloaded" {
            self.restarts.remove(&unit.name);
        }
    }

    /// Units that were restarted again and again and are told of no more: time alone ends that.
    pub(super) fn settle_restarts(&mut self, now: Moment, out: &mut Vec<Command>) {
        let standing = |(name, it): (&String, &Restarts)| it.stands().then(|| self.units.get(name).cloned()).flatten();
        let standing: Vec<UnitState> = self.restarts.iter().filter_map(standing).collect();
        for unit in standing {
            self.count_restarts(&unit, now.wall, now, out);
        }
    }

    fn deployment_of_unit(&self, name: &str, at: Timestamp) -> Option<holdfast_core::model::DeploymentId> {
        let grace = Duration::from_secs(5);
        let mine = |it: &&holdfast_core::model::Deployment| {
            it.names_unit(name) && it.started_at <= at && it.finished_at.is_none_or(|end| at <= end.plus(grace))
        };
        self.deployments.values().filter(mine).max_by_key(|it| it.started_at).map(|it| it.id.clone())
    }
}

/// What a person would call what happened, if they would call it anything.
fn altered(before: &UnitState, now: &UnitState) -> Option<(&'static str, String)> {
    let name = &now.name;
    let was = before.active_state.as_str();
    let another_run = before.invocation_id != now.invocation_id;
    match now.active_state.as_str() {
        "failed" if was != "failed" => Some(("unit.failed", format!("{name} failed: {}", now.result))),
        "active" if was == "active" && another_run => Some(("unit.restarted", format!("{name} was restarted"))),
        "active" if was != "active" && was != "reloading" => Some(("unit.started", format!("{name} was started"))),
        "inactive" if was != "inactive" => Some(("unit.stopped", format!("{name} stopped"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(active_state: &str, invocation: &str) -> UnitState {
        UnitState {
            name: "a.service".into(),
            active_state: active_state.into(),
            invocation_id: Some(invocation.into()),
            ..UnitState::default()
        }
    }

    #[track_caller]
    fn check(before: &UnitState, now: &UnitState, expected: Option<&str>) {
        assert_eq!(altered(before, now).map(|(kind, _)| kind), expected, "{before:?} -> {now:?}");
    }

    #[test]
    fn what_happened_is_named_as_people_name_it() {
        let (active, failed, again) = (unit("active", "1"), unit("failed", "1"), unit("active", "2"));
        check(&active, &failed, Some("unit.failed"));
        check(&failed, &failed, None);
        check(&active, &again, Some("unit.restarted"));
        check(&failed, &again, Some("unit.started"));
        check(&active, &unit("inactive", "1"), Some("unit.stopped"));
        check(&active, &unit("deactivating", "1"), None);
        check(&unit("activating", "2"), &again, Some("unit.started"));
    }
}
