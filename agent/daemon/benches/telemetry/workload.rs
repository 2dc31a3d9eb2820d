//! "host-300": what a host of 300 series looks like, the same numbers each time.
//!
//! Thirty series make a group: six percentages with two decimals that wander around their mean, six counters (rates of ten to
//! a million a second, by group, with idle seconds), five amounts of memory in pages, eight levels that seldom step, three
//! constants and two averages with every bit in use. Sample k of a series is at `T0_S` + k seconds, without jitter. The first
//! values of series 0 are 15.41, 16.12, 16.32, 15.55 and 15.98.

/// A multiple of two hours.
pub(crate) const T0_S: i64 = 1_760_004_000;

/// splitmix64.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Even in 0..1.
    fn even(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// About normal, of variance 1.
    fn normal(&mut self) -> f64 {
        (self.even() + self.even() + self.even() + self.even() - 2.0) * 1.732_050_8
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Percent,
    Counter,
    Memory,
    Step,
    Constant,
    Full,
}

pub(crate) fn class_of(series: usize) -> Class {
    match series % 30 {
        0..=5 => Class::Percent,
        6..=11 => Class::Counter,
        12..=16 => Class::Memory,
        17..=24 => Class::Step,
        25..=27 => Class::Constant,
        _ => Class::Full,
    }
}

pub(crate) fn name_of(class: Class) -> &'static str {
    match class {
        Class::Percent => "hf_pct",
        Class::Counter => "hf_ctr_total",
        Class::Memory => "hf_mem_bytes",
        Class::Step => "hf_step",
        Class::Constant => "hf_const",
        Class::Full => "hf_full",
    }
}

#[derive(Debug)]
pub(crate) struct Series {
    class: Class,
    random: Random,
    value: f64,
    /// A percentage's mean, or a counter's rate a second.
    parameter: f64,
}

impl Series {
    pub(crate) fn new(series: usize) -> Self {
        let mut random = Random((series as u64 + 1).wrapping_mul(0xD1B5_4A32_D192_ED03));
        let class = class_of(series);
        let (value, parameter) = match class {
            Class::Percent => {
                let mean = 5.0 + 60.0 * random.even();
                (mean, mean)
            }
            Class::Counter => ((random.even() * 1e9).floor(), 10_f64.powi(1 + ((series / 30) % 6) as i32)),
            Class::Memory => ((100_000.0 + random.even() * 1_000_000.0).floor(), 0.0),
            Class::Step => ((random.even() * 500.0).floor(), 0.0),
            Class::Constant => ((random.even() * 1e10).floor(), 0.0),
            Class::Full => (0.5 + random.even(), 0.0),
        };
        Self { class, random, value, parameter }
    }

    pub(crate) fn next(&mut self) -> f64 {
        let random = &mut self.random;
        match self.class {
            Class::Percent => {
                let pull = 0.05 * (self.parameter - self.value);
                self.value = (self.value + 0.8 * random.normal() + pull).clamp(0.0, 100.0);
                (self.value * 100.0).round() / 100.0
            }
            Class::Counter => {
                if random.even() >= 0.3 {
                    self.value += (self.parameter * (0.5 + random.even())).floor();
                }
                self.value
            }
            Class::Memory => {
                if random.even() < 0.5 {
                    self.value = (self.value + (64.0 * random.normal()).round()).max(1.0);
                }
                self.value * 4_096.0
            }
            Class::Step => {
                if random.even() < 1.0 / 300.0 {
                    let by = 1.0 + (random.even() * 8.0).floor();
                    let up = random.even() < 0.5;
                    self.value = if up { self.value + by } else { (self.value - by).max(0.0) };
                }
                self.value
            }
            Class::Constant => self.value,
            Class::Full => {
                let load = 2.0 * random.even() * random.even();
                self.value = self.value * 0.983 + 0.017 * load;
                self.value
            }
        }
    }
}

/// All series, a tick at a time.
#[derive(Debug)]
pub(crate) struct Workload(Vec<Series>);

impl Workload {
    pub(crate) fn new(series: usize) -> Self {
        let all = Self((0..series).map(Series::new).collect());
        let mut first = Series::new(0);
        let head: Vec<f64> = (0..5).map(|_| first.next()).collect();
        assert_eq!(head, [15.41, 16.12, 16.32, 15.55, 15.98], "this is not the workload that the goals speak of");
        all
    }

    /// The values of the next tick, by series.
    pub(crate) fn tick(&mut self) -> Vec<f64> {
        self.0.iter_mut().map(Series::next).collect()
    }
}
