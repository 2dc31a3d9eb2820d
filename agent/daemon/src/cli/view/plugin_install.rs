//! `holdfast plugin install`, `enable`, `disable`, `remove` and `push`.

use std::fmt::Write as _;

use holdfast_core::model::unit::human_bytes;

use super::super::cmd::plugin_agent::Taken;
use super::super::cmd::plugin_install::FolderReport;
use super::super::cmd::plugin_place::{RemoveReport, SwitchReport};
use super::super::cmd::plugin_push::PushReport;
use super::super::cmd::plugin_report::Report;
use super::super::ink::{Ink, bold, dim, paint};
use super::words::{fact, section};

pub(in super::super) fn report(it: &Report) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{} {}  {}", bold(&it.plugin), it.version, it.description);
    fact(&mut out, "source", &format!("{}, {}", it.source, human_bytes(it.bytes)));
    fact(&mut out, "digest", &it.digest);
    let signature = if it.signer.is_some() { it.signature.clone() } else { paint(Ink::Yellow, &it.signature) };
    fact(&mut out, "signature", &signature);
    fact(&mut out, "roles", &it.roles.join(", "));
    fact(&mut out, "agent", &format!("{} or newer", it.agent_min));
    let over = it.replaces.as_ref().map(|version| format!(", replaces {version}")).unwrap_or_default();
    fact(&mut out, "component", &format!("{}{over}", it.file.display()));
    let enabled = if it.grant.enabled { "" } else { "; it is switched off there" };
    let grant = match it.grant.change {
        "none" => dim("none: it is listed and never called"),
        "written" => format!("{}, new, mode advise", it.grant.file.display()),
        change => format!("{}, {change}{enabled}", it.grant.file.display()),
    };
    fact(&mut out, "grant", &grant);
    section(&mut out, "Asks for");
    let permissions = &it.permissions;
    for wish in &permissions.asks {
        let more =
            if permissions.more.contains(wish) { paint(Ink::Yellow, "  + more than before") } else { String::new() };
        let lacks = if it.grant.change != "none" && permissions.not_granted.contains(wish) && more.is_empty() {
            dim("  not granted here")
        } else {
            String::new()
        };
        let _ = writeln!(out, "{wish}{more}{lacks}");
    }
    if permissions.asks.is_empty() {
        let _ = writeln!(out, "{}", dim("nothing"));
    }
    for wish in &permissions.less {
        let _ = writeln!(out, "{}", dim(&format!("{wish}  - no longer")));
    }
    for note in &it.notes {
        let _ = writeln!(out, "note: {note}");
    }
    if it.agent.is_some() {
        out.push('\n');
        out.push_str(&outcome(it));
    }
    out
}

/// What became of it alone, where the rest was shown before.
pub(in super::super) fn outcome(it: &Report) -> String {
    let done = if it.changed { "Installed" } else { "Everything was so already" };
    it.agent.as_ref().map_or_else(String::new, |agent| format!("{done}. {}\n", taken(agent)))
}

/// All components of a folder. `shown`: those of which the rest was shown before.
pub(in super::super) fn folder(it: &FolderReport, shown: &[bool]) -> String {
    let mut out = String::new();
    for (one, shown) in it.plugins.iter().zip(shown) {
        if *shown {
            let _ = write!(out, "{} {}: {}", bold(&one.plugin), one.version, outcome(one));
        } else {
            let _ = writeln!(out, "{}", report(one));
        }
    }
    for name in &it.left_out {
        let _ = writeln!(out, "{}", dim(&format!("{name} was left out")));
    }
    out
}

/// How the agent took it, as a sentence.
fn taken(it: &Taken) -> String {
    let why = it.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    match it.state.as_str() {
        "unreachable" => {
            format!("No agent answers{why}. One that runs takes it up within seconds, one that starts at its start.")
        }
        "pending" => paint(Ink::Yellow, &format!("Pending{why}.")),
        "refused" => paint(Ink::Red, &format!("The agent refuses it{why}.")),
        "removed" => "The agent has let go of it.".to_owned(),
        state => format!("The agent has it: {}{why}.", state.replace('_', " ")),
    }
}

pub(in super::super) fn switched(it: &SwitchReport) -> String {
    let state = if it.enabled { "on" } else { "off" };
    let Some(grant) = &it.grant else {
        return format!("Plugin {} has no grant here, so it is never called. Nothing was changed.\n", it.plugin);
    };
    let done = if it.changed { "is switched" } else { "was switched already" };
    format!("Plugin {} {done} {state}, in {}. {}\n", it.plugin, grant.display(), taken(&it.agent))
}

pub(in super::super) fn removed(it: &RemoveReport) -> String {
    let mut out = String::new();
    for file in &it.removed {
        let _ = writeln!(out, "removed {}", file.display());
    }
    for file in &it.kept {
        let _ = writeln!(out, "kept {}", file.display());
    }
    if let Some(keys) = it.forgotten {
        let _ = writeln!(out, "forgotten {keys} keys of its state, and what the agent remembered of it");
    }
    let _ = writeln!(out, "{}", taken(&it.agent));
    if let Some(note) = &it.note {
        let _ = writeln!(out, "note: {note}");
    }
    out
}

pub(in super::super) fn pushed(it: &PushReport) -> String {
    let mut out = String::new();
    let known = if it.known { ", which lay there already" } else { "" };
    let signed = if it.signed { "signed" } else { "not signed" };
    let _ = writeln!(out, "{} {}, {signed}, {}{known}", bold(&it.plugin), it.version, human_bytes(it.bytes));
    fact(&mut out, "reference", &it.reference);
    fact(&mut out, "pinned", &it.pinned);
    fact(&mut out, "digest", &it.digest);
    out
}
