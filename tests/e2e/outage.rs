//! Outage: the receiver is away for minutes; afterwards it has every sample, with its true timestamp.
//!
//! The receiver is rotel, an independent implementation; it prints what it decoded and is counted there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_tests::root;

use crate::crash::print;
use crate::harness::{Machine, on};

const CONFIG: &str = "[[export.otlp]]\nendpoint = \"http://127.0.0.1:4318\"\ninterval = \"1s\"\n";
const METRIC: &str = "system.uptime";
const AWAY_S: u32 = 150;

#[test]
fn after_an_outage_the_receiver_has_every_sample_with_its_true_time() -> Result<()> {
    on("outage", Machine::installed()?, |machine| {
        let agent = root().join("target/e2e/parts/rotel/rotel-agent");
        let program = fs::read(&agent).with_context(|| format!("no {}\nhint: cargo xtask e2e", agent.display()))?;
        machine.write_file("/opt/rotel-agent", program, 0o755)?;
        let logs = tempfile::tempdir()?;
        let (first, second) = (logs.path().join("first"), logs.path().join("second"));

        let receiver = receive(machine, &first)?;
        machine.set_up("advise", CONFIG, "")?;
        machine.wait_until("the receiver has the metric", Duration::from_mins(1), |_| {
            Ok((!times(&first)?.is_empty()).then_some(()))
        })?;
        machine.run("sleep 10")?;
        end(machine, receiver)?;
        machine.run(&format!("sleep {AWAY_S}"))?;
        let receiver = receive(machine, &second)?;
        // Whatever was stored until now has to arrive.
        let stored = points(machine)?;
        let newest = *stored.iter().next_back().context("the agent stored nothing")?;
        machine.wait_until("the receiver has caught up", Duration::from_mins(2), |_| {
            Ok(times(&second)?.iter().next_back().is_some_and(|t| *t >= newest).then_some(()))
        })?;
        end(machine, receiver)?;

        let mut received = times(&first)?;
        received.extend(times(&second)?);
        let missing: Vec<&i64> = stored.iter().filter(|t| !received.contains(t)).collect();
        ensure!(
            missing.is_empty(),
            "{} of {} samples are missing, the first of {:?}",
            missing.len(),
            stored.len(),
            missing.first()
        );
        print(&format!(
            "outage of {AWAY_S} s: all {} samples of {METRIC} received with their true times",
            stored.len()
        ));
        Ok(())
    })
}

fn receive(machine: &mut Machine, log: &Path) -> Result<Child> {
    let child = machine.spawn(
        &[
            "/opt/rotel-agent",
            "start",
            "--exporter",
            "blackhole",
            "--debug-log",
            "metrics",
            "--debug-log-verbosity",
            "detailed",
            "--otlp-grpc-endpoint",
            "127.0.0.1:4317",
            "--otlp-http-endpoint",
            "127.0.0.1:4318",
        ],
        log,
    )?;
    machine
        .wait_until("the receiver listens", Duration::from_secs(20), |m| {
            Ok(m.run("ss -Hltn")?.contains("127.0.0.1:4318").then_some(()))
        })
        .with_context(|| fs::read_to_string(log).unwrap_or_default())?;
    Ok(child)
}

fn end(machine: &Machine, mut receiver: Child) -> Result<()> {
    machine.run("kill $(pidof rotel-agent)")?;
    receiver.wait()?;
    Ok(())
}

/// Times in nanoseconds that the agent has in its store.
fn points(machine: &Machine) -> Result<BTreeSet<i64>> {
    let answer = machine.ask(&["metrics", "query", METRIC, "--since", "10m"])?;
    let points = answer["series"][0]["points"].as_array().context("one series of points")?;
    points.iter().map(|p| nanoseconds(p[0].as_str().or_else(|| p["at"].as_str()).context("a time")?)).collect()
}

/// Times in nanoseconds of the metric's points in the receiver's log.
fn times(log: &PathBuf) -> Result<BTreeSet<i64>> {
    let text = fs::read_to_string(log)?;
    let mut found = BTreeSet::new();
    for block in text.split("Name: ").skip(1).filter(|b| b.lines().next().is_some_and(|l| l.trim() == METRIC)) {
        for line in block.lines().filter(|l| l.trim_start().starts_with("Timestamp: ")) {
            let stamp = line.trim_start().trim_start_matches("Timestamp: ").trim();
            found.insert(stamp.parse().or_else(|_| nanoseconds(stamp))?);
        }
    }
    Ok(found)
}

/// RFC 3339 in UTC to nanoseconds since the epoch.
fn nanoseconds(text: &str) -> Result<i64> {
    let (date, time) = text.split_once(['T', ' ']).with_context(|| format!("`{text}` is no time"))?;
    let time = time.trim_end_matches('Z').trim_end_matches(" UTC").trim_end_matches("+00:00");
    let mut date = date.split('-').map(str::parse::<i64>);
    let mut part = || date.next().context("a date has three parts")?.context("a date is made of numbers");
    let (year, month, day) = (part()?, part()?, part()?);
    let (whole, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut clock = whole.split(':').map(str::parse::<i64>);
    let mut part = || clock.next().context("a time has three parts")?.context("a time is made of numbers");
    let (hours, minutes, seconds) = (part()?, part()?, part()?);
    let nanos: i64 = format!("{fraction:0<9}").get(..9).context("nine digits")?.parse()?;
    // Days from civil, Howard Hinnant's algorithm.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let era = y.div_euclid(400);
    let of_era = y - era * 400;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * m + 2) / 5 + day - 1 - 719_468;
    Ok((((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000_000_000 + nanos)
}

#[test]
fn times_are_read_to_the_nanosecond() -> Result<()> {
    ensure!(nanoseconds("1970-01-02T00:00:01.5Z")? == 86_401_500_000_000);
    ensure!(nanoseconds("2026-11-24T20:27:40Z")? == 1_795_552_060_000_000_000);
    Ok(())
}
