//! One tick as a row: every series' value, against the row before.
//!
//! Of each value only the step from the former one is kept; an unchanged value costs one bit. A key row stands on its own,
//! and begins every stretch of rows that can be read without what came before. Rows of the first version, which keep the bytes
//! that differ, are still read.

use super::steps::{BitReader, BitWriter};
use super::varint;

const KEY: u8 = 1;
const SAME_IDS: u8 = 2;
/// Steps instead of bytes that differ.
const STEPS: u8 = 4;

/// The values of one tick, sorted by series, each series once. Values are the bits of an `f64`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Row {
    pub(super) ids: Vec<u32>,
    pub(super) bits: Vec<u64>,
}

impl Row {
    /// Sorts, and keeps the last value of a series that comes twice. Values that are not finite are left out.
    pub(super) fn new(samples: impl Iterator<Item = (u32, f64)>) -> Self {
        let mut samples: Vec<(u32, u64)> =
            samples.filter(|(_, v)| v.is_finite()).map(|(id, v)| (id, v.to_bits())).collect();
        if !samples.is_sorted_by(|a, b| a.0 < b.0) {
            samples.sort_by_key(|(id, _)| *id);
            samples.reverse();
            samples.dedup_by_key(|(id, _)| *id);
            samples.reverse();
        }
        let (ids, bits) = samples.into_iter().unzip();
        Self { ids, bits }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn get(&self, id: u32) -> Option<f64> {
        self.ids.binary_search(&id).ok().and_then(|at| self.bits.get(at)).map(|b| f64::from_bits(*b))
    }

    pub(super) fn samples(&self) -> impl Iterator<Item = (u32, f64)> + '_ {
        self.ids.iter().zip(&self.bits).map(|(id, bits)| (*id, f64::from_bits(*bits)))
    }

    /// What values of `ids` are held against: the former row's, or zero.
    fn base(before: Option<&Self>, ids: &[u32]) -> Vec<u64> {
        let Some(before) = before else { return vec![0; ids.len()] };
        if before.ids == ids {
            return before.bits.clone();
        }
        let mut former = before.ids.iter().zip(&before.bits).peekable();
        ids.iter()
            .map(|id| {
                while former.next_if(|(other, _)| *other < id).is_some() {}
                former.next_if(|(other, _)| *other == id).map_or(0, |(_, bits)| *bits)
            })
            .collect()
    }

    /// `before: None` makes a key row.
    pub(super) fn encode(&self, before: Option<&Self>) -> Vec<u8> {
        let same = before.is_some_and(|b| b.ids == self.ids);
        let mut out = Vec::with_capacity(16 + self.len() * 3);
        out.push(STEPS | if before.is_none() { KEY } else { 0 } | if same { SAME_IDS } else { 0 });
        if !same {
            varint::put(&mut out, self.ids.len() as u64);
            let mut last = 0;
            for id in &self.ids {
                varint::put(&mut out, u64::from(id - last));
                last = *id;
            }
        }
        let base = Self::base(before, &self.ids);
        let bitmap_at = out.len();
        out.resize(bitmap_at + self.len().div_ceil(8), 0);
        for (index, (now, then)) in self.bits.iter().zip(&base).enumerate() {
            if now != then {
                out[bitmap_at + index / 8] |= 1 << (index % 8);
            }
        }
        let mut steps = BitWriter::new(&mut out);
        for (now, then) in self.bits.iter().zip(base) {
            if *now != then {
                steps.step(then, *now);
            }
        }
        steps.end();
        out
    }

    /// The row that `bytes` and the row before make; `None` when they do not fit together.
    #[cfg(test)]
    pub(super) fn decode(before: Option<&Self>, bytes: &[u8]) -> Option<Self> {
        let mut row = before.cloned();
        Self::follow(&mut row, bytes)?;
        row
    }

    /// Makes the row before the one that `bytes` tell of. After `None`, when they do not fit together, it is neither.
    pub(super) fn follow(row: &mut Option<Self>, mut bytes: &[u8]) -> Option<()> {
        let bytes = &mut bytes;
        let flags = *varint::take_bytes(bytes, 1)?.first()?;
        if flags & KEY != 0 {
            *row = None;
        } else {
            row.as_ref()?;
        }
        if flags & SAME_IDS == 0 {
            let count = usize::try_from(varint::take(bytes)?).ok().filter(|n| *n <= bytes.len())?;
            let mut last = 0_u32;
            let mut ids = Vec::with_capacity(count);
            for _ in 0..count {
                last = last.checked_add(u32::try_from(varint::take(bytes)?).ok()?)?;
                ids.push(last);
            }
            let bits = Self::base(row.as_ref(), &ids);
            *row = Some(Self { ids, bits });
        }
        let row = row.as_mut()?;
        let bitmap = varint::take_bytes(bytes, row.ids.len().div_ceil(8))?;
        let mut steps = BitReader::new(if flags & STEPS == 0 { &[] } else { bytes });
        for (eight, values) in bitmap.iter().zip(row.bits.chunks_mut(8)) {
            let mut changed = *eight;
            while changed != 0 {
                let value = values.get_mut(changed.trailing_zeros() as usize)?;
                changed &= changed - 1;
                *value = if flags & STEPS == 0 { *value ^ difference(bytes)? } else { steps.step(*value)? };
            }
        }
        Some(())
    }
}

/// What the first version kept of a value: how many of its leading bytes are the same, and those that differ.
fn difference(bytes: &mut &[u8]) -> Option<u64> {
    let control = *varint::take_bytes(bytes, 1)?.first()?;
    let (lead, len) = (u32::from(control >> 4), usize::from(control & 15));
    let trail = 8_u32.checked_sub(lead + len as u32)?;
    let mut raw = [0; 8];
    raw.get_mut(..len)?.copy_from_slice(varint::take_bytes(bytes, len)?);
    u64::from_le_bytes(raw).checked_shl(8 * trail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let value = prop_oneof![Just(0.0), Just(-0.0), any::<f64>(), (0_u32..5000).prop_map(f64::from)];
        let row = proptest::collection::vec((0_u32..40, value), 0..40).prop_map(|s| Row::new(s.into_iter()));
        proptest::collection::vec(row, 1..12)
    }

    proptest! {
        #[test]
        fn rows_come_back_bit_by_bit(rows in rows(), key_every in 1_usize..5) {
            let (mut written, mut read): (Option<Row>, Option<Row>) = (None, None);
            for (index, row) in rows.iter().enumerate() {
                let bytes = row.encode(written.as_ref().filter(|_| index % key_every != 0));
                let back = Row::decode(read.as_ref(), &bytes).unwrap();
                prop_assert_eq!(&back, row);
                written = Some(row.clone());
                read = Some(back);
            }
        }

        #[test]
        fn garbage_is_refused_and_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), rows in rows()) {
            let _ = Row::decode(None, &bytes);
            let _ = Row::decode(rows.first(), &bytes);
        }
    }

    #[test]
    fn an_unchanged_value_costs_one_bit() {
        let row = Row::new((0..800).map(|id| (id, f64::from(id) * 1.1)));
        assert_eq!(row.encode(Some(&row)).len(), 1 + 100);
    }

    #[test]
    fn the_last_of_two_values_counts() {
        assert_eq!(Row::new([(2, 1.0), (1, 5.0), (2, 3.0), (3, f64::NAN)].into_iter()).get(2), Some(3.0));
        assert_eq!(Row::new([(2, 1.0), (1, 5.0), (3, f64::NAN)].into_iter()).ids, vec![1, 2]);
    }
}
