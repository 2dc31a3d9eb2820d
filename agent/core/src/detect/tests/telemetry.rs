//! Silent sources, stuck values, a clock that was set.

use super::*;
use crate::model::Target;

const SILENT: &str = "telemetry.silent";
const STUCK: &str = "telemetry.stuck";
const JUMP: &str = "telemetry.clock_jump";

fn requests(service: &str) -> SeriesKey {
    key("app.requests", "1", MetricKind::Counter, &[("service.name", service)])
}

fn up(service: &str) -> SeriesKey {
    let attributes = [("service.name", service), ("holdfast.scrape.target", "http://127.0.0.1:9100/metrics")];
    key("holdfast.scrape.up", "1", MetricKind::Gauge, &attributes)
}

/// Something of the host that goes on whatever the sources do.
fn host() -> SeriesKey {
    key("system.processes", "{process}", MetricKind::Gauge, &[])
}

fn go_on(stage: &mut Stage, seconds: i64) {
    stage.run(&host(), seconds, |_, _| 100.0);
}

fn hour_of(service: &str) -> Stage {
    let mut stage = Stage::new(DetectConfig::default());
    for second in 0..3_700 {
        let said = [(&requests(service), f64::from(second)), (&host(), 100.0)];
        // The application tells every ten seconds.
        stage.tell(if second % 10 == 0 { &said } else { &said[1..] }, 1);
    }
    stage
}

#[test]
fn an_application_that_stops_telling_is_missed_and_welcome_when_it_is_back() {
    let mut stage = hour_of("shop");
    go_on(&mut stage, 600);
    let found = stage.last(SILENT).clone();
    assert_eq!((found.target.clone(), found.presence), (Target::new("service", "shop"), Presence::Present));
    assert!(found.title.starts_with("shop has sent nothing for"), "{}", found.title);
    assert!(found.title.ends_with("it used to every 10 s"), "{}", found.title);
    stage.tell(&[(&requests("shop"), 5.0), (&host(), 100.0)], 1);
    go_on(&mut stage, 60);
    let turns = stage.turns(SILENT);
    assert!(
        matches!(turns[..], [(begun, Presence::Present), (ended, Presence::Cleared)]
            if (3_870..=3_930).contains(&begun) && (4_300..=4_340).contains(&ended)),
        "{turns:?}"
    );
}

#[test]
fn a_short_job_is_not_missed() {
    let mut stage = Stage::new(DetectConfig::default());
    for second in 0..1_200 {
        stage.tell(&[(&requests("build"), f64::from(second)), (&host(), 100.0)], 1);
    }
    go_on(&mut stage, 7_200);
    stage.silent();
}

#[test]
fn an_application_is_not_expected_for_ever() {
    let mut stage = hour_of("shop");
    go_on(&mut stage, 87_000);
    let turns = stage.turns(SILENT);
    assert!(matches!(turns[..], [(_, Presence::Present), (_, Presence::Cleared)]), "{turns:?}");
    assert!(stage.last(SILENT).title.contains("not expected any more"));
}

#[test]
fn a_target_is_missed_from_the_beginning_until_it_is_not_scraped_any_more() {
    let mut stage = Stage::new(DetectConfig::default());
    for _ in 0..400 {
        stage.tell(&[(&up("node"), 0.0), (&host(), 100.0)], 1);
    }
    assert_eq!(stage.last(SILENT).title, "node has never answered at http://127.0.0.1:9100/metrics");
    for _ in 0..60 {
        stage.tell(&[(&up("node"), 1.0), (&host(), 100.0)], 1);
    }
    for _ in 0..300 {
        stage.tell(&[(&up("node"), 0.0), (&host(), 100.0)], 1);
    }
    assert!(stage.last(SILENT).title.starts_with("node has not answered at"), "{}", stage.last(SILENT).title);
    go_on(&mut stage, 400);
    assert_eq!(stage.last(SILENT).title, "node is not scraped any more");
    let said: Vec<Presence> = stage.turns(SILENT).into_iter().map(|(_, presence)| presence).collect();
    assert_eq!(said, [Presence::Present, Presence::Cleared, Presence::Present, Presence::Cleared]);
}

