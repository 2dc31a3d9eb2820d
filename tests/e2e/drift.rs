//! Drift: a hand edit is reported with its diff; the same edit inside a deployment or a package upgrade is explained.

use std::fs;
use std::os::unix::fs::PermissionsExt;
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

/// Accounts, ports and kernel settings: what a package makes and a file states is explained, what a hand does is a finding.
#[test]
fn what_the_host_is_made_of_drifts_only_by_what_nothing_explains() -> Result<()> {
    on("drift-items", Machine::installed()?, |machine| {
        machine.set_up("advise", "[inventory]\nevery = \"1s\"\n", "")?;
        machine.wait_until("everything is accepted at the first look", SOON, |m| {
            let said = m.holdfast(&["baseline", "verify", "user:root", "group:sudo"])?;
            Ok((said.code == 0).then_some(()))
        })?;

        // A package whose script makes an account, as packages do.
        let script = "#!/bin/sh\nuseradd --system --no-create-home --shell /usr/sbin/nologin appd\n";
        package(machine, "1.0", "level = 1\n", Some(script))?;
        machine.wait_until("the account of the package is recorded", SOON, |m| {
            let said = m.ask(&["changes", "--kind", "user.*", "--target", "user:appd"])?;
            Ok(said["changes"][0]["summary"].as_str().is_some_and(|it| it.contains("Installed app")).then_some(()))
        })?;

        // By hand: an account that may log in, and who may become root.
        machine.run("useradd --create-home --shell /bin/bash eve && usermod -aG sudo eve")?;
        let user = machine.until_finding("user.drift", "eve", SOON)?;
        ensure!(user["severity"] == "high" && user["class"] == "security", "{user:#}");
        let group = machine.until_finding("group.drift", "sudo", SOON)?;
        ensure!(evidence(&group, "item.value").is_some_and(|it| it.ends_with("members=eve")), "{group:#}");
        ensure!(user["incident"] == group["incident"], "two incidents for one deed");

        // A port that everybody reaches; one that only this host reaches is none.
        machine
            .run("systemd-run -q --unit=backdoor systemd-socket-activate -l 0.0.0.0:8099 -l 127.0.0.1:8098 /bin/cat")?;
        let port = machine.until_finding("listener.drift", "tcp 0.0.0.0:8099", SOON)?;
        ensure!(evidence(&port, "item.value").is_some_and(|it| it == "uid=0"), "{port:#}");
        ensure!(machine.findings("listener.drift", "tcp 127.0.0.1:8098")?.is_empty(), "of this host only");

        // A setting that a file states, and the same by hand against it.
        machine.write_file("/etc/sysctl.d/50-router.conf", "net.ipv4.ip_forward = 1\n", 0o644)?;
        machine.run("echo 1 > /proc/sys/net/ipv4/ip_forward")?;
        machine.wait_until("the stated setting is accepted", SOON, |m| {
            let said = m.ask(&["changes", "--kind", "sysctl.*"])?;
            let text = said["changes"][0]["summary"].as_str().unwrap_or_default().to_owned();
            Ok(text.contains("50-router.conf").then_some(()))
        })?;
        machine.run("echo 0 > /proc/sys/net/ipv4/ip_forward")?;
        machine.until_finding("sysctl.drift", "net.ipv4.ip_forward", SOON)?;

        // Accepted with a reason, and undone by hand: both end their finding.
        machine.ask(&["baseline", "accept", "user:eve", "group:sudo", "--reason", "our new colleague"])?;
        machine.until_resolved("user.drift", "eve", SOON)?;
        machine.run("echo 1 > /proc/sys/net/ipv4/ip_forward && systemctl stop backdoor")?;
        machine.until_resolved("sysctl.drift", "net.ipv4.ip_forward", SOON)?;
        machine.until_resolved("listener.drift", "tcp 0.0.0.0:8099", SOON)?;

        for kind in ["user.drift", "group.drift"] {
            ensure!(machine.findings(kind, "appd")?.is_empty(), "the account of a package was reported");
        }
        machine.chain_verifies()
    })
}

