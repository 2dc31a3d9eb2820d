//! The agent's own exposition, as Prometheus and its linter see it.

use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, ensure};
use holdfast_tests::{Running, free_address, program};
use serde_json::Value;

use crate::agent::Agent;

#[test]
fn promtool_finds_nothing_to_say_about_our_metrics() -> Result<()> {
    let mut agent = Agent::start("")?;
    let page = agent.until("samples are counted", Duration::from_mins(1), |it| {
        let output = program("curl")
            .args(["--silent", "--show-error", "--fail", "--max-time", "10", "--unix-socket"])
            .arg(it.socket())
            .arg("http://agent/metrics")
            .output()?;
        ensure!(output.status.success(), "curl: {}", String::from_utf8_lossy(&output.stderr));
        let page = String::from_utf8(output.stdout)?;
        let counted = page.lines().find_map(|line| line.strip_prefix("holdfast_store_samples_written_total "));
        Ok(counted.and_then(|it| it.parse::<f64>().ok()).filter(|it| *it > 0.0).map(|_| page.clone()))
    })?;
    ensure!(page.lines().count() > 20, "{page}");
    let mut linter = program("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = linter.stdin.take() {
        input.write_all(page.as_bytes())?;
    }
    let output = linter.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.trim().is_empty(), "promtool: {}: {said}\n{page}", output.status);
    Ok(())
}

#[test]
fn prometheus_scrapes_us_and_a_web_page_does_not() -> Result<()> {
    let (dir, address, prometheus_at) = (tempfile::tempdir()?, free_address()?, free_address()?);
    let mut agent = Agent::start(&format!("[telemetry]\nprometheus = \"{address}\"\n"))?;
    let config = dir.path().join("prometheus.yml");
    fs::write(
        &config,
        format!(
            "global: {{ scrape_interval: 1s }}\nscrape_configs:\n- job_name: holdfast\n  static_configs: [{{ targets: [\"{address}\"] }}]\n"
        ),
    )?;
    let prometheus = program("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
        .arg(format!("--web.listen-address={prometheus_at}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let _prometheus = Running(prometheus);
    let stored = |expression: &str| -> Result<Option<f64>> {
        let url = format!("http://{prometheus_at}/api/v1/query");
        let output = program("curl")
            .args(["--silent", "--max-time", "5", "--get", "--data-urlencode", &format!("query={expression}"), &url])
            .output()?;
        // It is not there yet.
        let Ok(answer) = serde_json::from_slice::<Value>(&output.stdout) else { return Ok(None) };
        Ok(answer["data"]["result"][0]["value"][1].as_str().and_then(|value| value.parse().ok()))
    };
    agent.until("Prometheus has what we count, still counting", Duration::from_mins(1), |_| {
        let grows = stored("increase(holdfast_store_samples_written_total[20s])")?.is_some_and(|it| it > 0.0);
        Ok((grows && stored("up{job=\"holdfast\"}")? == Some(1.0)).then_some(()))
    })?;
    let code = |args: &[&str], path: &str| -> Result<String> {
        let output = program("curl")
            .args(["--silent", "--max-time", "10", "--output", "/dev/null", "--write-out", "%{http_code}"])
            .args(args)
            .arg(format!("http://{address}{path}"))
            .output()?;
        Ok(String::from_utf8(output.stdout)?)
    };
    ensure!(code(&[], "/metrics")? == "200");
    for (args, path, wanted) in [
        (["--header", "Origin: http://page.example"], "/metrics", "403"),
        (["--header", "Host: page.example"], "/metrics", "403"),
        (["--request", "GET"], "/api/v1/status", "404"),
        (["--request", "POST"], "/metrics", "405"),
    ] {
        let is = code(&args, path)?;
        ensure!(is == wanted, "{args:?} {path}: {is}");
    }
    Ok(())
}
