//! Measures as people write them: `"5s"`, `"64MiB"`, `"80%"`. Bare numbers are refused: their unit would be a guess.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that is not the wanted measure; the message says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {wanted}")]
pub struct MeasureError {
    /// What was given.
    pub text: String,
    /// What is wanted, with an example.
    pub wanted: &'static str,
}

macro_rules! text_serde {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// A span of time: `500ms`, `30s`, `5m`, `2h`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval(pub Duration);

impl Interval {
    /// From whole seconds.
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }
}

const INTERVAL_WANTED: &str = "a span of time such as \"500ms\", \"30s\", \"5m\", \"2h\" or \"7d\"";

impl FromStr for Interval {
    type Err = MeasureError;
    fn from_str(text: &str) -> Result<Self, MeasureError> {
        let error = || MeasureError { text: text.to_owned(), wanted: INTERVAL_WANTED };
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(error)?;
        let number: u64 = text[..split].parse().map_err(|_| error())?;
        let ms_each: u64 = match &text[split..] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(error()),
        };
        number.checked_mul(ms_each).map(|ms| Self(Duration::from_millis(ms))).ok_or_else(error)
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        for (unit, each) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
            if ms >= each && ms.is_multiple_of(each) {
                return write!(f, "{}{unit}", ms / each);
            }
        }
        write!(f, "{ms}ms")
    }
}
text_serde!(Interval);

/// An amount of bytes: `512B`, `64KiB`, `64MiB`, `2GiB`, `1TiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

const BYTE_SIZE_WANTED: &str = "a size such as \"512B\", \"64KiB\", \"64MiB\" or \"2GiB\"";
const BYTE_UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl FromStr for ByteSize {
    type Err = MeasureError;
    fn from_str(text: &str) -> Result<Self, MeasureError> {
        let error = || MeasureError { text: text.to_owned(), wanted: BYTE_SIZE_WANTED };
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(error)?;
        let number: u64 = text[..split].parse().map_err(|_| error())?;
        let unit = &text[split..];
        let each = if unit == "B" {
            1
        } else {
            BYTE_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, each)| *each).ok_or_else(error)?
        };
        number.checked_mul(each).map(Self).ok_or_else(error)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, each) in BYTE_UNITS {
            if self.0 >= each && self.0.is_multiple_of(each) {
                return write!(f, "{}{unit}", self.0 / each);
            }
        }
        write!(f, "{}B", self.0)
    }
}
text_serde!(ByteSize);

/// Bytes for people: three figures and a binary unit, `1.46 GiB`. For logs and pages, not for parsing.
pub fn human_bytes(bytes: u64) -> String {
    for (unit, each) in BYTE_UNITS {
        if bytes >= each {
            return format!("{:.2} {unit}", bytes as f64 / each as f64);
        }
    }
    format!("{bytes} B")
}

/// A part of a whole, 0 to 1, written `80%` or `0.5%`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Ratio(pub f64);

impl FromStr for Ratio {
    type Err = MeasureError;
    fn from_str(text: &str) -> Result<Self, MeasureError> {
        let error = || MeasureError { text: text.to_owned(), wanted: "a share from \"0%\" to \"100%\"" };
        let percent: f64 = text.strip_suffix('%').and_then(|n| n.parse().ok()).ok_or_else(error)?;
        if (0.0..=100.0).contains(&percent) { Ok(Self(percent / 100.0)) } else { Err(error()) }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Twelve figures hide the noise of dividing by 100 and keep every share that a person writes.
        let percent = (self.0 * 100.0 * 1e10).round() / 1e10;
        write!(f, "{percent}%")
    }
}
text_serde!(Ratio);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn intervals_are_written_as_people_write_them() {
        for text in ["500ms", "30s", "5m", "2h", "7d"] {
            assert_eq!(text.parse::<Interval>().map(|i| i.to_string()), Ok(text.to_owned()));
        }
        for bad in ["5", "s", "", "1.5s", "5 s", "-5s", "99999999999999999999s", "5w"] {
            assert!(bad.parse::<Interval>().is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_carry_their_unit() {
        for text in ["512B", "64KiB", "64MiB", "3GiB"] {
            assert_eq!(text.parse::<ByteSize>().map(|i| i.to_string()), Ok(text.to_owned()));
        }
        for bad in ["64", "64MB", "64M", "MiB", "99999999999999TiB"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
    }

    #[test]
    fn shares_stay_between_nothing_and_all() {
        assert_eq!("80%".parse::<Ratio>(), Ok(Ratio(0.8)));
        for bad in ["80", "101%", "-1%", "NaN%", "%"] {
            assert!(bad.parse::<Ratio>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_to_the_same(ms in 0_u64..10_000_000_000, bytes: u64, share in 0_u32..=10_000) {
            let interval = Interval(Duration::from_millis(ms));
            prop_assert_eq!(interval.to_string().parse(), Ok(interval));
            prop_assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)));
            let text = Ratio(f64::from(share) / 10_000.0).to_string();
            prop_assert_eq!(text.parse::<Ratio>().map(|r| r.to_string()), Ok(text));
        }
    }
}
