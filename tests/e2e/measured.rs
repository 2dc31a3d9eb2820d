//! A plugin that measures and a plugin that judges, copied to a host without a network and installed there: what the one measures is a
//! series like the host's own, and what the other finds in it is a finding that ends with the trouble.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_tests::root;
use serde_json::Value;

use crate::harness::{Machine, is_open, on};

const SOON: Duration = Duration::from_secs(30);
const QUEUE: &str = "/srv/app/queue.log";
const METRIC: &str = "app.file.size";
const KIND: &str = "anomaly.judge";
/// The series is compared with its own past, too, after no longer than a scenario can wait.
const DETECT: &str = "[detect]\nwarm-up = \"1m\"\nsustained = \"15s\"\n[[detect.watch]]\nmetric = \"app.file.size\"\n";
const GRANTS: [(&str, &str); 2] = [
    ("meter", "mode = \"observe\"\n[read]\nfiles = [\"/srv/app\"]\n[settings]\nfiles = [\"/srv/app/queue.log\"]\n"),
    ("judge", "mode = \"observe\"\n[read]\nmetrics = true\n[settings]\nmost = 1000.0\n"),
];

/// What the collector measured of the queue, oldest first.
fn measured(machine: &Machine) -> Result<Vec<f64>> {
    let said = machine.holdfast(&["metrics", "query", METRIC, "--since", "2m", "--step", "1s"])?;
    if said.code == 2 && said.ran.stderr.contains("there is no metric") {
        return Ok(Vec::new());
    }
    ensure!(said.code == 0, "the metric cannot be asked for: {}{}", said.ran.stdout, said.ran.stderr);
    let answer = said.json;
    let own = |series: &&Value| {
        series["attributes"]["file.path"] == QUEUE && series["attributes"]["holdfast.plugin.id"] == "meter"
    };
    let series = answer["series"].as_array().context("no series")?;
    let points = series.iter().find(own).and_then(|it| it["points"].as_array()).cloned().unwrap_or_default();
    Ok(points.iter().filter_map(|point| point[1].as_f64()).collect())
}

fn until_measured(machine: &mut Machine, bytes: f64) -> Result<()> {
    machine.wait_until(&format!("{METRIC} is {bytes}"), SOON, |m| {
        Ok(measured(m)?.last().is_some_and(|newest| (newest - bytes).abs() < 0.5).then_some(()))
    })
}

/// The same series, by the detector that knows nothing but its past: right after a deployment it is far from what it ever was.
fn departs_from_its_past(machine: &mut Machine) -> Result<()> {
    let about_queue = |it: &Value| is_open(it) && it["title"].as_str().is_some_and(|title| title.contains(METRIC));
    let departed = |m: &Machine| -> Result<Option<Value>> {
        let all = m.ask(&["findings", "list", "--kind", "metric.anomaly"])?;
        Ok(all["findings"].as_array().and_then(|all| all.iter().find(|it| about_queue(it)).cloned()))
    };
    machine.run("sleep 90")?;
    let before = departed(machine)?;
    ensure!(before.is_none(), "at rest nothing departs: {before:?}");
    machine.ask(&["deploy", "start", "--id", "app-2", "--service", "app", "--version", "2", "--path", "/srv/app"])?;
    machine.run(&format!("truncate -s 5G {QUEUE}"))?;
    machine.ask(&["deploy", "finish", "app-2"])?;
    let told = |finding: &Value, wanted: &str| finding["evidence"].to_string().contains(wanted);
    let finding = machine.wait_until("the series departs from its past", Duration::from_secs(90), |m| departed(m))?;
    ensure!(told(&finding, "context.activity") && told(&finding, "app-2"), "the deployment is no context: {finding}");
    // What it looks like is said anew each minute.
    machine.wait_until("its shape is told", Duration::from_secs(150), |m| {
        Ok(departed(m)?.filter(|it| told(it, "series.shape") && told(it, "series.changed_at")))
    })?;
    let incidents = machine.ask(&["incidents", "list"])?;
    ensure!(incidents.to_string().contains("app-2"), "the deployment is no suspect: {incidents}");
    machine.run(&format!("truncate -s 20 {QUEUE}"))?;
    machine.wait_until("the series is back", Duration::from_secs(90), |m| Ok(departed(m)?.is_none().then_some(())))
}

