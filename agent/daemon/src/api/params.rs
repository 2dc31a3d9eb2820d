//! Query parameters: each is known and right, or the request is refused with what to write instead.

use std::str::FromStr;

use holdfast_core::model::{Interval, Timestamp};

use crate::request::{Refusal, RefusalKind};

/// The parameters of one request. What nobody takes is refused at the end.
#[derive(Debug)]
pub(super) struct Params(Vec<(String, String)>);

fn usage(message: String) -> Refusal {
    Refusal::new(RefusalKind::Usage, message)
}

impl Params {
    pub(super) fn new(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// Every value of a parameter that may be repeated.
    pub(super) fn all(&mut self, name: &str) -> Vec<String> {
        let (taken, left) = std::mem::take(&mut self.0).into_iter().partition(|(key, _)| key == name);
        self.0 = left;
        let taken: Vec<(String, String)> = taken;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    /// The value of a parameter that may be given once.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        let mut values = self.all(name);
        if values.len() > 1 {
            return Err(usage(format!("the parameter `{name}` is given {} times", values.len())));
        }
        Ok(values.pop())
    }

    /// The same, read as a type of its own.
    pub(super) fn parsed<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Refusal>
    where
        T::Err: std::fmt::Display,
    {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|e: T::Err| usage(format!("the parameter `{name}` is wrong: {e}")))
    }

    /// A moment: RFC 3339, or a span of time before now.
    pub(super) fn moment(&mut self, name: &str, now: Timestamp) -> Result<Option<Timestamp>, Refusal> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        moment(&text, now).map(Some).map_err(|e| usage(format!("the parameter `{name}` is wrong: {e}")))
    }

    /// A limit: at least 1, brought down to `most`.
    pub(super) fn limit(&mut self, default: usize, most: usize) -> Result<usize, Refusal> {
        match self.parsed::<usize>("limit")? {
            Some(0) => Err(usage("the parameter `limit` is at least 1".to_owned())),
            Some(limit) => Ok(limit.min(most)),
            None => Ok(default),
        }
    }

    /// Refuses what nobody took.
    pub(super) fn end(self) -> Result<(), Refusal> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(usage(format!("there is no parameter `{name}` here"))),
        }
    }
}

/// A moment as people write it: `2026-11-24T14:00:00Z`, or `30m`, which stands for thirty minutes before `now`.
pub fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(back) = text.parse::<Interval>() {
        return Ok(now.minus(back.0));
    }
    text.parse().map_err(|_| {
        format!("`{text}` is neither a time such as \"2026-11-24T14:00:00Z\" nor a span of time such as \"30m\", \"2h\" or \"7d\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(pairs: &[(&str, &str)]) -> Params {
        Params::new(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn a_span_of_time_counts_back_from_now() {
        let now = Timestamp::from_secs(10_000);
        assert_eq!(moment("5m", now), Ok(Timestamp::from_secs(9_700)));
        assert_eq!(moment("1970-01-01T00:01:40Z", now), Ok(Timestamp::from_secs(100)));
        for bad in ["yesterday", "5", "", "2026-11-24"] {
            assert!(moment(bad, now).is_err(), "{bad}");
        }
    }

    #[test]
    fn unknown_and_repeated_parameters_are_refused() {
        let mut it = params(&[("since", "1h"), ("sinse", "2h")]);
        it.text("since").unwrap();
        assert_eq!(it.end().unwrap_err().message, "there is no parameter `sinse` here");
        assert!(params(&[("a", "1"), ("a", "2")]).text("a").is_err());
    }

    #[test]
    fn a_limit_stays_within_its_bounds() {
        assert_eq!(params(&[]).limit(10, 100), Ok(10));
        assert_eq!(params(&[("limit", "5000")]).limit(10, 100), Ok(100));
        assert!(params(&[("limit", "0")]).limit(10, 100).is_err());
        assert!(params(&[("limit", "-1")]).limit(10, 100).is_err());
    }
}
