//! package-verify: are the files of installed Debian packages what dpkg installed?
//!
//! The measure is dpkg's own `md5sums`. A round through all packages takes many runs, each with a budget; what was found stays open until
//! the file was looked at again. What cannot be read is skipped and says so; it is never passed.

pub mod dpkg;
pub mod judge;
pub mod progress;

use std::collections::BTreeSet;

use holdfast_plugin_sdk::host::files::{self, Kind, Metadata};
use holdfast_plugin_sdk::host::{clock, state};
use holdfast_plugin_sdk::measure::{Bytes, Span};
use holdfast_plugin_sdk::{Check, Context, Error, Finding, HostPath, Plugin, Report, export, glob, text};
use md5::digest::common::hazmat::SerializableState;
use md5::{Digest, Md5};
use serde::Deserialize;

use dpkg::{Diversions, Listed, Package};
use judge::{Lies, MODIFIED, RULES, judge, package_of};
use progress::{Part, Round, Seen, Settled, Within};

const STATUS: &str = "/var/lib/dpkg/status";
const DIVERSIONS: &str = "/var/lib/dpkg/diversions";
const INFO: &str = "/var/lib/dpkg/info";
/// Host calls of one run: the host ends a call with 100 000. Reading a small file is two.
const CALLS_MAX: u64 = 90_000;
/// A package with more files is not looked at; the largest that is known has 45 000.
const FILES_MAX: usize = 60_000;
/// dpkg's records are larger than this by mistake only.
const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// `[settings]` of plugin.toml, which holds the defaults and says what each means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(missing_docs, reason = "plugin.toml documents each setting where the operator reads it")]
pub struct Settings {
    pub dirs: Vec<HostPath>,
    pub merged_usr: bool,
    pub ignore: Vec<String>,
    pub may_be_missing: Vec<String>,
    pub skip_unchanged: bool,
    pub reread_after: Span,
    pub settle: Span,
    pub read_per_run: Bytes,
    pub files_per_run: u64,
    pub within: Span,
    pub max_findings: usize,
}

/// The plugin.
pub struct PackageVerify {
    settings: Settings,
}

impl Plugin for PackageVerify {
    type Settings = Settings;

    fn configure(_: Context, settings: Settings) -> Result<Self, Error> {
        Ok(Self { settings })
    }
}

/// What a run may still take.
struct Budget {
    bytes: u64,
    files: u64,
    calls: u64,
    end_ns: u64,
}

impl Budget {
    fn called(&mut self, times: usize) {
        self.calls = self.calls.saturating_sub(times as u64);
    }

    fn is_spent(&mut self) -> bool {
        self.called(1);
        self.bytes == 0 || self.calls == 0 || clock::monotonic_ns() >= self.end_ns
    }
}

/// How the look at a package ended.
#[derive(Debug, PartialEq, Eq)]
enum Looked {
    /// To its end.
    Through,
    /// The budget was spent here.
    UpTo(Option<Within>),
}

/// How the digest of a file ended.
enum Hashed {
    Done(String),
    UpTo(Part),
}

/// One run.
struct Run<'a> {
    plugin: &'a PackageVerify,
    now_ns: u64,
    budget: Budget,
    diversions: Diversions,
    round: Round,
    seen: Seen,
    open: Vec<Finding>,
}

impl Check for PackageVerify {
    fn run(&self, report: &mut Report) -> Result<(), Error> {
        let Some(status) = record(STATUS)? else {
            let why = format!("there is no {STATUS}: this is no Debian host, or it is not granted");
            for rule in RULES {
                report.skipped(rule, Error::Unsupported(why.clone()));
            }
            return Ok(());
        };
        let packages = dpkg::packages(&status);
        let mut run = Run {
            plugin: self,
            now_ns: clock::now_ns(),
            budget: Budget {
                bytes: self.settings.read_per_run.0,
                files: self.settings.files_per_run,
                calls: CALLS_MAX,
                end_ns: clock::monotonic_ns().saturating_add(self.settings.within.0),
            },
            diversions: Diversions::parse(&record(DIVERSIONS)?.unwrap_or_default(), self.settings.merged_usr),
            round: state::get("round")?.unwrap_or_default(),
            seen: Seen::default(),
            open: state::get("open")?.unwrap_or_default(),
        };
        run.go_on(&packages)?;
        run.say(&packages, report);
        state::set("round", &run.round)?;
        state::set("open", &run.open)?;
        run.seen.keep()
    }
}

