//! What each systemd unit and each container uses, from the cgroups of version 2.
//!
//! Both layouts are known: the second version alone below `/sys/fs/cgroup`, and beside the first in `unified`; there the
//! kernel offers CPU time and pressure only. The tree is walked at the first reading and once in [`LOOK_EVERY`], or when the
//! number of cgroups changed. Cgroups of one name (sessions, runs of one template) count together.
//!
//! **Bounded:** at most `units-max` units and `containers-max` containers have series; when there are more, those that
//! used the most CPU since the last look, and whoever had series keeps them unless another used twice as much. How many are
//! left out is `holdfast.collect.left_out`. New names come slowly (see [`Names`]). Counters go on when a cgroup is made
//! anew, when the agent is, and when its owner was left out for a while.

mod kind;
mod reading;
mod tree;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use holdfast_core::model::MetricKind;

pub(crate) use kind::{Owner, owner_of};
use reading::{Files, NOTHING, OF_CONTAINER, OF_UNIT, Values};
use tree::Found;

use super::names::Names;
use super::sink::{Cached, gauge};
use super::{CollectError, Collector, Context, Reading};

const LOOK_EVERY: Duration = Duration::from_mins(1);
/// Groups without series whose sums are remembered.
const RESTING_MAX: usize = 256;
/// Files that stay open, at most.
const HELD_MAX: usize = 4_096;

/// Files that may stay open here: a third of the descriptors that the process may have, since the rest of the agent needs some.
fn held_max() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(HELD_MAX, |limit| usize::try_from(limit / 3).unwrap_or(HELD_MAX).min(HELD_MAX))
}
const NAMES: [(&str, &str); 2] = [("unit", "{unit}"), ("container", "{container}")];

struct Member {
    files: Files,
    held: bool,
    last: Values,
}

/// The cgroups of one owner, counted together.
struct Group {
    owner: Owner,
    members: Vec<Member>,
    /// Of a counter: the sum of all increases; of a gauge: unused.
    totals: Values,
    series: [Cached; NOTHING.len()],
}

/// A group that has to rest, since others used more: what its sums go on from when its turn comes again.
struct Resting {
    /// Of each cgroup, its directory and what it had used when it was read last.
    lasts: Vec<(String, Values)>,
    totals: Values,
    series: [Cached; NOTHING.len()],
}

impl Group {
    fn new(owner: Owner) -> Self {
        Self { owner, members: Vec::new(), totals: NOTHING, series: Default::default() }
    }

    fn rest(self) -> (Owner, Resting) {
        let lasts = self.members.into_iter().map(|it| (it.files.directory().to_owned(), it.last)).collect();
        (self.owner, Resting { lasts, totals: self.totals, series: self.series })
    }

    fn directory(&self) -> &str {
        self.members.first().map_or("", |member| member.files.directory())
    }

    /// Puts samples only when all of its cgroups could be read.
    fn read(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let figures = if matches!(self.owner, Owner::Unit(_)) { &OF_UNIT } else { &OF_CONTAINER };
        let mut levels = NOTHING;
        let mut told = [false; NOTHING.len()];
        for member in &mut self.members {
            let Some(values) = member.files.read(context)? else { continue };
            for (at, figure) in figures.iter().enumerate().filter(|(at, _)| !values[*at].is_nan()) {
                let last = std::mem::replace(&mut member.last[at], values[at]);
                let (sum, more) = match figure.kind {
                    MetricKind::Gauge => (&mut levels[at], values[at]),
                    // A counter that stepped back is that of a cgroup made anew under the old name.
                    MetricKind::Counter => (&mut self.totals[at], increase(last, values[at])),
                };
                *sum = if sum.is_nan() { more } else { *sum + more };
                told[at] = true;
            }
        }
        for (at, figure) in figures.iter().enumerate().filter(|(at, _)| told[*at]) {
            let value = if figure.kind == MetricKind::Gauge { levels[at] } else { self.totals[at] };
            // Summed up as the kernel counts, in whole microseconds: sums of seconds would drift.
            let value = if figure.unit == "s" { value / 1e6 } else { value };
            let owner = &self.owner;
            let key = || {
                let mut key = figure.key();
                key.attributes.extend(owner.attributes());
                key
            };
            match figure.kind {
                MetricKind::Gauge => context.sink.put(&mut self.series[at], value, key),
                MetricKind::Counter => context.sink.put_total(&mut self.series[at], value, key),
            }
        }
        Ok(())
    }
}

fn increase(last: f64, now: f64) -> f64 {
    if now >= last { now - last } else { now }
}

pub(crate) struct Cgroup {
    every: Duration,
    /// Readings from one walk to the next.
    look_again: u32,
    units_max: usize,
    containers_max: usize,
    root: Option<&'static str>,
    count: String,
    runs: u32,
    groups: Vec<Group>,
    held: usize,
    left_out: [(usize, Cached); 2],
    names: Names,
    /// Those that had series and are left out at the moment.
    resting: HashMap<Owner, Resting>,
    /// CPU time of each owner at the last look, in microseconds; only while there are too many.
    usage: HashMap<Owner, u64>,
}

impl Cgroup {
    pub(crate) fn new(every: Duration, units_max: usize, containers_max: usize) -> Self {
        Self {
            every,
            look_again: LOOK_EVERY.div_duration_f64(every).round().max(1.0) as u32,
            units_max,
            containers_max,
            root: None,
            count: String::new(),
            runs: 0,
            groups: Vec::new(),
            held: 0,
            left_out: Default::default(),
            names: Names::new(),
            resting: HashMap::new(),
            usage: HashMap::new(),
        }
    }

