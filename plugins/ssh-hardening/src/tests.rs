//! Each file in `tables/` is a set of configuration files, and what must be said about them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[expect(dead_code, reason = "for people")]
    story: String,
    files: BTreeMap<String, String>,
    #[serde(default)]
    accept: Vec<String>,
    /// `Keyword severity`, `Keyword@criteria severity`, in the table's order.
    expect: Vec<String>,
    /// Texts that stand in some title.
    #[serde(default)]
    says: Vec<String>,
    /// In the reason why nothing can be said.
    #[serde(default)]
    fails: Option<String>,
}

struct Fake(BTreeMap<String, String>);

impl Source for Fake {
    fn read(&mut self, path: &str) -> Result<Option<String>, Error> {
        match self.0.get(path).map(String::as_str) {
            Some("denied") => Err(Error::Denied(format!("the agent's user may not read `{path}`"))),
            text => Ok(text.map(str::to_owned)),
        }
    }
    fn expand(&mut self, pattern: &str) -> Result<Vec<String>, Error> {
        Ok(self.0.keys().filter(|path| glob::matches(pattern, path)).cloned().collect())
    }
}

#[test]
fn every_configuration_is_judged_as_its_story_says() {
    let mut count = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tables")).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        let case: Case = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        count += 1;
        let lines = match (config::lines(&mut Fake(case.files), "/etc/ssh/sshd_config"), &case.fails) {
            (Ok(lines), None) => lines.unwrap(),
            (Err(error), Some(why)) => {
                assert!(error.to_string().contains(why), "{error}");
                continue;
            }
            (other, _) => panic!("{other:?}"),
        };
        let found = judge::judge(&lines, &case.accept);
        let said: Vec<String> = found
            .iter()
            .map(|it| {
                let (name, severity) = (&it.finding().subject.name, it.finding().severity);
                format!("{} {}", name.trim_start_matches("sshd:"), format!("{severity:?}").to_lowercase())
            })
            .collect();
        let said: Vec<String> = said.iter().map(|it| it.replace("severity::", "")).collect();
        assert_eq!(said, case.expect);
        let titles = found.iter().map(|it| it.finding().title.as_str()).collect::<Vec<_>>().join("\n");
        for part in &case.says {
            assert!(titles.contains(part.as_str()), "`{part}` is not in: {titles}");
        }
    }
    assert!(count >= 10, "{count} cases");
}

#[test]
fn only_files_that_others_may_write_are_found() {
    for (mode, who) in [(0o644, None), (0o600, None), (0o664, Some("its group")), (0o666, Some("everybody"))] {
        let title = judge::writable("/etc/ssh/sshd_config", mode).map(|it| it.finding().title.clone());
        assert_eq!(title.is_some(), who.is_some(), "{mode:o}");
        assert!(who.is_none_or(|who| title.unwrap().contains(who)));
    }
}

#[test]
fn what_is_accepted_must_be_in_the_table() {
    let settings =
        |accept: &str| Settings { config: HostPath::new("/etc/ssh/sshd_config").unwrap(), accept: vec![accept.into()] };
    let context = || Context { run_id: String::new(), host_id: String::new() };
    assert!(SshHardening::configure(context(), settings("passwordauthentication")).is_ok());
    assert!(SshHardening::configure(context(), settings("PermitRootLogin@user backup")).is_ok());
    assert!(SshHardening::configure(context(), settings("PasswordAuth")).is_err());
}
