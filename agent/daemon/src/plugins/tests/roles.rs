//! Plugins that measure and plugins that judge series, with the real store between them.

use holdfast_core::model::SeriesId;
use holdfast_core::redact::Redactor;

use super::*;
use crate::ingest::{Ingest, IngestConfig, Registry};
use crate::store::SeriesRegistry;

struct Numbers(Arc<SeriesRegistry>);

impl Registry for Numbers {
    fn find(&self, key: &SeriesKey) -> Option<SeriesId> {
        self.0.find(key)
    }
    fn intern(&self, key: &SeriesKey) -> SeriesId {
        self.0.intern(key).0
    }
    fn room(&self) -> usize {
        self.0.room()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_plugin_measures_is_stored_and_another_judges_it() {
    let host = Host::new();
    std::fs::write(host.path("root/srv/app/a.log"), vec![b'x'; 250]).unwrap();
    host.install(
        "guests/meter.wasm",
        Some("[read]\nfiles = [\"/srv/app\"]\n[settings]\nfiles = [\"/srv/app/a.log\"]\n"),
    );
    host.install("guests/judge.wasm", Some("[read]\nmetrics = true\n"));
    let (plugins, problems) = host.load();
    assert_eq!(problems, []);
    let second = Duration::from_secs(1);
    assert_eq!(plugins.collectors(), [("meter".to_owned(), second)]);
    assert_eq!(plugins.scheduled(), [("judge".to_owned(), second)]);

    let numbers = Arc::new(Numbers(host.telemetry.registry()));
    let clock = Arc::clone(&host.clock) as Arc<dyn Clock>;
    let ingest = Ingest::new(
        &IngestConfig::default(),
        numbers,
        (host.telemetry.kept(), second),
        clock,
        Arc::new(Redactor::standard()),
    );
    ingest.collected("meter", plugins.collect("meter", run(), NOW).await.unwrap());
    let mut batch = SampleBatch { at: NOW, new_series: vec![], samples: vec![] };
    ingest.drain(&mut batch);
    let status = ingest.statuses().remove(0);
    assert_eq!((status.name.as_str(), status.requests, status.accepted), ("plugins", 1, 2));
    host.telemetry.write_batch(Arc::new(batch));
    host.telemetry.flush().unwrap();

    let report = plugins.check("judge", run(), NOW.plus(second)).await.unwrap();
    assert_eq!(report.detections[0].title, "/srv/app/a.log has 250 bytes");
    std::fs::write(host.path("plugins.d/judge.toml"), "[read]\nmetrics = true\n[settings]\nmost = 1000.0\n").unwrap();
    plugins.look();
    let report = plugins.check("judge", run(), NOW.plus(second)).await.unwrap();
    assert_eq!((report.detections.len(), report.evaluated.as_slice()), (0, ["anomaly.judge".to_owned()].as_slice()));
    let status = plugins.list();
    assert!(status.iter().all(|it| it.state == "ready" && it.calls > 0), "{status:?}");
}
