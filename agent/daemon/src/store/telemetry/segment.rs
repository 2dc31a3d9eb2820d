//! Many ticks as compressed columns, one a series: the sealed form.
//!
//! Every series shares the segment's timeline. A column is one byte for its form, the runs of ticks it has values for
//! (left out when that is all of them), and the values: one constant, or `pco` over whole numbers, over decimals counted in
//! their last place, or over floats.

use pco::standalone::{simple_compress, simple_decompress};
use pco::{ChunkConfig, DeltaSpec, ModeSpec};

use super::row::Row;
use super::varint;

const CONSTANT: u8 = 0;
const FLOATS: u8 = 1;
const WHOLE: u8 = 2;
/// Whole numbers of a decimal part, whose place among [`DECIMALS`] follows.
const DECIMAL: u8 = 3;
const SPARSE: u8 = 0x80;
/// Whole numbers up to here are exact as `f64`.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
/// What values are multiplied by to be whole, when that gives back the very same bits.
const DECIMALS: [f64; 4] = [10.0, 100.0, 1_000.0, 1_000_000.0];

/// How hard the compressor tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// What is merged with others within the hour.
    Quick,
    /// What is kept.
    Full,
}

impl Effort {
    fn config(self) -> ChunkConfig {
        match self {
            Self::Quick => ChunkConfig::default()
                .with_compression_level(2)
                .with_mode_spec(ModeSpec::Classic)
                .with_delta_spec(DeltaSpec::TryConsecutive(1)),
            Self::Full => ChunkConfig::default(),
        }
    }
}

/// What is written of a sealed stretch.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) timeline: Vec<u8>,
    pub(super) directory: Vec<u8>,
    pub(super) columns: Vec<u8>,
    pub(super) samples: u64,
}

/// Where a column lies among the segment's columns, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The series, or in a coarser tier the series and the part it tells of.
    pub(super) series: u32,
    pub(super) start: usize,
    pub(super) len: usize,
}

/// Consecutive ticks as (first, count).
type Runs = Vec<(usize, usize)>;

/// One series' values: runs of consecutive ticks as (first, count), and the values of all runs.
#[derive(Debug, PartialEq, Default)]
pub(super) struct Column {
    runs: Runs,
    values: Vec<f64>,
}

impl Column {
    /// The value of a tick later than all before.
    pub(super) fn push(&mut self, tick: usize, value: f64) {
        match self.runs.last_mut() {
            Some((first, count)) if *first + *count == tick => *count += 1,
            _ => self.runs.push((tick, 1)),
        }
        self.values.push(value);
    }

    /// All of a column whose ticks begin at `base`, later than all before.
    pub(super) fn append(&mut self, base: usize, other: &Self) {
        for (first, count) in &other.runs {
            match self.runs.last_mut() {
                Some((f, c)) if *f + *c == base + first => *c += count,
                _ => self.runs.push((base + first, *count)),
            }
        }
        self.values.extend_from_slice(&other.values);
    }

    /// Runs of consecutive ticks: the first, and their values.
    pub(super) fn runs(&self) -> impl Iterator<Item = (usize, &[f64])> + '_ {
        let mut from = 0;
        self.runs.iter().filter_map(move |(first, count)| {
            let values = self.values.get(from..from + count)?;
            from += count;
            Some((*first, values))
        })
    }

    /// (tick within the segment, value), in order.
    pub(super) fn points(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.runs.iter().flat_map(|(first, count)| *first..*first + *count).zip(self.values.iter().copied())
    }
}

/// Puts a stretch together, a column at a time, by rising series.
#[derive(Debug)]
pub(super) struct Builder {
    sealed: Sealed,
    ticks: usize,
    effort: Effort,
    count: u64,
    last: u32,
}

impl Builder {
    /// `None` when the compressor refuses, which valid input never makes it do.
    pub(super) fn new(times: &[i64], effort: Effort) -> Option<Self> {
        let timeline = encode_times(times)?;
        let sealed = Sealed { timeline, directory: vec![], columns: vec![], samples: 0 };
        Some(Self { sealed, ticks: times.len(), effort, count: 0, last: 0 })
    }

    pub(super) fn push(&mut self, series: u32, column: &Column) -> Option<()> {
        let start = self.sealed.columns.len();
        encode(&mut self.sealed.columns, column, self.ticks, &self.effort.config())?;
        varint::put(&mut self.sealed.directory, u64::from(series - self.last));
        varint::put(&mut self.sealed.directory, (self.sealed.columns.len() - start) as u64);
        self.last = series;
        self.count += 1;
        self.sealed.samples += column.values.len() as u64;
        Some(())
    }

    pub(super) fn end(mut self) -> Sealed {
        let mut directory = Vec::with_capacity(self.sealed.directory.len() + 5);
        varint::put(&mut directory, self.count);
        directory.append(&mut self.sealed.directory);
        Sealed { directory, ..self.sealed }
    }
}

