//! New listeners in the words of findings. Pure.

use std::collections::BTreeMap;

use holdfast_plugin_sdk::{Problem, Severity, evidence, subject, text};

use crate::known::{Holder, News, Owner};
use crate::sockets::Listener;

/// A socket that is open to the network and was not before.
pub const NEW: &str = "port.new_listener";
/// Programs that lie here were put there by somebody in passing.
const PASSING: [&str; 4] = ["/tmp/", "/var/tmp/", "/dev/shm/", "/run/user/"];

/// One finding for each key; `now` is all that is open, by key.
pub fn judge(open: &BTreeMap<String, Vec<Listener>>, news: &BTreeMap<String, News>) -> Vec<Problem> {
    let there = news.iter().filter_map(|(key, news)| Some((open.get(key)?, news)));
    there.filter_map(|(sockets, news)| one(sockets, news)).collect()
}

fn one(sockets: &[Listener], news: &News) -> Option<Problem> {
    let first = sockets.first()?;
    let mut addresses: Vec<String> = sockets.iter().map(|it| it.address.to_string()).collect();
    addresses.sort();
    addresses.dedup();
    let who = match &news.owner {
        Owner::Surely(holder) => described(holder),
        Owner::Likely(holders) => match holders.as_slice() {
            [] => format!("user {}, none of whose processes is seen", first.uid),
            [only] => format!("user {}, most likely {}", first.uid, described(only)),
            [youngest, ..] => {
                format!("user {}, perhaps its youngest process {}", first.uid, described(youngest))
            }
        },
    };
    let title =
        format!("{} port {} is newly open on {}, held by {who}", first.protocol, first.port, addresses.join(" and "));
    let passing = |holder: &Holder| {
        holder.exe_deleted || holder.exe.as_ref().is_some_and(|exe| PASSING.iter().any(|dir| exe.starts_with(dir)))
    };
    let severity = match &news.owner {
        Owner::Surely(holder) if passing(holder) => Severity::High,
        _ => Severity::Medium,
    };
    let port = format!("{}/{}", first.protocol, first.port);
    let mut problem = Problem::new(NEW, &format!("uid-{}", first.uid), subject("port", port.as_str()), &title)
        .severity(severity)
        .evidence(evidence("network.local.addresses", addresses))
        .evidence(evidence("network.local.port", u32::from(first.port)))
        .evidence(evidence("network.transport", first.protocol))
        .evidence(evidence("user.id", first.uid))
        .evidence(evidence("remedy", format!("if it is meant to be, add \"{port}\" to settings.known")));
    match &news.owner {
        Owner::Surely(holder) => {
            problem = problem
                .evidence(evidence("process.name", text::line(&holder.name)))
                .evidence(evidence("process.pid", holder.pid));
            if let Some(exe) = &holder.exe {
                problem = problem.evidence(evidence("process.executable.path", text::line(exe)));
            }
            if let Some(unit) = &holder.unit {
                problem = problem.evidence(evidence("unit", text::line(unit)));
            }
        }
        Owner::Likely(holders) => {
            let holders: Vec<String> = holders.iter().map(described).collect();
            problem = problem.evidence(evidence("process.candidates", holders));
        }
    }
    Some(problem)
}

fn described(holder: &Holder) -> String {
    let mut more = vec![format!("pid {}", holder.pid)];
    more.extend(holder.exe.clone());
    if holder.exe_deleted {
        more.push("deleted".to_owned());
    }
    more.extend(holder.unit.clone());
    text::line(&format!("{} ({})", holder.name, more.join(", ")))
}
