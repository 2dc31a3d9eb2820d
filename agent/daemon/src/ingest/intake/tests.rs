//! The intake by itself, with a clock of the test's: what is taken, what is refused and why, what a tick carries.

use std::collections::BTreeMap;

use super::*;
use crate::host::FakeClock;

/// Numbers series in the order of their arrival.
#[derive(Default)]
pub(crate) struct Numbers(pub(crate) Mutex<Vec<SeriesKey>>, pub(crate) usize);

impl Registry for Numbers {
    fn find(&self, key: &SeriesKey) -> Option<SeriesId> {
        self.0.lock().unwrap().iter().position(|it| it == key).map(|at| SeriesId(at as u32))
    }
    fn intern(&self, key: &SeriesKey) -> SeriesId {
        self.find(key).unwrap_or_else(|| {
            let mut all = self.0.lock().unwrap();
            all.push(key.clone());
            SeriesId(all.len() as u32 - 1)
        })
    }
    fn room(&self) -> usize {
        self.1.saturating_sub(self.0.lock().unwrap().len())
    }
}

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

pub(crate) struct World {
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) numbers: Arc<Numbers>,
    pub(crate) intake: Intake,
}

impl World {
    pub(crate) fn new(limits: Limits) -> Self {
        let clock = Arc::new(FakeClock::at(NOW));
        let numbers = Arc::new(Numbers(Mutex::default(), 10_000));
        let intake = Intake::new(limits, numbers.clone(), clock.clone(), Arc::new(Redactor::standard()));
        Self { clock, numbers, intake }
    }

    /// One tick's samples by series.
    pub(crate) fn tick(&self) -> BTreeMap<String, f64> {
        let mut batch = SampleBatch { at: self.clock.wall(), new_series: vec![], samples: vec![] };
        self.intake.drain(&mut batch);
        let keys = self.numbers.0.lock().unwrap();
        batch.samples.iter().map(|(id, value)| (keys[id.0 as usize].to_string(), *value)).collect()
    }

    fn put(&self, source: &str, name: &str, said: Said) -> Result<(), Reason> {
        let at = self.clock.wall();
        self.intake.point(source, Point { key: key(name), at, start: None, said })
    }
}

fn key(name: &str) -> SeriesKey {
    SeriesKey { metric: name.into(), unit: "s".into(), kind: MetricKind::Gauge, attributes: Attributes::new() }
}

fn limits() -> Limits {
    Limits { series_per_source: 10, series_max: 15, sources_max: 3, operations_max: 2, ..Limits::default() }
}

#[test]
fn a_tick_carries_the_newest_value_of_each_series_once() {
    let world = World::new(limits());
    world.put("web", "a", Said::Value(1.0)).unwrap();
    world.put("web", "a", Said::Value(2.0)).unwrap();
    assert_eq!(world.tick(), [("a".to_owned(), 2.0)].into());
    assert_eq!(world.tick(), BTreeMap::new());
}

#[test]
fn a_point_that_takes_the_place_of_another_seconds_says_so() {
    let world = World::new(limits());
    let told = |back_ms: u64, said: Said| {
        let at = world.clock.wall().minus(Duration::from_millis(back_ms));
        world.intake.newest("web", Point { key: key("a"), at, start: None, said })
    };
    assert_eq!(told(5_000, Said::Value(1.0)), Ok(false));
    assert_eq!(told(4_500, Said::Value(2.0)), Ok(false), "the same second, told again");
    assert_eq!(told(3_000, Said::Value(3.0)), Ok(true));
    assert_eq!(world.tick(), [("a".to_owned(), 3.0)].into());
    assert_eq!(told(1_000, Said::Value(4.0)), Ok(false), "what was carried is stored");
    // A difference is not lost: it is in the sum.
    assert_eq!(told(0, Said::Delta(1.0)), Ok(false));
}

#[test]
fn differences_become_sums() {
    let world = World::new(limits());
    for _ in 0..3 {
        world.put("web", "a", Said::Delta(2.0)).unwrap();
    }
    assert_eq!(world.tick(), [("a".to_owned(), 6.0)].into());
    world.put("web", "a", Said::Delta(1.0)).unwrap();
    assert_eq!(world.tick(), [("a".to_owned(), 7.0)].into());
}

#[test]
fn one_source_cannot_take_the_room_of_another_and_all_have_an_end() {
    let world = World::new(limits());
    let taken = |source: &str| {
        let mut refused = Refused::default();
        for n in 0..12 {
            if let Err(reason) = world.put(source, &format!("{source}{n}"), Said::Value(1.0)) {
                refused.add(reason, 1);
            }
        }
        refused.0
    };
    assert_eq!(taken("a"), [(Reason::SeriesOfSource, 2)].into());
    assert_eq!(taken("b"), [(Reason::SeriesInAll, 7)].into());
    assert_eq!(world.tick().len(), 15);
}

