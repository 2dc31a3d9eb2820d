//! Crash of the agent: killed at every stage of a remediation, it finishes, takes back or reports, and repeats no step.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::crash::print;
use crate::harness::{Machine, RESTART, on};

/// Milliseconds from the unit's end to the agent's: before the finding, around decision, intent, step and verification.
const MOMENTS_MS: [u32; 12] = [0, 20, 40, 60, 90, 120, 160, 220, 300, 500, 900, 1_600];

#[test]
fn killed_at_any_moment_the_agent_repeats_no_step_and_its_chain_verifies() -> Result<()> {
    on("agent_crash", Machine::installed()?, |machine| {
        machine.run("mkdir -p /etc/systemd/system/holdfast.service.d && printf '[Unit]\\nStartLimitIntervalSec=0\\n[Service]\\nRestartSec=100ms\\n' > /etc/systemd/system/holdfast.service.d/fast.conf")?;
        for n in 0..MOMENTS_MS.len() {
            machine.add_unit(&format!("web-{n}.service"), "/usr/bin/sleep infinity", "no")?;
        }
        let rule = RESTART
            .replace("max-risk", "budget = { runs = 100, per = \"1h\" }\nmax-risk")
            .replace("within = \"30s\"", "within = \"8s\"");
        machine.set_up("auto", "", &rule)?;
        let mut ends = Vec::new();
        for (n, after_ms) in MOMENTS_MS.into_iter().enumerate() {
            let unit = format!("web-{n}.service");
            machine.run(&format!(
                "systemctl kill -s KILL {unit}; sleep {}.{:03}; systemctl kill -s KILL --kill-whom=main holdfast",
                after_ms / 1000,
                after_ms % 1000
            ))?;
            machine.until_ready()?;
            machine.wait_until(
                &format!("{unit} killed with {after_ms} ms is dealt with"),
                Duration::from_mins(1),
                |m| {
                    let over = ["succeeded", "failed", "undone", "denied", "expired", "rejected"];
                    let about = |r: &serde_json::Value| r["plan"]["body"]["target"]["name"] == unit.as_str();
                    let all: Vec<_> = m.remediations()?.into_iter().filter(about).collect();
                    let done = all.iter().any(|r| over.iter().any(|s| r["state"] == *s));
                    let running = all.iter().any(|r| !over.iter().any(|s| r["state"] == *s));
                    Ok((done && !running).then_some(()))
                },
            )?;
            let starts = machine.run(&format!("journalctl -u {unit} -o cat --no-pager"))?.matches("Started ").count();
            ensure!(starts <= 2, "{unit} (killed after {after_ms} ms) was started {} times by the agent", starts - 1);
            let state = machine.property(&unit, "ActiveState")?;
            ensure!(state == "active", "{unit} (agent killed after {after_ms} ms) is {state} in the end");
            ends.push(format!("{after_ms} ms: {state}"));
            machine.chain_verifies()?;
        }
        print(&format!("agent killed after: {}", ends.join(", ")));
        // No step has more than one outcome of its own in the chain.
        let text = machine.run("holdfast audit export")?;
        let mut outcomes: Vec<String> = Vec::new();
        for line in text.lines() {
            let entry: serde_json::Value = serde_json::from_str(line)?;
            if entry["kind"] == "intent" {
                let key = format!("{} {}", entry["subject"], entry["body"]["step"]);
                ensure!(!outcomes.contains(&key), "the intent of {key} stands twice in the chain");
                outcomes.push(key);
            }
        }
        ensure!(!outcomes.is_empty(), "no intent was recorded");
        machine.ask(&["status"])?["audit_head"]["seq"].as_u64().context("status shows the chain's head")?;
        Ok(())
    })
}
