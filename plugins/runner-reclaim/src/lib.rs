//! runner-reclaim: which old files of a CI runner may go when its disk is full.
//!
//! It looks only below its roots, groups what it finds (a job's directory, a tool's version, a log), asks of each group whether anybody
//! needs it ([`live`]), and proposes the oldest of the others with exact sizes. A group that could not be looked at wholly stays.

pub mod choose;
pub mod group;
pub mod live;
pub mod plan;

use holdfast_plugin_sdk::host::files::{self, Entry, Kind};
use holdfast_plugin_sdk::host::{clock, log, metrics, processes};
use holdfast_plugin_sdk::measure::{Bytes, Share, Span};
use holdfast_plugin_sdk::{
    Context, Error, Finding, HostPath, Outcome, Plan, Plugin, ProposedPlan, Remediator, Verdict, export, facts, text,
};
use serde::Deserialize;

use choose::{Caps, Space, choose, mount_of};
use group::{Measured, Place, place};

/// The store's newest figure of a file system is not older.
const FIGURE_AGE_NS_MAX: u64 = 300_000_000_000;
const MOUNTPOINT: &str = "system.filesystem.mountpoint";

/// `[settings]` of plugin.toml, which holds the defaults and says what each means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(missing_docs, reason = "plugin.toml documents each setting where the operator reads it")]
pub struct Settings {
    pub roots: Vec<String>,
    pub groups: Vec<String>,
    pub never: Vec<String>,
    pub markers: Vec<String>,
    pub keep_newer_than: Span,
    pub workers: Vec<String>,
    pub target_free: Share,
    pub filling_frees: Share,
    pub max_entries: usize,
    pub max_files: u64,
    pub max_bytes: Bytes,
    pub measure_within: Span,
}

/// The plugin.
pub struct RunnerReclaim {
    settings: Settings,
    roots: Vec<HostPath>,
}

impl Plugin for RunnerReclaim {
    type Settings = Settings;

    fn configure(_: Context, settings: Settings) -> Result<Self, Error> {
        let root = |text: &String| match HostPath::new(text.trim_end_matches('/')) {
            Ok(path) if path.as_str() != "/" => Ok(path),
            _ => Err(Error::Invalid(format!("settings.roots: `{text}` is not an absolute path below /"))),
        };
        let roots: Vec<HostPath> = settings.roots.iter().map(root).collect::<Result<_, _>>()?;
        if let Some(inner) = roots.iter().find(|inner| roots.iter().any(|outer| outer.below(inner.as_str()).is_some()))
        {
            return Err(Error::Invalid(format!("settings.roots: {inner} lies below another root")));
        }
        if settings
            .groups
            .iter()
            .chain(&settings.never)
            .any(|pattern| pattern.contains("**") || pattern.starts_with('/'))
        {
            return Err(Error::Invalid(
                "settings.groups and never are relative and without `**`: each `*` is one name".to_owned(),
            ));
        }
        Ok(Self { settings, roots })
    }
}

impl Remediator for RunnerReclaim {
    fn propose(&self, finding: &Finding) -> Result<Option<Plan>, Error> {
        let mount = mount(finding)?;
        let now_ns = clock::now_ns();
        let (mounts, space) = filesystems(mount, finding, now_ns)?;
        let least = if finding.rule == "disk.filling" { self.settings.filling_frees.0 } else { 0.0 };
        let needed = space.needed(self.settings.target_free.0, least);
        if needed == 0 {
            let free = text::bytes(space.free);
            log::info("Nothing to propose: enough is free again.", &[("filesystem", mount), ("free", &free)]);
            return Ok(None);
        }
        let roots: Vec<HostPath> =
            self.roots.iter().filter(|root| mount_of(root.as_str(), &mounts) == Some(mount)).cloned().collect();
        let running = processes::list("*")?;
        let (groups, unmeasured) = self.measure(&roots)?;
        let (mut free_to_go, mut kept) = (Vec::new(), Vec::new());
        for group in groups {
            let keep_newer_ns = self.settings.keep_newer_than.0;
            match live::keeps(&group, &running, &self.settings.workers, now_ns, keep_newer_ns) {
                Some(why) => kept.push(format!("{}: {why}", group.path)),
                None => free_to_go.push(group),
            }
        }
        let caps = Caps {
            entries: self.settings.max_entries,
            files: self.settings.max_files,
            bytes: self.settings.max_bytes.0,
        };
        let chosen = choose(free_to_go, needed, caps);
        let facts = plan::Facts { roots: &roots, chosen: &chosen, kept: &kept, unmeasured, space, needed, now_ns };
        let plan = plan::write(finding, &facts)?;
        if plan.is_none() {
            let (kept, first) = (kept.len().to_string(), kept.first().map_or("", String::as_str));
            let roots = roots.len().to_string();
            log::info("Nothing to propose: nothing may go.", &[("roots", &roots), ("kept", &kept), ("first", first)]);
        }
        Ok(plan)
    }

    fn verify(&self, finding: &Finding, plan: &ProposedPlan, _: &[Outcome]) -> Result<Verdict, Error> {
        let (_, space) = filesystems(mount(finding)?, finding, clock::now_ns())?;
        let before = plan.evidence.iter().find(|e| e.name == "filesystem.free_bytes").map(|e| &e.value);
        let before = match before {
            Some(holdfast_plugin_sdk::Value::Integer(free)) => u64::try_from(*free).unwrap_or_default(),
            _ => 0,
        };
        let words = format!(
            "{} of {} are free, {} before",
            text::bytes(space.free),
            text::bytes(space.total),
            text::bytes(before)
        );
        Ok(if space.needed(self.settings.target_free.0, 0.0) == 0 {
            Verdict::Healed(words)
        } else if space.free <= before {
            Verdict::NotHealed(words)
        } else {
            Verdict::Unsure(words)
        })
    }
}

