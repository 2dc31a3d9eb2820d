//! What a manifest asks an operator for, and what of it a grant gives: compared, as lines that an operator reads. Pure.

use holdfast_plugin_host::{Grant, Manifest, Proposes, Wants};

/// Everything that a manifest asks the operator for, each as `wants.files /etc`.
pub(super) fn asks(manifest: &Manifest) -> Vec<String> {
    manifest.beyond(&Wants::default(), &Proposes::default())
}

/// A grant as the wishes of that manifest which it fulfils. That settings name places is granted with the places.
pub(super) fn gives(grant: &Grant, manifest: &Manifest) -> (Wants, Proposes) {
    let read = &grant.read;
    let wants = Wants {
        files: read.files.clone(),
        files_from_settings: manifest.wants.files_from_settings.clone(),
        units: read.units.clone(),
        processes: read.processes,
        processes_cmdline: read.processes_cmdline,
        metrics: read.metrics,
        changes: read.changes,
        state: false,
    };
    let propose = grant.propose.clone();
    let paths_from_settings = manifest.proposes.paths_from_settings.clone();
    (wants, Proposes { actions: propose.actions, units: propose.units, paths: propose.paths, paths_from_settings })
}

/// What a grant gave and another does not, each as `read.files /etc`.
pub(super) fn taken(before: &Grant, now: &Grant) -> Vec<String> {
    let mut gone = Vec::new();
    for (key, before, now) in [
        ("read.files", &before.read.files, &now.read.files),
        ("read.units", &before.read.units, &now.read.units),
        ("propose.actions", &before.propose.actions, &now.propose.actions),
        ("propose.units", &before.propose.units, &now.propose.units),
        ("propose.paths", &before.propose.paths, &now.propose.paths),
    ] {
        gone.extend(before.iter().filter(|one| !now.contains(one)).map(|one| format!("{key} {one}")));
    }
    for (key, before, now) in [
        ("read.processes", before.read.processes, now.read.processes),
        ("read.processes-cmdline", before.read.processes_cmdline, now.read.processes_cmdline),
        ("read.metrics", before.read.metrics, now.read.metrics),
        ("read.changes", before.read.changes, now.read.changes),
    ] {
        gone.extend((before && !now).then(|| key.to_owned()));
    }
    gone
}

/// Wishes for all that there is, or nearly: a plugin that asks for any place leaves it to the operator to name those of this host.
const BOUNDLESS: [&str; 4] = ["wants.files /", "wants.files /proc", "proposes.paths /**", "proposes.paths **"];

/// What is left out of a first grant that nobody has agreed to.
pub(super) fn boundless(manifest: &Manifest) -> Vec<String> {
    asks(manifest).into_iter().filter(|wish| BOUNDLESS.contains(&wish.as_str())).collect()
}

/// What one version asks for more and less than another.
pub(super) fn difference(before: Option<&Manifest>, now: &Manifest) -> (Vec<String>, Vec<String>) {
    let Some(before) = before else { return (Vec::new(), Vec::new()) };
    let ((had, proposed), (has, proposes)) = (before.asked(), now.asked());
    (now.beyond(&had, &proposed), before.beyond(&has, &proposes))
}

#[cfg(test)]
mod tests {
    use super::super::grant::upgraded;
    use super::*;

    fn manifest(more: &str) -> Manifest {
        Manifest::parse(&format!("id = \"x\"\nversion = \"0.2.0\"\n{more}")).unwrap()
    }

    const THROUGH: &str = "[wants]\nfiles = [\"/etc/x\"]\nfiles-from-settings = [\"roots\"]\n[settings]\nroots = []\n";

    #[test]
    fn what_an_upgrade_takes_out_of_a_grant_is_told() {
        let text = "[read]\nfiles = [\"/srv/a\", \"/etc/x\"]\nmetrics = true\n[propose]\npaths = [\"/srv/a\"]\n";
        let now = upgraded(text, &manifest(THROUGH), "", &[], false).unwrap();
        let gone = taken(&Grant::parse(text).unwrap(), &Grant::parse(&now).unwrap());
        assert_eq!(gone, ["read.files /srv/a", "propose.paths /srv/a", "read.metrics"]);
    }

    #[test]
    fn whoever_asked_for_everything_and_now_asks_for_what_settings_name_asks_for_less() {
        let (more, less) = difference(Some(&manifest("[wants]\nfiles = [\"/\"]\n")), &manifest(THROUGH));
        assert_eq!((more.len(), less), (0, vec!["wants.files /".to_owned()]));
        let (more, _) = difference(Some(&manifest("")), &manifest(THROUGH));
        assert_eq!(more, ["wants.files /etc/x", "wants.files-from-settings roots"]);
    }
}