/// What starts by itself, and a port that is opened while something else is deployed: a drop-in, a job of cron, a timer.
#[test]
fn what_was_made_to_start_by_itself_and_a_door_opened_during_a_deployment_are_found() -> Result<()> {
    on("drift-starts", Machine::installed()?, |machine| {
        machine.run("mkdir -p /etc/cron.d")?;
        machine.set_up("advise", "[inventory]\nevery = \"1s\"\n", "")?;
        machine.wait_until("everything is accepted at the first look", SOON, |m| {
            Ok((m.holdfast(&["baseline", "verify", "user:root"])?.code == 0).then_some(()))
        })?;

        // An addition to a unit that is there, and what cron runs: files, each ends with its finding.
        for (path, content) in [
            ("/etc/systemd/system/systemd-journald.service.d/beacon.conf", "[Service]\nExecStartPost=-/bin/true\n"),
            ("/etc/cron.d/beacon", "* * * * * root true\n"),
        ] {
            let directory = path.rsplit_once('/').context("a path")?.0;
            machine.run(&format!("mkdir -p {directory}"))?;
            machine.write_file(path, content, 0o644)?;
            machine.until_finding("file.drift", path, SOON)?;
            machine.run(&format!("rm {path}"))?;
            machine.until_resolved("file.drift", path, SOON)?;
        }

        // A timer of somebody's own that is enabled.
        machine.write_file("/etc/systemd/system/beacon.service", "[Service]\nExecStart=/bin/true\n", 0o644)?;
        let timer = "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n";
        machine.write_file("/etc/systemd/system/beacon.timer", timer, 0o644)?;
        machine.run("systemctl daemon-reload && systemctl enable beacon.timer")?;
        let found = machine.until_finding("unit_file.drift", "beacon.timer", SOON)?;
        ensure!(evidence(&found, "item.value").is_some_and(|it| it.contains("enabled")), "{found:#}");
        machine.run("systemctl disable beacon.timer; rm /etc/systemd/system/beacon.*; systemctl daemon-reload")?;
        machine.until_resolved("unit_file.drift", "beacon.timer", SOON)?;

        // Somebody deploys, and somebody else opens a port meanwhile.
        let start = ["deploy", "start", "--id", "app-8", "--service", "app", "--version", "8", "--unit", "app.service"];
        machine.ask(&start)?;
        machine.run("systemd-run -q --unit=door systemd-socket-activate -l 0.0.0.0:8100 /bin/cat")?;
        let port = machine.until_finding("listener.drift", "tcp 0.0.0.0:8100", SOON)?;
        // Since Linux 5.9 the kernel tells whose it is; before that the deployment is named as what ran then.
        let told = evidence(&port, "unit.name").is_some_and(|it| it == "door.service");
        let doubtful = evidence(&port, "deployment.id").is_some_and(|it| it == "app-8");
        ensure!(told != doubtful, "{port:#}");
        machine.ask(&["deploy", "finish", "app-8"])?;
        machine.run("systemctl stop door")?;
        machine.until_resolved("listener.drift", "tcp 0.0.0.0:8100", SOON)?;
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

fn install(machine: &Machine, version: &str, content: &str) -> Result<()> {
    package(machine, version, content, None)
}

/// Builds a package with one file, and what is run after unpacking, and installs it with dpkg.
fn package(machine: &Machine, version: &str, content: &str, script: Option<&str>) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("DEBIAN"))?;
    fs::create_dir_all(root.join("usr/share/app"))?;
    let control = format!(
        "Package: app\nVersion: {version}\nArchitecture: all\nMaintainer: app <app@localhost>\nDescription: app\n"
    );
    fs::write(root.join("DEBIAN/control"), control)?;
    fs::write(root.join("usr/share/app/defaults.conf"), content)?;
    if let Some(script) = script {
        fs::write(root.join("DEBIAN/postinst"), script)?;
        fs::set_permissions(root.join("DEBIAN/postinst"), fs::Permissions::from_mode(0o755))?;
    }
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
