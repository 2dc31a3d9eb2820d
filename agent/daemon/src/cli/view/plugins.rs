//! `holdfast plugin list` and `run`.

use std::fmt::Write as _;
use std::time::Duration;

use holdfast_core::model::Presence;
use holdfast_core::model::unit::human_bytes;
use holdfast_plugin_host::Manifest;

use super::super::cmd::plugin::Inspection;
use super::super::ink::{Ink, bold, dim, paint};
use super::super::out::Look;
use super::super::table::Table;
use super::super::when::{percent, span};
use super::words::{evidence, fact, section, severity};
use crate::answers::PluginAnswer;
use crate::api::wire::PluginsDocument;
use crate::authoring::{NewReport, TestReport};
use crate::status::PluginStatus;

pub(in super::super) fn list(it: &PluginsDocument, look: Look) -> String {
    if it.plugins.is_empty() {
        return "No plugins.\n".to_owned();
    }
    table(&it.plugins, look)
}

pub(super) fn table(plugins: &[PluginStatus], look: Look) -> String {
    let mut table = Table::new(&[
        "ID",
        "VERSION",
        "MODE",
        "ROLES",
        ">CALLS",
        ">FAILED",
        ">LAST COST",
        ">READ",
        ">HOST CALLS",
        ">PEAK MEMORY",
        "STATE",
    ]);
    for it in plugins {
        let state = match it.state.as_str() {
            "ready" => paint(Ink::Green, "ready"),
            "not_granted" => dim("not granted"),
            "disabled" => dim("disabled"),
            "on_trial" => paint(Ink::Yellow, "on trial"),
            other => paint(Ink::Red, &other.replace('_', " ")),
        };
        let why = it.reason.as_ref().or(it.last_error.as_ref()).map(|r| format!(": {r}")).unwrap_or_default();
        let newer = it.update_refused.as_ref().map(|r| format!("; what is newer was refused: {r}")).unwrap_or_default();
        table.row(vec![
            it.id.clone(),
            it.version.clone(),
            it.mode.to_string(),
            it.roles.join(","),
            it.calls.to_string(),
            it.failures.to_string(),
            it.last_cost_us.map_or_else(|| "-".to_owned(), |us| span(Duration::from_micros(us))),
            it.last_returned_bytes.map_or_else(|| "-".to_owned(), human_bytes),
            it.last_host_calls.map_or_else(|| "-".to_owned(), |calls| calls.to_string()),
            it.memory_peak_bytes.map_or_else(|| "-".to_owned(), human_bytes),
            format!("{state}{why}{newer}"),
        ]);
    }
    table.render(look.columns)
}

pub(in super::super) fn run(it: &PluginAnswer, _: Look) -> String {
    let mut out = String::new();
    let took = span(Duration::from_micros(it.elapsed_us));
    let _ =
        writeln!(out, "{} {} evaluated {} rules in {took}", bold(&it.plugin), dim(it.run.as_str()), it.evaluated.len());
    for one in &it.detections {
        let presence = match one.presence {
            Presence::Present => severity(one.severity),
            Presence::Cleared => paint(Ink::Green, "cleared"),
            Presence::Inconclusive => dim("inconclusive"),
        };
        let _ = writeln!(out, "\n{presence}  {}  {}  {}", bold(&one.title), one.kind, dim(&one.target.to_string()));
        let _ = writeln!(out, "  confidence {}", percent(one.confidence.get()));
        evidence(&mut out, &one.evidence, 2);
    }
    if it.detections.is_empty() {
        let _ = writeln!(out, "Nothing found.");
    }
    for one in &it.skipped {
        let _ = writeln!(out, "skipped {}: {}", one.subject, one.reason);
    }
    out
}

