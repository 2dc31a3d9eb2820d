//! Checks of this repository that read what a real host has: dpkg's records, the kernel's sockets, sshd's settings, certificates. Each fault
//! is made as it would come about, is found by the installed agent with the rights of the plugin's own sample grant, and is resolved once mended.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_tests::root;

use crate::harness::{Machine, on};

const SOON: Duration = Duration::from_mins(1);
/// A program of Debian's that nothing in the scenario needs.
const PROGRAM: &str = "/usr/bin/free";
const CERTIFICATE: &str = "/etc/ssl/local/shop.pem";
const SSHD: &str = "/etc/ssh/sshd_config";
const SOUND: &str = "PermitRootLogin no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n";

/// The plugin's sample grant, with one line of its settings in the place of another.
fn grant(machine: &Machine, plugin: &str, changes: &[(&str, &str)]) -> Result<()> {
    let file = root().join("plugins").join(plugin).join("grant.example.toml");
    let mut text = std::fs::read_to_string(&file)?;
    if !text.contains("[settings]") {
        text.push_str("\n[settings]\n");
    }
    for (from, to) in changes {
        ensure!(text.contains(from), "{plugin}'s sample grant has no `{from}`");
        text = text.replacen(from, to, 1);
    }
    machine.write_file(&format!("/etc/holdfast/plugins.d/{plugin}.toml"), text, 0o644)
}

/// Runs a check until there is an open finding of this kind about this target.
fn found(machine: &mut Machine, plugin: &str, kind: &str, target: &str) -> Result<serde_json::Value> {
    machine.wait_until(&format!("{plugin} finds {kind} about {target}"), SOON, |m| {
        m.holdfast(&["plugin", "run", plugin])?;
        Ok(m.findings(kind, target)?.into_iter().find(crate::harness::is_open))
    })
}

/// The same until there is none.
fn mended(machine: &mut Machine, plugin: &str, kind: &str, target: &str) -> Result<()> {
    machine.wait_until(&format!("{plugin} finds no {kind} about {target}"), SOON, |m| {
        m.holdfast(&["plugin", "run", plugin])?;
        Ok((!m.findings(kind, target)?.iter().any(crate::harness::is_open)).then_some(()))
    })
}

/// A certificate that was given for a year and has so many days left.
fn certificate(machine: &Machine, days: i32) -> Result<()> {
    let config = "[ca]\ndefault_ca = own\n[own]\ndatabase = /root/ca/index\nserial = /root/ca/serial\nnew_certs_dir = /root/ca\n\
                  default_md = sha256\npolicy = any\n[any]\ncommonName = supplied\n";
    machine.write_file("/root/ca/config", config, 0o644)?;
    let at = |days: i32| format!("$(date -u -d '{days} days' +%y%m%d%H%M%SZ)");
    machine.run(&format!(
        "mkdir -p /etc/ssl/local; cd /root/ca; : > index; echo 01 > serial; {{ \
         openssl req -new -newkey rsa:2048 -nodes -subj /CN=shop.example -keyout /etc/ssl/local/privkey.pem -out request && \
         openssl ca -batch -config config -selfsign -notext -keyfile /etc/ssl/local/privkey.pem -in request -out {CERTIFICATE} \
         -startdate {} -enddate {}; }} 2>&1",
        at(days - 365),
        at(days),
    ))?;
    Ok(())
}

#[test]
fn what_checks_find_on_a_real_host_is_found_and_resolved_once_it_is_mended() -> Result<()> {
    on("checks", Machine::installed()?, |machine| {
        // Nothing is learned first: what is open now and not listed is new. Files that were changed just now are looked at too.
        grant(machine, "listener-watch", &[("[settings]", "[settings]\nlearn-for = \"0s\"")])?;
        let dirs = "[settings]\ndirs = [\"/usr/bin\"]\nsettle = \"0s\"\nread-per-run = \"1GiB\"";
        grant(machine, "package-verify", &[("[settings]", dirs)])?;
        grant(machine, "ssh-hardening", &[])?;
        grant(machine, "cert-expiry", &[])?;
        machine.write_file(SSHD, SOUND, 0o644)?;
        certificate(machine, 300)?;
        machine.set_up("observe", "", "")?;

        // A fresh Debian is as its packages say: several rounds, and nothing.
        for plugin in ["package-verify", "ssh-hardening", "cert-expiry", "listener-watch"] {
            let said = machine.holdfast(&["plugin", "run", plugin])?;
            ensure!(said.code == 0, "{plugin} on a sound host: {}{}", said.ran.stdout, said.ran.stderr);
        }

        // A program with a few bytes more than its package brought.
        machine.run(&format!("cp -a {PROGRAM} /root/free; printf x >> {PROGRAM}"))?;
        let finding = found(machine, "package-verify", "integrity.package_file_modified", PROGRAM)?;
        let evidence = finding["evidence"].to_string();
        ensure!(evidence.contains("procps"), "it says of which package: {finding}");
        machine.run(&format!("cp -a /root/free {PROGRAM}"))?;
        mended(machine, "package-verify", "integrity.package_file_modified", PROGRAM)?;

        // Root may log in with a password.
        machine.write_file(SSHD, SOUND.replace("RootLogin no", "RootLogin yes"), 0o644)?;
        let finding = found(machine, "ssh-hardening", "security.sshd_setting", "sshd:PermitRootLogin")?;
        ensure!(finding["severity"] == "high" || finding["severity"] == "medium", "{finding}");
        machine.write_file(SSHD, SOUND, 0o644)?;
        mended(machine, "ssh-hardening", "security.sshd_setting", "sshd:PermitRootLogin")?;

        // A certificate with five days left, and the renewed one.
        certificate(machine, 5)?;
        found(machine, "cert-expiry", "certificate.expiring", CERTIFICATE)?;
        certificate(machine, 300)?;
        mended(machine, "cert-expiry", "certificate.expiring", CERTIFICATE)?;

        // A door that nobody spoke of; nobody asks for this check, its schedule does.
        let door = "import socket, time\ns = socket.socket()\ns.bind(('0.0.0.0', 4444))\ns.listen()\ntime.sleep(1e6)\n";
        machine.write_file("/usr/local/lib/door.py", door, 0o644)?;
        machine.add_unit("door.service", "/usr/bin/python3 /usr/local/lib/door.py", "no")?;
        let finding = machine.until_finding("port.new_listener", "tcp/4444", Duration::from_secs(90))?;
        ensure!(finding["method"]["name"] == "plugin:listener-watch", "{finding}");
        machine.run("systemctl stop door.service")?;
        mended(machine, "listener-watch", "port.new_listener", "tcp/4444")?;

        let denied = machine.ask(&["plugin", "list"])?;
        for plugin in denied["plugins"].as_array().context("a list")? {
            ensure!(plugin["failures"] == 0, "{plugin}");
        }
        machine.chain_verifies()
    })
}
