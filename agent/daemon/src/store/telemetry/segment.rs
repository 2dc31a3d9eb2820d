//! Many ticks as compressed columns, one a series: the sealed form.
//!
//! Every series shares the segment's timeline. A column is one byte for its form, the runs of ticks it has values for
//! (left out when that is all of them), and the values: one constant, or `pco` over whole numbers or over floats.

use std::collections::BTreeMap;

use pco::ChunkConfig;
use pco::standalone::{simple_compress, simple_decompress};

use super::row::Row;
use super::varint;

const CONSTANT: u8 = 0;
const FLOATS: u8 = 1;
const WHOLE: u8 = 2;
const SPARSE: u8 = 0x80;
/// Whole numbers up to here are exact as `f64`.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// What is written of a sealed stretch.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) timeline: Vec<u8>,
    pub(super) directory: Vec<u8>,
    pub(super) columns: Vec<u8>,
    pub(super) samples: u64,
}

/// Where a series' column lies among the segment's columns, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) series: u32,
    pub(super) start: usize,
    pub(super) len: usize,
}

/// Consecutive ticks as (first, count).
type Runs = Vec<(usize, usize)>;

/// One series' values: runs of consecutive ticks as (first, count), and the values of all runs.
#[derive(Debug, PartialEq)]
pub(super) struct Column {
    runs: Runs,
    values: Vec<f64>,
}

impl Column {
    /// (tick within the segment, value), in order.
    pub(super) fn points(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.runs.iter().flat_map(|(first, count)| *first..*first + *count).zip(self.values.iter().copied())
    }
}

fn config() -> ChunkConfig {
    ChunkConfig::default()
}

/// Compresses ticks; `None` when `pco` refuses, which valid input never makes it do.
pub(super) fn seal(ticks: &[(i64, Row)]) -> Option<Sealed> {
    let times: Vec<i64> = ticks.iter().map(|(at, _)| *at).collect();
    let mut columns: BTreeMap<u32, (Runs, Vec<f64>)> = BTreeMap::new();
    for (tick, (_, row)) in ticks.iter().enumerate() {
        for (id, value) in row.samples() {
            let (runs, values) = columns.entry(id).or_insert_with(|| (Vec::new(), Vec::with_capacity(ticks.len())));
            match runs.last_mut() {
                Some((first, count)) if *first + *count == tick => *count += 1,
                _ => runs.push((tick, 1)),
            }
            values.push(value);
        }
    }
    let mut sealed =
        Sealed { timeline: simple_compress(&times, &config()).ok()?, directory: vec![], columns: vec![], samples: 0 };
    varint::put(&mut sealed.directory, columns.len() as u64);
    let mut last = 0;
    for (id, (runs, values)) in columns {
        let start = sealed.columns.len();
        encode(&mut sealed.columns, &runs, &values, ticks.len())?;
        varint::put(&mut sealed.directory, u64::from(id - last));
        varint::put(&mut sealed.directory, (sealed.columns.len() - start) as u64);
        last = id;
        sealed.samples += values.len() as u64;
    }
    Some(sealed)
}

fn encode(out: &mut Vec<u8>, runs: &[(usize, usize)], values: &[f64], ticks: usize) -> Option<()> {
    let sparse = if values.len() == ticks { 0 } else { SPARSE };
    let form_at = out.len();
    out.push(0);
    if sparse != 0 {
        varint::put(out, runs.len() as u64);
        let mut end = 0;
        for (first, count) in runs {
            varint::put(out, (first - end) as u64);
            varint::put(out, *count as u64);
            end = first + count;
        }
    }
    let first = values.first()?;
    let form = if values.iter().all(|v| v.to_bits() == first.to_bits()) {
        out.extend_from_slice(&first.to_bits().to_le_bytes());
        CONSTANT
    } else if values.iter().all(|v| v.abs() < WHOLE_MAX && (*v as i64 as f64).to_bits() == v.to_bits()) {
        let whole: Vec<i64> = values.iter().map(|v| *v as i64).collect();
        out.extend(simple_compress(&whole, &config()).ok()?);
        WHOLE
    } else {
        out.extend(simple_compress(values, &config()).ok()?);
        FLOATS
    };
    *out.get_mut(form_at)? = form | sparse;
    Some(())
}

