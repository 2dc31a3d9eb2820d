//! `[ingest]`: addresses that are nobody else's business, limits that can hold, targets that can be read. Pure.

use std::time::Duration;

use holdfast_core::model::{ByteSize, Interval};

use super::check::Problems;
use crate::ingest::IngestConfig;

/// Everything that is wrong.
pub(super) fn check(found: &mut Problems, config: &IngestConfig) {
    let addresses = [("otlp-http", config.otlp_http), ("otlp-grpc", config.otlp_grpc), ("cdevents", config.cdevents)];
    for (index, (name, address)) in addresses.iter().enumerate() {
        let Some(address) = address else { continue };
        if !address.ip().is_loopback() && !config.allow_remote {
            let message =
                format!("`{address}` can be reached from other machines, and receivers ask nobody who they are");
            let hint = format!(
                "write \"127.0.0.1:{}\", or `allow-remote = true` in [ingest] when the network may",
                address.port()
            );
            found.add(format!("ingest.{name}"), message, hint);
        }
        if address.port() != 0 && addresses[..index].iter().any(|(_, other)| other.as_ref() == Some(address)) {
            let hint = "give each receiver a port of its own".to_owned();
            found.add(format!("ingest.{name}"), format!("`{address}` is named twice"), hint);
        }
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
