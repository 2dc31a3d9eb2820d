//! Measures what a plugin costs: compiling each given component, and fresh instance + configure + run of the hostile guest
//! with about ten host calls. Run: `cargo run -p holdfast-plugin-host --example measure -- target/plugins/*.wasm`.

#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a measuring tool prints and reads a clock")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_plugin_host::World;

const RUNS: usize = 2_000;

fn main() {
    let (host, begun) = (support::host(), Instant::now());
    for file in std::env::args().skip(1) {
        let started = Instant::now();
        match std::fs::read(&file).map(|bytes| (bytes.len(), host.load(&bytes, None))) {
            Ok((bytes, Ok(_))) => println!("{file}: {bytes} bytes, loaded in {:?}", started.elapsed()),
            Ok((_, Err(error))) => println!("{file}: {error}"),
            Err(error) => println!("{file}: {error}"),
        }
    }
    println!("all loaded one after another in {:?}", begun.elapsed());
    let world = Arc::new(support::TestWorld::new()) as Arc<dyn World>;
    for (deed, with) in [("nothing", ""), ("ten host calls", "/srv/app")] {
        let plugin = support::hostile(deed, with);
        let mut took: Vec<Duration> = Vec::with_capacity(RUNS);
        for _ in 0..RUNS {
            let started = Instant::now();
            let call = plugin.check(&support::run(), &world);
            took.push(started.elapsed());
            if let Err(error) = call.result {
                println!("{deed}: {error}");
                return;
            }
        }
        took.sort();
        let at = |share: f64| took[((RUNS - 1) as f64 * share) as usize];
        println!("`{deed}`: median {:?}, 95th percentile {:?}, fastest {:?}", at(0.5), at(0.95), took[0]);
    }
}
