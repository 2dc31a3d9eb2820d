//! `units`, `processes`, `metrics`, `changes`: what the host knows, row by row through the grant.

use std::time::Duration;

use holdfast_core::model::{Change, Globs, Timestamp, UnitState};

use super::Room;
use super::room::Answer;
use crate::bindings::types::{self, Error, Label};
use crate::bindings::{changes, metrics, processes, units};
use crate::capability::Ask;
use crate::limits::{NAME_BYTES_MAX, POINTS_MAX, ROWS_MAX};
use crate::world::{MetricQuery, ProcessQuery};

/// What a row takes on its way to the guest beside its texts, roughly.
const ROW_BYTES: usize = 128;

fn ns(at: Timestamp) -> u64 {
    u64::try_from(at.ns()).unwrap_or(0)
}

fn timestamp(at: u64) -> Timestamp {
    Timestamp::from_ns(i64::try_from(at).unwrap_or(i64::MAX))
}

fn name_fits(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(char::is_control) {
        return Err(Error::Invalid(format!("a name has 1 to {NAME_BYTES_MAX} bytes and no control characters")));
    }
    Ok(())
}

fn rows_fit(rows: usize) -> Result<(), Error> {
    if rows > ROWS_MAX {
        Err(Error::Limit(format!("{ROWS_MAX} rows in one answer; ask more narrowly")))
    } else {
        Ok(())
    }
}

fn unit_status(unit: UnitState) -> units::UnitStatus {
    units::UnitStatus {
        name: unit.name,
        load: unit.load_state,
        active: unit.active_state,
        sub: unit.sub_state,
        unit_file: unit.unit_file_state,
        main_pid: unit.main_pid,
        restarts: unit.n_restarts,
        since: unit.since.map(ns),
        fragment_path: unit.fragment_path,
        result: unit.result,
        invocation_id: unit.invocation_id,
        restart_policy: unit.restart,
    }
}

/// Runs the body of a host call that was entered; its `?` gives the guest an error.
macro_rules! entered {
    ($room:ident, $ask:expr, |$left:ident| $body:block) => {{
        let deadline = match $room.enter($ask)? {
            Ok(deadline) => deadline,
            Err(denied) => return Ok(Err(denied)),
        };
        let $left: Duration = deadline.left().unwrap_or_default();
        let result = (|| $body)();
        // The world keeps to its time; where it did not, the answer is late and counts as none.
        Ok(result.and_then(|answer| deadline.check().map(|()| answer)))
    }};
}

impl units::Host for Room {
    fn status(&mut self, name: String) -> Answer<units::UnitStatus> {
        entered!(self, Ask::Unit(&name), |left| {
            name_fits(&name)?;
            let unit = self.world.unit(&name, left)?;
            let unit =
                unit.ok_or_else(|| Error::NotFound(format!("unit `{name}` is not loaded and has no unit file")))?;
            self.hand_over(ROW_BYTES * 2)?;
            Ok(unit_status(unit))
        })
    }

    /// Only units that are granted by name; the others are not there.
    fn list(&mut self, pattern: String) -> Answer<Vec<units::UnitStatus>> {
        entered!(self, Ask::Units, |left| {
            name_fits(&pattern)?;
            let glob = Globs::Units.matcher(&pattern).map_err(|error| Error::Invalid(error.kind().to_string()))?;
            let mut rows = Vec::new();
            for unit in self.world.units(left)? {
                let granted = crate::capability::permit(&self.effective, Ask::Unit(&unit.name)).is_ok();
                if granted && glob.is_match(&unit.name) {
                    rows.push(unit_status(unit));
                }
            }
            rows_fit(rows.len())?;
            self.hand_over(rows.len() * ROW_BYTES * 2)?;
            Ok(rows)
        })
    }
}