#[test]
fn the_series_of_the_host_keep_their_numbers_whatever_applications_send() {
    let mut world = World::new(limits());
    world.numbers = Arc::new(Numbers(Mutex::default(), 1));
    world.intake = Intake::new(limits(), world.numbers.clone(), world.clock.clone(), Arc::new(Redactor::standard()));
    assert_eq!(world.put("a", "one", Said::Value(1.0)), Ok(()));
    assert_eq!(world.put("a", "two", Said::Value(1.0)), Err(Reason::SeriesInAll));
}

#[test]
fn what_is_silent_makes_room() {
    let world = World::new(limits());
    for n in 0..10 {
        world.put("a", &format!("a{n}"), Said::Value(1.0)).unwrap();
    }
    assert_eq!(world.put("a", "more", Said::Value(1.0)), Err(Reason::SeriesOfSource));
    world.tick();
    world.clock.advance(Duration::from_mins(16));
    world.tick();
    assert_eq!(world.put("a", "more", Said::Value(1.0)), Ok(()));
}

#[test]
fn points_out_of_their_time_are_refused_with_the_reason() {
    let world = World::new(limits());
    let at =
        |at: Timestamp| world.intake.point("web", Point { key: key("a"), at, start: None, said: Said::Value(1.0) });
    assert_eq!(at(NOW.minus(Duration::from_secs(61))), Err(Reason::TooOld));
    assert_eq!(at(NOW.plus(Duration::from_secs(11))), Err(Reason::InTheFuture));
    assert_eq!(at(NOW), Ok(()));
    assert_eq!(at(NOW.minus(Duration::from_secs(1))), Err(Reason::OutOfOrder));
    assert_eq!(world.put("web", "a", Said::Value(f64::NAN)), Err(Reason::NotFinite));
}

#[test]
fn a_clock_that_is_set_back_blinds_nobody_and_is_counted() {
    let world = World::new(limits());
    let histogram = |count| {
        let shape = Some(Shape::Explicit { bounds: vec![1.0], counts: vec![count, 0] });
        world.put("web", "latency", Said::Histogram { count, sum: Some(1.0), shape, delta: false })
    };
    assert_eq!((world.put("web", "a", Said::Value(1.0)), histogram(1)), (Ok(()), Ok(())));
    world.tick();
    world.clock.jump_wall(NOW.minus(Duration::from_hours(1)));
    let before = crate::telemetry::events::Counter::IngestSetBack.get();
    assert_eq!((world.put("web", "a", Said::Value(2.0)), histogram(2)), (Ok(()), Ok(())));
    let told = world.tick();
    assert_eq!((told["a"], told["latency.count"]), (2.0, 2.0));
    assert!(crate::telemetry::events::Counter::IngestSetBack.get() >= before + 3);
    // From here on order counts again.
    let earlier = world.clock.wall().minus(Duration::from_secs(1));
    let point = Point { key: key("a"), at: earlier, start: None, said: Said::Value(3.0) };
    assert_eq!(world.intake.point("web", point), Err(Reason::OutOfOrder));
    assert_eq!(world.put("web", "a", Said::Value(4.0)), Ok(()));
}

#[test]
fn a_step_back_that_nobody_can_tell_from_a_late_point_is_over_within_seconds() {
    let world = World::new(limits());
    world.put("web", "a", Said::Value(1.0)).unwrap();
    world.clock.jump_wall(NOW.minus(Duration::from_secs(10)));
    assert_eq!(world.put("web", "a", Said::Value(2.0)), Err(Reason::OutOfOrder));
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(world.put("web", "a", Said::Value(2.0)), Ok(()));
}

#[test]
fn a_histogram_or_summary_that_finds_no_room_leaves_nothing_behind() {
    let world = World::new(limits());
    for n in 0..8 {
        world.put("web", &format!("a{n}"), Said::Value(1.0)).unwrap();
    }
    world.tick();
    let quantiles = vec![(0.5, 1.0), (0.9, 2.0)];
    let summary = Said::Summary { count: 9, sum: 9.0, quantiles };
    assert_eq!(world.put("web", "rpc", summary), Err(Reason::SeriesOfSource));
    let shape = Some(Shape::Explicit { bounds: vec![1.0], counts: vec![5, 0] });
    let histogram = Said::Histogram { count: 5, sum: Some(1.0), shape, delta: true };
    assert_eq!(world.put("web", "latency", histogram), Err(Reason::SeriesOfSource));
    assert_eq!(world.tick(), BTreeMap::new());
    assert_eq!(world.intake.series().0, 8);
    let summary = Said::Summary { count: 9, sum: f64::NAN, quantiles: vec![] };
    assert_eq!(world.put("api", "rpc", summary), Err(Reason::NotFinite));
    assert_eq!(world.tick(), BTreeMap::new());
}

