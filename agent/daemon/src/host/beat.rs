//! A common beat for what happens again and again, so that it happens together.
//!
//! Each wake of a sleeping thread costs more than most of what it then does, and tokio wakes twice for a timer: when the slot of 64 ms
//! begins that it is in, and when it is due. What keeps to this beat is due when a slot begins, all of it at once.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tokio::time::{Interval, MissedTickBehavior, interval_at};

/// One beat: eight slots of tokio's timers.
const BEAT: Duration = Duration::from_millis(512);

/// Where the beat is counted from: when the runtime began.
static ORIGIN: OnceLock<Instant> = OnceLock::new();

#[expect(clippy::disallowed_methods, reason = "tokio's timers are counted from such a moment")]
fn now() -> Instant {
    Instant::now()
}

/// The beat begins; to be said just before the runtime is made.
pub fn begin_beat() {
    let _ = ORIGIN.set(now());
}

/// Ticks every so many beats (at least one), the first time within as many. What was missed is left out.
pub fn beats(many: u32) -> Interval {
    let (origin, every) = (*ORIGIN.get_or_init(now), BEAT * many.max(1));
    let mut interval = interval_at((now() + until_next(origin.elapsed(), every)).into(), every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    interval
}

/// Pure: from so long after the origin to the next multiple of `every`.
fn until_next(since: Duration, every: Duration) -> Duration {
    let over = since.as_nanos() % every.as_nanos().max(1);
    every.saturating_sub(Duration::from_nanos(u64::try_from(over).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_is_a_multiple_of_the_beat() {
        let ms = Duration::from_millis;
        assert_eq!(until_next(ms(0), ms(512)), ms(512));
        assert_eq!(until_next(ms(600), ms(512)), ms(424));
        assert_eq!(until_next(ms(1024), ms(1024)), ms(1024));
    }

    #[tokio::test]
    async fn what_keeps_to_the_beat_is_due_together() {
        let (mut one, mut other) = (beats(1), beats(1));
        tokio::time::sleep(Duration::from_millis(70)).await;
        let mut late = beats(1);
        let (one, other, late) = tokio::join!(one.tick(), other.tick(), late.tick());
        for due in [other, late] {
            // Between two of them the beat may have gone on.
            let apart = one.max(due).duration_since(one.min(due)).as_micros() % BEAT.as_micros();
            assert!(apart < 2_000 || apart > BEAT.as_micros() - 2_000, "{apart} us");
        }
    }
}
