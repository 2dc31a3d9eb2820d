//! Pipeline: a shell script plays one; a release that breaks its unit fails the gate with numbers, a good one passes.

use anyhow::{Result, ensure};

use crate::harness::{Machine, on};

const UNIT: &str = "web-1.service";
const SCRIPT: &str = r#"#!/bin/sh -e
# pipeline VERSION COMMAND: what a runner would do.
holdfast exec --step build -- sh -c 'head -c 20000000 /dev/zero | sha256sum >/dev/null'
holdfast deploy start --id web-$1 --service web --version $1 --unit web-1.service --path /etc/systemd/system/web-1.service
sed -i "s|^ExecStart=.*|ExecStart=$2|" /etc/systemd/system/web-1.service
systemctl daemon-reload
systemctl restart web-1.service
holdfast deploy finish web-$1
exec holdfast gate --deployment web-$1 --wait 90s --junit /root/gate-$1.xml
"#;

#[test]
fn a_good_release_passes_a_broken_one_fails_and_too_little_is_inconclusive() -> Result<()> {
    on("pipeline", Machine::installed()?, |machine| {
        machine.add_unit(UNIT, "/usr/bin/sleep infinity", "no")?;
        machine.add_unit("still.service", "/usr/bin/sleep infinity", "no")?;
        machine.write_file("/usr/local/bin/pipeline", SCRIPT, 0o755)?;
        machine.set_up("advise", "", "")?;

        // No history yet, and no time to wait for more.
        machine.ask(&["deploy", "start", "--id", "first", "--service", "web", "--version", "0", "--unit", UNIT])?;
        machine.ask(&["deploy", "finish", "first"])?;
        let said = machine.holdfast(&["gate", "--deployment", "first"])?;
        ensure!(said.code == 3, "nothing is known yet, and the gate says {}: {}", said.code, said.ran.stdout);
        ensure!(said.json["verdict"] == "inconclusive", "{}", said.json);

        // A minute of history is what the gate compares with.
        machine.run("sleep 65")?;
        let good = machine.try_run("/usr/local/bin/pipeline 1 '/usr/bin/sleep 1000000'")?;
        ensure!(good.code == 0, "a good release: exit {}\n{}{}", good.code, good.stdout, good.stderr);
        let bad = machine.try_run("/usr/local/bin/pipeline 2 '/bin/sh -c \"sleep 3; exit 1\"'")?;
        ensure!(bad.code == 1, "a broken release: exit {}\n{}{}", bad.code, bad.stdout, bad.stderr);
        ensure!(bad.stdout.contains(UNIT), "the reason names the unit: {}", bad.stdout);
        let junit = machine.run("cat /root/gate-2.xml")?;
        ensure!(junit.contains("<testsuite") && junit.contains("<failure"), "{junit}");
        let passed = machine.run("cat /root/gate-1.xml")?;
        ensure!(!passed.contains("<failure"), "{passed}");

        // A unit that nobody touched since the agent started is asked for: what runs on, passes.
        let still = ["--id", "still", "--service", "still", "--version", "1", "--unit", "still.service"];
        machine.ask(&[&["deploy", "start"][..], &still[..]].concat())?;
        machine.ask(&["deploy", "finish", "still"])?;
        let said = machine.holdfast(&["gate", "--deployment", "still", "--wait", "90s"])?;
        ensure!(said.code == 0, "a unit that runs on: exit {}\n{}", said.code, said.ran.stdout);

        // A subject's data are all that one would have forgotten: by attribute, by target, and both.
        let subject = ["data", "export", "--where", "service.name=still", "--target", "service:web"];
        let said = machine.holdfast(&subject)?;
        for service in ["still", "web"] {
            let target = format!("\"target\":{{\"kind\":\"service\",\"name\":\"{service}\"}}");
            let found = said.ran.stdout.lines().filter(|line| line.contains(&target)).count();
            ensure!(found >= 2, "began and finished, of {service}: {found} in {}", said.ran.stdout);
        }

        // Exit codes and signals of a step are passed through, with and without an agent.
        for (command, code) in [("exit 7", 7), ("kill -TERM $$", 143)] {
            let ran = machine.try_run(&format!("holdfast exec --step odd -- sh -c '{command}'"))?;
            ensure!(ran.code == code, "`{command}` was answered with {}", ran.code);
        }
        machine.run("systemctl stop holdfast")?;
        let ran = machine.try_run("holdfast exec --step odd -- sh -c 'exit 9'")?;
        ensure!(ran.code == 9, "without an agent: {}", ran.code);
        ensure!(!ran.stderr.is_empty(), "without an agent it says so");
        Ok(())
    })
}
