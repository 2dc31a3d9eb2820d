//! The harness itself: a machine boots and answers; what a package installs is what systemd understands.

use anyhow::{Result, ensure};

use crate::harness::{Machine, on};

#[test]
fn a_machine_boots_and_its_systemd_is_running() -> Result<()> {
    let machine = Machine::boot()?;
    let version = machine.run("systemctl --version | head -1")?;
    ensure!(version.starts_with("systemd 252"), "{version}");
    ensure!(machine.try_run("exit 7")?.code == 7, "the exit code of a program in the machine is passed on");
    Ok(())
}

#[test]
fn systemd_finds_nothing_to_complain_about_in_our_units() -> Result<()> {
    let machine = Machine::installed()?;
    for unit in ["holdfast.service", "holdfast-actuator.service", "holdfast-actuator.socket"] {
        let said = machine.try_run(&format!("systemd-analyze verify --man=no {unit}"))?;
        // A misspelled key is said and answered with 0.
        ensure!(said.code == 0 && said.stdout.is_empty() && said.stderr.is_empty(), "{unit}: {said:?}");
    }
    for unit in ["holdfast.service", "holdfast-actuator.service"] {
        let said = machine.try_run(&format!("systemd-analyze security --offline=true --threshold=25 {unit}"))?;
        ensure!(said.code == 0, "{unit} is exposed too much: {}", said.stdout);
    }
    Ok(())
}

#[test]
fn the_actuator_is_started_by_its_socket_and_refuses_who_is_not_listed() -> Result<()> {
    on("actuator_socket", Machine::installed()?, |machine| {
        machine.run("systemctl start holdfast-actuator.socket")?;
        machine.write_file("/opt/ask.py", ASK, 0o644)?;
        let root = machine.run("python3 /opt/ask.py")?;
        ensure!(root.contains("\"code\":\"peer\""), "root is not in `allow.users`: {root}");
        let agent = machine.run("runuser -u holdfast -- python3 /opt/ask.py")?;
        ensure!(agent.contains("\"code\":\"not_allowed\""), "nothing is listed on a fresh host: {agent}");
        Ok(())
    })
}

/// Asks the actuator what clearing a unit's failed state would change, and prints its answer.
const ASK: &str = r#"import socket
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
s.connect("/run/holdfast-actuator/actuator.sock")
s.sendall(b'{"request_id":"t/1/do","op":{"check":{"action":{"reset_failed_unit":{"unit":"web.service","only_if_invocation":null}}}}}\n')
print(s.makefile().readline())
"#;