impl processes::Host for Room {
    /// The pattern is a glob over names.
    fn list(&mut self, pattern: String) -> Answer<Vec<processes::Process>> {
        entered!(self, Ask::Processes, |left| {
            name_fits(&pattern)?;
            let glob = Globs::Units.matcher(&pattern).map_err(|error| Error::Invalid(error.kind().to_string()))?;
            let cmdline = crate::capability::permit(&self.effective, Ask::Cmdline).is_ok();
            let named = |name: &str| glob.is_match(name);
            let cmdline_bytes_max = self.may_hand_over();
            let query = ProcessQuery { named: &named, cmdline, rows_max: ROWS_MAX, cmdline_bytes_max };
            let rows: Vec<processes::Process> = self
                .world
                .processes(&query, left)?
                .into_iter()
                .filter(|process| glob.is_match(&process.name))
                .map(|process| processes::Process {
                    pid: process.pid,
                    started: ns(process.started),
                    ppid: process.ppid,
                    uid: process.uid,
                    name: process.name,
                    cmdline: if cmdline { process.cmdline } else { Vec::new() },
                    exe: process.exe,
                    exe_deleted: process.exe_deleted,
                    rss: process.resident_bytes,
                    cpu_seconds: process.cpu_seconds,
                    unit: process.unit,
                })
                .collect();
            rows_fit(rows.len())?;
            let texts: usize = rows.iter().flat_map(|row| &row.cmdline).map(String::len).sum();
            self.hand_over(rows.len() * ROW_BYTES + texts)?;
            Ok(rows)
        })
    }
}

impl metrics::Host for Room {
    fn query(&mut self, selector: metrics::Selector) -> Answer<Vec<metrics::Series>> {
        entered!(self, Ask::Metrics, |left| {
            name_fits(&selector.name)?;
            if selector.labels.len() > crate::limits::GLOBS_MAX {
                return Err(Error::Limit(format!("{} labels", crate::limits::GLOBS_MAX)));
            }
            let query = MetricQuery {
                metric: selector.name.clone(),
                attributes: selector.labels.iter().map(|l| (l.key.clone(), l.value.clone())).collect(),
                since: timestamp(selector.start),
                until: timestamp(selector.end),
                step: (selector.step > 0).then(|| Duration::from_nanos(selector.step)),
                points_max: POINTS_MAX,
            };
            let found = self.world.metrics(&query, left)?;
            rows_fit(found.len())?;
            let points: usize = found.iter().map(|series| series.points.len()).sum();
            if points > POINTS_MAX {
                return Err(Error::Limit(format!(
                    "{POINTS_MAX} points in one answer; set a step or ask more narrowly"
                )));
            }
            self.hand_over(found.len() * ROW_BYTES + points * size_of::<metrics::Point>())?;
            Ok(found
                .into_iter()
                .map(|series| metrics::Series {
                    name: series.metric,
                    labels: series.attributes.into_iter().map(|(key, value)| Label { key, value }).collect(),
                    points: series.points.into_iter().map(|(at, value)| metrics::Point { at: ns(at), value }).collect(),
                    truncated: series.truncated,
                })
                .collect())
        })
    }
}

impl changes::Host for Room {
    fn query(&mut self, kinds: Vec<String>, start: u64, end: u64, limit: u32) -> Answer<Vec<changes::Change>> {
        entered!(self, Ask::Changes, |left| {
            if kinds.len() > crate::limits::GLOBS_MAX {
                return Err(Error::Limit(format!("{} kinds", crate::limits::GLOBS_MAX)));
            }
            kinds.iter().try_for_each(|kind| name_fits(kind))?;
            let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(ROWS_MAX);
            let found = self.world.changes(&kinds, timestamp(start), timestamp(end), limit, left)?;
            let of =
                |it: &Change| it.summary.len() + it.attributes.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>();
            let texts: usize = found.iter().take(limit).map(of).sum();
            let rows: Vec<changes::Change> = found
                .into_iter()
                .take(limit)
                .map(|change| changes::Change {
                    id: change.id.to_string(),
                    kind: change.kind,
                    at: ns(change.at),
                    subject: types::Subject { kind: change.target.kind, name: change.target.name },
                    actor: change.actor,
                    summary: change.summary,
                    details: change
                        .attributes
                        .into_iter()
                        .map(|(name, value)| types::Arg { name, value: types::Value::Text(value) })
                        .chain(change.deployment.map(|id| types::Arg {
                            name: "deployment".to_owned(),
                            value: types::Value::Text(id.to_string()),
                        }))
                        .collect(),
                })
                .collect();
            self.hand_over(rows.len() * ROW_BYTES * 2 + texts)?;
            Ok(rows)
        })
    }
}
