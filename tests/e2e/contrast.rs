//! Contrast: a release that runs well and uses more than the one before fails the gate with the number; the past that says so is
//! half a day of what the agent recorded on this machine.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::harness::{Machine, on};

const UNIT: &str = "web-1.service";
/// One series of a dozen is rare only where the past is long.
const PAST_HOURS: u64 = 20;
/// Some third of a core, where a `sleep` uses none. Memory and tasks of units are not counted in these machines.
const HUNGRY: &str = "#!/bin/sh\nwhile :; do i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; sleep 0.1; done\n";

/// Deploys a command as a pipeline would, and asks the gate so long after it has finished.
fn judged(machine: &Machine, id: &str, command: &str, after_s: u32) -> Result<(i32, Value)> {
    machine.ask(&["deploy", "start", "--id", id, "--service", "web", "--version", id, "--unit", UNIT])?;
    machine.run(&format!(
        "sed -i 's|^ExecStart=.*|ExecStart={command}|' /etc/systemd/system/{UNIT} && systemctl daemon-reload && systemctl restart {UNIT}"
    ))?;
    machine.ask(&["deploy", "finish", id])?;
    machine.run(&format!("sleep {after_s}"))?;
    let said = machine.holdfast(&["gate", "--deployment", id, "--wait", "60s"])?;
    Ok((said.code, said.json))
}

fn contrast(report: &Value) -> Result<&Value> {
    let checks = report["checks"].as_array().with_context(|| format!("no checks in {report}"))?;
    checks.iter().find(|it| it["name"] == "contrast").with_context(|| format!("no contrast in {report}"))
}

#[test]
fn a_release_that_uses_more_than_the_unit_ever_did_fails_the_gate() -> Result<()> {
    on("contrast", Machine::installed()?, |machine| {
        machine.write_file("/usr/local/bin/hungry", HUNGRY, 0o755)?;
        machine.add_unit(UNIT, "/usr/bin/sleep infinity", "no")?;
        machine.set_up("advise", "", "")?;
        machine.run("sleep 75 && systemctl stop holdfast")?;
        let series = machine.grow_past(PAST_HOURS)?;
        ensure!(series > 100, "{series} series were recorded");
        machine.start()?;
        machine.run("sleep 20")?;

        let (_, report) = judged(machine, "modest", "/usr/bin/sleep 1000000", 45)?;
        let modest = contrast(&report)?;
        // The host's own series are those of the machine below, which others use; the unit's are its own.
        let accused = modest["verdict"] == "fail" && modest["text"].as_str().is_some_and(|text| text.contains(UNIT));
        ensure!(modest["verdict"] != "inconclusive" && !accused, "a past to compare with, and nothing new: {modest}");

        // CPU time is judged from two minutes after the finish on: every start costs some.
        let (code, report) = judged(machine, "hungry", "/usr/local/bin/hungry", 165)?;
        let hungry = contrast(&report)?;
        ensure!(code == 1 && hungry["verdict"] == "fail", "exit {code}: {hungry}");
        let text = hungry["text"].as_str().context("no text")?;
        ensure!(text.contains(&format!("{UNIT} CPU time rose by")), "{text}");
        Ok(())
    })
}
