//! Bad input: each mistake is named where it is made, with the right exit code, and nothing is lost or done because of it.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::harness::{Machine, RESTART, on};

const UNIT: &str = "web-1.service";
const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_wrong_configuration_and_a_wrong_policy_point_at_their_line() -> Result<()> {
    on("bad_input", Machine::installed()?, |machine| {
        machine.write_file("/etc/holdfast/holdfast.toml", "[agent]\nmode-cieling = \"auto\"\n", 0o644)?;
        let said = machine.try_run("holdfast config check")?;
        ensure!(said.code == 2, "a wrong configuration is answered with 2, not {}", said.code);
        ensure!(said.stderr.contains("holdfast.toml:2:1"), "file, line and column: {}", said.stderr);
        let start = machine.try_run("systemctl start holdfast")?;
        ensure!(start.code != 0, "the agent started with a wrong configuration");
        machine.run("systemctl reset-failed holdfast")?;

        machine.write_file(
            "/etc/holdfast/policy.d/bad.toml",
            "[[rule]]\nname = \"x\"\non = [\"unit.failed\"]\nplugin = \"unit-medic\"\nmode = \"automatic\"\n",
            0o644,
        )?;
        machine.write_file("/etc/holdfast/holdfast.toml", "", 0o644)?;
        let said = machine.try_run("holdfast policy check")?;
        ensure!(said.code == 1 || said.code == 2, "a wrong policy is not fine: {}", said.code);
        ensure!(
            (said.stdout.clone() + &said.stderr).contains("in bad.toml at line 5, column 8"),
            "file and line: {}{}",
            said.stdout,
            said.stderr
        );
        machine.run("rm /etc/holdfast/policy.d/bad.toml")?;

        let said = machine.try_run("holdfast status")?;
        ensure!(said.code == 4, "an agent that does not run is answered with 4, not {}", said.code);
        let said = machine.try_run("holdfast approve nonsense")?;
        ensure!(said.code == 2, "a wrong id is answered with 2, not {}", said.code);
        Ok(())
    })
}

#[test]
fn a_truncated_component_is_refused_and_the_agent_goes_on() -> Result<()> {
    on("truncated_component", Machine::installed()?, |machine| {
        machine.run("cd /usr/lib/holdfast/plugins && head -c 5000 unit-medic.wasm > cut && mv cut unit-medic.wasm")?;
        machine.set_up("advise", "", "")?;
        let status = machine.ask(&["status"])?;
        let text = status.to_string();
        ensure!(text.contains("unit-medic"), "the refused plugin is named: {text}");
        ensure!(machine.try_run("holdfast findings list")?.code == 0, "the agent goes on");
        Ok(())
    })
}

#[test]
fn a_data_directory_that_cannot_be_written_is_said_and_nothing_starts() -> Result<()> {
    on("read_only", Machine::installed()?, |machine| {
        machine.run("mkdir -p /srv/ro && mount -t tmpfs -o ro none /srv/ro")?;
        let said = machine.try_run("timeout 20 holdfast run --data-dir /srv/ro --socket /run/ro.sock")?;
        ensure!(said.code != 0 && said.code != 124, "the agent runs on a read-only directory: {}", said.code);
        ensure!(said.stderr.contains("/srv/ro"), "the directory is named: {}", said.stderr);
        Ok(())
    })
}

#[test]
fn with_a_full_data_disk_nothing_is_done_and_nothing_is_lost() -> Result<()> {
    on("full_data_disk", Machine::installed()?, |machine| {
        machine.run("mkdir -p /var/lib/holdfast && mount -t tmpfs -o size=48m,mode=0700,uid=$(id -u holdfast),gid=$(id -g holdfast) none /var/lib/holdfast")?;
        machine.add_unit(UNIT, "/usr/bin/sleep infinity", "no")?;
        machine.set_up("auto", "", RESTART)?;
        let before = machine.ask(&["audit", "verify"])?;
        machine.try_run("dd if=/dev/zero of=/var/lib/holdfast/ballast bs=64k 2>/dev/null; sync")?;
        machine.run(&format!("systemctl kill -s KILL {UNIT}; sleep 12"))?;
        ensure!(machine.property(UNIT, "ActiveState")? == "failed", "acted without a durable intent");
        machine.run("rm /var/lib/holdfast/ballast")?;
        machine.wait_until("the unit is active again", Duration::from_mins(2), |m| {
            Ok((m.property(UNIT, "ActiveState")? == "active").then_some(()))
        })?;
        machine.until_ready()?;
        machine.wait_until("the chain verifies", SOON, |m| {
            Ok((m.holdfast(&["audit", "verify"])?.code == 0).then_some(()))
        })?;
        ensure!(
            before["entries"].as_u64() <= machine.ask(&["audit", "verify"])?["entries"].as_u64(),
            "entries were lost"
        );
        Ok(())
    })
}
