//! Drift: a hand edit is reported with its diff; the same edit inside a deployment or a package upgrade is explained.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_tests::program;
use serde_json::Value;

use crate::harness::{Machine, is_open, on};

const CONF: &str = "/etc/app/app.conf";
const PACKAGED: &str = "/usr/share/app/defaults.conf";
const WATCH: &str = "[watch]\nfiles = [\"/etc/app/*.conf\", \"/usr/share/app/*.conf\"]\n";
const SOON: Duration = Duration::from_secs(30);

#[test]
fn only_the_edit_that_nothing_explains_is_drift() -> Result<()> {
    on("drift", Machine::installed()?, |machine| {
        install(machine, "1.0", "level = 1\n")?;
        machine.write_file(CONF, "workers = 4\n", 0o644)?;
        machine.set_up("advise", WATCH, "")?;
        machine.ask(&["baseline", "capture"])?;

        // By hand: drift, with the lines.
        machine.write_file(CONF, "workers = 64\n", 0o644)?;
        let finding = machine.until_finding("file.drift", CONF, SOON)?;
        let diff = evidence(&finding, "file.diff").context("a drift carries its diff")?;
        ensure!(diff.contains("-workers = 4") && diff.contains("+workers = 64"), "{diff}");
        machine.ask(&["baseline", "accept", CONF, "--reason", "we need 64"])?;
        machine.until_resolved("file.drift", CONF, SOON)?;

        // Inside a deployment that declares it: recorded as explained.
        machine.ask(&[
            "deploy",
            "start",
            "--id",
            "app-7",
            "--service",
            "app",
            "--version",
            "7",
            "--path",
            "/etc/app",
        ])?;
        machine.write_file(CONF, "workers = 8\n", 0o644)?;
        until_changed(machine, CONF)?;
        machine.ask(&["deploy", "finish", "app-7"])?;

        // Inside a package upgrade: explained by dpkg.
        install(machine, "1.1", "level = 2\n")?;
        until_changed(machine, PACKAGED)?;

        // The same file by hand: drift again.
        machine.write_file(PACKAGED, "level = 9\n", 0o644)?;
        machine.until_finding("file.drift", PACKAGED, SOON)?;

        let open: Vec<Value> = machine.findings("file.drift", CONF)?.into_iter().filter(is_open).collect();
        ensure!(open.is_empty(), "an explained edit was reported: {open:?}");
        let all = machine.findings("file.drift", PACKAGED)?;
        ensure!(all.len() == 1, "the upgrade was reported as drift: {all:#?}");
        machine.chain_verifies()
    })
}

fn evidence(finding: &Value, name: &str) -> Option<String> {
    finding["evidence"].as_array()?.iter().find(|e| e["name"] == name)?["value"].as_str().map(str::to_owned)
}

fn until_changed(machine: &mut Machine, path: &str) -> Result<()> {
    machine.wait_until(&format!("the change of {path} is recorded"), SOON, |m| {
        let said = m.ask(&["changes", "--since", "20s", "--kind", "file.*", "--target", &format!("file:{path}")])?;
        Ok(said["changes"].as_array().is_some_and(|c| !c.is_empty()).then_some(()))
    })
}

/// Builds a package with one file and installs it with dpkg.
fn install(machine: &Machine, version: &str, content: &str) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("DEBIAN"))?;
    fs::create_dir_all(root.join("usr/share/app"))?;
    let control = format!(
        "Package: app\nVersion: {version}\nArchitecture: all\nMaintainer: app <app@localhost>\nDescription: app\n"
    );
    fs::write(root.join("DEBIAN/control"), control)?;
    fs::write(root.join("usr/share/app/defaults.conf"), content)?;
    let sums = program("sh")
        .args([
            "-c",
            "md5sum usr/share/app/defaults.conf > DEBIAN/md5sums && dpkg-deb --root-owner-group -b . ../app.deb",
        ])
        .current_dir(&root)
        .output()?;
    ensure!(sums.status.success(), "{}", String::from_utf8_lossy(&sums.stderr));
    machine.write_file("/root/app.deb", fs::read(dir.path().join("app.deb"))?, 0o644)?;
    machine.run("dpkg -i /root/app.deb")?;
    Ok(())
}
