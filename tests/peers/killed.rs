//! `kill -9` of the whole agent, again and again, while applications send: what was answered with yes is there afterwards.

use std::collections::BTreeSet;
use std::io::BufReader;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_tests::{free_address, unix_ns};

use crate::agent::Agent;
use crate::post::post;

const ROUNDS: u64 = 20;
/// Applications that send at the same time; each waits for its answer before it sends the next number.
const SENDERS: u64 = 4;

/// When a round kills: between two tenths of a second and nearly three seconds after the start; the same each time.
fn patience(round: u64) -> Duration {
    Duration::from_millis(200 + (round.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33) % 2_600)
}

fn body(sender: u64, number: u64) -> String {
    let at = unix_ns();
    format!(
        "{{\"resourceMetrics\":[{{\"resource\":{{\"attributes\":[{{\"key\":\"service.name\",\"value\":{{\"stringValue\":\"sender-{sender}\"}}}}]}},\"scopeMetrics\":[{{\"metrics\":[{{\"name\":\"number\",\"gauge\":{{\"dataPoints\":[{{\"asInt\":\"{number}\",\"timeUnixNano\":\"{at}\"}}]}}}}]}}]}}]}}"
    )
}

/// Sends numbers until the agent is gone; those that were answered with yes.
fn send(address: &str, sender: u64, next: &AtomicU64) -> Vec<u64> {
    let mut acknowledged = Vec::new();
    let Ok(stream) = TcpStream::connect(address) else { return acknowledged };
    if stream.set_read_timeout(Some(Duration::from_secs(20))).is_err() {
        return acknowledged;
    }
    let mut stream = BufReader::new(stream);
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        match post(&mut stream, &body(sender, number)) {
            Ok((200, _)) => acknowledged.push(number),
            Ok(_) => {}
            Err(_) => return acknowledged,
        }
    }
}

#[test]
fn twenty_kills_of_the_agent_lose_nothing_that_an_application_was_told_is_taken() -> Result<()> {
    let address = free_address()?;
    let mut agent = Agent::start(&format!("[ingest]\notlp-http = \"{address}\"\n"))?;
    let next: Vec<AtomicU64> = (0..SENDERS).map(|_| AtomicU64::new(0)).collect();
    let mut safe: Vec<BTreeSet<u64>> = (0..SENDERS).map(|_| BTreeSet::new()).collect();
    for round in 0..ROUNDS {
        agent.until("the receiver listens", Duration::from_secs(20), |_| Ok(TcpStream::connect(&address).ok()))?;
        let told: Vec<Vec<u64>> = std::thread::scope(|scope| {
            let senders: Vec<_> = (0..SENDERS)
                .zip(&next)
                .map(|(sender, next)| {
                    let address = &address;
                    scope.spawn(move || send(address, sender, next))
                })
                .collect();
            std::thread::sleep(patience(round));
            agent.kill()?;
            let told = senders.into_iter().map(|it| it.join().map_err(|_| anyhow::anyhow!("a sender panicked")));
            told.collect::<Result<_>>()
        })?;
        for (safe, told) in safe.iter_mut().zip(told) {
            safe.extend(told);
        }
        agent.start_again()?;
    }
    let acknowledged: usize = safe.iter().map(BTreeSet::len).sum();
    ensure!(acknowledged as u64 > ROUNDS, "only {acknowledged} were acknowledged: nothing was tried");
    for (sender, safe) in safe.iter().enumerate() {
        let service = format!("service.name=sender-{sender}");
        let asked = ["metrics", "query", "number", "--since", "30m", "--where", &service, "--limit", "20000"];
        let answer = agent.ask(&asked)?;
        let points = answer["series"][0]["points"].as_array().context("the numbers of a sender")?;
        let stored: BTreeSet<u64> = points.iter().filter_map(|it| Some(it[1].as_f64()? as u64)).collect();
        let lost: Vec<&u64> = safe.difference(&stored).collect();
        ensure!(lost.is_empty(), "sender {sender} was told that {lost:?} are taken; {} are stored", stored.len());
    }
    println!("{ROUNDS} kills of the agent: all of {acknowledged} acknowledged requests are stored");
    Ok(())
}
