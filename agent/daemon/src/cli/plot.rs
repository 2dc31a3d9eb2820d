//! A line drawn with braille dots: two by four to a character. Pure.

use holdfast_core::model::Timestamp;

use super::when::{measured, stamp};

/// Lines of a plot.
pub(super) const HEIGHT: usize = 10;
/// Narrower than this nothing can be seen.
const WIDTH_MIN: usize = 16;

/// Dot bits of a braille character, by row and column.
const DOTS: [[u32; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

/// The points from `since` to `until` in `columns` columns, with the range of values on the left and of times below.
/// Points that are not there leave a gap. Empty without points.
pub(super) fn plot(
    points: &[(Timestamp, f64)],
    since: Timestamp,
    until: Timestamp,
    unit: &str,
    columns: usize,
) -> String {
    let finite = || points.iter().map(|(_, v)| *v).filter(|v| v.is_finite());
    let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    if low > high {
        return String::new();
    }
    let labels = [measured(high, unit), measured(low, unit)];
    let margin = labels.iter().map(|l| l.chars().count()).max().unwrap_or(0);
    let width = columns.saturating_sub(margin + 3).max(WIDTH_MIN);
    let rows = HEIGHT * 4;
    let mut canvas = vec![vec![0_u32; width]; HEIGHT];
    let range = if high > low { high - low } else { 1.0 };
    let period = (until.ns().saturating_sub(since.ns())).max(1) as f64;
    // One value for each column of dots: the extremes of a column are both drawn, so that a short peak stays visible.
    let mut extremes: Vec<Option<(f64, f64)>> = vec![None; width * 2];
    for (at, value) in points.iter().filter(|(_, v)| v.is_finite()) {
        let along = (at.ns().saturating_sub(since.ns())) as f64 / period;
        let column = ((along * (width * 2) as f64) as usize).min(width * 2 - 1);
        let (least, most) = extremes[column].unwrap_or((*value, *value));
        extremes[column] = Some((least.min(*value), most.max(*value)));
    }
    let row_of = |value: f64| {
        let share = if high > low { (value - low) / range } else { 0.5 };
        (rows - 1) - ((share * (rows - 1) as f64).round() as usize).min(rows - 1)
    };
    let mut dot = |column: usize, row: usize| canvas[row / 4][column / 2] |= DOTS[row % 4][column % 2];
    let filled: Vec<usize> = (0..extremes.len()).filter(|c| extremes[*c].is_some()).collect();
    let joined = usual_distance(&filled) * 2;
    let mut before: Option<(usize, f64)> = None;
    for column in filled {
        let Some((least, most)) = extremes[column] else { continue };
        (row_of(most)..=row_of(least)).for_each(|row| dot(column, row));
        let middle = f64::midpoint(least, most);
        if let Some((from, value)) = before.filter(|(from, _)| column - from <= joined) {
            for between in from + 1..column {
                let share = (between - from) as f64 / (column - from) as f64;
                dot(between, row_of(value + (middle - value) * share));
            }
        }
        before = Some((column, middle));
    }
    let mut out = String::new();
    for (index, line) in canvas.iter().enumerate() {
        let label = match index {
            0 => labels[0].as_str(),
            i if i + 1 == HEIGHT && high > low => labels[1].as_str(),
            _ => "",
        };
        let dots: String = line.iter().map(|bits| char::from_u32(0x2800 + bits).unwrap_or(' ')).collect();
        out.push_str(&format_line(label, margin, &dots));
    }
    let (from, to) = (stamp(since), stamp(until));
    let gap = width.saturating_sub(from.len() + to.len()).max(2);
    out.push_str(&format_line("", margin, &format!("{from}{}{to}", " ".repeat(gap))).replace('┤', " "));
    out
}

/// The median of the distances between neighbours: what lies further apart than twice this is a gap.
fn usual_distance(columns: &[usize]) -> usize {
    let mut distances: Vec<usize> = columns.windows(2).map(|pair| pair[1] - pair[0]).collect();
    distances.sort_unstable();
    distances.get(distances.len() / 2).copied().unwrap_or(1)
}

fn format_line(label: &str, margin: usize, rest: &str) -> String {
    let line = format!("{label:>margin$} ┤{rest}");
    format!("{}\n", line.trim_end_matches(['\u{2800}', ' ']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rising_line_rises_from_the_lower_left_to_the_upper_right() {
        let at = Timestamp::from_secs;
        let points: Vec<_> = (0..=60).map(|n| (at(1_000 + n), n as f64)).collect();
        insta::assert_snapshot!(plot(&points, at(1_000), at(1_060), "1", 40));
    }

    #[test]
    fn a_gap_stays_a_gap_and_a_constant_is_a_line_in_the_middle() {
        let at = Timestamp::from_secs;
        let points: Vec<_> = (0..=60).filter(|n| !(20..40).contains(n)).map(|n| (at(1_000 + n), 5.0)).collect();
        insta::assert_snapshot!(plot(&points, at(1_000), at(1_060), "By", 40));
    }

    #[test]
    fn nothing_is_drawn_from_nothing() {
        assert_eq!(plot(&[], Timestamp::from_secs(0), Timestamp::from_secs(1), "1", 80), "");
    }
}