#[test]
fn a_histogram_since_the_start_gives_quantiles_of_what_came_since_the_last_point() {
    let world = World::new(limits());
    let put = |counts: [u64; 3]| {
        let shape = Some(Shape::Explicit { bounds: vec![1.0, 2.0], counts: counts.to_vec() });
        let count = counts.iter().sum();
        world.put("web", "latency", Said::Histogram { count, sum: Some(5.0), shape, delta: false }).unwrap();
        world.tick()
    };
    let first = put([1_000, 0, 0]);
    assert_eq!(first["latency.count"], 1_000.0);
    assert!(!first.contains_key("latency.p50"), "nobody knows over what time: {first:?}");
    let second = put([1_000, 10, 0]);
    assert_eq!((second["latency.p50"], second["latency.count"]), (1.5, 1_010.0));
}

#[test]
fn histograms_of_http_servers_give_a_share_of_errors_beside_that_of_spans() {
    let world = World::new(Limits { series_per_source: 100, series_max: 100, ..limits() });
    let put = |status: &str, instance: &str, count: u64| {
        let pairs = [
            ("service.name", "shop"),
            ("service.instance.id", instance),
            ("http.request.method", "GET"),
            ("http.response.status_code", status),
        ];
        let attributes = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let key = SeriesKey { metric: "http.server.request.duration".into(), attributes, ..key("") };
        let shape = Some(Shape::Explicit { bounds: vec![0.1], counts: vec![count, 0] });
        let said = Said::Histogram { count, sum: Some(1.0), shape, delta: false };
        let point = Point { key, at: world.clock.wall(), start: Some(NOW.minus(Duration::from_hours(9))), said };
        world.intake.point("shop", point).unwrap();
    };
    let window = || {
        world.clock.advance(Duration::from_secs(10));
        world.tick()
    };
    put("200", "a", 7_000);
    put("500", "a", 50);
    let ratio = "holdfast.app.http.error.ratio{service.name=shop}";
    assert!(!window().contains_key(ratio), "what happened before the first point is nobody's window");
    put("200", "a", 7_060);
    put("404", "b", 0);
    put("500", "a", 70);
    let told = window();
    assert_eq!(told[ratio], 0.25);
    assert_eq!(told["holdfast.app.http.requests{service.name=shop}"], 80.0);
    assert_eq!(told["holdfast.app.http.errors{service.name=shop}"], 20.0);
    assert!(!told.contains_key("holdfast.app.error.ratio{service.name=shop}"), "that is of spans: {told:?}");
    put("200", "a", 7_080);
    put("500", "a", 70);
    let told = window();
    assert_eq!((told[ratio], told["holdfast.app.http.request.rate{service.name=shop}"]), (0.0, 2.0));
    assert!(!window().contains_key(ratio), "no request is not no error");
}

#[test]
fn requests_become_rate_errors_and_latency_and_a_quiet_window_says_nothing() {
    let world = World::new(Limits { series_per_source: 100, series_max: 100, ..limits() });
    let service = Attributes::from([("service.name".to_owned(), "shop".to_owned())]);
    for n in 0..100 {
        let operation = ["/a", "/b", "/c", "/d"][n % 4];
        let request = Request { operation, ended_at: NOW, seconds: 0.1, failed: n % 10 == 0 };
        world.intake.request(&service, &request).unwrap();
    }
    world.intake.log(&service, LogSeverity::of_number(17)).unwrap();
    assert_eq!(world.tick(), BTreeMap::new(), "the window is not over");
    world.clock.advance(Duration::from_secs(10));
    let told = world.tick();
    assert_eq!(told["holdfast.app.request.rate{service.name=shop}"], 10.0);
    assert_eq!(told["holdfast.app.error.ratio{service.name=shop}"], 0.1);
    assert_eq!(told["holdfast.app.requests{service.name=shop}"], 100.0);
    assert_eq!(told["holdfast.app.log.records{service.name=shop,severity=error}"], 1.0);
    let p95 = told["holdfast.app.latency.p95{service.name=shop}"];
    assert!((p95 / 0.1 - 1.0).abs() < 0.05, "{p95}");
    let operation =
        |name: &str| format!("holdfast.app.operation.request.rate{{holdfast.app.operation={name},service.name=shop}}");
    assert_eq!((told[&operation("/a")], told[&operation("_OTHER")]), (2.5, 5.0));
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(world.tick(), BTreeMap::new());
}
