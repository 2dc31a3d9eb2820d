//! Settings of the running kernel, and what the host's configuration says they should be (sysctl.d(5)).

use std::collections::{BTreeMap, BTreeSet};

use holdfast_core::model::Items;

use super::item;
use crate::host::FsRoot;

/// Settings that somebody who wants in, or out of a container, would turn.
const ALWAYS: [&str; 19] = [
    "fs.protected_hardlinks",
    "fs.protected_symlinks",
    "fs.suid_dumpable",
    "kernel.core_pattern",
    "kernel.dmesg_restrict",
    "kernel.kptr_restrict",
    "kernel.modules_disabled",
    "kernel.perf_event_paranoid",
    "kernel.randomize_va_space",
    "kernel.sysrq",
    "kernel.unprivileged_bpf_disabled",
    "kernel.yama.ptrace_scope",
    "net.ipv4.conf.all.accept_redirects",
    "net.ipv4.conf.all.accept_source_route",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.ip_forward",
    "net.ipv4.tcp_syncookies",
    "net.ipv6.conf.all.accept_redirects",
    "net.ipv6.conf.all.forwarding",
];
/// In falling rank: of files with one name, that of the first directory counts.
const DIRS: [&str; 5] =
    ["/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d"];
/// Read by some tools after all others.
const LAST: &str = "/etc/sysctl.conf";

/// Values by name; blanks within a value are one space. `None`: the kernel shows no settings. One that it has not is left out.
pub(super) fn read(fs: &FsRoot, also: &[String]) -> Option<Items> {
    std::fs::metadata(fs.path("/proc/sys")).ok()?;
    let configured = configured(fs);
    let names: BTreeSet<&str> = ALWAYS
        .into_iter()
        .chain(also.iter().map(String::as_str))
        .chain(configured.keys().map(String::as_str))
        .collect();
    let one = |name: &str| {
        let mut text = String::new();
        fs.read(&format!("/proc/sys/{}", name.replace('.', "/")), &mut text).ok()?;
        let mut found = item(one_space(&text));
        found.stated_by = configured
            .get(name)
            .filter(|(value, _)| *value == found.value)
            .map(|(_, file)| format!("{file} sets {name} to {}", found.value));
        Some((name.to_owned(), found))
    };
    Some(names.into_iter().filter_map(one).collect())
}

/// What files set, by name: value and file. The last one in the order of file names counts.
fn configured(fs: &FsRoot) -> BTreeMap<String, (String, String)> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for dir in DIRS {
        let Ok(entries) = std::fs::read_dir(fs.path(dir)) else { continue };
        for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
            if name.strip_suffix(".conf").is_some() {
                files.entry(name.clone()).or_insert_with(|| format!("{dir}/{name}"));
            }
        }
    }
    let mut all = BTreeMap::new();
    for path in files.into_values().chain([LAST.to_owned()]) {
        let mut text = String::new();
        if fs.read(&path, &mut text).is_ok() {
            all.extend(settings(&text).map(|(name, value)| (name, (value, path.clone()))));
        }
    }
    all
}

/// Pure: `name = value` of each line; patterns and lines that only exclude are no setting.
fn settings(text: &str) -> impl Iterator<Item = (String, String)> + '_ {
    text.lines().filter_map(|line| {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            return None;
        }
        let (name, value) = line.trim_start_matches('-').split_once('=')?;
        let name = canonical(name.trim());
        let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
        plain.then(|| (name, one_space(value)))
    })
}

/// With dots, whichever separator came first: sysctl.d(5) lets slashes stand for them.
fn canonical(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(at) if name[at..].starts_with('/') => name.replace('/', "."),
        _ => name.to_owned(),
    }
}

fn one_space(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}
