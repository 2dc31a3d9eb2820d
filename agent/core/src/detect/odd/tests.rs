use super::*;

/// Even, from -0.5 to 0.5.
fn noise(step: i64) -> f64 {
    let mixed = (step as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
}

/// A day in five-minute steps, a little noise, and what `also` adds.
fn watch(odd: &mut Odd, steps: std::ops::Range<i64>, also: impl Fn(i64) -> f64) -> Vec<Oddness> {
    let value = |step: i64| 50.0 + 10.0 * (step as f64 / 288.0 * std::f64::consts::TAU).sin() + 4.0 * noise(step);
    steps.map(|step| odd.push(Timestamp::from_secs(step * 300), value(step) + also(step), 0.0)).collect()
}

fn alarms(said: &[Oddness]) -> usize {
    said.iter().filter(|it| it.alarm >= ALARM_AT).count()
}

#[test]
fn a_usual_fortnight_gives_no_alarm() {
    let said = watch(&mut Odd::default(), 0..4032, |_| 0.0);
    assert_eq!(alarms(&said[600..]), 0);
}

#[test]
fn a_jump_alarms_at_once_says_why_and_then_rests() {
    let mut odd = Odd::default();
    watch(&mut odd, 0..3000, |_| 0.0);
    let said = watch(&mut odd, 3000..3050, |_| 60.0);
    let first = said.iter().position(|it| it.alarm >= ALARM_AT);
    assert!(first.is_some_and(|it| it < 3), "{first:?}");
    assert!(said[0].reason().is_some());
    assert!(alarms(&said) <= 5, "{}", alarms(&said));
    assert!(said[2].score > 0.5 && said[2].score < 1.0);
}

/// Of nothing but noise in such steps, with one value more in the end: the alarm at that.
fn alarm_after_noise(step_s: i64, last: f64) -> f64 {
    let mut odd = Odd::default();
    for step in 0..700 {
        odd.push(Timestamp::from_secs(step * step_s), noise(step), 0.0);
    }
    odd.push(Timestamp::from_secs(700 * step_s), last, 0.0).alarm
}

#[test]
fn the_same_jump_is_more_news_in_a_month_of_hours_than_in_two_days() {
    let (month, days, minutes) = (alarm_after_noise(3600, 1.2), alarm_after_noise(300, 1.2), alarm_after_noise(5, 1.2));
    assert!(month > days + 0.1 && days > ALARM_AT, "{month} {days}");
    assert!(minutes < 0.01, "of an hour nobody knows what is rare: {minutes}");
}

#[test]
fn the_next_record_of_a_series_that_goes_on_as_it_did_is_no_news() {
    // The range of even noise is all but known after a day; so the records below are barely beyond it.
    let odd_by = |part: f64| alarm_after_noise(300, 0.5 + part);
    assert!(odd_by(0.03) < ALARM_AT && odd_by(0.2) > ALARM_AT, "{} {}", odd_by(0.03), odd_by(0.2));
}

/// Values of ten months of noise in five-minute steps that are as much news as this.
fn news_in_noise(from: f64) -> usize {
    let in_a_month = |month: i64| {
        let mut odd = Odd::default();
        let said =
            (0..8640).map(|step| odd.push(Timestamp::from_secs(step * 300), noise(month * 1_000_003 + step), 0.0));
        said.skip(750).filter(|it| it.alarm >= from).count()
    };
    (0..10).map(in_a_month).sum()
}

#[test]
fn noise_alone_is_news_once_a_week_and_big_news_once_a_month() {
    let (news, big) = (news_in_noise(ALARM_AT), news_in_noise(0.3));
    assert!(news <= 45 && big <= 12, "{news} {big}");
}

#[test]
fn what_was_saved_goes_on_as_if_nothing_had_happened() {
    let mut odd = Odd::default();
    watch(&mut odd, 0..1500, |_| 0.0);
    let text = serde_json::to_string(&odd).unwrap();
    assert!(text.len() < 16_384, "{}", text.len());
    let mut restored: Odd = serde_json::from_str(&text).unwrap();
    let jump = |step| if step > 1550 { 40.0 } else { 0.0 };
    assert_eq!(watch(&mut odd, 1500..1600, jump), watch(&mut restored, 1500..1600, jump));
}

#[test]
fn a_series_that_never_moves_and_one_that_is_not_a_number_say_nothing() {
    let mut odd = Odd::default();
    for step in 0..2000 {
        let said = odd.push(Timestamp::from_secs(step), 5.0, 0.1);
        assert!(said.alarm < ALARM_AT, "{step}: {said:?}");
    }
    assert_eq!(odd.push(Timestamp::from_secs(2000), f64::NAN, 0.1), Oddness::default());
}

#[test]
fn of_many_series_the_one_at_fault_is_named() {
    let mut host = Host::new(5);
    let mut last = HostOddness::default();
    for step in 0..1210_i64 {
        let row: Vec<f64> = (0..5)
            .map(|series| {
                let wave = (step as f64 / (20.0 + f64::from(series))).sin();
                wave + if step > 1200 && series == 3 { 8.0 } else { 0.0 }
            })
            .collect();
        last = host.push(Timestamp::from_secs(step * 60), &row, &[]);
    }
    assert_eq!(last.named.first(), Some(&3), "{last:?}");
}
