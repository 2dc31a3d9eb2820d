//! What a pattern for units and what a pattern for paths matches: the same wherever somebody grants, asks or allows.

use globset::{Error, Glob, GlobBuilder, GlobMatcher};

/// What a pattern is about, and so how it is read. `*` stays within one component, `**` does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Globs {
    /// Names, of units and processes. A backslash is a character like any other, as for `systemctl`: systemd writes
    /// `srv-my\x2ddata.mount`, and such a name as a pattern is that unit.
    Units,
    /// Absolute paths. A backslash takes the next character's meaning away.
    Paths,
}

impl Globs {
    /// The pattern, read. The error is `globset`'s word on what is wrong with it.
    pub fn read(self, pattern: &str) -> Result<Glob, Error> {
        GlobBuilder::new(pattern).literal_separator(true).backslash_escape(self == Self::Paths).build()
    }

    /// The same, ready to be asked about names.
    pub fn matcher(self, pattern: &str) -> Result<GlobMatcher, Error> {
        self.read(pattern).map(|glob| glob.compile_matcher())
    }

    /// Whether the pattern has no signs: it is one name, and that name matches it.
    pub fn is_one(self, pattern: &str) -> bool {
        !pattern.contains(['*', '?', '[', '{']) && (self == Self::Units || !pattern.contains('\\'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(globs: Globs, pattern: &str, name: &str, wanted: bool) {
        assert_eq!(globs.matcher(pattern).unwrap().is_match(name), wanted, "{pattern} {name}");
    }

    #[test]
    fn an_escaped_name_of_a_unit_is_that_unit() {
        check(Globs::Units, r"srv-my\x2ddata.mount", r"srv-my\x2ddata.mount", true);
        check(Globs::Units, r"srv-my\x2ddata.mount", "srv-myx2ddata.mount", false);
        check(Globs::Units, r"srv-my\x2d*.mount", r"srv-my\x2ddata.mount", true);
        check(Globs::Units, r"srv-my[\]x2ddata.mount", r"srv-my\x2ddata.mount", true);
        check(Globs::Units, "web-*.service", r"web-a\x2db.service", true);
        assert!(Globs::Units.is_one(r"srv-my\x2ddata.mount") && !Globs::Units.is_one("web-*.service"));
    }

    #[test]
    fn a_backslash_in_a_pattern_for_paths_takes_the_meaning_of_what_follows_away() {
        check(Globs::Paths, r"/srv/a\*b", "/srv/a*b", true);
        check(Globs::Paths, r"/srv/a\*b", "/srv/axb", false);
        check(Globs::Paths, "/srv/*", "/srv/a/b", false);
        check(Globs::Paths, "/srv/**", "/srv/a/b", true);
        assert!(Globs::Paths.is_one("/srv/a") && !Globs::Paths.is_one(r"/srv/a\*b"));
    }
}
