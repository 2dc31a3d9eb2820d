//! The agent's own exposition, as Prometheus' linter sees it.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, ensure};
use holdfast_tests::program;

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
