//! ssh-hardening: does sshd let in more than it should?
//!
//! It reads what sshd reads, in the same order, and holds the values that count against a small table with reasons. Where a part
//! cannot be read, nothing is claimed: a value there might be the one that counts.

pub mod config;
pub mod judge;
pub mod rules;

use holdfast_plugin_sdk::host::files::{self, Kind};
use holdfast_plugin_sdk::{Check, Context, Error, HostPath, Plugin, Report, export, glob};
use serde::Deserialize;

use config::Source;
use judge::{MODE, SETTING};

/// A configuration is larger than this by mistake only.
const FILE_BYTES_MAX: usize = 1024 * 1024;

/// `[settings]` of plugin.toml, which holds the defaults.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Where sshd's configuration begins.
    pub config: HostPath,
    /// Keywords that this host has decided otherwise about.
    pub accept: Vec<String>,
}

/// The plugin.
pub struct SshHardening {
    settings: Settings,
}

impl Plugin for SshHardening {
    type Settings = Settings;

    fn configure(_: Context, settings: Settings) -> Result<Self, Error> {
        let known = |entry: &String| {
            let keyword = entry.split('@').next().unwrap_or_default();
            rules::RULES.iter().any(|rule| rule.keyword.eq_ignore_ascii_case(keyword))
        };
        match settings.accept.iter().find(|entry| !known(entry)) {
            Some(entry) => Err(Error::Invalid(format!("settings.accept: no row of the table is about `{entry}`"))),
            None => Ok(Self { settings }),
        }
    }
}

/// Files of the host, and which were read.
#[derive(Default)]
struct Host {
    read: Vec<String>,
}

impl Source for Host {
    fn read(&mut self, path: &str) -> Result<Option<String>, Error> {
        let Some(bytes) = files::read(path, FILE_BYTES_MAX)? else { return Ok(None) };
        self.read.push(path.to_owned());
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn expand(&mut self, pattern: &str) -> Result<Vec<String>, Error> {
        let (dir, name) = pattern.rsplit_once('/').unwrap_or(("", pattern));
        if !name.contains(['*', '?']) {
            return Ok(vec![pattern.to_owned()]);
        }
        if dir.contains(['*', '?', '[']) || name.contains('[') {
            return Err(Error::Unsupported(format!(
                "Include {pattern}: patterns are understood in the last name only"
            )));
        }
        match files::stat(dir)? {
            Some(meta) if meta.kind == Kind::Directory => {}
            _ => return Ok(vec![]),
        }
        let mut found = Vec::new();
        let unread = files::Walk::new().depth(1).run(dir, |entry| {
            let own = entry.path.rsplit('/').next().unwrap_or_default();
            // As glob(3): a leading dot is only met by a dot.
            if glob::matches(name, own) && (name.starts_with('.') || !own.starts_with('.')) {
                found.push(entry.path);
            }
            Ok(())
        })?;
        match unread.into_iter().next() {
            Some(part) => Err(Error::Io(format!("{}: {}", part.path, part.why))),
            None => Ok(found),
        }
    }
}

impl Check for SshHardening {
    fn run(&self, report: &mut Report) -> Result<(), Error> {
        let (mut host, path) = (Host::default(), self.settings.config.as_str());
        let lines = match config::lines(&mut host, path) {
            Ok(Some(lines)) => lines,
            Ok(None) => {
                let why = Error::Unsupported(format!("there is no {path}: no sshd is configured here"));
                report.skipped(SETTING, why.clone());
                report.skipped(MODE, why);
                return Ok(());
            }
            Err(why) => {
                report.skipped(SETTING, why.clone());
                report.skipped(MODE, why);
                return Ok(());
            }
        };
        report.evaluated(SETTING);
        for problem in judge::judge(&lines, &self.settings.accept) {
            report.found(problem);
        }
        report.evaluated(MODE);
        host.read.sort();
        host.read.dedup();
        for file in &host.read {
            if let Some(meta) = files::stat(file)?
                && meta.kind == Kind::File
                && let Some(problem) = judge::writable(file, meta.mode)
            {
                report.found(problem);
            }
        }
        Ok(())
    }
}

export!(SshHardening: Check);

#[cfg(test)]
mod tests;
