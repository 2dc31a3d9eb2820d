//! Which programs are among the first of those that run.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::one::Io;

/// What the processes of one program in one unit use together.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Use {
    /// Share of all logical CPUs.
    pub(super) cpu: f64,
    pub(super) resident_bytes: u64,
    pub(super) count: u64,
    /// Read and written since the last look; `None` when it isn't told of all of them.
    pub(super) io_bytes: Option<Io>,
    /// Open files; `None` when they aren't told of all of them.
    pub(super) files: Option<u64>,
}

/// Pure: those among the first `top` by CPU, memory, I/O or open files, ties by name. What uses nothing isn't top.
pub(super) fn top_of<'a>(all: &'a HashMap<Arc<str>, Use>, top: usize) -> BTreeMap<&'a Arc<str>, Use> {
    let measures: [fn(&Use) -> f64; 4] = [
        |used| used.cpu,
        |used| used.resident_bytes as f64,
        |used| used.io_bytes.map_or(0.0, |[read, written]| read as f64 + written as f64),
        |used| used.files.unwrap_or(0) as f64,
    ];
    let mut chosen = BTreeMap::new();
    let mut sorted: Vec<(&'a Arc<str>, Use)> = all.iter().map(|(name, used)| (name, *used)).collect();
    for measure in measures {
        sorted.sort_by(|a, b| measure(&b.1).total_cmp(&measure(&a.1)).then(a.0.cmp(b.0)));
        chosen.extend(sorted.iter().take(top).filter(|(_, used)| measure(used) > 0.0).copied());
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(cpu: f64, resident_bytes: u64, io: u64, files: u64) -> Use {
        Use { cpu, resident_bytes, count: 1, io_bytes: Some([io, 0]), files: Some(files) }
    }

    #[test]
    fn the_top_by_each_measure_is_there() {
        let all: HashMap<Arc<str>, Use> = [
            ("spin", uses(0.9, 10, 0, 3)),
            ("hoard", uses(0.0, 1_000, 0, 3)),
            ("copy", uses(0.1, 20, 5_000, 3)),
            ("leak", uses(0.1, 20, 0, 900)),
            ("idle", uses(0.0, 5, 0, 3)),
        ]
        .into_iter()
        .map(|(name, used)| (name.into(), used))
        .collect();
        let names = |top| top_of(&all, top).into_keys().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(1), ["copy", "hoard", "leak", "spin"]);
        assert!(names(0).is_empty());
    }

    #[test]
    fn what_is_not_told_of_all_processes_ranks_as_nothing() {
        let unknown = Use { io_bytes: None, files: None, ..Use::default() };
        assert!(top_of(&HashMap::from([("hidden".into(), unknown)]), 5).is_empty());
    }
}
