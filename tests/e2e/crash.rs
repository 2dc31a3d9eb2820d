//! Crash: a unit is killed until systemd gives up; the agent brings it back, verifies, and closes the incident.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::harness::{Machine, RESTART, on};

const UNIT: &str = "web-1.service";

#[test]
fn a_unit_that_systemd_gave_up_on_runs_again_and_its_incident_is_closed() -> Result<()> {
    on("crash", Machine::installed()?, |machine| {
        machine.add_unit(UNIT, "/usr/bin/sleep infinity", "on-failure")?;
        machine.set_up("auto", "", RESTART)?;
        machine.crash_until_failed(UNIT, Duration::from_secs(30))?;
        let remediation = machine.until_remediation(UNIT, &["succeeded"], Duration::from_mins(1))?;
        ensure!(
            machine.property(UNIT, "ActiveState")? == "active",
            "the remediation succeeded and the unit is not active"
        );
        ensure!(remediation["verification"]["verdict"] == "healed", "{}", remediation["verification"]);
        machine.until_resolved("unit.failed", UNIT, Duration::from_secs(30))?;
        machine.wait_until("the incident is resolved", Duration::from_secs(30), |m| {
            let incidents = m.ask(&["incidents", "list"])?;
            let all = incidents["incidents"].as_array().context("a list")?;
            ensure!(all.len() == 1, "one episode is one incident, not {}", all.len());
            Ok((all[0]["state"] == "resolved").then_some(()))
        })?;
        machine.chain_verifies()?;

        let times = machine.run(&format!("journalctl -u {UNIT} -o short-unix --no-pager"))?;
        let (gave_up, active) = (last(&times, "Failed with result"), last(&times, "Started "));
        let took = active.context("not started again")? - gave_up.context("never failed")?;
        print(&format!("crash: from systemd's last word to active again: {:.0} ms", took * 1000.0));
        ensure!((0.0..10.0).contains(&took), "{took} s from failed to active");
        Ok(())
    })
}

/// Seconds of the last journal line with these words.
fn last(journal: &str, words: &str) -> Option<f64> {
    journal.lines().rfind(|line| line.contains(words))?.split(' ').next()?.parse().ok()
}

/// A measured figure, for whoever reads the suite's output.
pub(crate) fn print(text: &str) {
    use std::io::Write;
    // Not `println!`: the figure is wanted whether the test passes or not.
    let _ = writeln!(std::io::stderr(), "measured: {text}");
}