    fn look(&mut self, context: &mut Context<'_>, root: &'static str) -> Result<(), CollectError> {
        let walked = tree::walk(context, root)?;
        let present: BTreeSet<Owner> = walked.keys().cloned().collect();
        let (units, containers): (Found, Found) =
            walked.into_iter().partition(|(owner, _)| matches!(owner, Owner::Unit(_)));
        let mut usage = HashMap::new();
        let mut chosen = Vec::new();
        for (at, (found, max)) in [(units, self.units_max), (containers, self.containers_max)].into_iter().enumerate() {
            let all = found.len();
            let kept = if all > max { self.busiest(context, found, max, &mut usage) } else { found };
            let before = chosen.len();
            chosen.extend(kept.into_iter().filter(|(owner, _)| self.names.admit(&format!("{owner:?}"))));
            self.left_out[at].0 = all - (chosen.len() - before);
        }
        self.usage = usage;
        let mut old: BTreeMap<Owner, Group> = self.groups.drain(..).map(|group| (group.owner.clone(), group)).collect();
        let mut kept: Vec<(Group, Vec<String>)> = Vec::with_capacity(chosen.len());
        // Who is gone altogether begins anew when it comes back, as its cgroup does.
        self.resting.retain(|owner, _| present.contains(owner));
        let mut lasts: HashMap<String, Values> = HashMap::new();
        for (owner, directories) in chosen {
            let mut group = old.remove(&owner).unwrap_or_else(|| Group::new(owner));
            if let Some(rested) = self.resting.remove(&group.owner) {
                (group.totals, group.series) = (rested.totals, rested.series);
                lasts.extend(rested.lasts);
            }
            group.members.retain(|member| directories.iter().any(|it| it == member.files.directory()));
            kept.push((group, directories));
        }
        let room = RESTING_MAX.saturating_sub(self.resting.len());
        let left_out = old.into_values().filter(|group| present.contains(&group.owner));
        self.resting.extend(left_out.take(room).map(Group::rest));
        let held_max = held_max();
        self.held = kept.iter().flat_map(|(group, _)| &group.members).filter(|m| m.held).count() * Files::EACH;
        for (group, directories) in &mut kept {
            for member in &mut group.members {
                member.files.look_again();
            }
            for directory in directories {
                if group.members.iter().any(|member| member.files.directory() == directory) {
                    continue;
                }
                let held = self.held + Files::EACH <= held_max;
                self.held += if held { Files::EACH } else { 0 };
                let last = lasts.remove(directory).unwrap_or([0.0; NOTHING.len()]);
                group.members.push(Member { files: Files::of(directory, held), held, last });
            }
        }
        self.groups = kept.into_iter().map(|(group, _)| group).collect();
        Ok(())
    }

    /// Those that used the most CPU since the last look; who has series counts twice.
    fn busiest(&self, context: &mut Context<'_>, found: Found, max: usize, usage: &mut HashMap<Owner, u64>) -> Found {
        let mut ranked: Vec<(u64, Owner, Vec<String>)> = Vec::with_capacity(found.len());
        for (owner, directories) in found {
            let now: u64 = directories.iter().map(|directory| cpu_usage_us(context, directory)).sum();
            let used = now.saturating_sub(*self.usage.get(&owner).unwrap_or(&0));
            let has_series = self.groups.iter().any(|group| group.owner == owner);
            ranked.push((
                if has_series { used.saturating_mul(2).saturating_add(1) } else { used },
                owner.clone(),
                directories,
            ));
            usage.insert(owner, now);
        }
        ranked.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        ranked.truncate(max);
        ranked.into_iter().map(|(_, owner, directories)| (owner, directories)).collect()
    }
}

/// For ranking only: a cgroup that can't be read used nothing.
fn cpu_usage_us(context: &mut Context<'_>, directory: &str) -> u64 {
    let text = context.word(&format!("{directory}/cpu.stat")).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("usage_usec ")?.parse().ok()).unwrap_or(0)
}

impl Collector for Cgroup {
    fn name(&self) -> &'static str {
        "cgroup"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn collect(&mut self, context: &mut Context<'_>) -> Result<Reading, CollectError> {
        self.names.pass(self.every);
        let due = self.runs.is_multiple_of(self.look_again);
        self.runs = self.runs.wrapping_add(1);
        if due || self.root.is_none() {
            self.root = tree::root(context);
        }
        let Some(root) = self.root else {
            self.groups.clear();
            let why = "no hierarchy of cgroup version 2 is mounted below /sys/fs/cgroup";
            return Ok(Reading::Absent { why: why.to_owned() });
        };
        // The first line is how many there are; the others also count those that the kernel has yet to clear away.
        let read = context.read(&format!("{root}/cgroup.stat"))?;
        let count = context.text.lines().next().unwrap_or_default();
        let changed = read && count != self.count;
        if changed {
            count.clone_into(&mut self.count);
        }
        if due || changed {
            self.look(context, root)?;
        }
        let mut failed = None;
        for group in &mut self.groups {
            if let Err(error) = group.read(context) {
                failed.get_or_insert_with(|| format!("{}: {error}", group.directory()));
            }
        }
        if self.groups.is_empty() && self.left_out.iter().all(|(count, _)| *count == 0) {
            return Ok(Reading::Absent { why: format!("no unit and no container has a cgroup below {root}") });
        }
        for ((count, series), (name, unit)) in self.left_out.iter_mut().zip(NAMES) {
            context.sink.put(series, *count as f64, || {
                gauge("holdfast.collect.left_out", unit, &[("holdfast.collect.kind", name)])
            });
        }
        if let Some(why) = failed {
            return Ok(Reading::Partial { why });
        }
        Ok(Reading::Taken)
    }
}

#[cfg(test)]
mod tests;
