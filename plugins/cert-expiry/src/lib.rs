//! cert-expiry: which certificates on this host end soon?
//!
//! It reads PEM and DER files below its directories and holds their times against the clock. It checks no signatures and no names, and
//! opens no file that is named like a key. What cannot be read is skipped and says so; it is never passed.

pub mod judge;
pub mod pem;

use holdfast_plugin_sdk::host::files::{self, Kind};
use holdfast_plugin_sdk::host::{clock, state};
use holdfast_plugin_sdk::measure::Span;
use holdfast_plugin_sdk::{Check, Context, Error, Finding, HostPath, Plugin, Problem, Report, export, glob, text};
use serde::Deserialize;

use judge::{EXPIRING, Notice, Places, RULES};

/// A file of certificates is larger than this by mistake only; all authorities of a distribution take a quarter of it.
const FILE_BYTES_MAX: usize = 1024 * 1024;
const STATE_OPEN: &str = "open";

/// `[settings]` of plugin.toml, which holds the defaults and says what each means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(missing_docs, reason = "plugin.toml documents each setting where the operator reads it")]
pub struct Settings {
    pub dirs: Vec<HostPath>,
    pub names: Vec<String>,
    pub never: Vec<String>,
    pub chain_max: usize,
    pub warn_before: Span,
    pub urgent_before: Span,
    pub max_files: usize,
    pub within: Span,
}

/// The plugin.
pub struct CertExpiry {
    settings: Settings,
}

impl Plugin for CertExpiry {
    type Settings = Settings;

    fn configure(_: Context, settings: Settings) -> Result<Self, Error> {
        if settings.urgent_before.0 > settings.warn_before.0 {
            return Err(Error::Invalid("settings.urgent-before is longer than settings.warn-before".to_owned()));
        }
        Ok(Self { settings })
    }
}

/// What was seen in one run.
#[derive(Default)]
struct Seen {
    places: Places,
    /// Paths that nothing is known of, with what lies below them, and why.
    unread: Vec<(String, Error)>,
    files: usize,
}

impl Check for CertExpiry {
    fn run(&self, report: &mut Report) -> Result<(), Error> {
        let mut seen = Seen::default();
        for dir in &self.settings.dirs {
            if let Err(why) = self.dir(dir.as_str(), &mut seen) {
                seen.unread.push((dir.to_string(), why));
            }
        }
        let notice = Notice { warn_ns: self.settings.warn_before.0, urgent_ns: self.settings.urgent_before.0 };
        let mut found: Vec<Finding> =
            judge::judge(&seen.places, clock::now_ns(), notice).iter().map(|it| it.finding().clone()).collect();
        // What was open in a file that cannot be read now: nobody saw that it was renewed.
        let last: Vec<Finding> = state::get(STATE_OPEN)?.unwrap_or_default();
        let unknown = |path: &str| seen.unread.iter().any(|(unread, _)| is_at_or_below(unread, path));
        for old in last.into_iter().filter(|old| unknown(&old.subject.name)) {
            if !found.iter().any(|it| it.id == old.id) {
                found.push(old);
            }
        }
        for rule in RULES {
            report.evaluated(rule);
        }
        for (path, why) in seen.unread.iter().take(20) {
            report.skipped(EXPIRING, Error::Io(text::line(&format!("{path}: {why}"))));
        }
        if seen.unread.len() > 20 {
            let why = format!("{} files and directories more could not be read", seen.unread.len() - 20);
            report.skipped(EXPIRING, Error::Limit(why));
        }
        for finding in &found {
            report.found(Problem::from_finding(finding.clone()));
        }
        state::set(STATE_OPEN, &found)
    }
}

fn is_at_or_below(root: &str, path: &str) -> bool {
    path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'))
}

impl CertExpiry {
    fn dir(&self, dir: &str, seen: &mut Seen) -> Result<(), Error> {
        match files::stat(dir)? {
            None => return Ok(()),
            Some(meta) if meta.kind == Kind::Directory => {}
            Some(_) => return Err(Error::Invalid("it is no directory".to_owned())),
        }
        let mut candidates = Vec::new();
        let unread = files::Walk::new().depth(8).run(dir, |entry| {
            let name = entry.path.rsplit('/').next().unwrap_or_default();
            let fits = |patterns: &[String]| patterns.iter().any(|pattern| glob::matches(pattern, name));
            // Links to files are how Let's Encrypt names the certificate of today.
            let file = matches!(entry.metadata.kind, Kind::File | Kind::Symlink);
            if file && fits(&self.settings.names) && !fits(&self.settings.never) {
                candidates.push(entry.path);
            }
            Ok(())
        })?;
        seen.unread.extend(unread.into_iter().map(|part| (part.path, part.why)));
        for path in candidates {
            seen.files += 1;
            if seen.files > self.settings.max_files {
                return Err(Error::Limit(format!("more than settings.max-files = {}", self.settings.max_files)));
            }
            if clock::monotonic_ns() > self.settings.within.0 {
                return Err(Error::Timeout(format!("it was not read to its end within {}", self.settings.within)));
            }
            if let Err(why) = file(&path, self.settings.chain_max, seen) {
                seen.unread.push((path, why));
            }
        }
        Ok(())
    }
}

fn file(path: &str, chain_max: usize, seen: &mut Seen) -> Result<(), Error> {
    // A link to nothing is what a renewal leaves for a moment, and what a mistake leaves for good.
    let bytes =
        files::read(path, FILE_BYTES_MAX)?.ok_or_else(|| Error::NotFound("it is a link to nothing".to_owned()))?;
    let contents = pem::read(&bytes);
    let of = contents.certs.len();
    if of > chain_max {
        return Ok(());
    }
    for (at, cert) in contents.certs.into_iter().enumerate() {
        let (_, places) = seen.places.entry(cert.sha256.clone()).or_insert_with(|| (cert, vec![]));
        places.push((path.to_owned(), at + 1, of));
    }
    match contents.broken.first() {
        Some(why) => Err(Error::Invalid(why.clone())),
        None => Ok(()),
    }
}

export!(CertExpiry: Check);

#[cfg(test)]
mod tests;
