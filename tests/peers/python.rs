//! An application with OpenTelemetry's own SDK for Python: its counts, levels, histograms, spans and logs, over both protocols.

use anyhow::{Context, Result, ensure};
use holdfast_tests::{free_address, program, root};
use serde_json::Value;

use crate::agent::Agent;

#[test]
fn an_application_tells_over_http() -> Result<()> {
    told("http", "otlp-http")
}

#[test]
fn an_application_tells_over_grpc() -> Result<()> {
    told("grpc", "otlp-grpc")
}

fn told(protocol: &str, receiver: &str) -> Result<()> {
    let address = free_address()?;
    let agent = Agent::start(&format!("[ingest]\n{receiver} = \"{address}\"\n"))?;
    let python = root().join("target/peers/venv/bin/python");
    let output = program(&python)
        .arg(root().join("tests/peers/send.py"))
        .args([protocol, &address, "shop"])
        .output()
        .with_context(|| format!("{}\nhint: cargo xtask peers", python.display()))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success() && !said.contains("ERROR"), "{}: {said}", output.status);
    let sent: Value = serde_json::from_slice(&output.stdout)?;
    let number = |name: &str| sent[name].as_f64().with_context(|| format!("{name} in {sent}"));
    // Spans are summed up for ten seconds.
    std::thread::sleep(std::time::Duration::from_secs(13));
    let one = |metric: &str, attributes: &[&str]| -> Result<f64> {
        let attributes: Vec<&str> = ["service.name=shop"].iter().chain(attributes).copied().collect();
        let all = agent.newest(metric, &attributes, "service.name")?;
        ensure!(all.len() == 1, "{metric}: {all:?}");
        Ok(all[0].1)
    };
    ensure!(one("shop.orders", &["region=eu"])? == number("orders")?, "{sent}");
    ensure!(one("shop.queue", &["queue=mail", "deployment.environment.name=staging"])? == 7.0);
    ensure!(one("shop.taken.count", &[])? == number("taken")?, "{sent}");
    // Values are 0.0 to 1.9 in steps of 0.1: half of them below 1.0, where a bucket ends.
    // Of all intervals together: the last one, before the end, may be short and have a few values only.
    let mean = |metric: &str| -> Result<f64> {
        let answer = agent.ask(&["metrics", "query", metric, "--since", "2m", "--where", "service.name=shop"])?;
        let points = answer["series"][0]["points"].as_array().context("points")?;
        let values: Vec<f64> = points.iter().filter_map(|it| it[1].as_f64()).collect();
        ensure!(!values.is_empty(), "{metric} has no points");
        Ok(values.iter().sum::<f64>() / values.len() as f64)
    };
    let (p50, p95) = (mean("shop.taken.p50")?, mean("shop.taken.p95")?);
    ensure!((0.5..=1.0).contains(&p50) && (1.0..=2.0).contains(&p95), "{p50} {p95}");
    ensure!(one("holdfast.app.requests", &[])? == number("requests")?, "{sent}");
    ensure!(one("holdfast.app.errors", &[])? == number("errors")?, "{sent}");
    let ratio = one("holdfast.app.error.ratio", &[])?;
    ensure!((0.15..=0.35).contains(&ratio), "a fourth of the requests failed, not {ratio}");
    ensure!(one("holdfast.app.log.records", &["severity=error"])? == number("errors")?, "{sent}");
    let status = agent.receiver(receiver)?;
    ensure!(status["rejected"].as_object().is_some_and(serde_json::Map::is_empty), "{status}");
    ensure!(status["accepted"].as_f64() > Some(2.0 * number("requests")?), "{status}");
    // What the logs said is nowhere.
    let listed = agent.ask(&["metrics", "list"])?.to_string();
    ensure!(!listed.contains("C-17") && !listed.contains("order taken"));
    println!("python over {protocol}: {sent}, p95 {p95}, error ratio {ratio}");
    Ok(())
}
