//! Measures as operators write them in settings: `"6h"`, `"10GiB"`, `"20%"`. Bare numbers are refused: their unit would be a guess.

use std::fmt;

use serde::{Deserialize, Deserializer};

macro_rules! measure {
    ($(#[$doc:meta])* $name:ident($inner:ty), $wanted:literal, $parse:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
        pub struct $name(pub $inner);

        impl $name {
            /// Reads the text; the error says what is wanted.
            pub fn parse(text: &str) -> Result<Self, String> {
                $parse(text).map(Self).ok_or_else(|| format!(concat!("`{}` is not ", $wanted), crate::text::line(text)))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

measure!(
    /// A span of time in nanoseconds: `500ms`, `30s`, `5m`, `2h`, `7d`.
    ///
    /// ```
    /// use holdfast_plugin_sdk::measure::Span;
    /// assert_eq!(Span::parse("5m"), Ok(Span(300_000_000_000)));
    /// assert!(Span::parse("5").unwrap_err().contains("is not a span of time such as"));
    /// ```
    Span(u64),
    "a span of time such as \"500ms\", \"30s\", \"5m\", \"2h\" or \"7d\"",
    parse_span
);
measure!(
    /// An amount of bytes: `512B`, `64KiB`, `64MiB`, `2GiB`, `1TiB`.
    ///
    /// ```
    /// use holdfast_plugin_sdk::measure::Bytes;
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Settings {
    ///     largest: Bytes,
    /// }
    ///
    /// let settings: Settings = serde_json::from_str(r#"{"largest": "64KiB"}"#)?;
    /// assert_eq!(settings.largest.0, 65_536);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    Bytes(u64),
    "a size such as \"512B\", \"64KiB\", \"64MiB\" or \"2GiB\"",
    parse_bytes
);
measure!(
    /// A part of a whole, 0 to 1: `80%`.
    ///
    /// ```
    /// use holdfast_plugin_sdk::measure::Share;
    /// assert_eq!(Share::parse("80%"), Ok(Share(0.8)));
    /// assert!(Share::parse("180%").is_err());
    /// ```
    Share(f64),
    "a share from \"0%\" to \"100%\"",
    parse_share
);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::text::span(self.0))
    }
}

fn parse_span(text: &str) -> Option<u64> {
    let units = [("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000)];
    scaled(text, units.into_iter().chain([("d", 86_400_000_000_000)]))
}

fn parse_bytes(text: &str) -> Option<u64> {
    scaled(text, [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)].into_iter())
}

fn parse_share(text: &str) -> Option<f64> {
    let percent: f64 = text.strip_suffix('%')?.parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent / 100.0)
}

fn scaled(text: &str, mut units: impl Iterator<Item = (&'static str, u64)>) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let each = units.find(|(name, _)| *name == unit)?.1;
    number.parse::<u64>().ok()?.checked_mul(each)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_carry_their_unit() {
        assert_eq!(Span::parse("6h"), Ok(Span(6 * 3_600_000_000_000)));
        assert_eq!(Span::parse("500ms"), Ok(Span(500_000_000)));
        assert_eq!(Bytes::parse("3GiB"), Ok(Bytes(3 << 30)));
        assert_eq!(Share::parse("20%"), Ok(Share(0.2)));
        for bad in ["", "5", "s", "5 s", "-5s", "1.5h", "99999999999999999999d", "5w"] {
            assert!(Span::parse(bad).is_err(), "{bad}");
        }
        for bad in ["64", "64MB", "MiB", "99999999999TiB"] {
            assert!(Bytes::parse(bad).is_err(), "{bad}");
        }
        for bad in ["20", "101%", "-1%", "NaN%", "%"] {
            assert!(Share::parse(bad).is_err(), "{bad}");
        }
    }
}