/// The mount point that the finding is about.
fn mount(finding: &Finding) -> Result<&str, Error> {
    if finding.subject.kind != "filesystem" {
        return Err(Error::Unsupported(format!("a finding about a {}, not about a file system", finding.subject.kind)));
    }
    if facts::find(finding, "filesystem.inodes_used_share").is_some() {
        return Err(Error::Unsupported(
            "inodes ran out, not bytes: which directory holds them is for a person to say".to_owned(),
        ));
    }
    Ok(&finding.subject.name)
}

/// All mount points that the store knows, and how full the finding's is: by the store, or by the finding.
fn filesystems(mount: &str, finding: &Finding, now_ns: u64) -> Result<(Vec<String>, Space), Error> {
    let since = now_ns.saturating_sub(FIGURE_AGE_NS_MAX);
    let newest = |name: &str, labels: &[(&str, &str)]| -> Result<Vec<(String, u64)>, Error> {
        let series = metrics::query(name, labels, since, now_ns)?;
        Ok(series
            .iter()
            .filter_map(|it| Some((metrics::attribute(it, MOUNTPOINT)?.to_owned(), metrics::newest(it)? as u64)))
            .collect())
    };
    let totals = newest("system.filesystem.limit", &[])?;
    let free = newest("system.filesystem.usage", &[(MOUNTPOINT, mount), ("system.filesystem.state", "free")])?;
    let of = |figures: &[(String, u64)]| figures.iter().find(|(at, _)| at == mount).map(|(_, value)| *value);
    let total = of(&totals).or_else(|| facts::count(finding, "filesystem.total_bytes"));
    let free = of(&free).or_else(|| facts::count(finding, "filesystem.free_bytes"));
    let (Some(total), Some(free)) = (total, free) else {
        return Err(Error::Unsupported(format!("how full {mount} is, neither the store nor the finding says")));
    };
    let mut mounts: Vec<String> = totals.into_iter().map(|(at, _)| at).collect();
    if !mounts.iter().any(|at| at == mount) {
        mounts.push(mount.to_owned());
    }
    Ok((mounts, Space { total, free }))
}

impl RunnerReclaim {
    /// Groups of these roots, measured one by one, those first that look oldest; and how many there was no time for.
    fn measure(&self, roots: &[HostPath]) -> Result<(Vec<Measured>, usize), Error> {
        let mut found: Vec<(Entry, u64)> = Vec::new();
        let mut denied = None;
        for root in roots {
            match files::stat(root.as_str()) {
                Ok(Some(meta)) if meta.kind == Kind::Directory => {
                    self.list(root, root.as_str(), meta.device, &mut found)?;
                }
                Ok(_) => log::info("A root is not there.", &[("root", root.as_str())]),
                Err(Error::Denied(why)) => {
                    log::warn("A root is not granted.", &[("root", root.as_str()), ("why", &why)]);
                    denied = Some(Error::Denied(why));
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(denied) = denied.filter(|_| found.is_empty()) {
            return Err(denied);
        }
        found.sort_by_key(|(entry, _)| entry.metadata.mtime);
        let count = found.len();
        let mut measured = Vec::with_capacity(count);
        for (entry, device) in found {
            match self.group(&entry, device) {
                Ok(group) => measured.push(group),
                Err(Error::Limit(why) | Error::Timeout(why)) => {
                    log::warn("Not everything was measured.", &[("why", &why)]);
                    break;
                }
                Err(error) => {
                    let odd = Some(error.to_string());
                    measured.push(Measured { path: entry.path, odd, ..Measured::default() });
                }
            }
        }
        let unmeasured = count - measured.len();
        Ok((measured, unmeasured))
    }

    /// Groups at and below one directory; `device` is the root's.
    fn list(&self, root: &HostPath, dir: &str, device: u64, out: &mut Vec<(Entry, u64)>) -> Result<(), Error> {
        let mut deeper = Vec::new();
        let unread = files::Walk::new().depth(1).run(dir, |entry| {
            let Some(relative) = root.below(&entry.path) else { return Ok(()) };
            match place(relative, &self.settings.groups, &self.settings.never) {
                Place::Group => out.push((entry, device)),
                Place::OnTheWay if entry.metadata.kind == Kind::Directory => deeper.push(entry.path),
                Place::OnTheWay | Place::Neither | Place::Never => {}
            }
            Ok(())
        })?;
        for part in unread {
            log::warn("A part could not be read.", &[("path", &part.path), ("why", &part.why.to_string())]);
        }
        deeper.iter().try_for_each(|dir| self.list(root, dir, device, out))
    }

    fn group(&self, entry: &Entry, device: u64) -> Result<Measured, Error> {
        let mut group = Measured { path: entry.path.clone(), ..Measured::default() };
        group.add(entry, device, &self.settings.markers);
        if entry.metadata.kind == Kind::Directory {
            let unread = files::Walk::new().depth(128).run(&entry.path, |inner| {
                if clock::monotonic_ns() > self.settings.measure_within.0 {
                    return Err(Error::Timeout(format!("more than {}", text::span(self.settings.measure_within.0))));
                }
                group.add(&inner, device, &self.settings.markers);
                Ok(())
            })?;
            if let Some(part) = unread.into_iter().next() {
                group.odd.get_or_insert(format!("{} could not be read ({})", part.path, part.why));
            }
        }
        if !text::is_plain(&entry.path) {
            group.odd.get_or_insert("its name has control characters".to_owned());
        }
        Ok(group)
    }
}

export!(RunnerReclaim: Remediator);

#[cfg(test)]
mod tests;
