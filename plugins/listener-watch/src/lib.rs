//! listener-watch: what is newly open to the network, and whose is it?
//!
//! It reads the kernel's tables of sockets, learns what is usual, and says what is new. Which process holds a socket it knows for sure
//! only where it may look into /proc; otherwise it names the user, and processes of that user.

pub mod judge;
pub mod known;
pub mod sockets;

use std::collections::{BTreeMap, BTreeSet};

use holdfast_plugin_sdk::host::processes::{self, Process};
use holdfast_plugin_sdk::host::{clock, files, log, state};
use holdfast_plugin_sdk::measure::Span;
use holdfast_plugin_sdk::{Check, Context, Error, Plugin, Report, export, text};
use serde::Deserialize;

use judge::NEW;
use known::{Holder, Memory, News, Owner, Pattern, Ports, is_allowed, key};
use sockets::Listener;

/// A table of fifty thousand connections.
const TABLE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Looking for the processes of sockets ends after this.
const LOOK_NS_MAX: u64 = 4_000_000_000;
/// Processes of a user that are named.
const CANDIDATES_MAX: usize = 5;
const STATE: &str = "memory";

/// `[settings]` of plugin.toml, which holds the defaults and says what each means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(missing_docs, reason = "plugin.toml documents each setting where the operator reads it")]
pub struct Settings {
    pub known: Vec<String>,
    pub learn_for: Span,
    pub loopback: bool,
    pub ephemeral: String,
}

/// The plugin.
pub struct ListenerWatch {
    known: Vec<Pattern>,
    learn_for: Span,
    loopback: bool,
    ephemeral: Ports,
}

impl Plugin for ListenerWatch {
    type Settings = Settings;

    fn configure(_: Context, settings: Settings) -> Result<Self, Error> {
        let known = settings.known.iter().map(|it| Pattern::parse(it)).collect::<Result<_, _>>();
        let ephemeral = Ports::parse(&settings.ephemeral)
            .ok_or_else(|| Error::Invalid("settings.ephemeral is not such as \"32768-60999\"".to_owned()))?;
        Ok(Self {
            known: known.map_err(|why| Error::Invalid(format!("settings.known: {why}")))?,
            learn_for: settings.learn_for,
            loopback: settings.loopback,
            ephemeral,
        })
    }
}

impl ListenerWatch {
    /// Whether anybody beyond this host may reach it, and it is more than an answer that is awaited.
    fn counts(&self, it: &Listener) -> bool {
        (self.loopback || !it.address.is_loopback()) && !(it.protocol == "udp" && self.ephemeral.has(it.port))
    }
}

impl Check for ListenerWatch {
    fn run(&self, report: &mut Report) -> Result<(), Error> {
        let mut open: BTreeMap<String, Vec<Listener>> = BTreeMap::new();
        for (path, protocol) in sockets::TABLES {
            // A kernel without IPv6 has no tables of it.
            let Some(bytes) = files::read(path, TABLE_BYTES_MAX)? else { continue };
            let found = sockets::parse(&String::from_utf8_lossy(&bytes), protocol);
            for it in found.map_err(|why| Error::Io(format!("{path}: {why}")))?.into_iter().filter(|it| self.counts(it))
            {
                open.entry(key(&it)).or_default().push(it);
            }
        }
        let mut memory: Memory = state::get(STATE)?.unwrap_or_default();
        let (before, now_ns) = (memory.clone(), clock::now_ns());
        if memory.began_ns == 0 {
            memory.began_ns = now_ns;
        }
        let learning = memory.is_learning(now_ns, self.learn_for.0);
        let mut strange: Vec<&Listener> = Vec::new();
        for (key, sockets) in &open {
            let Some(first) = sockets.first() else { continue };
            if is_allowed(&self.known, first, None) || memory.knows(first) {
                memory.new.remove(key);
            } else if learning {
                memory.learn(first);
            } else {
                strange.extend((!memory.new.contains_key(key)).then_some(first));
            }
        }
        memory.new.retain(|key, _| open.contains_key(key));
        for (it, owner) in strange.iter().zip(owners(&strange)?) {
            memory.new.insert(key(it), News { since_ns: now_ns, owner });
        }
        // The operator's word about a program counts where the program is known.
        let mut shown = memory.new.clone();
        shown.retain(|key, news| match (&news.owner, open.get(key).and_then(|sockets| sockets.first())) {
            (Owner::Surely(holder), Some(first)) => !is_allowed(&self.known, first, Some(&holder.name)),
            _ => true,
        });
        report.evaluated(NEW);
        if learning {
            let left = self.learn_for.0.saturating_sub(now_ns.saturating_sub(memory.began_ns));
            let why = format!(
                "it learns what is usual for {} more; {} sockets so far",
                text::span(left),
                memory.learned.len()
            );
            report.skipped(NEW, Error::Unsupported(why));
        }
        for problem in judge::judge(&open, &shown) {
            report.found(problem);
        }
        if memory == before { Ok(()) } else { state::set(STATE, &memory) }
    }
}

