//! From one value of a series to the next, in as few bits as the step between them needs. Bit by bit exact.
//!
//! Most of what a host measures are whole numbers, multiples of a page, or decimals with two or three places: their steps are
//! small whole numbers. A step is tried as such and only taken when it gives back the very same bits; everything else is the
//! difference of the bits themselves, which is small too when a value moves little.

/// What a value is counted in: the number that it is multiplied by to be whole. The first two cost two bits, the others five.
const SCALES: [f64; 5] = [1.0, 100.0, 1.0 / 4_096.0, 1_000.0, 1_000_000.0];
/// The place of whole pages among the scales.
const PAGES: usize = 2;
const PAGE: i64 = 4_096;
/// Behind the scales: the difference of the bits, and the bits themselves.
const DIFFERENCE: u64 = 2;
const ESCAPE: u64 = 3;
const RAW: u64 = 7;

/// Writes bits, lowest first.
pub(super) struct BitWriter<'o> {
    out: &'o mut Vec<u8>,
    held: u64,
    count: u32,
}

impl<'o> BitWriter<'o> {
    pub(super) fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, held: 0, count: 0 }
    }

    /// The lowest `count` bits of `value`, whose others are nought.
    fn put(&mut self, value: u64, count: u32) {
        if count > 32 {
            self.put(value & 0xFFFF_FFFF, 32);
            self.put(value >> 32, count - 32);
            return;
        }
        self.held |= value << self.count;
        self.count += count;
        while self.count >= 8 {
            self.out.push(self.held as u8);
            self.held >>= 8;
            self.count -= 8;
        }
    }

    /// The step from one value to a different one.
    pub(super) fn step(&mut self, then: u64, now: u64) {
        if let Some((scale, delta)) = whole_step(then, now) {
            match scale {
                0 | 1 => self.put(scale as u64, 2),
                other => self.put((other as u64) << 2 | ESCAPE, 5),
            }
            self.size(zigzag(delta));
            return;
        }
        let difference = zigzag(now.wrapping_sub(then) as i64);
        if difference.leading_zeros() == 0 {
            self.put(RAW << 2 | ESCAPE, 5);
            self.put(now, 64);
        } else {
            self.put(DIFFERENCE, 2);
            self.size(difference);
        }
    }

    /// How many bits a number has, and the number without its highest one, which is known.
    fn size(&mut self, value: u64) {
        let bits = 64 - value.leading_zeros();
        self.put(u64::from(bits), 6);
        if bits > 1 {
            self.put(value & !(1 << (bits - 1)), bits - 1);
        }
    }

    /// Fills the last byte.
    pub(super) fn end(mut self) {
        let rest = (8 - self.count % 8) % 8;
        self.put(0, rest);
    }
}

/// Reads what [`BitWriter`] wrote.
pub(super) struct BitReader<'b> {
    bytes: &'b [u8],
    held: u64,
    count: u32,
}

impl<'b> BitReader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, held: 0, count: 0 }
    }

    #[inline]
    fn take(&mut self, count: u32) -> Option<u64> {
        if count > 48 {
            let low = self.take(32)?;
            return Some(low | self.take(count - 32)? << 32);
        }
        if self.count < count {
            self.fill();
        }
        let value = self.held & ((1 << count) - 1);
        self.held >>= count;
        self.count = self.count.checked_sub(count)?;
        Some(value)
    }

    /// Takes as many whole bytes as there is room for.
    fn fill(&mut self) {
        if let Some((eight, rest)) = self.bytes.split_first_chunk::<8>() {
            let taken = (63 - self.count) / 8;
            self.held |= (u64::from_le_bytes(*eight) & ((1 << (8 * taken)) - 1)) << self.count;
            self.count += 8 * taken;
            // What was not taken of the eight is given back.
            self.bytes = self.bytes.get(taken as usize..).unwrap_or(rest);
            return;
        }
        while let (true, Some((byte, rest))) = (self.count <= 55, self.bytes.split_first()) {
            self.held |= u64::from(*byte) << self.count;
            self.count += 8;
            self.bytes = rest;
        }
    }

    /// The value that follows `then`; `None` when the bits end or make no step.
    pub(super) fn step(&mut self, then: u64) -> Option<u64> {
        if self.count < 56 {
            self.fill();
        }
        // Nearly every step lies in what is held, and is taken as one.
        let (first, next) = (self.held & 3, self.held >> 2 & 7);
        let (kind, head) = if first == ESCAPE { (next, 5) } else { (first, 2) };
        let bits = (self.held >> head & 63) as u32;
        let (known, all) = (bits.saturating_sub(1), head + 6 + bits.saturating_sub(1));
        if all > self.count || (first == ESCAPE && kind == RAW) {
            return self.long_step(then);
        }
        let highest = u64::from(bits > 0) << known;
        let size = self.held >> (head + 6) & ((1 << known) - 1) | highest;
        self.held >>= all;
        self.count -= all;
        if first == DIFFERENCE { Some(differing(then, size)) } else { counted(then, kind, size) }
    }

    fn long_step(&mut self, then: u64) -> Option<u64> {
        let kind = match self.take(2)? {
            DIFFERENCE => return Some(differing(then, self.size()?)),
            ESCAPE => match self.take(3)? {
                RAW => return self.take(64),
                kind => kind,
            },
            kind => kind,
        };
        counted(then, kind, self.size()?)
    }

    fn size(&mut self) -> Option<u64> {
        match self.take(6)? as u32 {
            0 => Some(0),
            1 => Some(1),
            bits => Some(self.take(bits - 1)? | 1 << (bits - 1)),
        }
    }
}

