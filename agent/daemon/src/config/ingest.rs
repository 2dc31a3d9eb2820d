//! `[ingest]`: addresses that are nobody else's business, limits that can hold, targets that can be read. Pure.

use std::time::Duration;

use holdfast_core::model::{ByteSize, Interval};

use super::check::Problems;
use super::export::is_file;
use crate::ingest::IngestConfig;

/// Everything that is wrong.
pub(super) fn check(found: &mut Problems, config: &IngestConfig) {
    let addresses = [("otlp-http", config.otlp_http), ("otlp-grpc", config.otlp_grpc), ("cdevents", config.cdevents)];
    for (index, (name, address)) in addresses.iter().enumerate() {
        let Some(address) = address else { continue };
        if !address.ip().is_loopback() && !config.allow_remote {
            let message = format!("`{address}` can be reached from other machines");
            let hint = format!(
                "write \"127.0.0.1:{}\", or `allow-remote = true` and `token-file` in [ingest] when the network may",
                address.port()
            );
            found.add(format!("ingest.{name}"), message, hint);
        }
        if address.port() != 0 && addresses[..index].iter().any(|(_, other)| other.as_ref() == Some(address)) {
            let hint = "give each receiver a port of its own".to_owned();
            found.add(format!("ingest.{name}"), format!("`{address}` is named twice"), hint);
        }
    }
    if config.allow_remote && config.token_file.is_none() {
        let hint = "write `token-file` in [ingest]; senders show the token as `Authorization: Bearer TOKEN`".to_owned();
        found.add("ingest.allow-remote".to_owned(), "other machines may send, and nobody is asked who they are", hint);
    }
    if let Some(text) = config.token_file.as_deref().filter(|text| !is_file(text)) {
        let hint = "write an absolute path without `..`, or the name of a systemd credential".to_owned();
        found.add("ingest.token-file".to_owned(), format!("`{text}` is neither a path nor a credential"), hint);
    }
    let limits = &config.limits;
    found.within("ingest.limits.body-max", limits.body_max, ByteSize(1 << 10), ByteSize(32 << 20));
    let counts = [
        ("requests-per-second", limits.requests_per_second as usize, 10_000),
        ("sources-max", limits.sources_max, 1_000),
        ("series-per-source", limits.series_per_source, 10_000),
        ("series-max", limits.series_max, 15_000),
        ("attributes-max", limits.attributes_max, 128),
        ("operations-max", limits.operations_max, 200),
    ];
    for (name, is, most) in counts {
        if is == 0 || is > most {
            let hint = format!("write a number from 1 to {most}");
            found.add(format!("ingest.limits.{name}"), format!("`{is}` is out of range"), hint);
        }
    }
    if let Some(dir) = &config.scrape_dir {
        found.directory("ingest.scrape-dir", dir);
    }
    for (index, target) in config.scrape.iter().enumerate() {
        let key = format!("ingest.scrape[{index}]");
        found.endpoint(format!("{key}.url"), &target.url);
        found.at_least(format!("{key}.every"), target.every, Interval::secs(1));
        found.at_least(format!("{key}.timeout"), target.timeout, Interval(Duration::from_millis(100)));
        if config.scrape[..index].iter().any(|other| other.url == target.url) {
            let hint = "one target is scraped once".to_owned();
            found.add(format!("{key}.url"), format!("`{}` is named twice", target.url), hint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    #[track_caller]
    fn check(text: &str, wrong: Option<&str>) {
        let said = parse(&format!("[ingest]\n{text}\n"), "x.toml").map(drop).map_err(|error| error.to_string());
        match (said, wrong) {
            (Ok(()), None) => {}
            (Err(said), Some(wrong)) => assert!(said.contains(wrong), "{text}: {said}"),
            (said, _) => panic!("{text}: {said:?}"),
        }
    }

    #[test]
    fn an_address_that_others_can_reach_has_to_be_meant() {
        check("otlp-http = \"127.0.0.1:4318\"", None);
        check("cdevents = \"[::1]:4319\"", None);
        check("otlp-grpc = \"0.0.0.0:4317\"", Some("other machines"));
        check("otlp-grpc = \"0.0.0.0:4317\"\nallow-remote = true", Some("nobody is asked"));
        check("otlp-grpc = \"0.0.0.0:4317\"\nallow-remote = true\ntoken-file = \"otlp-token\"", None);
        check("token-file = \"a/b\"", Some("neither a path nor a credential"));
        check("otlp-grpc = \"127.0.0.1:1\"\notlp-http = \"127.0.0.1:1\"", Some("named twice"));
        check("otlp-htp = \"127.0.0.1:1\"", Some("unknown field"));
    }

    #[test]
    fn limits_and_targets_are_checked() {
        check("[ingest.limits]\nseries-max = 0", Some("out of range"));
        check("[ingest.limits]\nbody-max = \"1GiB\"", Some("out of range"));
        check("[[ingest.scrape]]\nurl = \"https://127.0.0.1/metrics\"", Some("TLS"));
        check("[[ingest.scrape]]\nurl = \"http://127.0.0.1/metrics\"\nevery = \"10ms\"", Some("too short"));
    }
}
