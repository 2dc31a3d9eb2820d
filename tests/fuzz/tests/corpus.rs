//! Every harness over its corpus, and over seeded changes of it. A failure prints the seed and writes nothing: run it again and it is there.
//!
//! So many changes, the same each time; or with `HOLDFAST_FUZZ_SECONDS` and `HOLDFAST_FUZZ_SEED` (`cargo xtask fuzz --blind`) for so long, from that
//! seed on.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use holdfast_fuzz::{Seeded, mutate};

/// The committed corpus of a harness, in the order of the files' names.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn play(name: &str, harness: fn(&[u8]), changes: u64) {
    let corpus = corpus(name);
    assert!(corpus.len() >= 8, "{name}: {} in the corpus", corpus.len());
    for data in &corpus {
        harness(data);
    }
    let until = Until::new(changes);
    for seed in until.first.. {
        if until.is_over(seed) {
            break;
        }
        let mut seeded = Seeded::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (one, other) = (&corpus[seeded.below(corpus.len())], &corpus[seeded.below(corpus.len())]);
        let bytes = mutate(one, other, &mut seeded);
        let result = std::panic::catch_unwind(|| harness(&bytes));
        assert!(result.is_ok(), "{name}: seed {seed} after {}, {} bytes", until.first, bytes.len());
    }
}

/// When it is enough: after so many changes, or so long.
struct Until {
    first: u64,
    last: u64,
    ends: Option<Instant>,
}

impl Until {
    fn new(changes: u64) -> Self {
        let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
        let first = number("HOLDFAST_FUZZ_SEED").unwrap_or(1);
        match number("HOLDFAST_FUZZ_SECONDS") {
            None => Self { first, last: first + changes - 1, ends: None },
            Some(seconds) => Self { first, last: u64::MAX, ends: Some(now() + Duration::from_secs(seconds)) },
        }
    }

    fn is_over(&self, seed: u64) -> bool {
        seed > self.last || self.ends.is_some_and(|ends| now() >= ends)
    }
}

#[expect(clippy::disallowed_methods, reason = "how long it runs is asked for in real time")]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn no_bytes_as_a_component_bring_the_loader_down() {
    play("loader", holdfast_fuzz::loader, 20_000);
}

#[test]
fn no_text_as_a_manifest_brings_more_than_it_asks_for() {
    play("manifest", holdfast_fuzz::manifest, 20_000);
}

#[test]
fn no_arguments_of_host_calls_bring_the_host_down_or_tell_what_is_not_granted() {
    play("host_calls", holdfast_fuzz::host_calls, 3_000);
}

#[test]
fn the_harness_of_host_calls_reaches_what_is_granted() {
    // `stat` of /srv/app/a.txt: if even this were refused, the harness would prove nothing.
    assert_eq!(holdfast_fuzz::shown(&[0, 0, 1, 3]), r#"[{"stat":"/srv/app/a.txt"}]"#);
    assert!(holdfast_fuzz::told(&[0, 0, 1, 3]).contains("size: 23"), "{}", holdfast_fuzz::told(&[0, 0, 1, 3]));
    assert!(holdfast_fuzz::told(&[1, 0, 1, 3, 0, 3]).contains("what-everybody-may-read"));
    // Processes without their command lines, and the one change that there is.
    assert_eq!(
        holdfast_fuzz::shown(&[8, 21, 10, 0, 0, 9, 3]),
        r#"[{"processes":"*"},{"changes":[[],0,18446744073709551615,65535]}]"#
    );
    let told = holdfast_fuzz::told(&[8, 21, 10, 0, 0, 9, 3]);
    assert!(told.contains("name: \\\"shell\\\"") && told.contains("Ok(1)"), "{told}");
}
