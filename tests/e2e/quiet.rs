//! When nothing may be done: a transient, a loop, a pause, a ceiling of `advise`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::harness::{Machine, RESTART, id, on};

const UNIT: &str = "web-1.service";
const MINUTE: Duration = Duration::from_mins(1);

fn starts(machine: &Machine, unit: &str) -> Result<usize> {
    Ok(machine.run(&format!("journalctl -u {unit} -o cat --no-pager"))?.matches("Started ").count())
}

#[test]
fn a_failure_of_five_seconds_makes_no_plan() -> Result<()> {
    on("transient", Machine::installed()?, |machine| {
        machine.add_unit(UNIT, "/usr/bin/sleep infinity", "no")?;
        let patient = RESTART.replace("plugin =", "sustained = \"12s\"\nplugin =");
        machine.set_up("auto", "", &patient)?;
        machine.run(&format!("systemctl kill -s KILL {UNIT}"))?;
        machine.until_finding("unit.failed", UNIT, Duration::from_secs(10))?;
        machine.run(&format!("sleep 5; systemctl start {UNIT}"))?;
        machine.until_resolved("unit.failed", UNIT, MINUTE)?;
        // The agent has looked at later samples than the moment at which the rule would have fired.
        machine.run("sleep 10")?;
        ensure!(machine.remediations()?.is_empty(), "a transient made a plan: {:?}", machine.remediations()?);
        machine.chain_verifies()
    })
}

#[test]
fn a_unit_that_fails_again_right_after_its_restart_is_restarted_once() -> Result<()> {
    on("loop", Machine::installed()?, |machine| {
        machine.set_up("auto", "", RESTART)?;
        machine.add_unit(UNIT, "/bin/sh -c 'sleep 0.3; exit 3'", "no")?;
        let ended = machine.until_remediation(UNIT, &["failed", "undone", "succeeded"], MINUTE)?;
        ensure!(ended["state"] == "failed", "the unit never stays up, and the remediation is {}", ended["state"]);
        machine.run("sleep 15")?;
        ensure!(machine.remediations()?.len() == 1, "{:#?}", machine.remediations()?);
        ensure!(starts(machine, UNIT)? == 2, "once by hand and once by the agent, not {}", starts(machine, UNIT)?);
        machine.chain_verifies()
    })
}

#[test]
fn while_paused_nothing_is_executed_and_after_it_the_plan_is() -> Result<()> {
    on("paused", Machine::installed()?, |machine| {
        machine.add_unit(UNIT, "/usr/bin/sleep infinity", "no")?;
        machine.set_up("auto", "", RESTART)?;
        machine.ask(&["pause", "--reason", "maintenance"])?;
        machine.run("systemctl restart holdfast")?;
        machine.until_ready()?;
        ensure!(
            machine.ask(&["status"])?["paused"]["reason"] == "maintenance",
            "a pause survives a restart of the agent"
        );
        machine.run(&format!("systemctl kill -s KILL {UNIT}"))?;
        machine.until_finding("unit.failed", UNIT, Duration::from_secs(20))?;
        machine.run("sleep 10")?;
        ensure!(machine.property(UNIT, "ActiveState")? == "failed", "the agent acted while it was paused");
        machine.ask(&["resume", "--reason", "done"])?;
        machine.wait_until("the unit is active again", MINUTE, |m| {
            Ok((m.property(UNIT, "ActiveState")? == "active").then_some(()))
        })?;
        machine.chain_verifies()
    })
}

#[test]
fn a_fresh_host_proposes_and_executes_nothing() -> Result<()> {
    on("advise", Machine::installed()?, |machine| {
        machine.add_unit(UNIT, "/usr/bin/sleep infinity", "no")?;
        machine.set_up("advise", "", RESTART)?;
        machine.run(&format!("systemctl kill -s KILL {UNIT}"))?;
        let proposed = machine.until_remediation(UNIT, &["proposed"], MINUTE)?;
        let steps = proposed["plan"]["body"]["steps"].as_array().context("a plan has steps")?;
        ensure!(!steps.is_empty(), "an empty plan");
        let said = machine.holdfast(&["approve", id(&proposed)?])?;
        ensure!(said.code == 5, "a yes above the ceiling is denied (5), not {}: {}", said.code, said.ran.stderr);
        machine.run("sleep 5")?;
        ensure!(machine.property(UNIT, "ActiveState")? == "failed", "something was executed under `advise`");
        machine.chain_verifies()
    })
}
