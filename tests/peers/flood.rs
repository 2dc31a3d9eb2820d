//! A million series against a receiver: memory stays bounded, every refusal is counted and told, and the host is watched meanwhile.

use std::fmt::Write as _;
use std::io::BufReader;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_tests::{free_address, now, unix_ns};

use crate::agent::Agent;
use crate::post::post;

const REQUESTS: u64 = 500;
const SERIES_A_REQUEST: u64 = 2_000;
/// Every other request comes from a name of its own, the rest from one.
const LOUD: &str = "loud";
/// `[ingest.limits] series-max` and `series-per-source` as they are by default.
const SERIES_MAX: usize = 5_000;
const SERIES_OF_ONE: usize = 1_000;
/// What the agent may grow by: series of the store, the tables of the intake, a few bodies of requests.
const GROWS_KIB_MAX: u64 = 96 << 10;

fn body(request: u64) -> String {
    let service = if request.is_multiple_of(2) { LOUD.to_owned() } else { format!("made-up-{request}") };
    let at = unix_ns();
    let mut points = String::new();
    for n in 0..SERIES_A_REQUEST {
        let series = request * SERIES_A_REQUEST + n;
        let comma = if n == 0 { "" } else { "," };
        let _ = write!(
            points,
            "{comma}{{\"asInt\":\"1\",\"timeUnixNano\":\"{at}\",\"attributes\":[{{\"key\":\"n\",\"value\":{{\"stringValue\":\"{series}\"}}}}]}}"
        );
    }
    format!(
        "{{\"resourceMetrics\":[{{\"resource\":{{\"attributes\":[{{\"key\":\"service.name\",\"value\":{{\"stringValue\":\"{service}\"}}}}]}},\"scopeMetrics\":[{{\"metrics\":[{{\"name\":\"flood\",\"gauge\":{{\"dataPoints\":[{points}]}}}}]}}]}}]}}"
    )
}

#[test]
fn a_million_series_cost_a_bounded_room_and_every_refusal_is_told() -> Result<()> {
    let address = free_address()?;
    let mut agent = Agent::start(&format!("[ingest]\notlp-http = \"{address}\"\n"))?;
    let stream =
        agent.until("the receiver listens", Duration::from_secs(20), |_| Ok(TcpStream::connect(&address).ok()))?;
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    let mut stream = BufReader::new(stream);
    std::thread::sleep(Duration::from_secs(5));
    let before = agent.memory_kib("VmRSS")?;
    let started = now();
    let (mut sent, mut told, mut turned_away) = (0, 0, 0);
    for request in 0..REQUESTS {
        let (status, answer) = post(&mut stream, &body(request))?;
        sent += SERIES_A_REQUEST;
        match status {
            200 => {
                let refused = &answer["partialSuccess"]["rejectedDataPoints"];
                told += refused.as_u64().or_else(|| refused.as_str()?.parse().ok()).unwrap_or(0);
            }
            429 => turned_away += SERIES_A_REQUEST,
            other => anyhow::bail!("answered {other}: {answer}"),
        }
    }
    let took = started.elapsed();
    ensure!(sent == 1_000_000);
    let grown = agent.memory_kib("VmHWM")?.saturating_sub(before);
    let status = agent.receiver("otlp-http")?;
    let refused: u64 = status["rejected"]
        .as_object()
        .context("refusals by reason")?
        .iter()
        .filter(|(reason, _)| !reason.starts_with("requests_"))
        .filter_map(|(_, count)| count.as_u64())
        .sum();
    let accepted = status["accepted"].as_u64().context("accepted points")?;
    println!(
        "{sent} series in {:.1} s: {accepted} taken, {told} refused in answers, {turned_away} turned away, {} KiB more, {status}",
        took.as_secs_f64(),
        grown
    );
    ensure!(accepted + refused + turned_away == sent, "{accepted} + {refused} + {turned_away} of {sent}: {status}");
    ensure!(told == refused, "{told} told of {refused}");
    // Such a request is not even read.
    let over_rate = status["rejected"]["requests_over_rate"].as_u64().unwrap_or(0);
    ensure!(over_rate * SERIES_A_REQUEST == turned_away, "{over_rate} requests, {turned_away} points");
    ensure!(grown <= GROWS_KIB_MAX, "{grown} KiB");
    ensure!(accepted as usize <= SERIES_MAX, "{accepted}");

    std::thread::sleep(Duration::from_secs(3));
    let listed = agent.ask(&["metrics", "list", "flood"])?;
    let listed = listed["series"].as_array().or_else(|| listed["metrics"].as_array()).context("series")?.clone();
    let of_loud = listed.iter().filter(|it| it["attributes"]["service.name"] == LOUD).count();
    ensure!(listed.len() <= SERIES_MAX && of_loud <= SERIES_OF_ONE && of_loud > 0, "{} {of_loud}", listed.len());

    // The host itself was watched all the while.
    let answer = agent.ask(&["metrics", "query", "system.uptime", "--since", "10m"])?;
    let points = answer["series"][0]["points"].as_array().context("uptime")?.len() as f64;
    ensure!(points >= 0.8 * took.as_secs_f64(), "{points} ticks in {} s", took.as_secs_f64());
    let found = agent.until("the refusals are a finding", Duration::from_secs(30), |it| {
        let all = it.ask(&["findings", "list", "--kind", "telemetry.refused"])?;
        Ok(all["findings"].as_array().and_then(|all| all.first().cloned()))
    })?;
    ensure!(found["target"]["name"] == "otlp-http", "{found}");
    Ok(())
}
