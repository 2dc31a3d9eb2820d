//! Containers: what runs in a cgroup that docker would have made is told by its id, on the kernel's own files.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::crash::print;
use crate::harness::{Machine, on};

const ID: &str = "3f4a9c07d2e18b65a1c0ffee00112233445566778899aabbccddeeff01234567";

#[test]
fn a_container_that_works_is_seen_by_its_id() -> Result<()> {
    on("containers", Machine::installed()?, |machine| {
        machine.set_up("advise", "", "")?;
        let busy = "timeout 90 sh -c 'while :; do :; done'";
        machine.run(&format!("systemd-run --quiet --scope --unit=docker-{ID}.scope {busy} >/dev/null 2>&1 &"))?;
        let id = format!("container.id={}", &ID[..12]);
        let spent = machine.wait_until("a second of its CPU time is stored", Duration::from_mins(1), |m| {
            let asked = ["metrics", "query", "container.cpu.time", "--since", "2m", "--where", &id];
            // There is no such series yet.
            let Ok(answer) = m.ask(&asked) else { return Ok(None) };
            let series = answer["series"].as_array().context("an answer has series")?;
            let newest = |it: &serde_json::Value| it["points"].as_array()?.last()?[1].as_f64();
            let runtime = series.iter().all(|it| it["attributes"]["container.runtime.name"] == "docker");
            let spent: f64 = series.iter().filter_map(newest).sum();
            Ok((runtime && spent > 1.0).then_some(spent))
        })?;
        ensure!(spent < 90.0, "{spent} s");
        print(&format!("container {}: {spent:.1} s of CPU time seen", &ID[..12]));
        Ok(())
    })
}
