//! What a collector remembers of each device, interface or mount, for as long as it is there.

use std::collections::HashMap;

/// Values by name; those not asked for in a whole round are forgotten at its end.
#[derive(Debug)]
pub(crate) struct Keyed<T> {
    index: HashMap<String, usize>,
    entries: Vec<Entry<T>>,
    round: u64,
}

#[derive(Debug)]
struct Entry<T> {
    name: String,
    seen: u64,
    value: T,
}

impl<T: Default> Keyed<T> {
    pub(crate) fn new() -> Self {
        Self { index: HashMap::new(), entries: Vec::new(), round: 0 }
    }

    /// A new round begins; what the last one didn't ask for is forgotten.
    pub(crate) fn next_round(&mut self) {
        let last = self.round;
        let before = self.entries.len();
        self.entries.retain(|entry| entry.seen == last);
        if self.entries.len() != before {
            self.index = self.entries.iter().enumerate().map(|(at, entry)| (entry.name.clone(), at)).collect();
        }
        self.round += 1;
    }

    /// The value of this name; allocates only for a new name.
    pub(crate) fn of(&mut self, name: &str) -> &mut T {
        let at = self.index.get(name).copied().unwrap_or_else(|| {
            self.index.insert(name.to_owned(), self.entries.len());
            self.entries.push(Entry { name: name.to_owned(), seen: self.round, value: T::default() });
            self.entries.len() - 1
        });
        let entry = &mut self.entries[at];
        entry.seen = self.round;
        &mut entry.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_round_did_not_ask_for_is_forgotten() {
        let mut keyed: Keyed<u32> = Keyed::new();
        *keyed.of("sda") = 1;
        *keyed.of("sdb") = 2;
        keyed.next_round();
        assert_eq!(*keyed.of("sdb"), 2);
        keyed.next_round();
        assert_eq!((*keyed.of("sda"), *keyed.of("sdb")), (0, 2));
    }
}
