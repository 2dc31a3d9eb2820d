//! Bad release: a file of a recorded release is tampered with; it is named, its deployment is suspected, and it comes back.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::harness::{Machine, id, on};

const FILE: &str = "/srv/web/42/bin/server";
const POLICY: &str = r#"
[[rule]]
name = "restore-release"
on = ["release.*"]
plugin = "release-verify"
mode = "approve"
[rule.verify]
within = "2m"
on-failure = "undo"
"#;

#[test]
fn a_tampered_file_is_named_restored_after_a_yes_and_put_back_by_undo() -> Result<()> {
    on("bad_release", Machine::installed()?, |machine| {
        machine.run(
            "mkdir -p /srv/web/42/bin /srv/web/42/etc; cd /srv/web/42; head -c 300000 /dev/urandom > bin/server; chmod 755 bin/server
             echo 'port = 80' > etc/app.conf; find . -type f ! -name SHA256SUMS | sed 's|^./||' | sort | xargs sha256sum > SHA256SUMS",
        )?;
        machine.set_up("approve", "", POLICY)?;
        machine.ask(&[
            "deploy",
            "start",
            "--id",
            "web-42",
            "--service",
            "web",
            "--version",
            "42",
            "--release-dir",
            "/srv/web/42",
        ])?;
        machine.ask(&["deploy", "finish", "web-42"])?;
        let good = machine.sha256(FILE)?;
        let clean = machine.holdfast(&["plugin", "run", "release-verify"])?;
        ensure!(clean.code == 0, "a release as deployed is clean: {:?}", clean.ran);

        machine.run(&format!("printf x >> {FILE}"))?;
        let bad = machine.sha256(FILE)?;
        let found = machine.holdfast(&["plugin", "run", "release-verify"])?;
        ensure!(found.code == 1, "the tampered file is found: {:?}", found.ran);
        machine.until_finding("release.tampered", FILE, Duration::from_secs(30))?;

        machine.wait_until("the deployment is a suspect", Duration::from_secs(30), |m| {
            let incidents = m.ask(&["incidents", "list"])?;
            let all = incidents["incidents"].as_array().context("a list")?;
            Ok(all.iter().any(|i| i["suspects"][0]["deployment"] == "web-42").then_some(()))
        })?;

        let waiting = machine.until_remediation(FILE, &["awaiting_approval"], Duration::from_mins(1))?;
        let rem = id(&waiting)?.to_owned();
        let simulated = machine.ask(&["simulate", &rem])?.to_string();
        ensure!(simulated.contains(FILE), "simulate names what would change: {simulated}");
        ensure!(machine.sha256(FILE)? == bad, "simulate wrote something");
        machine.ask(&["approve", &rem, "--note", "put it back", "--wait", "2m"])?;
        ensure!(machine.sha256(FILE)? == good, "not restored byte for byte");
        let mode = machine.run(&format!("stat -c %a {FILE}"))?;
        ensure!(mode.trim() == "755", "restored with mode {mode}");

        machine.ask(&["undo", &rem, "--note", "changed my mind", "--wait", "1m"])?;
        ensure!(machine.sha256(FILE)? == bad, "undo puts back what lay there before");
        machine.chain_verifies()
    })
}