/// One of dpkg's files, as text; `None`: nothing lies there.
fn record(path: &str) -> Result<Option<String>, Error> {
    Ok(files::read(path, RECORD_BYTES_MAX)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

impl Run<'_> {
    /// From where the last run stopped to the end of the round at most.
    fn go_on(&mut self, packages: &[Package]) -> Result<(), Error> {
        let installed: BTreeSet<&str> = packages.iter().map(|it| it.name.as_str()).collect();
        self.open.retain(|finding| installed.contains(package_of(finding)));
        self.round.unread.retain(|name, _| installed.contains(name.as_str()));
        self.round.more.retain(|name, _| installed.contains(name.as_str()));
        let from = match &self.round.after {
            Some(after) => packages.partition_point(|it| it.name <= *after),
            None => 0,
        };
        for package in &packages[from..] {
            if self.budget.files == 0 || self.budget.is_spent() {
                return Ok(());
            }
            match self.package(package)? {
                Looked::Through => {
                    self.round.within = None;
                    self.round.after = Some(package.name.clone());
                    self.round.packages += 1;
                }
                Looked::UpTo(within) => {
                    self.round.within = within;
                    return Ok(());
                }
            }
        }
        self.round.done += 1;
        (self.round.after, self.round.packages) = (None, 0);
        Ok(())
    }

    /// One package, or as much of it as there is budget for.
    fn package(&mut self, package: &Package) -> Result<Looked, Error> {
        let Some(md5sums) = record(&format!("{INFO}/{}.md5sums", package.name))? else {
            return Ok(Looked::Through);
        };
        let settings = &self.plugin.settings;
        let wanted = |path: &str| {
            self.plugin.settings.dirs.iter().any(|dir| dir.below(path).is_some())
                && !settings.ignore.iter().any(|pattern| glob::matches(pattern, path))
        };
        let listed = match dpkg::listed(&md5sums, package, &self.diversions, settings.merged_usr, wanted) {
            Ok(listed) => listed,
            Err(why) => {
                self.unread(package, 1, format!("{INFO}/{}.md5sums", package.name), why);
                return Ok(Looked::Through);
            }
        };
        if listed.len() > FILES_MAX {
            let why = format!("it lists {} files; {FILES_MAX} are looked at", listed.len());
            self.unread(package, listed.len(), format!("{INFO}/{}.md5sums", package.name), why);
            return Ok(Looked::Through);
        }
        // With what a whole run may ask for there is room for the metadata of any package, not so with the rest of one.
        if self.budget.calls < CALLS_MAX - 10_000 && self.budget.calls < listed.len() as u64 + 1_000 {
            return Ok(Looked::UpTo(self.round.within.take()));
        }
        self.budget.called(listed.len() + 2);
        // Metadata of all its files first: what has not changed since its content was fine need not be read.
        let mut metas: Vec<Result<Option<Metadata>, Error>> = Vec::with_capacity(listed.len());
        for file in &listed {
            metas.push(files::stat(&file.path));
        }
        self.budget.files = self.budget.files.saturating_sub(listed.len() as u64);
        let known: Vec<(&str, Option<&Metadata>)> = listed
            .iter()
            .zip(&metas)
            .map(|(file, meta)| (file.path.as_str(), meta.as_ref().ok().and_then(Option::as_ref)))
            .collect();
        let print = progress::print(&known, &md5sums);
        if settings.skip_unchanged
            && let Some((fine, at)) = self.seen.get(&package.name)?
            && fine == print
            && self.now_ns.saturating_sub(at) < settings.reread_after.0
        {
            return Ok(Looked::Through);
        }
        self.contents(package, &listed, &metas, print)
    }

    fn contents(
        &mut self,
        package: &Package,
        listed: &[Listed],
        metas: &[Result<Option<Metadata>, Error>],
        print: String,
    ) -> Result<Looked, Error> {
        let before = self.round.within.take().filter(|it| it.package == package.name && it.print == print);
        let (from, mut part) = before.map_or((0, None), |it| (it.files, it.part));
        if from == 0 && part.is_none() {
            self.round.unread.remove(&package.name);
            self.round.more.remove(&package.name);
            // Files that the package no longer has.
            self.open
                .retain(|old| package_of(old) != package.name || listed.iter().any(|it| it.path == old.subject.name));
        }
        let mut later = false;
        for (at, (file, meta)) in listed.iter().zip(metas).enumerate().skip(from) {
            let place = |part| Some(Within { package: package.name.clone(), print: print.clone(), files: at, part });
            // One file at least, so that every run gets on.
            if at > from && self.budget.is_spent() {
                return Ok(Looked::UpTo(place(part)));
            }
            let lies = match meta {
                Err(why) => {
                    self.unread(package, 1, file.path.clone(), why.to_string());
                    continue;
                }
                Ok(Some(meta)) if self.is_fresh(meta) => {
                    later = true;
                    continue;
                }
                Ok(Some(meta)) if meta.kind == Kind::File => match self.md5(&file.path, meta.size, part.take()) {
                    Ok(Some(Hashed::Done(md5))) => Lies::File(md5),
                    Ok(Some(Hashed::UpTo(part))) => return Ok(Looked::UpTo(place(Some(part)))),
                    Ok(None) => Lies::Absent,
                    Err(Error::Limit(_)) => {
                        self.budget.bytes = 0;
                        return Ok(Looked::UpTo(place(None)));
                    }
                    Err(why) => {
                        self.unread(package, 1, file.path.clone(), why.to_string());
                        continue;
                    }
                },
                Ok(Some(meta)) => Lies::Other(other(&file.path, meta.kind)),
                Ok(None) => Lies::Absent,
            };
            self.book(package, file, &lies);
        }
        let clean = !later
            && !self.round.unread.contains_key(&package.name)
            && !self.open.iter().any(|finding| package_of(finding) == package.name);
        if self.plugin.settings.skip_unchanged {
            self.seen.set(&package.name, clean.then_some((print, self.now_ns)))?;
        }
        Ok(Looked::Through)
    }

    /// dpkg may be at work on it. A change in the future is none: the clock was wrong then.
    fn is_fresh(&self, meta: &Metadata) -> bool {
        self.now_ns.checked_sub(meta.ctime).is_some_and(|age| age < self.plugin.settings.settle.0)
    }

    fn book(&mut self, package: &Package, file: &Listed, lies: &Lies) {
        let settings = &self.plugin.settings;
        let mut found = judge(package, file, lies, &settings.may_be_missing, None);
        if found.is_some() && matches!(lies, Lies::File(_)) {
            let sha256 = files::sha256(&file.path).ok().flatten();
            found = judge(package, file, lies, &settings.may_be_missing, sha256.as_ref().map(|(it, _)| it.as_str()));
        }
        match progress::settle(&mut self.open, &file.path, found, settings.max_findings) {
            Settled::Kept => {}
            Settled::Counted => *self.round.more.entry(package.name.clone()).or_default() += 1,
            Settled::Lost => self.round.too_many += 1,
        }
    }

    fn unread(&mut self, package: &Package, count: usize, path: String, why: String) {
        let entry = self.round.unread.entry(package.name.clone()).or_insert((0, path, text::line(&why)));
        entry.0 += count;
    }

    /// The MD5 of a file, in pieces: it is computed here, because the host offers no MD5. `None`: it is gone.
    fn md5(&mut self, path: &str, size: u64, part: Option<Part>) -> Result<Option<Hashed>, Error> {
        let (mut digest, mut offset) = match part.and_then(|part| Some((resume(&part.digest)?, part.offset))) {
            Some(resumed) => resumed,
            None => (Md5::new(), 0),
        };
        loop {
            self.budget.called(1);
            let Some(piece) = files::read_at(path, offset)? else { return Ok(None) };
            digest.update(&piece);
            offset += piece.len() as u64;
            if piece.is_empty() || offset >= size {
                self.budget.bytes = self.budget.bytes.saturating_sub(piece.len() as u64);
                return Ok(Some(Hashed::Done(text::hex(&digest.finalize()))));
            }
            self.budget.bytes = self.budget.bytes.saturating_sub(piece.len() as u64);
            if self.budget.is_spent() {
                return Ok(Some(Hashed::UpTo(Part { offset, digest: text::hex(&digest.serialize()) })));
            }
        }
    }

    /// What is open, and what was not looked at.
    fn say(&mut self, packages: &[Package], report: &mut Report) {
        for rule in RULES {
            report.evaluated(rule);
            if self.round.done == 0 {
                let (through, all) = (self.round.packages, packages.len());
                let why = format!("the first round is under way: {through} of {all} packages have been looked at");
                report.skipped(rule, Error::Limit(why));
            }
        }
        if let Some((_, (_, path, why))) = self.round.unread.first_key_value() {
            let count: usize = self.round.unread.values().map(|(count, ..)| count).sum();
            let why = format!("{count} files could not be read; the first is {path}: {why}");
            report.skipped(MODIFIED, Error::Io(text::line(&why)));
        }
        if std::mem::take(&mut self.round.too_many) > 0 {
            let why = format!("more than settings.max-findings = {} files differ", self.plugin.settings.max_findings);
            report.skipped(MODIFIED, Error::Limit(why));
        }
        for problem in judge::said(&self.open, &self.round.more) {
            report.found(problem);
        }
    }
}

fn other(path: &str, kind: Kind) -> String {
    match kind {
        Kind::Symlink => match files::read_link(path) {
            Ok(target) => text::line(&format!("a symbolic link to {target}")),
            Err(_) => "a symbolic link".to_owned(),
        },
        Kind::Directory => "a directory".to_owned(),
        Kind::File | Kind::Other => "a socket, device or pipe".to_owned(),
    }
}

/// A digest under way, from the digits that an earlier run left.
fn resume(digits: &str) -> Option<Md5> {
    let bytes: Option<Vec<u8>> =
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect();
    let state = bytes?.as_slice().try_into().ok()?;
    Md5::deserialize(&state).ok()
}

export!(PackageVerify: Check);

#[cfg(test)]
mod tests;
