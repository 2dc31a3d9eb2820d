//! Full disk: a runner's work area fills a small file system; it is foreseen, and what is removed is what was simulated.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::harness::{Machine, id, on};

const MOUNT: &str = "/srv/runner";
const CONFIG: &str =
    "[collect]\nfilesystems-every = \"1s\"\n[detect.disk]\nfull-free-below = \"64MiB\"\nhorizon = \"30m\"\n";
const POLICY: &str = r#"
[[rule]]
name = "reclaim-runner"
on = ["disk.*"]
plugin = "runner-reclaim"
mode = "approve"
[rule.verify]
within = "1m"
on-failure = "stop"
"#;

#[test]
fn a_work_area_that_fills_up_is_foreseen_and_cleaned_as_simulated() -> Result<()> {
    on("full_disk", Machine::installed()?, |machine| {
        machine.run(&format!("mkdir -p {MOUNT} && mount -t tmpfs -o size=400m,mode=0755 runner {MOUNT}"))?;
        machine.run(&format!(
            "cd {MOUNT} && mkdir -p _work && cd _work && for n in 1 2 3 4; do mkdir -p old-$n/build && head -c 30000000 /dev/zero > old-$n/build/artifact; done
             mkdir fresh && echo busy > fresh/file
             find . -path './old-*' -exec touch -h -d '3 days ago' {{}} +"
        ))?;
        machine.set_up("approve", CONFIG, POLICY)?;
        machine.run("sleep 5")?;
        machine.run(&format!(
            "systemd-run --unit=filler --collect sh -c 'for i in $(seq 1 260); do head -c 1000000 /dev/zero >> {MOUNT}/_work/fresh/log || exit 0; sleep 0.5; done'"
        ))?;
        machine.until_finding("disk.filling", MOUNT, Duration::from_secs(110))?;
        let used = machine.run(&format!("df --output=pcent {MOUNT} | tail -1"))?;
        ensure!(!used.contains("100%"), "foreseen only when it was full");

        let waiting = machine.wait_until("a plan waits for a yes", Duration::from_mins(2), |m| {
            Ok(m.remediations()?.into_iter().find(|r| r["state"] == "awaiting_approval"))
        })?;
        let rem = id(&waiting)?.to_owned();
        let before = machine.run(&format!("find {MOUNT}/_work | sort"))?;
        let simulated = effects(&machine.ask(&["simulate", &rem])?);
        ensure!(!simulated.is_empty(), "simulate names nothing");
        ensure!(
            machine.run(&format!("find {MOUNT}/_work -path '*old-*' | wc -l"))?.trim() == "12",
            "simulate removed something: {before}"
        );
        machine.holdfast(&["approve", &rem, "--wait", "90s"])?;
        let done = machine.ask(&["remediations", "show", &rem])?;
        let done = effects(&done["remediation"]["steps"]);
        ensure!(!done.is_empty() && done.is_subset(&simulated), "done {done:?}, simulated {simulated:?}");
        let left = machine.run(&format!("ls {MOUNT}/_work"))?;
        ensure!(left.contains("fresh") && !left.contains("old-1"), "{left}");
        machine.run("systemctl stop filler").ok();
        machine.chain_verifies()
    })
}

/// Subject and bytes of every effect anywhere in a document.
fn effects(document: &Value) -> BTreeSet<(String, u64)> {
    let mut found = BTreeSet::new();
    collect(document, &mut found);
    found
}

fn collect(value: &Value, into: &mut BTreeSet<(String, u64)>) {
    match value {
        Value::Array(all) => all.iter().for_each(|v| collect(v, into)),
        Value::Object(fields) => {
            if let (Some(subject), Some(bytes)) = (value["subject"].as_str(), value["bytes"].as_u64()) {
                into.insert((subject.to_owned(), bytes));
            }
            fields.values().for_each(|v| collect(v, into));
        }
        _ => {}
    }
}
