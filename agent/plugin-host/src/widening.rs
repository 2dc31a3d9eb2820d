//! What one manifest asks for beyond another: the difference that an operator has to agree to.

use holdfast_core::model::Globs;

use crate::capability::{below, matches};
use crate::manifest::{Manifest, Proposes, Wants};

impl Manifest {
    /// What this manifest asks for and those did not, each as the line that an operator reads: `wants.files /etc`. Empty: nothing more.
    ///
    /// A pattern that is not literally among the former ones counts as more, because two patterns cannot be compared in general.
    pub fn beyond(&self, wants: &Wants, proposes: &Proposes) -> Vec<String> {
        let mut more: Vec<String> = Vec::new();
        let roots = self.wants.files.iter().filter(|root| !wants.files.iter().any(|before| below(before, root)));
        more.extend(roots.map(|root| format!("wants.files {root}")));
        for (key, now, before, about) in [
            ("wants.units", &self.wants.units, &wants.units, Globs::Units),
            ("proposes.actions", &self.proposes.actions, &proposes.actions, Globs::Units),
            ("proposes.units", &self.proposes.units, &proposes.units, Globs::Units),
            ("proposes.paths", &self.proposes.paths, &proposes.paths, Globs::Paths),
        ] {
            more.extend(now.iter().filter(|pattern| !covered(about, pattern, before)).map(|it| format!("{key} {it}")));
        }
        for (key, now, before) in [
            ("wants.processes", self.wants.processes, wants.processes),
            ("wants.processes-cmdline", self.wants.processes_cmdline, wants.processes_cmdline),
            ("wants.metrics", self.wants.metrics, wants.metrics),
            ("wants.changes", self.wants.changes, wants.changes),
        ] {
            more.extend((now && !before).then(|| key.to_owned()));
        }
        more
    }
}

fn covered(about: Globs, pattern: &str, before: &[String]) -> bool {
    before.iter().any(|it| it == pattern) || (about.is_one(pattern) && matches(about, before, pattern))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(more: &str) -> Manifest {
        Manifest::parse(&format!("id = \"x\"\nversion = \"1.0.0\"\n{more}")).unwrap()
    }

    #[track_caller]
    fn check(before: &str, now: &str, wanted: &[&str]) {
        let before = manifest(before);
        assert_eq!(manifest(now).beyond(&before.wants, &before.proposes), wanted);
    }

    #[test]
    fn the_same_less_and_what_lies_below_is_nothing_more() {
        let all = "[wants]\nfiles = [\"/srv\"]\nunits = [\"web-*.service\"]\nmetrics = true\n";
        check(all, all, &[]);
        check(all, "", &[]);
        check(all, "[wants]\nfiles = [\"/srv/app\"]\nunits = [\"web-1.service\"]\n", &[]);
    }

    #[test]
    fn another_root_pattern_verb_or_flag_is_named() {
        check(
            "[wants]\nfiles = [\"/srv/app\"]\nunits = [\"web-*.service\"]\n[proposes]\nactions = [\"restart_unit\"]\n",
            "[wants]\nfiles = [\"/srv\"]\nunits = [\"*.service\"]\nprocesses-cmdline = true\nprocesses = true\n[proposes]\n\
             actions = [\"restart_unit\", \"reclaim_paths\"]\npaths = [\"/srv/**\"]\n",
            &[
                "wants.files /srv",
                "wants.units *.service",
                "proposes.actions reclaim_paths",
                "proposes.paths /srv/**",
                "wants.processes",
                "wants.processes-cmdline",
            ],
        );
    }
}
