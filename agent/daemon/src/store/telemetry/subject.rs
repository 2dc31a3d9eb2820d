//! Whom stored telemetry is about: attributes as they were said, or as the digests that stand for persons in the store.

use holdfast_core::model::{Attributes, SeriesKey};
use holdfast_core::redact::Redactor;

/// Attributes that are wanted, each in both of its forms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject(Vec<(String, [String; 2])>);

impl Subject {
    pub(super) fn new(where_: &[(String, String)], redactor: &Redactor) -> Self {
        let forms = |value: &String| [value.clone(), redactor.digest(value)];
        Self(where_.iter().map(|(name, value)| (name.clone(), forms(value))).collect())
    }

    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether each of the wanted attributes is among these, in one of its forms; nothing wanted fits all.
    pub fn fits(&self, attributes: &Attributes) -> bool {
        self.0.iter().all(|(name, forms)| attributes.get(name).is_some_and(|it| forms.contains(it)))
    }

    /// Whether a series is about it; with nothing wanted none is.
    pub fn is_of(&self, key: &SeriesKey) -> bool {
        !self.is_empty() && self.fits(&key.attributes)
    }

    /// Names, and the two forms of each value.
    pub fn forms(&self) -> &[(String, [String; 2])] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::redact::RedactConfig;

    use super::*;

    #[test]
    fn a_person_is_found_under_the_name_and_under_its_digest_and_nobody_else_is() {
        let redactor = Redactor::new(&RedactConfig::default(), [7; 32]).unwrap();
        let subject = Subject::new(&[("enduser.id".to_owned(), "alice".to_owned())], &redactor);
        let is = |name: &str, value: &str| subject.fits(&Attributes::from([(name.to_owned(), value.to_owned())]));
        assert!(is("enduser.id", "alice") && is("enduser.id", &redactor.digest("alice")));
        assert!(!is("enduser.id", "bob") && !is("enduser.id", &redactor.digest("bob")) && !is("user.id", "alice"));
        let other = Redactor::new(&RedactConfig::default(), [8; 32]).unwrap();
        assert!(!is("enduser.id", &other.digest("alice")), "another host's digest");
    }
}
