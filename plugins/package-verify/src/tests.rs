//! Each file in `tables/` is a package as dpkg records it, what lies on the host, and what must be said about it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Case {
    #[expect(dead_code, reason = "for people")]
    story: String,
    status: String,
    #[serde(default)]
    diversions: String,
    md5sums: String,
    /// Path and content, `-> target` for a link; what is not named is not there.
    #[serde(default)]
    lies: BTreeMap<String, String>,
    /// `rule path`, in order.
    expect: Vec<String>,
}

fn settings() -> Settings {
    let manifest: toml::Table = include_str!("../plugin.toml").parse().unwrap();
    serde_json::from_value(serde_json::to_value(&manifest["settings"]).unwrap()).unwrap()
}

fn md5(content: &str) -> String {
    text::hex(&Md5::digest(content))
}

#[test]
fn every_package_is_judged_as_its_story_says() {
    let mut count = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tables")).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        let case: Case = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let packages = dpkg::packages(&case.status);
        let diversions = Diversions::parse(&case.diversions, true);
        let mut said = Vec::new();
        for package in &packages {
            let listed = dpkg::listed(&case.md5sums, package, &diversions, true, |it| it.starts_with("/usr/"));
            for file in listed.unwrap() {
                let lies = match case.lies.get(&file.path).map(|it| (it, it.strip_prefix("-> "))) {
                    None => Lies::Absent,
                    Some((_, Some(target))) => Lies::Other(format!("a symbolic link to {target}")),
                    Some((content, None)) => Lies::File(md5(content)),
                };
                if let Some(found) = judge(package, &file, &lies, &settings().may_be_missing, None) {
                    said.push(format!("{} {}", found.rule, found.subject.name));
                    assert_eq!(package_of(&found), package.name);
                }
            }
        }
        assert_eq!(said, case.expect);
        count += 1;
    }
    assert!(count >= 7, "{count} cases");
}

#[test]
fn a_digest_goes_on_where_another_run_stopped() {
    let mut first = Md5::new();
    first.update("hold");
    let mut second = resume(&text::hex(&first.serialize())).unwrap();
    second.update("fast");
    assert_eq!(text::hex(&second.finalize()), md5("holdfast"));
    assert!(resume("").is_none() && resume("zz").is_none() && resume("00").is_none());
}

#[test]
fn the_print_changes_with_any_fact_that_a_new_content_changes() {
    let meta = Metadata {
        kind: Kind::File,
        size: 5,
        mode: 0o644,
        uid: 0,
        gid: 0,
        nlink: 1,
        mtime: 1,
        ctime: 2,
        inode: 3,
        device: 4,
    };
    let print = |meta: &Metadata| progress::print(&[("/usr/bin/x", Some(meta))], "sums");
    let same = print(&meta);
    assert_eq!(same, print(&{ meta }));
    for other in [
        Metadata { size: 6, ..meta },
        Metadata { ctime: 9, ..meta },
        Metadata { inode: 9, ..meta },
        Metadata { mode: 0o4755, ..meta },
    ] {
        assert_ne!(same, print(&other), "{other:?}");
    }
    assert_ne!(same, progress::print(&[("/usr/bin/x", Some(&meta))], "other sums"));
}

fn found(path: &str) -> Finding {
    let package = Package { name: "x".into(), version: "1".into(), conffiles: BTreeSet::default() };
    let file = Listed { path: path.into(), md5: md5("a") };
    judge(&package, &file, &Lies::File(md5("b")), &[], None).unwrap()
}

#[test]
fn a_later_look_at_a_file_takes_the_place_of_an_earlier_one() {
    let mut open = vec![found("/usr/a"), found("/usr/b")];
    assert_eq!(progress::settle(&mut open, "/usr/a", None, 2), Settled::Kept);
    assert_eq!(open.len(), 1);
    assert_eq!(progress::settle(&mut open, "/usr/c", Some(found("/usr/c")), 2), Settled::Kept);
    assert_eq!(progress::settle(&mut open, "/usr/d", Some(found("/usr/d")), 2), Settled::Lost);
    assert_eq!(progress::settle(&mut open, "/usr/c", Some(found("/usr/c")), 2), Settled::Kept, "there already");
}

#[test]
fn a_package_that_was_replaced_as_a_whole_is_one_finding() {
    let (mut open, mut counted) = (vec![], 0);
    for number in 0..30 {
        let path = format!("/usr/lib/x/{number}");
        counted += u64::from(progress::settle(&mut open, &path, Some(found(&path)), 200) == Settled::Counted);
    }
    let said = judge::said(&open, &BTreeMap::from([("x".to_owned(), counted)]));
    let [one] = said.as_slice() else { panic!("{said:?}") };
    assert!(one.finding().title.starts_with("30 files of package x"), "{}", one.finding().title);
    assert_eq!(judge::said(&open[..3], &BTreeMap::new()).len(), 3);
}

#[test]
fn an_odd_line_is_named() {
    let package = Package { name: "x".into(), version: "1".into(), conffiles: BTreeSet::default() };
    let error = dpkg::listed("nonsense\n", &package, &Diversions::default(), true, |_| true).unwrap_err();
    assert!(error.contains("line 1"), "{error}");
}
