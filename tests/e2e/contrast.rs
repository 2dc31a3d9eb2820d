//! Contrast: a release that runs well and uses more than the one before fails the gate with the number; the past that says so is
//! half a day of what the agent recorded on this machine.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::harness::{Machine, on};

const UNIT: &str = "web-1.service";
/// One series of a dozen is rare only where the past is long.
const PAST_HOURS: u64 = 20;
/// Fifty tasks and 80 MB more than a `sleep`.
const HUNGRY: &str = "#!/bin/bash\nheld=$(head -c 80000000 /dev/zero | tr '\\0' x)\nfor n in $(seq 50); do sleep infinity & done\nwait\n";

/// Deploys a command as a pipeline would, and asks the gate until it knows.
fn judged(machine: &Machine, id: &str, command: &str) -> Result<(i32, Value)> {
    machine.ask(&["deploy", "start", "--id", id, "--service", "web", "--version", id, "--unit", UNIT])?;
    machine.run(&format!(
        "sed -i 's|^ExecStart=.*|ExecStart={command}|' /etc/systemd/system/{UNIT} && systemctl daemon-reload && systemctl restart {UNIT}"
    ))?;
    machine.ask(&["deploy", "finish", id])?;
    machine.run("sleep 45")?;
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

        let (_, report) = judged(machine, "modest", "/usr/bin/sleep 1000000")?;
        let modest = contrast(&report)?;
        // The host's own series are those of the machine below, which others use; the unit's are its own.
        let accused = modest["verdict"] == "fail" && modest["text"].as_str().is_some_and(|text| text.contains(UNIT));
        ensure!(modest["verdict"] != "inconclusive" && !accused, "a past to compare with, and nothing new: {modest}");

        let (code, report) = judged(machine, "hungry", "/usr/local/bin/hungry")?;
        let hungry = contrast(&report)?;
        ensure!(code == 1 && hungry["verdict"] == "fail", "exit {code}: {hungry}");
        let text = hungry["text"].as_str().context("no text")?;
        ensure!(text.contains(UNIT) && (text.contains("tasks") || text.contains("memory")), "{text}");
        Ok(())
    })
}
