//! Globs over paths, for settings: `*` and `?` stay within one name, `**` spans any number of names.
//!
//! No brackets and braces: a pattern in a list of things that may be removed must be readable at a glance.

/// Whether the whole relative path matches.
///
/// ```
/// use holdfast_plugin_sdk::glob::matches;
/// assert!(matches("*.log", "a.log") && !matches("*.log", "x/a.log"));
/// assert!(matches("**/*.log", "a.log") && matches("**/*.log", "x/y/a.log"));
/// assert!(matches("cache/**", "cache/a/b"));
/// ```
pub fn matches(pattern: &str, path: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    parts(&pattern, &path)
}

/// The first names of a path that the pattern covers, or `None` when the path is shorter or does not begin like it. No `**` here.
///
/// ```
/// use holdfast_plugin_sdk::glob::prefix;
/// assert_eq!(prefix("_tool/*/*", "_tool/node/18.1/bin/x"), Some("_tool/node/18.1"));
/// assert_eq!(prefix("_tool/*/*", "_tool/node"), None);
/// assert_eq!(prefix("*", "shop/src"), Some("shop"));
/// ```
pub fn prefix<'p>(pattern: &str, path: &'p str) -> Option<&'p str> {
    let (mut rest, mut end) = (path.split('/'), 0);
    for (at, wanted) in pattern.split('/').enumerate() {
        let name = rest.next().filter(|name| !name.is_empty() && name_matches(wanted, name))?;
        end += name.len() + usize::from(at > 0);
    }
    path.get(..end)
}

/// Whether what lies below `path` could still be covered by the pattern: it is on the way to a match.
///
/// ```
/// use holdfast_plugin_sdk::glob::leads_to;
/// assert!(leads_to("_tool/*/*", "_tool/node") && !leads_to("_tool/*/*", "cache"));
/// assert!(!leads_to("_tool/*", "_tool/node"), "that is a match itself");
/// ```
pub fn leads_to(pattern: &str, path: &str) -> bool {
    let mut pattern = pattern.split('/');
    path.split('/').all(|name| pattern.next().is_some_and(|wanted| name_matches(wanted, name)))
        && pattern.next().is_some()
}

fn parts(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) if parts(rest, path) => true,
        (Some((&"**", _)), Some((_, below))) => parts(pattern, below),
        (Some((wanted, rest)), Some((name, below))) => name_matches(wanted, name) && parts(rest, below),
        _ => false,
    }
}

/// One name; iterative, so a hostile name cannot make it slow.
fn name_matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, n) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_whole_names() {
        for (pattern, path, wanted) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b*", "abc", true),
            ("a?c", "abc", true),
            ("a/*", "a/b/c", false),
            ("**", "a/b/c", true),
            ("a/**", "a", true),
            ("a/**/c", "a/c", true),
            ("a/**/c", "a/b/x/c", true),
            ("**/__pycache__/**", "x/__pycache__/y.pyc", true),
            ("**/__pycache__/**", "x/__pycache", false),
        ] {
            assert_eq!(matches(pattern, path), wanted, "{pattern} {path}");
        }
        assert!(!matches(&"*a".repeat(40), &"a".repeat(39)), "ends at once");
    }

    #[test]
    fn on_the_way_to_a_match_is_not_a_match() {
        assert!(leads_to("_tool/*/*", "_tool") && leads_to("_tool/*/*", "_tool/node"));
        assert!(!leads_to("_tool/*/*", "_tool/node/18") && !leads_to("_tool/*/*", "shop"));
    }
}