/// The times of a segment's ticks.
pub(super) fn timeline(bytes: &[u8], ticks: usize) -> Option<Vec<i64>> {
    simple_decompress::<i64>(bytes).ok().filter(|times| times.len() == ticks)
}

/// The places of all columns, by series.
pub(super) fn directory(mut bytes: &[u8]) -> Option<Vec<Place>> {
    let bytes = &mut bytes;
    let count = usize::try_from(varint::take(bytes)?).ok().filter(|n| *n <= bytes.len())?;
    let (mut series, mut start) = (0_u32, 0_usize);
    let mut places = Vec::with_capacity(count);
    for _ in 0..count {
        series = series.checked_add(u32::try_from(varint::take(bytes)?).ok()?)?;
        let len = usize::try_from(varint::take(bytes)?).ok()?;
        places.push(Place { series, start, len });
        start = start.checked_add(len)?;
    }
    Some(places)
}

/// One column of a segment with that many ticks.
pub(super) fn column(mut bytes: &[u8], ticks: usize) -> Option<Column> {
    let bytes = &mut bytes;
    let form = *varint::take_bytes(bytes, 1)?.first()?;
    let runs = if form & SPARSE == 0 {
        vec![(0, ticks)]
    } else {
        let count = usize::try_from(varint::take(bytes)?).ok().filter(|n| *n <= ticks)?;
        let mut end = 0_usize;
        let mut runs = Vec::with_capacity(count);
        for _ in 0..count {
            let first = end.checked_add(usize::try_from(varint::take(bytes)?).ok()?)?;
            let count = usize::try_from(varint::take(bytes)?).ok()?;
            end = first.checked_add(count).filter(|end| *end <= ticks)?;
            runs.push((first, count));
        }
        runs
    };
    let count: usize = runs.iter().map(|(_, count)| count).sum();
    let values = match form & !SPARSE {
        CONSTANT => vec![f64::from_bits(u64::from_le_bytes((*bytes).try_into().ok()?)); count],
        FLOATS => simple_decompress::<f64>(bytes).ok()?,
        WHOLE => simple_decompress::<i64>(bytes).ok()?.into_iter().map(|v| v as f64).collect(),
        _ => return None,
    };
    (values.len() == count).then_some(Column { runs, values })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_sealed_stretch_holds_every_sample(
            ticks in proptest::collection::vec(
                (any::<i64>(), proptest::collection::vec((0_u32..12, prop_oneof![
                    Just(1.5), Just(-0.0), any::<f64>(), (-50_i32..50).prop_map(f64::from)]), 0..12)),
                1..60)
        ) {
            let ticks: Vec<(i64, Row)> = ticks.into_iter().map(|(at, s)| (at, Row::new(s.into_iter()))).collect();
            let sealed = seal(&ticks).unwrap();
            let times = timeline(&sealed.timeline, ticks.len()).unwrap();
            prop_assert_eq!(times, ticks.iter().map(|t| t.0).collect::<Vec<_>>());
            let mut rows: Vec<Vec<(u32, f64)>> = vec![vec![]; ticks.len()];
            for place in directory(&sealed.directory).unwrap() {
                let bytes = &sealed.columns[place.start..place.start + place.len];
                for (tick, value) in column(bytes, ticks.len()).unwrap().points() {
                    rows[tick].push((place.series, value));
                }
            }
            for (row, (_, wanted)) in rows.into_iter().zip(&ticks) {
                prop_assert_eq!(&Row::new(row.into_iter()), wanted);
            }
        }

        #[test]
        fn garbage_is_refused_and_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100), ticks in 0_usize..99) {
            let _ = (directory(&bytes), column(&bytes, ticks));
        }
    }

    #[test]
    fn a_constant_costs_next_to_nothing() {
        let ticks: Vec<(i64, Row)> = (0..600).map(|t| (t, Row::new([(7, 3.25)].into_iter()))).collect();
        assert_eq!(seal(&ticks).unwrap().columns.len(), 9);
    }
}
