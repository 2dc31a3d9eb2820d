//! Each folder of `tables/` is a release as it lies on disk, the manifest digest that was recorded, and what must be said about it.
//!
//! The trees are real ones, with real `SHA256SUMS`; only the walk and the hashing are done here as the host does them.

use std::fs;
use std::path::Path;

use holdfast_plugin_sdk::{Sha256, subject};

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[expect(dead_code, reason = "for people")]
    story: String,
    expect: Vec<String>,
    #[serde(default)]
    remedy: Vec<String>,
}

fn plugin() -> ReleaseVerify {
    let manifest: toml::Table = include_str!("../plugin.toml").parse().unwrap();
    ReleaseVerify { settings: serde_json::from_value(serde_json::to_value(&manifest["settings"]).unwrap()).unwrap() }
}

fn release(recorded: Option<Sha256>) -> Release {
    let dir = HostPath::new("/srv/shop/7").unwrap();
    Release { dir, deployment: Some("d7".to_owned()), manifest_sha256: recorded, must_exist: true, under_way: None }
}

fn lies(root: &Path, dir: &Path, out: &mut BTreeMap<String, Lies>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let relative = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_symlink() {
            out.insert(relative, Lies::Link(fs::read_link(&path).unwrap().to_str().unwrap().to_owned()));
        } else if kind.is_dir() {
            lies(root, &path, out);
        } else {
            let bytes = fs::read(&path).unwrap();
            out.insert(relative, Lies::File { sha256: problems::digest(&bytes), bytes: bytes.len() as u64 });
        }
    }
}

/// What the plugin says about a release on disk.
fn found(plugin: &ReleaseVerify, release: &Release, root: &Path) -> Vec<Problem> {
    match plugin.judge_manifest(release, fs::read(root.join("SHA256SUMS")).ok()).unwrap() {
        Err(problem) => vec![*problem],
        Ok(manifest) => {
            let mut tree = BTreeMap::new();
            lies(root, root, &mut tree);
            let deviations = compare(&manifest, &tree, &[], "SHA256SUMS", &plugin.settings.ignore);
            of_deviations(release, &deviations, plugin.settings.max_findings)
        }
    }
}

/// What lies at a finding's path, as `look` would say.
fn now(root: &Path, finding: &Finding) -> Now {
    let path = root.join(finding.subject.name.strip_prefix("/srv/shop/7/").unwrap());
    match fs::read(&path) {
        Ok(bytes) => Now::File {
            sha256: problems::digest(&bytes),
            bytes: bytes.len() as u64,
            nlink: 1,
            owner: Owner { mode: 0o640, uid: 7, gid: 8 },
        },
        Err(_) => Now::Absent,
    }
}

#[test]
fn every_release_on_disk_is_judged_as_its_story_says() {
    let (plugin, mut count) = (plugin(), 0);
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tables")).unwrap() {
        let folder = entry.unwrap().path();
        println!("{}", folder.display());
        let case: Case = toml::from_str(&fs::read_to_string(folder.join("case.toml")).unwrap()).unwrap();
        let recorded = Sha256::parse(fs::read_to_string(folder.join("recorded")).unwrap().trim()).unwrap();
        let (release, root) = (release(Some(recorded)), folder.join("release"));
        let problems = found(&plugin, &release, &root);
        let said: Vec<String> =
            problems.iter().map(|p| format!("{} {}", p.finding().rule, p.finding().title)).collect();
        assert_eq!(said, case.expect);
        if !case.remedy.is_empty() {
            let steps: Vec<String> = problems.iter().map(|problem| remedy_of(&root, problem)).collect();
            assert_eq!(steps, case.remedy);
        }
        count += 1;
    }
    assert!(count >= 8, "{count} cases");
}

/// The capability of the plan for a problem; its guard must be what lies there.
fn remedy_of(root: &Path, problem: &Problem) -> String {
    let now = now(root, problem.finding());
    let beside = Some(Owner { mode: 0o644, uid: 0, gid: 0 });
    let Answer::Plan(plan) = remedy::propose(problem.finding(), &now, beside).unwrap() else { panic!("no plan") };
    let step = &plan.steps()[0];
    let guard = match &now {
        Now::File { sha256, .. } => Some(sha256.as_str()),
        _ => None,
    };
    assert_eq!(step.text_arg("only-if-sha256"), guard);
    if step.capability() == "file.restore" {
        assert_eq!(step.text_arg("sha256"), facts::text(problem.finding(), "file.expected_sha256"));
        let (mode, uid) = if guard.is_some() { (0o640, 7) } else { (0o644, 0) };
        assert_eq!((step.integer_arg("mode"), step.integer_arg("uid")), (Some(mode), Some(uid)));
    }
    assert!(!remedy::is_cured(problem.finding(), &now).unwrap(), "what is proposed for is not cured");
    step.capability().to_owned()
}

fn case_root(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tables").join(name).join("release")
}

#[test]
fn without_a_manifest_and_without_a_record_nothing_is_claimed() {
    let error = plugin().judge_manifest(&release(None), None).unwrap_err();
    assert!(matches!(error, Error::NotFound(text) if text.contains("nothing to check it against")));
    let error = plugin().judge_manifest(&release(None), Some(b"<html>".to_vec())).unwrap_err();
    assert!(matches!(error, Error::Invalid(text) if text.contains("SHA256SUMS, line 1")));
}

