//! What comes at this time of day, as it came on two of the last three days, is no news: a backup, a report, a rotation of logs.
//!
//! Of each hour of the last days the highest height is remembered; an hour's neighbours count, too, since jobs wander. One day before
//! is no habit: what was new yesterday may be the beginning of trouble.

use serde::{Deserialize, Serialize};

const HOURS: i64 = 24;
/// Days that are remembered, today among them.
const DAYS: usize = 4;

/// The highest height of each hour of the last days.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Daily {
    /// Since the epoch.
    today: i64,
    /// By the day's number, and within it by the hour; empty before the first height.
    heights: Vec<f32>,
}

impl Daily {
    /// What came at this time on two of the last three days; and remembers this height.
    pub(super) fn push(&mut self, at_s: f64, height: f64) -> f64 {
        if height <= 0.0 {
            return 0.0;
        }
        self.learn(at_s, height);
        self.known(at_s)
    }

    /// Remembers a height.
    pub(super) fn learn(&mut self, at_s: f64, height: f64) {
        let (day, hour) = place_in_time(at_s);
        self.heights.resize(DAYS * HOURS as usize, 0.0);
        // A clock that was set back forgets nothing; days without a height are days on which nothing came.
        for gone in (self.today + 1..=day).rev().take(DAYS) {
            let begin = place(gone, 0);
            self.heights[begin..begin + HOURS as usize].fill(0.0);
        }
        self.today = self.today.max(day);
        // What is older than what is remembered would stand for another day.
        if day > self.today - DAYS as i64 {
            let own = &mut self.heights[place(day, hour)];
            // What f32 can't hold would be saved as nothing, and could not be read again.
            *own = own.max(height.min(f64::from(f32::MAX)) as f32);
        }
    }

    /// What came at this time on two of the last three days, of days before this one.
    pub(super) fn known(&self, at_s: f64) -> f64 {
        if self.heights.is_empty() {
            return 0.0;
        }
        let (day, hour) = place_in_time(at_s);
        let (mut most, mut second) = (0.0_f32, 0.0_f32);
        for before in 1..DAYS as i64 {
            // At midnight a neighbour belongs to the day beside; today's is not the past.
            let near = [hour - 1, hour, hour + 1].map(|it| {
                let (of, hour) = (day - before + it.div_euclid(HOURS), it.rem_euclid(HOURS));
                let remembered = of <= self.today && of > self.today - DAYS as i64;
                if remembered && of < day && of > day - DAYS as i64 { self.heights[place(of, hour)] } else { 0.0 }
            });
            let highest = near.into_iter().fold(0.0, f32::max);
            second = second.max(highest.min(most));
            most = most.max(highest);
        }
        f64::from(second)
    }
}

/// The day since the epoch, and its hour.
fn place_in_time(at_s: f64) -> (i64, i64) {
    let hours = (at_s / 3600.0).floor() as i64;
    (hours.div_euclid(HOURS), hours.rem_euclid(HOURS))
}

fn place(day: i64, hour: i64) -> usize {
    (day.rem_euclid(DAYS as i64) * HOURS + hour.rem_euclid(HOURS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_S: f64 = 86_400.0;

    /// What is known at half past three of the day after these, each `None` or a height at about that time.
    fn known(days: &[Option<f64>]) -> f64 {
        let mut daily = Daily::default();
        for (day, height) in days.iter().enumerate() {
            if let Some(height) = height {
                daily.push((20_000.0 + day as f64) * DAY_S + 12_000.0, *height);
            }
        }
        daily.push((20_000.0 + days.len() as f64) * DAY_S + 12_600.0, 1.0)
    }

    #[test]
    fn what_came_on_two_of_three_days_is_known_by_the_lower_of_the_two() {
        assert_eq!(known(&[Some(5.0), Some(7.0), None]), 5.0);
        assert_eq!(known(&[Some(5.0), None, Some(3.0)]), 3.0);
        assert_eq!(known(&[Some(2.0), Some(7.0), Some(6.0)]), 6.0);
    }

    #[test]
    fn a_habit_about_midnight_is_one_on_whichever_side_it_comes() {
        let mut daily = Daily::default();
        // A quarter of an hour before the midnights that begin days 1 and 2, then after that of day 3.
        for midnight in [1.0, 2.0] {
            daily.push((20_000.0 + midnight) * DAY_S - 900.0, 5.0);
        }
        assert_eq!(daily.push(20_003.0 * DAY_S + 900.0, 5.0), 5.0);
    }

    #[test]
    fn the_largest_heights_can_be_saved() {
        let mut daily = Daily::default();
        daily.learn(0.0, 1e100);
        let text = serde_json::to_string(&daily).unwrap();
        assert_eq!(serde_json::from_str::<Daily>(&text).unwrap(), daily);
    }

    #[test]
    fn once_or_long_ago_or_at_another_time_is_no_habit() {
        assert_eq!(known(&[None, None, Some(9.0)]), 0.0);
        assert_eq!(known(&[Some(9.0), Some(9.0), None, None]), 0.0);
        let mut daily = Daily::default();
        for day in 0..3 {
            daily.push(f64::from(day) * DAY_S + 12_000.0, 9.0);
        }
        assert_eq!(daily.push(3.0 * DAY_S + 40_000.0, 9.0), 0.0);
    }
}
