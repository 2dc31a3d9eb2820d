//! What one manifest asks for beyond another: the difference that an operator has to agree to.

use holdfast_core::model::Globs;

use crate::capability::{below, matches};
use crate::manifest::Manifest;
use crate::wishes::{Proposes, Wants};

impl Manifest {
    /// What this manifest asks for and those did not, each as the line that an operator reads: `wants.files /etc`. Empty: nothing more.
    ///
    /// A pattern that is not literally among the former ones counts as more, because two patterns cannot be compared in general. Those
    /// are what [`Manifest::asked`] gives of a manifest: a place that a setting names is asked for like any other.
    pub fn beyond(&self, wants: &Wants, proposes: &Proposes) -> Vec<String> {
        let (now_wants, now_proposes) = self.asked();
        let mut more: Vec<String> = Vec::new();
        let roots = now_wants.files.iter().filter(|root| !wants.files.iter().any(|before| below(before, root)));
        more.extend(roots.map(|root| format!("wants.files {root}")));
        let everywhere = wants.files.iter().any(|before| before == "/");
        more.extend(through("wants.files", &now_wants.files_from_settings, &wants.files_from_settings, everywhere));
        for (key, now, before, about) in [
            ("wants.units", &now_wants.units, &wants.units, Globs::Units),
            ("proposes.actions", &now_proposes.actions, &proposes.actions, Globs::Units),
            ("proposes.units", &now_proposes.units, &proposes.units, Globs::Units),
            ("proposes.paths", &now_proposes.paths, &proposes.paths, Globs::Paths),
        ] {
            more.extend(now.iter().filter(|pattern| !covered(about, pattern, before)).map(|it| format!("{key} {it}")));
        }
        let everywhere = everything(&proposes.paths);
        more.extend(through(
            "proposes.paths",
            &now_proposes.paths_from_settings,
            &proposes.paths_from_settings,
            everywhere,
        ));
        for (key, now, before) in [
            ("wants.processes", now_wants.processes, wants.processes),
            ("wants.processes-cmdline", now_wants.processes_cmdline, wants.processes_cmdline),
            ("wants.metrics", now_wants.metrics, wants.metrics),
            ("wants.changes", now_wants.changes, wants.changes),
        ] {
            more.extend((now && !before).then(|| key.to_owned()));
        }
        more
    }
}

fn covered(about: Globs, pattern: &str, before: &[String]) -> bool {
    let everywhere = matches!(about, Globs::Paths) && everything(before);
    everywhere || before.iter().any(|it| it == pattern) || (about.is_one(pattern) && matches(about, before, pattern))
}

/// Whether the patterns are for every path that there is.
fn everything(paths: &[String]) -> bool {
    paths.iter().any(|it| it == "/**" || it == "**")
}

/// Settings through which a plugin asks for places and did not before. Whoever asked for all there is asks for no more with them.
fn through(key: &str, now: &[String], before: &[String], everywhere: bool) -> Vec<String> {
    let fresh = now.iter().filter(|setting| !everywhere && !before.contains(setting));
    fresh.map(|setting| format!("{key}-from-settings {setting}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(more: &str) -> Manifest {
        Manifest::parse(&format!("id = \"x\"\nversion = \"1.0.0\"\n{more}")).unwrap()
    }

    #[track_caller]
    fn check(before: &str, now: &str, wanted: &[&str]) {
        let (wants, proposes) = manifest(before).asked();
        assert_eq!(manifest(now).beyond(&wants, &proposes), wanted);
    }

    #[test]
    fn the_same_less_and_what_lies_below_is_nothing_more() {
        let all = "[wants]\nfiles = [\"/srv\"]\nunits = [\"web-*.service\"]\nmetrics = true\n";
        check(all, all, &[]);
        check(all, "", &[]);
        check(all, "[wants]\nfiles = [\"/srv/app\"]\nunits = [\"web-1.service\"]\n", &[]);
    }

    #[test]
    fn a_setting_that_names_places_is_more_with_what_it_names_unless_everything_was_asked_for() {
        let through = "[wants]\nfiles-from-settings = [\"roots\"]\n[proposes]\npaths-from-settings = [\"roots\"]\n";
        let named = format!("{through}[settings]\nroots = [\"/srv\"]\n");
        let lines = [
            "wants.files /srv",
            "wants.files-from-settings roots",
            "proposes.paths /srv/**",
            "proposes.paths-from-settings roots",
        ];
        check("", &named, &lines);
        check(&named, &named, &[]);
        check("[wants]\nfiles = [\"/\"]\n[proposes]\npaths = [\"/**\"]\n", &named, &[]);
        check(&named, &named.replace("/srv", "/etc"), &["wants.files /etc", "proposes.paths /etc/**"]);
        check("[wants]\nfiles = [\"/srv\"]\n[proposes]\npaths = [\"/srv/**\"]\n", &named, &[lines[1], lines[3]]);
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