#[test]
fn silence_while_the_agent_did_not_listen_is_none() {
    let mut stage = hour_of("shop");
    // The agent was away for an hour, and listens for two minutes before the application tells something again.
    stage.at = stage.at.plus(std::time::Duration::from_hours(1));
    go_on(&mut stage, 120);
    for second in 0..60 {
        stage.tell(&[(&requests("shop"), f64::from(second)), (&host(), 100.0)], 1);
    }
    assert_eq!(stage.turns(SILENT), []);
}

#[test]
fn nothing_is_reported_where_nobody_wants_it() {
    let mut config = DetectConfig::default();
    config.telemetry.report = false;
    let mut stage = Stage::new(config);
    for _ in 0..400 {
        stage.tell(&[(&up("node"), 0.0)], 1);
    }
    stage.silent();
}

#[test]
fn a_lively_level_that_stands_still_is_stuck_and_says_nothing_of_the_host_meanwhile() {
    let mut stage = Stage::new(DetectConfig { standard_thresholds: false, ..DetectConfig::default() });
    stage.run(&cpu(), 1_500, |_, noise| 0.08 + 0.01 * noise);
    // A departure under way, then the collector repeats itself.
    stage.run(&cpu(), 120, |_, noise| 0.8 + 0.01 * noise);
    stage.run(&cpu(), 900, |_, _| 0.8);
    assert!(stage.last(STUCK).title.contains("has been exactly 0.8000 for"), "{}", stage.last(STUCK).title);
    assert_eq!(stage.last("metric.anomaly").presence, Presence::Inconclusive);
    stage.run(&cpu(), 5, |_, noise| 0.08 + 0.01 * noise);
    let turns = stage.turns(STUCK);
    assert!(
        matches!(turns[..], [(begun, Presence::Present), (2_520, Presence::Cleared)]
            if (2_215..=2_225).contains(&begun)),
        "{turns:?}"
    );
}

#[test]
fn what_comes_to_rest_or_seldom_moves_is_not_stuck() {
    for (lively, still) in [(true, 0.0), (true, 1.0), (false, 0.5)] {
        let mut stage = Stage::new(DetectConfig { standard_thresholds: false, ..DetectConfig::default() });
        let moves = |second: i64, noise: f64| if lively || second % 3 == 0 { 0.5 + 0.001 * noise } else { 0.5 };
        stage.run(&cpu(), 1_500, moves);
        stage.run(&cpu(), 2_000, |_, _| still);
        assert_eq!(stage.turns(STUCK), [], "{lively} {still}");
    }
}

#[test]
fn a_clock_that_was_set_is_told_for_a_quarter_of_an_hour_and_a_restart_is_no_jump() {
    let uptime = key("system.uptime", "s", MetricKind::Gauge, &[]);
    for by_s in [3_600_i64, -3_600] {
        let mut stage = Stage::new(DetectConfig::default());
        let mut up = 50.0;
        let mut go = |stage: &mut Stage, seconds: i64| {
            for _ in 0..seconds {
                up += 1.0;
                stage.tell(&[(&uptime, up)], 1);
            }
        };
        go(&mut stage, 100);
        assert_eq!(stage.turns(JUMP), []);
        stage.at = Timestamp::from_secs(stage.at.ns() / 1_000_000_000 + by_s);
        go(&mut stage, 1_000);
        let way = if by_s > 0 { "forwards" } else { "backwards" };
        let said: Vec<(&str, Presence)> = stage
            .said
            .iter()
            .filter(|(_, it)| it.kind == JUMP)
            .map(|(_, it)| (it.title.as_str(), it.presence))
            .collect();
        let first = format!("The clock was set {way} by 3600.0 s");
        assert_eq!(
            said,
            [(first.as_str(), Presence::Present), ("The clock has not been set since", Presence::Cleared)]
        );
    }
    let mut stage = Stage::new(DetectConfig::default());
    stage.run(&uptime, 100, |second, _| 1_000.0 + second as f64);
    stage.at = stage.at.plus(std::time::Duration::from_mins(5));
    stage.run(&uptime, 100, |second, _| 10.0 + second as f64);
    stage.silent();
}
