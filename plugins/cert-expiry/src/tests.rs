//! Each file in `tables/` is a set of files with certificates at one moment, and what must be said about them.

use std::fs;
use std::path::Path;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[expect(dead_code, reason = "for people")]
    story: String,
    /// Seconds since the epoch.
    now: u64,
    /// Files of `tables/pem` that lie in `/etc/ssl/local`.
    files: Vec<String>,
    /// `rule severity file`, by file.
    #[serde(default)]
    expect: Vec<String>,
    #[serde(default)]
    says: Vec<String>,
    /// Why something cannot be read.
    #[serde(default)]
    broken: Vec<String>,
}

fn settings() -> Settings {
    let manifest: toml::Table = include_str!("../plugin.toml").parse().unwrap();
    serde_json::from_value(serde_json::to_value(&manifest["settings"]).unwrap()).unwrap()
}

#[test]
fn every_set_of_files_is_judged_as_its_story_says() {
    let tables = Path::new(env!("CARGO_MANIFEST_DIR")).join("tables");
    let mut count = 0;
    for entry in fs::read_dir(&tables).unwrap().map(|it| it.unwrap().path()).filter(|it| it.is_file()) {
        println!("{}", entry.display());
        let case: Case = toml::from_str(&fs::read_to_string(&entry).unwrap()).unwrap();
        let (mut places, mut broken) = (Places::new(), Vec::new());
        for name in &case.files {
            let contents = pem::read(&fs::read(tables.join("pem").join(name)).unwrap());
            let of = contents.certs.len();
            for (at, cert) in contents.certs.into_iter().enumerate() {
                let place = (format!("/etc/ssl/local/{name}"), at + 1, of);
                places.entry(cert.sha256.clone()).or_insert_with(|| (cert, vec![])).1.push(place);
            }
            broken.extend(contents.broken);
        }
        let (warn, urgent) = (settings().warn_before.0, settings().urgent_before.0);
        let problems = judge::judge(&places, case.now * 1_000_000_000, Notice { warn_ns: warn, urgent_ns: urgent });
        let mut said: Vec<String> = problems
            .iter()
            .map(|it| {
                let (it, severity) = (it.finding(), format!("{:?}", it.finding().severity).to_lowercase());
                let severity = severity.replace("severity::", "");
                format!("{} {severity} {}", it.rule, it.subject.name.trim_start_matches("/etc/ssl/local/"))
            })
            .collect();
        said.sort();
        assert_eq!(said, case.expect);
        let all = format!("{problems:?}");
        for part in &case.says {
            assert!(all.contains(part.as_str()), "`{part}` is not in: {all}");
        }
        assert!(!all.contains("bm90") && !all.contains("not a key"), "nothing of a key is told");
        assert_eq!(broken.len(), case.broken.len(), "{broken:?}");
        assert!(broken.iter().zip(&case.broken).all(|(said, wanted)| said.contains(wanted.as_str())), "{broken:?}");
        count += 1;
    }
    assert!(count >= 8, "{count} cases");
}

#[test]
fn whatever_the_bytes_are_reading_ends_with_an_answer() {
    let leaf = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tables/pem/leaf.pem")).unwrap();
    for at in 0..leaf.len() {
        let mut damaged = leaf.clone();
        damaged[at] ^= 0x15;
        let contents = pem::read(&damaged);
        assert!(contents.certs.len() + contents.broken.len() <= 2, "{contents:?}");
        pem::read(&leaf[..at]);
    }
}

#[test]
fn keys_are_never_opened_by_their_names() {
    let never = settings().never;
    for name in ["privkey.pem", "privkey1.pem", "server.key", "shop-key.pem"] {
        assert!(never.iter().any(|pattern| glob::matches(pattern, name)), "{name}");
    }
    assert!(!never.iter().any(|pattern| glob::matches(pattern, "fullchain.pem")));
}
