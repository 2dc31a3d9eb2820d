//! Several components with one id: whose it is.

use std::os::unix::fs::MetadataExt;

use super::*;

/// Lets in what lies in `good` and `also`, vouches for `good` alone.
#[derive(Debug)]
struct ByDirectory;

impl Admission for ByDirectory {
    fn admit(&self, file: &Path, _: &[u8]) -> Result<bool, String> {
        match file.parent().and_then(Path::file_name).and_then(|it| it.to_str()) {
            Some("good") => Ok(true),
            Some("also") => Ok(false),
            _ => Err("it is not signed".to_owned()),
        }
    }
}

impl Host {
    /// `bad` is looked at first.
    fn three(&self) -> PluginsOptions {
        let dirs: Vec<PathBuf> = ["bad", "also", "good"].iter().map(|dir| self.path(dir)).collect();
        for dir in &dirs {
            std::fs::create_dir_all(dir).unwrap();
        }
        std::fs::write(self.path("plugins.d/hostile.toml"), format!("{GRANT}\"panic\"\n")).unwrap();
        PluginsOptions { dirs, admission: Arc::new(ByDirectory), ..self.options() }
    }

    fn lies(&self, dir: &str, content: &[u8]) {
        std::fs::write(self.path(dir).join("hostile.wasm"), content).unwrap();
    }
}

fn hostile() -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guests/hostile.wasm")).unwrap()
}

fn other() -> Vec<u8> {
    let mut other = hostile();
    let at = other.windows(17).rposition(|it| it == b"version = \"3.1.0\"").unwrap();
    other[at + 11] = b'4';
    other
}

fn whose(plugins: &Plugins) -> (String, PathBuf, Option<String>) {
    let entries = plugins.entries();
    assert_eq!(entries.len(), 1);
    let entry = &entries["hostile"];
    let dir = entry.file.parent().and_then(Path::file_name).unwrap().into();
    (plugins.list().remove(0).state, dir, entry.refused.clone())
}

#[test]
fn what_is_refused_never_takes_the_id_of_what_is_good() {
    for bad in [hostile(), b"\0asm\x0d\0\x01\0\xff".to_vec()] {
        let host = Host::new();
        let options = host.three();
        host.lies("bad", &bad);
        host.lies("good", &hostile());
        let (plugins, found) = Plugins::load(&options, host.sources()).unwrap();
        for _ in 0..2 {
            assert_eq!(whose(&plugins), ("ready".to_owned(), "good".into(), None), "{found:?}");
            assert!(found.len() == 1 && found[0].file.starts_with(host.path("bad")), "{found:?}");
            plugins.look();
        }
    }
}

#[test]
fn of_two_that_are_let_in_the_one_that_somebody_vouches_for_is_taken() {
    let host = Host::new();
    let options = host.three();
    host.lies("also", &hostile());
    let (plugins, found) = Plugins::load(&options, host.sources()).unwrap();
    assert_eq!((whose(&plugins).1, found.len()), ("also".into(), 0));
    host.lies("good", &hostile());
    let found = plugins.look();
    assert_eq!(whose(&plugins), ("ready".to_owned(), "good".into(), None));
    assert!(found[0].to_string().contains("also/hostile.wasm: it is left out: "), "{found:?}");
    assert!(found[0].message.contains("good/hostile.wasm has the id `hostile` too"), "{found:?}");
}

#[tokio::test]
async fn one_that_is_left_out_does_not_wash_the_other_clean() {
    let host = Host::new();
    let options = host.three();
    host.lies("good", &hostile());
    let (plugins, _) = Plugins::load(&options, host.sources()).unwrap();
    for _ in 0..3 {
        plugins.check("hostile", run(), NOW).await.unwrap_err();
    }
    host.lies("also", &other());
    assert_eq!(plugins.look().len(), 1);
    assert_eq!(whose(&plugins).0, "quarantined");
}

#[tokio::test]
async fn what_is_refused_elsewhere_keeps_nothing_running_whose_file_has_gone() {
    let host = Host::new();
    let options = host.three();
    host.lies("bad", &hostile());
    host.lies("good", &hostile());
    let (plugins, _) = Plugins::load(&options, host.sources()).unwrap();
    std::fs::remove_file(host.path("good/hostile.wasm")).unwrap();
    plugins.look();
    assert_eq!(whose(&plugins), ("refused".to_owned(), "bad".into(), None));
    assert!(matches!(plugins.check("hostile", run(), NOW).await, Err(PluginError::Refused { .. })));
}

