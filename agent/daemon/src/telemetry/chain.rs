//! An error with everything below it, in one line.

use std::error::Error;
use std::fmt;

/// Prints an error and its sources: `cannot open `/var/lib/x`: permission denied`. A source that only repeats the text
/// above it is left out.
pub struct Chain<'e>(pub &'e (dyn Error + 'e));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut above = self.0.to_string();
        f.write_str(&above)?;
        let mut next = self.0.source();
        while let Some(error) = next {
            let text = error.to_string();
            if !above.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            above = text;
            next = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot restore `{0}`")]
    struct Outer(&'static str, #[source] std::io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Same(#[source] std::io::Error);

    #[test]
    fn every_cause_is_named_once() {
        let cause = || std::io::Error::other("disk on fire");
        assert_eq!(Chain(&Outer("/etc/x", cause())).to_string(), "cannot restore `/etc/x`: disk on fire");
        assert_eq!(Chain(&Same(cause())).to_string(), "disk on fire");
    }
}
