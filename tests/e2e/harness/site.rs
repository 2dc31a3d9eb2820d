//! What an operator would write for a machine: configuration, policy, grants, root's allow-list; and questions about how it stands.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::machine::Machine;

/// Grants that let the plugins of this repository do what their manifests ask for, on `web-*` units and below `/srv`.
const GRANTS: [(&str, &str); 3] = [
    (
        "unit-medic",
        "mode = \"auto\"\n[read]\nunits = [\"web-*.service\"]\n[propose]\nactions = [\"restart_unit\", \"reset_failed_unit\"]\nunits = [\"web-*.service\"]\n[settings]\nsettle = \"1s\"\n",
    ),
    (
        "release-verify",
        "mode = \"approve\"\n[read]\nfiles = [\"/srv\"]\nchanges = true\n[propose]\nactions = [\"restore_file\", \"quarantine_path\"]\npaths = [\"/srv/**\"]\n[settings]\nroots = [\"/srv\"]\n",
    ),
    (
        "runner-reclaim",
        "mode = \"approve\"\n[read]\nfiles = [\"/srv/runner/_work\"]\nprocesses = true\nprocesses-cmdline = true\nmetrics = true\n[propose]\nactions = [\"reclaim_paths\"]\npaths = [\"/srv/runner/_work/**\"]\n[settings]\nroots = [\"/srv/runner/_work\"]\n",
    ),
];
const ALLOWED: &str = r#"[allow]
users = ["holdfast"]
[restart_unit]
units = ["web-*.service"]
[reset_failed_unit]
units = ["web-*.service"]
[restore_file]
paths = ["/srv/**"]
[quarantine_path]
paths = ["/srv/**"]
[reclaim_paths]
roots       = ["/srv/runner/_work"]
max-bytes   = "1GiB"
max-entries = 1000
min-age     = "1h"
"#;

/// The rule of most scenarios: a crashed web unit is restarted without asking.
pub(crate) const RESTART: &str = r#"
[[rule]]
name = "restart-crashed-web"
on = ["unit.failed"]
when = 'finding.subject.unit.startsWith("web-")'
plugin = "unit-medic"
mode = "auto"
[rule.guard]
max-risk = "medium"
[rule.verify]
within = "30s"
healthy = 'unit.active_state == "active"'
on-failure = "stop"
"#;

impl Machine {
    /// Writes everything and starts the agent. `config` is added to what every scenario has.
    pub(crate) fn set_up(&mut self, ceiling: &str, config: &str, policy: &str) -> Result<()> {
        let head = format!("[agent]\nmode-ceiling = \"{ceiling}\"\nenvironment = \"test\"\n");
        self.write_file("/etc/holdfast/holdfast.toml", format!("{head}{config}"), 0o644)?;
        self.write_file("/etc/holdfast/policy.d/scenario.toml", policy, 0o644)?;
        self.write_file("/etc/holdfast/actuator.toml", ALLOWED, 0o644)?;
        for (plugin, grant) in GRANTS {
            self.write_file(&format!("/etc/holdfast/plugins.d/{plugin}.toml"), grant, 0o644)?;
        }
        self.start()
    }

    /// A unit that runs until it is killed; `restart` is systemd's own policy.
    pub(crate) fn add_unit(&self, name: &str, command: &str, restart: &str) -> Result<()> {
        let text = format!(
            "[Unit]\nDescription={name}\nStartLimitIntervalSec=60\nStartLimitBurst=2\n[Service]\nExecStart={command}\nRestart={restart}\nRestartSec=50ms\n"
        );
        self.write_file(&format!("/etc/systemd/system/{name}"), text, 0o644)?;
        self.run(&format!("systemctl daemon-reload && systemctl start {name}"))?;
        Ok(())
    }

    /// One property of a unit.
    pub(crate) fn property(&self, unit: &str, name: &str) -> Result<String> {
        Ok(self.run(&format!("systemctl show -P {name} {unit}"))?.trim().to_owned())
    }

    /// Kills a unit's main process until systemd gives up.
    pub(crate) fn crash_until_failed(&mut self, unit: &str, deadline: Duration) -> Result<()> {
        self.wait_until(&format!("systemd gives up on {unit}"), deadline, |m| {
            m.try_run(&format!("systemctl kill -s KILL {unit}"))?;
            let journal = m.run(&format!("journalctl -u {unit} -o cat"))?;
            Ok(journal.contains("Failed with result").then_some(()).filter(|()| {
                journal.contains("start-limit-hit")
                    || journal.contains("Start request repeated too quickly")
                    || m.property(unit, "Restart").is_ok_and(|r| r == "no")
            }))
        })
    }

    /// Findings of a kind about a target, newest first.
    pub(crate) fn findings(&self, kind: &str, target: &str) -> Result<Vec<Value>> {
        let all = self.ask(&["findings", "list", "--kind", kind])?;
        let all = all["findings"].as_array().cloned().context("`findings list` answers a list")?;
        Ok(all.into_iter().filter(|f| f["target"]["name"] == target).collect())
    }

    /// Remediations, newest first.
    pub(crate) fn remediations(&self) -> Result<Vec<Value>> {
        let all = self.ask(&["remediations", "list"])?;
        all["remediations"].as_array().cloned().context("`remediations list` answers a list")
    }

    /// Waits for the newest remediation about a target that is in one of the states.
    pub(crate) fn until_remediation(&mut self, target: &str, states: &[&str], deadline: Duration) -> Result<Value> {
        self.wait_until(&format!("a remediation of {target} is {states:?}"), deadline, |m| {
            let all = m.remediations()?;
            Ok(all
                .into_iter()
                .find(|r| r["plan"]["body"]["target"]["name"] == target && states.iter().any(|s| r["state"] == *s)))
        })
    }

    /// Waits for an open finding of a kind about a target.
    pub(crate) fn until_finding(&mut self, kind: &str, target: &str, deadline: Duration) -> Result<Value> {
        self.wait_until(&format!("a finding {kind} about {target}"), deadline, |m| {
            Ok(m.findings(kind, target)?.into_iter().find(is_open))
        })
    }

    /// Waits until no finding of a kind about a target is open.
    pub(crate) fn until_resolved(&mut self, kind: &str, target: &str, deadline: Duration) -> Result<()> {
        self.wait_until(&format!("no finding {kind} about {target} is open"), deadline, |m| {
            Ok((!m.findings(kind, target)?.iter().any(is_open)).then_some(()))
        })
    }

    /// The audit chain is whole.
    pub(crate) fn chain_verifies(&self) -> Result<()> {
        self.ask(&["audit", "verify"]).map(|_| ())
    }

    /// SHA-256 of a file in the machine.
    pub(crate) fn sha256(&self, path: &str) -> Result<String> {
        Ok(self.run(&format!("sha256sum {path}"))?.split(' ').next().unwrap_or_default().to_owned())
    }
}

/// Whether a finding still counts.
pub(crate) fn is_open(finding: &Value) -> bool {
    finding["state"] == "new" || finding["state"] == "in_progress"
}

/// An id of a document.
pub(crate) fn id(document: &Value) -> Result<&str> {
    document["id"].as_str().with_context(|| format!("no id in {document}"))
}