#[test]
fn a_finding_names_release_deployment_and_both_digests_and_keeps_its_id() {
    let (plugin, release) = (plugin(), release(None));
    let problems = found(&plugin, &release, &case_root("modified"));
    let finding = problems[0].finding();
    assert_eq!(facts::text(finding, "release.dir"), Some("/srv/shop/7"));
    assert_eq!(facts::text(finding, "deployment"), Some("d7"));
    assert!(facts::text(finding, "file.expected_sha256").is_some() && facts::text(finding, "file.sha256").is_some());
    assert_eq!(finding.id, found(&plugin, &release, &case_root("modified"))[0].finding().id);
}

#[test]
fn a_deployment_under_way_halves_the_confidence_and_says_so() {
    let during = Release { under_way: Some("d8".to_owned()), ..release(None) };
    let problems = found(&plugin(), &during, &case_root("modified"));
    assert_eq!(problems[0].finding().confidence, 0.5);
    assert_eq!(facts::text(problems[0].finding(), "deployment.under_way"), Some("d8"));
}

#[test]
fn what_could_not_be_read_is_neither_missing_nor_cured() {
    let text = format!("{0}  a/x\n{0}  b/y\n", "a".repeat(64));
    let manifest = manifest::parse(&text).unwrap();
    let deviations = compare(&manifest, &BTreeMap::new(), &["a".to_owned()], "SHA256SUMS", &[]);
    assert_eq!(deviations.iter().map(compare::Deviation::path).collect::<Vec<_>>(), ["b/y"]);
    let last: Vec<Finding> = of_deviations(&release(None), &compare(&manifest, &BTreeMap::new(), &[], "S", &[]), 9)
        .iter()
        .map(|p| p.finding().clone())
        .collect();
    let names = |kept: Vec<Finding>| kept.into_iter().map(|f| f.subject.name).collect::<Vec<_>>();
    let carry = |skipped, bad, unread: &[String]| names(carried(last.clone(), "/srv/shop/7", skipped, bad, unread));
    assert_eq!(carry(false, false, &["/srv/shop/7/a".to_owned()]), ["/srv/shop/7/a/x"]);
    assert_eq!(carry(true, false, &[]).len(), 2);
    assert_eq!(carry(false, true, &[]).len(), 2, "an altered manifest proves nothing");
    assert!(carry(false, false, &[]).is_empty());
    assert!(carried(last.clone(), "/srv/other", true, true, &[]).is_empty());
}

#[test]
fn too_many_problems_are_summed_up_and_a_hostile_name_stays_one_line() {
    let tree: BTreeMap<String, Lies> = (0..60).map(|n| (format!("x\n{n:02}"), Lies::Other)).collect();
    let manifest = manifest::parse(&format!("{}  SHA256SUMS", "a".repeat(64))).unwrap();
    let problems = of_deviations(&release(None), &compare(&manifest, &tree, &[], "SHA256SUMS", &[]), 50);
    assert_eq!(problems.len(), 51);
    assert_eq!(problems[50].finding().title, "10 more files of /srv/shop/7 differ from its manifest");
    for problem in &problems {
        let finding = problem.finding();
        assert!(!finding.title.contains('\n') && !finding.subject.name.contains('\n'), "{finding:?}");
    }
}

#[test]
fn what_is_right_again_or_cannot_be_done_gets_no_plan() {
    let problems = found(&plugin(), &release(None), &case_root("modified"));
    let finding = problems[0].finding();
    let file = |sha256: &str, nlink| Now::File {
        sha256: Sha256::parse(sha256).unwrap(),
        bytes: 1,
        nlink,
        owner: Owner { mode: 0o644, uid: 0, gid: 0 },
    };
    let expected = facts::text(finding, "file.expected_sha256").unwrap();
    assert!(matches!(remedy::propose(finding, &file(expected, 1), None), Ok(Answer::Fine(_))));
    assert!(remedy::is_cured(finding, &file(expected, 1)).unwrap());
    let other = "b".repeat(64);
    assert!(
        matches!(remedy::propose(finding, &file(&other, 2), None), Err(Error::Unsupported(t)) if t.contains("hard links"))
    );
    let link = Now::Other("a symbolic link".to_owned());
    assert!(matches!(remedy::propose(finding, &link, None), Err(Error::Unsupported(t)) if t.contains("symbolic link")));
    assert!(matches!(remedy::propose(finding, &Now::Absent, None), Err(Error::Unsupported(t)) if t.contains("whose")));
    let odd = Finding { rule: "unit.failed".to_owned(), subject: subject("file", "/a"), ..finding.clone() };
    assert!(remedy::propose(&odd, &Now::Absent, None).is_err());
}

#[test]
fn a_release_that_lies_where_nobody_named_a_place_is_not_looked_at() {
    let path = |text: &str| HostPath::new(text).unwrap();
    let mut plugin = plugin();
    assert!(!plugin.may_lie(&path("/srv/shop/7")), "by default nobody has named a place");
    plugin.settings.roots = vec![path("/srv/shop")];
    plugin.settings.dirs = vec![path("/opt/tool")];
    for (dir, wanted) in [
        ("/srv/shop/7", true),
        ("/srv/shop", true),
        ("/opt/tool", true),
        ("/srv/shopping/7", false),
        ("/srv", false),
        ("/opt", false),
    ] {
        assert_eq!(plugin.may_lie(&path(dir)), wanted, "{dir}");
    }
}