#[test]
fn a_refused_update_hands_nothing_to_what_nobody_vouches_for() {
    let host = Host::new();
    let options = host.three();
    host.lies("also", &other());
    host.lies("good", &hostile());
    let (plugins, _) = Plugins::load(&options, host.sources()).unwrap();
    let whole = hostile();
    host.lies("good", &whole[..whole.len() / 2]);
    plugins.look();
    let (state, dir, refused) = whose(&plugins);
    assert_eq!((state.as_str(), dir), ("ready", "good".into()));
    assert!(refused.unwrap().contains("is truncated"));
    // What is vouched for and whole is still better.
    host.lies("good", &whole);
    plugins.look();
    assert_eq!(whose(&plugins), ("ready".to_owned(), "good".into(), None));
}

#[test]
fn what_is_left_out_is_compiled_once() {
    let host = Host::new();
    let cache = Some((host.path("cache"), holdfast_plugin_host::CacheKey::new([1; 32])));
    // Nobody vouches for either.
    let admission = Arc::new(Trust::new(&[], &[], true).unwrap());
    let options = PluginsOptions { cache, admission, ..host.three() };
    host.lies("also", &other());
    host.lies("good", &hostile());
    let compiled = || {
        let files = std::fs::read_dir(host.path("cache/plugins")).unwrap();
        let mut files: Vec<_> =
            files.map(|file| file.unwrap()).map(|file| (file.file_name(), file.metadata().unwrap().ino())).collect();
        files.sort();
        files
    };
    let (plugins, _) = Plugins::load(&options, host.sources()).unwrap();
    let first = compiled();
    assert_eq!(first.len(), 2);
    plugins.look();
    assert_eq!(compiled(), first);
    std::fs::remove_file(host.path("good/hostile.wasm")).unwrap();
    plugins.look();
    assert_eq!(compiled().len(), 1);
}

#[test]
fn after_a_restart_too_a_refused_update_hands_nothing_to_what_nobody_vouches_for() {
    let mut host = Host::new();
    let options = host.three();
    host.lies("good", &hostile());
    let (plugins, _) = Plugins::load(&options, host.sources()).unwrap();
    host.keep(&plugins);
    drop(plugins);
    let whole = hostile();
    host.lies("good", &whole[..whole.len() / 2]);
    host.lies("also", &other());
    let (plugins, found) = Plugins::load(&options, host.sources()).unwrap();
    assert_eq!(plugins.list().remove(0).state, "refused", "{found:?}");
    assert!(found.iter().any(|it| it.message.contains("nobody vouches for it")), "{found:?}");
    // Who names that very component says yes to it.
    let grant = std::fs::read_to_string(host.path("plugins.d/hostile.toml")).unwrap();
    let digest = holdfast_core::model::plan::hex(&<sha2::Sha256 as sha2::Digest>::digest(other()));
    std::fs::write(host.path("plugins.d/hostile.toml"), format!("digest = \"{digest}\"\n{grant}")).unwrap();
    plugins.look();
    assert_eq!((whose(&plugins).0.as_str(), whose(&plugins).1), ("ready", "also".into()));
}

/// Vouches for what has a signature beside it.
#[derive(Debug)]
struct BySignature;

impl Admission for BySignature {
    fn admit(&self, file: &Path, _: &[u8]) -> Result<bool, String> {
        Ok(signature_file(file).exists())
    }
}

#[test]
fn what_is_signed_while_it_runs_is_vouched_for_from_then_on() {
    let host = Host::new();
    let options = PluginsOptions { admission: Arc::new(BySignature), ..host.three() };
    host.lies("good", &hostile());
    let (plugins, _) = Plugins::load(&options, host.sources()).unwrap();
    let vouched = || plugins.entries()["hostile"].vouched;
    assert!(!vouched());
    let before = plugins.files();
    std::fs::write(host.path("good/hostile.wasm.minisig"), "signed").unwrap();
    assert_ne!(plugins.files(), before, "a look follows");
    plugins.look();
    assert!(vouched());
    assert_eq!(whose(&plugins), ("ready".to_owned(), "good".into(), None));
    std::fs::remove_file(host.path("good/hostile.wasm.minisig")).unwrap();
    plugins.look();
    assert!(!vouched());
    host.lies("good", &other());
    plugins.look();
    let (state, _, refused) = whose(&plugins);
    assert_eq!(state, "ready");
    assert!(refused.unwrap().contains("nobody vouches for it"));
}
