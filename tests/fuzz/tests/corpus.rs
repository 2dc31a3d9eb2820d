//! Every harness over its corpus, and over seeded changes of it. A failure prints the seed and writes nothing: run it again and it is there.

use std::fs;
use std::path::Path;

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
    for seed in 1..=changes {
        let mut seeded = Seeded::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (one, other) = (&corpus[seeded.below(corpus.len())], &corpus[seeded.below(corpus.len())]);
        let bytes = mutate(one, other, &mut seeded);
        let result = std::panic::catch_unwind(|| harness(&bytes));
        assert!(result.is_ok(), "{name}: seed {seed} of {changes}, {} bytes", bytes.len());
    }
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
}