pub(in super::super) fn tested(it: &TestReport) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{} {}  {}", bold(&it.plugin), it.version, dim(&it.component.display().to_string()));
    for case in &it.cases {
        let verdict = if case.problems.is_empty() { paint(Ink::Green, "ok    ") } else { paint(Ink::Red, "FAILED") };
        let asks: Vec<String> = case
            .asks
            .iter()
            .map(|ask| format!("{} {} in {}", ask.ask, ask.answer, span(Duration::from_micros(ask.elapsed_us))))
            .collect();
        let kept = if case.blessed { "  (golden file written)" } else { "" };
        let _ = writeln!(out, "{verdict}  {}  {}{kept}", case.name, dim(&asks.join(", ")));
        for problem in &case.problems {
            for line in problem.lines() {
                let _ = writeln!(out, "        {line}");
            }
        }
    }
    let (failed, blessed) = (it.failed(), it.cases.iter().filter(|case| case.blessed).count());
    let _ = write!(out, "\n{} passed, {failed} failed", it.cases.len() - failed);
    let _ = writeln!(out, "{}", if blessed > 0 { format!(", {blessed} golden files written") } else { String::new() });
    out
}

pub(in super::super) fn made(it: &NewReport) -> String {
    let mut out = String::new();
    let against = it.sdk.as_ref().map_or_else(String::new, |sdk| format!(", built against {}", sdk.display()));
    let _ = writeln!(out, "{} is in {}, in {}{against}\n", bold(&it.plugin), it.dir.display(), it.language);
    for line in &it.next {
        let _ = writeln!(out, "  {line}");
    }
    out
}

pub(in super::super) fn inspection(it: &Inspection) -> String {
    let manifest = &it.manifest;
    let list = |all: &[String]| if all.is_empty() { dim("nothing") } else { all.join(", ") };
    let mut out = String::new();
    let _ = writeln!(out, "{} {}  {}", bold(&manifest.id), manifest.version, manifest.description);
    fact(&mut out, "file", &format!("{}, {} ({} bytes)", it.file, human_bytes(it.bytes), it.bytes));
    fact(&mut out, "digest", &it.digest);
    fact(&mut out, "agent", &format!("{} or newer", it.agent_min));
    if let Some(signature) = &it.signature {
        fact(&mut out, "signature", signature);
    }
    if let Some(language) = &it.language {
        let state = if it.unchanged == Some(true) { ", the same as before" } else { "" };
        fact(&mut out, "built from", &format!("{language}{state}"));
    }
    fact(&mut out, "roles", &list(&manifest.roles));
    fact(&mut out, "asked for", &list(&manifest.subscriptions));
    fact(&mut out, "schedule", &manifest.schedule.map_or_else(|| dim("none"), |s| format!("every {s}")));
    section(&mut out, "Wants to read");
    let wants = &manifest.wants;
    fact(&mut out, "files", &list(&wants.files));
    through(&mut out, manifest, &wants.files_from_settings);
    fact(&mut out, "units", &list(&wants.units));
    let switches = [
        ("processes", wants.processes),
        ("command lines", wants.processes_cmdline),
        ("metrics", wants.metrics),
        ("changes", wants.changes),
        ("own state", wants.state),
    ];
    let on: Vec<String> = switches.iter().filter(|(_, on)| *on).map(|(name, _)| (*name).to_owned()).collect();
    fact(&mut out, "and", &list(&on));
    section(&mut out, "Proposes");
    fact(&mut out, "actions", &list(&manifest.proposes.actions));
    fact(&mut out, "on units", &list(&manifest.proposes.units));
    fact(&mut out, "on paths", &list(&manifest.proposes.paths));
    through(&mut out, manifest, &manifest.proposes.paths_from_settings);
    section(&mut out, "Imports");
    for name in &it.imports {
        let _ = writeln!(out, "{name}");
    }
    section(&mut out, "Exports");
    for name in &it.exports {
        let _ = writeln!(out, "{name}");
    }
    out
}

/// Settings through which a plugin asks for places, with what they name when the operator names nothing else.
fn through(out: &mut String, manifest: &Manifest, settings: &[String]) {
    for key in settings {
        let own = manifest.settings.get(key).map(ToString::to_string).unwrap_or_default();
        fact(out, "by setting", &format!("{key}: below what it names on a host, by default {own}"));
    }
}