/// There is no timesyncd here, whose state lies in a file: systemd's timedated says it on the bus, for any time server.
fn knows_whether_the_clock_is_in_step(machine: &Machine) -> Result<()> {
    let in_step = machine.run("timedatectl show -p NTPSynchronized --value")?.trim() == "yes";
    let answer = machine.ask(&["metrics", "query", "holdfast.clock.synchronized", "--since", "2m", "--step", "10s"])?;
    let points = answer["series"][0]["points"].as_array().cloned().unwrap_or_default();
    let last = points.iter().rev().find_map(|point| point[1].as_f64()).with_context(|| format!("none in {answer}"))?;
    ensure!((last - f64::from(u8::from(in_step))).abs() < 0.5, "timedated says {in_step}, the agent {last}");
    Ok(())
}

#[test]
fn what_an_installed_collector_measures_is_judged_by_an_installed_detector_until_the_trouble_is_over() -> Result<()> {
    on("measured", Machine::installed()?, |machine| {
        machine.run("cd /root && holdfast plugin keygen me.key --no-password && mkdir copy /srv/app && truncate -s 10 /srv/app/queue.log")?;
        for (plugin, grant) in GRANTS {
            let built = root().join(format!("target/guests/{plugin}.wasm"));
            let component = std::fs::read(&built).with_context(|| format!("no {}", built.display()))?;
            machine.write_file(&format!("/root/copy/{plugin}.wasm"), component, 0o644)?;
            machine.run(&format!("holdfast plugin sign /root/copy/{plugin}.wasm --key /root/me.key --no-password"))?;
            machine.write_file(&format!("/etc/holdfast/plugins.d/{plugin}.toml"), grant, 0o644)?;
        }
        let key = machine.run("sed -n 2p /root/me.key.pub")?;
        machine.set_up("observe", &format!("[plugins]\ntrusted-keys = [\"{}\"]\n{DETECT}", key.trim()), "")?;

        let done = machine.ask(&["plugin", "install", "/root/copy", "--yes"])?;
        for (at, plugin) in ["judge", "meter"].into_iter().enumerate() {
            let one = &done["plugins"][at];
            ensure!(one["plugin"] == plugin && one["agent"]["state"] == "ready", "{done}");
        }

        until_measured(machine, 10.0)?;
        ensure!(machine.findings(KIND, QUEUE)?.is_empty(), "nothing is wrong yet");
        machine.run(&format!("truncate -s 5000 {QUEUE}"))?;
        let finding = machine.until_finding(KIND, QUEUE, SOON)?;
        ensure!(finding["title"] == format!("{QUEUE} has 5000 bytes"), "{finding}");
        ensure!(finding["method"]["name"] == "plugin:judge", "{finding}");
        until_measured(machine, 5000.0)?;
        machine.run(&format!("truncate -s 20 {QUEUE}"))?;
        machine.until_resolved(KIND, QUEUE, SOON)?;
        let values = measured(machine)?;
        ensure!(values.contains(&10.0) && values.contains(&5000.0), "the past is kept: {values:?}");

        departs_from_its_past(machine)?;
        knows_whether_the_clock_is_in_step(machine)?;
        let list = machine.ask(&["plugin", "list"])?;
        for plugin in list["plugins"].as_array().context("a list")? {
            let ours = plugin["id"] == "meter" || plugin["id"] == "judge";
            ensure!(!ours || (plugin["failures"] == 0 && plugin["calls"].as_u64() > Some(0)), "{plugin}");
        }
        // What was measured outlives its collector.
        machine.ask(&["plugin", "remove", "meter", "--yes"])?;
        ensure!(!measured(machine)?.is_empty(), "what was measured went with the plugin");
        machine.chain_verifies()
    })
}
