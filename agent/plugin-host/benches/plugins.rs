//! What a plugin's call costs, beside starting a shell that does nothing: `cargo xtask bench plugins [--json]`.
//!
//! Both in one run, one after the other, medians. The guest is the hostile one behaving itself: configured, run, with nine
//! host calls and a log line. Loading is compiling here: there is no compiled cache yet, and no peer to hold it against.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measuring tool prints, reads a clock and starts its peer"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_plugin_host::World;

const CALLS: usize = 2_000;
const STARTS: usize = 300;
/// Longest call that the design allows, in microseconds.
const GOAL_US: f64 = 40.0;

fn median_us(times: usize, mut work: impl FnMut() -> bool) -> Option<f64> {
    let mut took: Vec<Duration> = Vec::with_capacity(times);
    for _ in 0..times {
        let started = Instant::now();
        if !work() {
            return None;
        }
        took.push(started.elapsed());
    }
    took.sort();
    took.get(times / 2).map(|it| it.as_secs_f64() * 1e6)
}

fn main() {
    let json = std::env::args().any(|arg| arg == "--json");
    let world = Arc::new(support::TestWorld::new()) as Arc<dyn World>;
    let plugin = support::hostile("ten host calls", "/srv/app");
    let ours = median_us(CALLS, || plugin.check(&support::run(), &world).result.is_ok());
    let peer = median_us(STARTS, || Command::new("/bin/sh").args(["-c", ":"]).status().is_ok_and(|it| it.success()));
    let (Some(ours), Some(peer)) = (ours, peer) else {
        println!("a call or the shell failed: nothing was measured");
        std::process::exit(1);
    };
    let (ratio, met) = (ours / peer, ours <= GOAL_US);
    if json {
        println!(
            "{{\"name\":\"plugin_call\",\"ours\":{ours:.1},\"peer\":{peer:.1},\"unit\":\"us\",\"ratio\":{ratio:.4},\"goal\":{GOAL_US:.1},\"met\":{met}}}"
        );
    } else {
        println!("fresh instance, configured, run with nine host calls: {ours:.1} us");
        println!("`sh -c :` started and ended:                          {peer:.1} us");
        println!("ratio {ratio:.4}; the goal of {GOAL_US} us is {}", if met { "met" } else { "missed" });
    }
}
