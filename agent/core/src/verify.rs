//! Whether the symptom is gone, by the measure that raised it.
//!
//! Pure: looked at again and again until there is an answer. What the measure said before the last step is not an answer, and
//! silence is `inconclusive`, never `healed`.

use std::time::Duration;

use crate::model::{Evidence, Presence, Timestamp, Verification, VerificationVerdict as Verdict};

/// What is known now.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifyFacts {
    /// Now.
    pub now: Timestamp,
    /// When the last step was done.
    pub done_at: Timestamp,
    /// The plan's own time to settle, before which nothing counts as healed.
    pub settle_ms: u32,
    /// The rule's time after the last step; a longer time to settle extends it.
    pub within: Duration,
    /// What the measure that raised the finding said last, and when; `None`: it has said nothing. It counts from `done_at` on.
    pub presence: Option<(Presence, Timestamp)>,
    /// The rule's own success probe; `None`: it states none; `Err`: it could not be evaluated.
    pub healthy: Option<Result<bool, String>>,
}

/// The verdict, or `None`: keep watching.
///
/// Healed once the time to settle is over and both the measure and the probe say so; the rest only at the end of the time.
pub fn judge(facts: &VerifyFacts) -> Option<Verification> {
    let settle = Duration::from_millis(u64::from(facts.settle_ms));
    let settled = facts.now >= facts.done_at.plus(settle);
    let over = facts.now >= facts.done_at.plus(facts.within.max(settle));
    // A measure from before the last step tells nothing about what the steps did.
    let since = facts.presence.filter(|(_, at)| *at >= facts.done_at);
    let waited = seconds(facts.now.since(facts.done_at));
    let (verdict, text) = match (since, &facts.healthy) {
        (Some((Presence::Cleared, at)), None | Some(Ok(true))) if settled => {
            let after = seconds(at.since(facts.done_at));
            let probe = if facts.healthy.is_some() { " and the rule's probe holds" } else { "" };
            (
                Verdict::Healed,
                format!("the measure that raised it says, {after} after the last step, that it is gone{probe}"),
            )
        }
        _ if !over => return None,
        (Some((Presence::Present, at)), _) => {
            let after = seconds(at.since(facts.done_at));
            (
                Verdict::NotHealed,
                format!("{waited} after the last step it is still there, as measured {after} after it"),
            )
        }
        (Some((Presence::Cleared, _)), Some(Ok(false))) => (
            Verdict::NotHealed,
            format!(
                "the measure says that it is gone, but {waited} after the last step the rule's probe does not hold"
            ),
        ),
        (Some((Presence::Cleared, _)), Some(Err(error))) => (
            Verdict::Inconclusive,
            format!("the measure says that it is gone, but the rule's probe cannot be told: {error}"),
        ),
        (Some((Presence::Inconclusive, _)), _) => {
            (Verdict::Inconclusive, format!("{waited} after the last step the measure that raised it cannot tell"))
        }
        // `Cleared` without a probe, or with one that holds, was healed above: the time to settle is part of the whole time.
        (None | Some((Presence::Cleared, _)), _) => (
            Verdict::Inconclusive,
            format!("{waited} after the last step the measure that raised it has said nothing new"),
        ),
    };
    Some(Verification { verdict, at: facts.now, text, evidence: evidence(facts) })
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn evidence(facts: &VerifyFacts) -> Vec<Evidence> {
    let mut out = vec![Evidence::new("verify.waited_s", facts.now.since(facts.done_at).as_secs_f64())];
    if let Some((presence, at)) = facts.presence {
        let word = match presence {
            Presence::Present => "present",
            Presence::Cleared => "cleared",
            Presence::Inconclusive => "inconclusive",
        };
        out.push(Evidence::new("verify.presence", word));
        out.push(Evidence::new("verify.presence_at", at.to_string()));
    }
    match &facts.healthy {
        None => {}
        Some(Ok(holds)) => out.push(Evidence::new("verify.healthy", *holds)),
        Some(Err(error)) => out.push(Evidence::new("verify.healthy_error", error.as_str())),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const DONE: i64 = 1_000;

    /// Presence and seconds after the last step; settle 5 s, within 30 s.
    #[track_caller]
    fn check(
        now: i64,
        presence: Option<(Presence, i64)>,
        healthy: Option<Result<bool, String>>,
        expected: Option<Verdict>,
    ) {
        let facts = VerifyFacts {
            now: Timestamp::from_secs(DONE + now),
            done_at: Timestamp::from_secs(DONE),
            settle_ms: 5_000,
            within: Duration::from_secs(30),
            presence: presence.map(|(presence, at)| (presence, Timestamp::from_secs(DONE + at))),
            healthy,
        };
        assert_eq!(judge(&facts).map(|v| v.verdict), expected, "{facts:?}");
    }

    use Presence::{Cleared, Inconclusive, Present};

    #[test]
    fn cleared_after_the_last_step_is_healed_once_settled() {
        check(4, Some((Cleared, 2)), None, None);
        check(5, Some((Cleared, 2)), None, Some(Verdict::Healed));
        check(5, Some((Cleared, 2)), Some(Ok(true)), Some(Verdict::Healed));
    }

    #[test]
    fn cleared_before_the_last_step_is_no_answer() {
        check(10, Some((Cleared, -1)), None, None);
        check(30, Some((Cleared, -1)), Some(Ok(true)), Some(Verdict::Inconclusive));
        check(10, Some((Cleared, 0)), None, Some(Verdict::Healed));
    }

    #[test]
    fn a_probe_that_does_not_hold_may_still_come_to_hold() {
        check(10, Some((Cleared, 2)), Some(Ok(false)), None);
        check(30, Some((Cleared, 2)), Some(Ok(false)), Some(Verdict::NotHealed));
    }

    #[test]
    fn a_probe_that_cannot_be_told_is_inconclusive() {
        check(29, Some((Cleared, 2)), Some(Err("no".into())), None);
        check(30, Some((Cleared, 2)), Some(Err("no".into())), Some(Verdict::Inconclusive));
    }

    #[test]
    fn still_there_is_said_at_the_end_of_the_time() {
        check(29, Some((Present, 28)), None, None);
        check(30, Some((Present, 28)), Some(Ok(true)), Some(Verdict::NotHealed));
    }

    #[test]
    fn silence_is_inconclusive() {
        check(29, None, None, None);
        check(30, None, Some(Ok(true)), Some(Verdict::Inconclusive));
        check(30, Some((Inconclusive, 20)), Some(Ok(true)), Some(Verdict::Inconclusive));
        check(30, Some((Present, -20)), None, Some(Verdict::Inconclusive));
    }

    #[test]
    fn a_longer_time_to_settle_extends_the_time() {
        let facts = |now| VerifyFacts {
            now: Timestamp::from_secs(now),
            done_at: Timestamp::from_secs(0),
            settle_ms: 60_000,
            within: Duration::from_secs(30),
            presence: Some((Cleared, Timestamp::from_secs(1))),
            healthy: None,
        };
        assert_eq!(judge(&facts(59)), None);
        assert_eq!(judge(&facts(60)).map(|v| v.verdict), Some(Verdict::Healed));
    }

    proptest::proptest! {
        #[test]
        fn healed_always_rests_on_a_measure_after_the_last_step(now in 0_i64..100, at in -50_i64..100, kind in 0_u8..3, probe in 0_u8..4, settle in 0_u32..60_000) {
            let facts = VerifyFacts {
                now: Timestamp::from_secs(DONE + now),
                done_at: Timestamp::from_secs(DONE),
                settle_ms: settle,
                within: Duration::from_secs(30),
                presence: Some(([Present, Cleared, Inconclusive][usize::from(kind)], Timestamp::from_secs(DONE + at))),
                healthy: [None, Some(Ok(true)), Some(Ok(false)), Some(Err(String::new()))][usize::from(probe)].clone(),
            };
            let healed = judge(&facts).is_some_and(|v| v.verdict == Verdict::Healed);
            let may = kind == 1 && at >= 0 && probe < 2 && now * 1_000 >= i64::from(settle);
            proptest::prop_assert_eq!(healed, may);
            if now >= 60 { proptest::prop_assert!(judge(&facts).is_some()); }
        }
    }
}