/// The value whose bits differ by so much.
fn differing(then: u64, size: u64) -> u64 {
    then.wrapping_add(unzigzag(size) as u64)
}

/// The value that is so many more in one of the scales.
fn counted(then: u64, scale: u64, size: u64) -> Option<u64> {
    let scale = *SCALES.get(usize::try_from(scale).ok()?)?;
    let whole = scaled(then, scale).wrapping_add(unzigzag(size)) as f64;
    Some(if scale == 1.0 { whole } else { whole / scale }.to_bits())
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// A value counted in a scale, to the nearest; the same on both sides, whatever the value is.
fn scaled(bits: u64, scale: f64) -> i64 {
    let counted = f64::from_bits(bits) * scale;
    (counted + 0.5_f64.copysign(counted)) as i64
}

/// The scale in which a value is whole, and the step to it; `None` when it is whole in none, or the step is too large.
fn whole_step(then: u64, now: u64) -> Option<(usize, i64)> {
    let value = f64::from_bits(now);
    let whole = value as i64;
    let gives_back = |scale: f64| {
        let counted = scaled(now, scale);
        (((counted as f64) / scale).to_bits() == now).then_some(counted)
    };
    let (scale, counted) = if (whole as f64).to_bits() == now {
        let pages = whole % PAGE == 0 && scaled(then, 1.0) % PAGE == 0;
        let scale = if pages { PAGES } else { 0 };
        (scale, gives_back(*SCALES.get(scale)?)?)
    } else {
        [1, 3, 4].into_iter().find_map(|scale| Some((scale, gives_back(*SCALES.get(scale)?)?)))?
    };
    let delta = counted.wrapping_sub(scaled(then, *SCALES.get(scale)?));
    (zigzag(delta).leading_zeros() > 0).then_some((scale, delta))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bits(values: &[f64]) -> usize {
        let mut out = Vec::new();
        let mut writer = BitWriter::new(&mut out);
        values.windows(2).for_each(|pair| writer.step(pair[0].to_bits(), pair[1].to_bits()));
        writer.end();
        let mut reader = BitReader::new(&out);
        for pair in values.windows(2) {
            assert_eq!(reader.step(pair[0].to_bits()), Some(pair[1].to_bits()), "{pair:?}");
        }
        out.len() * 8
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<f64>(),
            any::<u64>().prop_map(f64::from_bits),
            any::<i64>().prop_map(|v| v as f64),
            (-100_000_i32..100_000).prop_map(|v| f64::from(v) / 100.0),
            (0_u32..100_000).prop_map(|v| f64::from(v) * 4_096.0),
            Just(-0.0),
            Just(0.0),
        ]
    }

    proptest! {
        #[test]
        fn every_step_gives_back_the_same_bits(values in proptest::collection::vec(value(), 2..40)) {
            bits(&values);
        }

        #[test]
        fn garbage_is_no_step_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40), then in any::<u64>()) {
            let mut reader = BitReader::new(&bytes);
            while reader.step(then).is_some() {}
        }
    }

    #[test]
    fn small_steps_of_what_a_host_measures_take_two_bytes() {
        assert_eq!(bits(&[15.41, 16.12]), 16);
        assert_eq!(bits(&[1_000_000.0, 1_000_090.0]), 16);
        assert_eq!(bits(&[4_096.0 * 500.0, 4_096.0 * 560.0]), 24);
        assert!(bits(&[0.512_345_678_9, 0.512_345_678_8]) <= 48);
    }
}