/// Who holds each of these, as far as may be known.
fn owners(sockets: &[&Listener]) -> Result<Vec<Owner>, Error> {
    if sockets.is_empty() {
        return Ok(vec![]);
    }
    let processes = match processes::list("*") {
        Ok(processes) => processes,
        Err(Error::Denied(_)) => return Ok(sockets.iter().map(|_| Owner::Likely(vec![])).collect()),
        Err(error) => return Err(error),
    };
    let wanted: BTreeSet<u64> = sockets.iter().map(|it| it.inode).collect();
    let holders = holders(&processes, &wanted);
    Ok(sockets
        .iter()
        .map(|it| match holders.get(&it.inode) {
            Some(holder) => Owner::Surely(holder.clone()),
            None => Owner::Likely(candidates(&processes, it.uid)),
        })
        .collect())
}
fn holder(process: &Process) -> Holder {
    Holder {
        pid: process.pid,
        name: process.name.clone(),
        exe: process.exe.clone(),
        exe_deleted: process.exe_deleted,
        unit: process.unit.clone(),
    }
}

/// Processes of a user, the youngest first: what was opened just now is most often theirs. Threads of the kernel open nothing.
fn candidates(processes: &[Process], uid: u32) -> Vec<Holder> {
    let mut own: Vec<&Process> = processes.iter().filter(|it| it.uid == uid && it.rss > 0).collect();
    own.sort_by_key(|it| std::cmp::Reverse((it.started, it.pid)));
    own.into_iter().take(CANDIDATES_MAX).map(holder).collect()
}

/// Processes whose descriptors name these sockets. Empty where /proc is not granted or may not be looked into.
fn holders(processes: &[Process], wanted: &BTreeSet<u64>) -> BTreeMap<u64, Holder> {
    let (mut found, end) = (BTreeMap::new(), clock::monotonic_ns().saturating_add(LOOK_NS_MAX));
    let mut hidden = 0_u32;
    for process in processes {
        if found.len() == wanted.len() || clock::monotonic_ns() > end {
            break;
        }
        let walk = files::Walk::new().depth(1).run(&format!("/proc/{}/fd", process.pid), |entry| {
            let inode = entry
                .link_target
                .as_deref()
                .and_then(|it| it.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
            if let Some(inode) = inode.filter(|inode| wanted.contains(inode)) {
                found.entry(inode).or_insert_with(|| holder(process));
            }
            Ok(())
        });
        match walk {
            Ok(unread) if unread.is_empty() => {}
            // Not granted at all: there is no use in asking for the next.
            Err(Error::Denied(why)) if why.contains("not granted") => break,
            Ok(_) | Err(_) => hidden += 1,
        }
    }
    if hidden > 0 {
        log::debug("Some processes could not be looked into.", &[("count", &hidden.to_string())]);
    }
    found
}

export!(ListenerWatch: Check);

#[cfg(test)]
mod tests;