/// Compresses ticks quickly; `None` as for [`Builder::new`].
pub(super) fn seal<'r>(times: &[i64], rows: impl Iterator<Item = &'r Row> + Clone) -> Option<Sealed> {
    let mut ids: Vec<u32> = Vec::new();
    for row in rows.clone() {
        if row.ids != ids {
            ids.extend_from_slice(&row.ids);
            ids.sort_unstable();
            ids.dedup();
        }
    }
    let mut columns: Vec<Column> = ids.iter().map(|_| Column::default()).collect();
    for (tick, row) in rows.enumerate() {
        // Both are sorted, and mostly the same.
        let mut places = ids.iter().zip(&mut columns);
        for (id, value) in row.samples() {
            if let Some((_, column)) = places.find(|(other, _)| **other == id) {
                column.push(tick, value);
            }
        }
    }
    let mut builder = Builder::new(times, Effort::Quick)?;
    for (id, column) in ids.iter().zip(&columns) {
        builder.push(*id, column)?;
    }
    Some(builder.end())
}

fn encode(out: &mut Vec<u8>, column: &Column, ticks: usize, config: &ChunkConfig) -> Option<()> {
    let Column { runs, values } = column;
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
    } else if let Some(whole) = counted(values, 1.0) {
        out.extend(simple_compress(&whole, config).ok()?);
        WHOLE
    } else if let Some((place, whole)) = decimals(values) {
        out.push(place as u8);
        out.extend(simple_compress(&whole, config).ok()?);
        DECIMAL
    } else {
        out.extend(simple_compress(values, config).ok()?);
        FLOATS
    };
    *out.get_mut(form_at)? = form | sparse;
    Some(())
}

/// All values as whole numbers of a scale, when each gives back the very same bits.
fn counted(values: &[f64], scale: f64) -> Option<Vec<i64>> {
    let count = |v: &f64| {
        let whole = if scale == 1.0 { *v as i64 } else { (v * scale).round() as i64 };
        let same = (whole as f64 / scale).to_bits() == v.to_bits();
        (same && (whole as f64).abs() < WHOLE_MAX).then_some(whole)
    };
    values.iter().map(count).collect()
}

fn decimals(values: &[f64]) -> Option<(usize, Vec<i64>)> {
    DECIMALS.iter().enumerate().find_map(|(place, scale)| Some((place, counted(values, *scale)?)))
}

/// Evenly spaced times are their first and their distance; what `pco` writes never begins with this byte.
const EVEN: u8 = 0;

fn encode_times(times: &[i64]) -> Option<Vec<u8>> {
    if let [first, second, ..] = times
        && let Some(apart) = second.checked_sub(*first)
        && times.windows(2).all(|w| w[1].checked_sub(w[0]) == Some(apart))
    {
        return Some([&[EVEN][..], &first.to_le_bytes(), &apart.to_le_bytes()].concat());
    }
    simple_compress(times, &Effort::Full.config()).ok()
}

/// Whether time goes on from tick to tick, when that can be told without looking at each.
pub(super) fn goes_on_evenly(timeline: &[u8]) -> bool {
    // The sign of the distance is the highest bit of its last byte.
    matches!(timeline, [EVEN, .., last] if *last < 0x80)
}

/// The times of a segment's ticks.
pub(super) fn timeline(bytes: &[u8], ticks: usize) -> Option<Vec<i64>> {
    if let Some((&EVEN, rest)) = bytes.split_first() {
        let (first, apart) = rest.split_first_chunk::<8>()?;
        let (first, apart) = (i64::from_le_bytes(*first), i64::from_le_bytes(apart.try_into().ok()?));
        apart.checked_mul((ticks as i64).checked_sub(1)?)?.checked_add(first)?;
        return Some((0..ticks as i64).map(|tick| first + apart * tick).collect());
    }
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
        DECIMAL => {
            let place = *varint::take_bytes(bytes, 1)?.first()?;
            let scale = *DECIMALS.get(usize::from(place))?;
            simple_decompress::<i64>(bytes).ok()?.into_iter().map(|v| v as f64 / scale).collect()
        }
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
                    Just(1.5), Just(-0.0), any::<f64>(), (-50_i32..50).prop_map(f64::from),
                    (-50_000_i32..50_000).prop_map(|v| f64::from(v) / 100.0)]), 0..12)),
                1..60)
        ) {
            let ticks: Vec<(i64, Row)> = ticks.into_iter().map(|(at, s)| (at, Row::new(s.into_iter()))).collect();
            let at: Vec<i64> = ticks.iter().map(|t| t.0).collect();
            let sealed = seal(&at, ticks.iter().map(|t| &t.1)).unwrap();
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
    fn even_times_come_back_to_the_ends_of_time() {
        for times in
            [vec![5, 8, 11], vec![i64::MAX - 3, i64::MAX], vec![i64::MIN + 2, i64::MIN], vec![7], vec![3, 3, 3]]
        {
            let bytes = encode_times(&times).unwrap();
            assert!(!goes_on_evenly(&bytes) || times.is_sorted());
            assert_eq!(timeline(&bytes, times.len()), Some(times));
        }
    }

    #[test]
    fn a_constant_costs_next_to_nothing() {
        let (times, row): (Vec<i64>, _) = ((0..600).collect(), Row::new([(7, 3.25)].into_iter()));
        let sealed = seal(&times, times.iter().map(|_| &row)).unwrap();
        assert_eq!(sealed.columns.len(), 9);
    }
}
