//! What units are called, and what is named like one.

/// Every type of unit that systemd knows.
const TYPES: [&str; 11] =
    ["service", "socket", "timer", "mount", "automount", "path", "target", "slice", "scope", "swap", "device"];

/// The name with its type, as `systemctl` completes it: `web` and `php8.2-fpm` are services, `web.socket` is what it says.
pub fn full_unit_name(name: &str) -> String {
    let is_typed = name.rsplit_once('.').is_some_and(|(_, kind)| TYPES.contains(&kind));
    if is_typed { name.to_owned() } else { format!("{name}.service") }
}

/// What an instance comes of: `getty@.service` of `getty@tty1.service`. `None` where it is no instance.
pub fn template_of(unit: &str) -> Option<String> {
    let (base, rest) = unit.split_once('@')?;
    let (instance, kind) = rest.rsplit_once('.')?;
    (!instance.is_empty()).then(|| format!("{base}@.{kind}"))
}

/// `web@1.service` -> `web`
pub fn base_of(unit: &str) -> &str {
    let stem = unit.rsplit_once('.').map_or(unit, |(stem, _)| stem);
    stem.split_once('@').map_or(stem, |(base, _)| base)
}

/// Whether `word` stands in `text` with no letter or digit beside it.
pub fn word_in(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_type_is_a_service_whatever_dots_it_has() {
        for (name, full) in [
            ("web", "web.service"),
            ("php8.2-fpm", "php8.2-fpm.service"),
            ("web.socket", "web.socket"),
            ("web@1", "web@1.service"),
            ("a.b.timer", "a.b.timer"),
        ] {
            assert_eq!(full_unit_name(name), full);
        }
        assert_eq!(template_of("web@1.service").as_deref(), Some("web@.service"));
        assert_eq!((template_of("web@.service"), template_of("web.service")), (None, None));
    }
}
