//! Which kept contents something refers to: what is accepted now, what is to be carried out, and what was accepted before.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::super::error::{Context, StoreError};
use super::reader::StateReader;

const WHAT: &str = "read which contents are in use";

/// Digests of contents, 64 hexadecimal digits each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InUse {
    /// Accepted now, or named by a remediation that is not at its end.
    now: HashSet<String>,
    /// Accepted before or after one of the versions, and the newest version that names it.
    before: HashMap<String, u64>,
}

impl InUse {
    /// Whether something refers to it.
    pub fn has(&self, sha256: &str) -> bool {
        self.now.contains(sha256) || self.before.contains_key(sha256)
    }

    /// The smallest number so that what only versions up to it refer to has so many bytes; 0 when nothing is wanted, and the largest
    /// that frees anything when there is less.
    pub(super) fn versions_due(&self, sizes: &[(String, u64)], bytes: u64) -> u64 {
        let mut freed: BTreeMap<u64, u64> = BTreeMap::new();
        for (name, size) in sizes.iter().filter(|(name, _)| !self.now.contains(name)) {
            if let Some(version) = self.before.get(name) {
                *freed.entry(*version).or_default() += size;
            }
        }
        let (mut due, mut sum) = (0, 0);
        for (version, size) in freed {
            if sum >= bytes {
                break;
            }
            sum += size;
            due = version;
        }
        due
    }
}

impl StateReader {
    /// Which kept contents something refers to.
    pub fn contents_in_use(&self) -> Result<InUse, StoreError> {
        let path = self.pool.path();
        self.pool.read(WHAT, |db| {
            let mut found = InUse::default();
            // Of what is to be carried out, whatever looks like a digest.
            let mut now = db
                .prepare(
                    "SELECT json_extract(body, '$.blob') FROM baseline WHERE json_extract(body, '$.blob') IS NOT NULL
                     UNION SELECT tree.value FROM remediation, json_tree(remediation.body) AS tree
                       WHERE remediation.open = 1 AND tree.type = 'text' AND length(tree.value) = 64",
                )
                .during(WHAT, path)?;
            for name in now.query_map([], |row| row.get::<_, String>(0)).during(WHAT, path)? {
                found.now.insert(name.during(WHAT, path)?);
            }
            let mut before = db
                .prepare(
                    "SELECT tree.value, max(version.number) FROM baseline_version AS version, json_tree(version.entries) AS tree
                     WHERE tree.key = 'blob' AND tree.type = 'text' GROUP BY tree.value",
                )
                .during(WHAT, path)?;
            let rows = before
                .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?.unsigned_abs())))
                .during(WHAT, path)?;
            for row in rows {
                let (name, version) = row.during(WHAT, path)?;
                found.before.insert(name, version);
            }
            Ok(found)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_versions_go_for_the_room_that_is_wanted_and_no_more() {
        let name = |n: u8| format!("{n:064}");
        let in_use = InUse {
            now: [name(1)].into(),
            before: [(name(1), 1), (name(2), 2), (name(3), 3), (name(4), 3), (name(5), 9)].into(),
        };
        let sizes: Vec<(String, u64)> = (1..=5).map(|n| (name(n), 10)).collect();
        for (bytes, due) in [(0, 0), (1, 2), (10, 2), (11, 3), (30, 3), (31, 9), (10_000, 9)] {
            assert_eq!(in_use.versions_due(&sizes, bytes), due, "{bytes}");
        }
    }
}
