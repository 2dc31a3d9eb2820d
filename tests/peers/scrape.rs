//! Prometheus as an application that is scraped: what we keep of it is what it says of itself.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_tests::{Running, free_address, program};

use crate::agent::Agent;

#[test]
fn what_is_scraped_is_what_the_target_says_and_its_end_is_a_finding() -> Result<()> {
    let (dir, address) = (tempfile::tempdir()?, free_address()?);
    let config = dir.path().join("prometheus.yml");
    fs::write(&config, "global: {}\n")?;
    let prometheus = program("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let prometheus = Running(prometheus);
    let mut agent = Agent::start(&format!(
        "[detect.telemetry]\nsilent-after = \"20s\"\n[[ingest.scrape]]\nurl = \"http://{address}/metrics\"\nevery = \"1s\"\nlabels = {{ \"service.name\" = \"tsdb\" }}\n"
    ))?;
    let counter = "prometheus_http_requests_total";
    let handler = ["service.name=tsdb", "handler=/metrics"];
    let scraped = agent.until("eight scrapes are counted", Duration::from_mins(1), |it| {
        let all = it.newest(counter, &handler, "code")?;
        Ok(all.into_iter().find(|(code, value)| code == "200" && *value >= 8.0))
    })?;
    // It counts a scrape once it has answered: the page that we keep was made before its own counts.
    let requests = agent.ask(&["status"])?["receivers"][0]["requests"].as_f64().context("scrapes are counted")?;
    ensure!((scraped.1 - requests).abs() <= 2.0, "{} scrapes, {requests} of them ours", scraped.1);
    // Quantiles of its histogram lie within the buckets that it told: a scrape takes less than a minute.
    let duration = "prometheus_http_request_duration_seconds.p95";
    let p95 = agent.newest(duration, &handler, "handler")?.first().map(|it| it.1).context("a p95")?;
    ensure!(p95 > 0.0 && p95 <= 1.0, "{p95} s");
    drop(prometheus);
    let found = agent.until("the silent target is a finding", Duration::from_mins(2), |it| {
        let all = it.ask(&["findings", "list", "--kind", "telemetry.silent"])?;
        Ok(all["findings"].as_array().and_then(|all| all.first().cloned()))
    })?;
    ensure!(found["target"]["name"] == "tsdb", "{found}");
    let title = found["title"].as_str().unwrap_or_default();
    ensure!(title.starts_with(&format!("tsdb has not answered at http://{address}/metrics for")), "{title}");
    Ok(())
}
