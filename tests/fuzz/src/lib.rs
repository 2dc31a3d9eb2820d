//! What the plugin host must bear: any bytes as a component, any text as a manifest, any arguments of a host call.
//!
//! Each harness takes bytes, does one thing with them, and asserts what must hold whatever they are. A panic of the host is a failure,
//! and so is an answer that tells what was not granted. `tests/corpus.rs` plays them over the committed corpus and seeded mutations of
//! it; `cargo xtask fuzz` gives them to libFuzzer.

mod calls;
mod mutate;
#[path = "../../../agent/plugin-host/tests/support/mod.rs"]
mod support;

use std::sync::{Arc, OnceLock};

use holdfast_core::model::Mode;
use holdfast_plugin_host::{
    Effective, Grant, Manifest, Plugin, ProposeGrant, Proposes, ReadGrant, Wants, World, manifest_of,
};

pub use mutate::{Seeded, mutate};

/// Lies beside what is granted, and must never be told.
const SECRET: &str = "the-secret-beside-the-grant";
/// Lies within what is granted.
const OPEN: &str = "what-everybody-may-read";

/// What the guest that calls is given.
const GRANT: &str = "[read]\nfiles = [\"/srv/app\", \"/srv/single.conf\"]\nunits = [\"web-1.service\"]\nmetrics = true\nprocesses = true\n\
     changes = true\n";

/// Any bytes as a component: refused with a sentence, or loaded with the manifest that is read without running it.
pub fn loader(data: &[u8]) {
    match support::host().load(data, None) {
        Ok(plugin) => {
            let manifest = manifest_of(data);
            assert_eq!(manifest.as_ref(), Ok(plugin.manifest()), "two readers see two manifests");
            assert!(plugin.grant().is_none(), "nobody granted anything");
        }
        Err(error) => fits(&error.to_string()),
    }
}

/// Any bytes as a manifest and as a grant: what is taken can be granted, and nothing more than it asks for.
pub fn manifest(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let grant = Grant::parse(&text);
    if let Err(error) = &grant {
        fits(&error.to_string());
    }
    match Manifest::parse(&text) {
        Ok(manifest) => {
            let everything = Grant::everything(&manifest, Mode::Auto);
            let own = Effective::new(manifest.clone(), everything.clone(), "");
            assert!(own.is_ok(), "what a manifest asks for can be granted: {own:?}");
            let bare = Manifest { wants: Wants::default(), proposes: Proposes::default(), ..manifest };
            let asks = everything.read != ReadGrant::default() || everything.propose != ProposeGrant::default();
            let more = Effective::new(bare, everything, "");
            assert!(!asks || more.is_err(), "more was granted than is asked for");
        }
        Err(error) => fits(&error.to_string()),
    }
    let _ = manifest_of(data);
}

/// Any arguments of any host calls: the call ends with an answer or a refusal, and nothing beside the grant is told.
pub fn host_calls(data: &[u8]) {
    let told = told(data);
    assert!(!told.contains(SECRET), "it told what lies beside the grant, asked by {}", shown(data));
    assert!(!told.contains("\"ssh.service"), "it told of a unit that is not granted, asked by {}", shown(data));
    assert!(!told.contains("panicked"), "{told}, asked by {}", shown(data));
}

/// All that the host told a guest that makes these calls.
pub fn told(data: &[u8]) -> String {
    let (plugin, world) = caller();
    let mut grant: Grant = match Grant::parse(GRANT) {
        Ok(grant) => grant,
        Err(error) => panic!("the grant is none: {error}"),
    };
    grant.settings.insert("calls".to_owned(), shown(data).into());
    let plugin = match plugin.granted(Some(grant)) {
        Ok(plugin) => plugin,
        Err(error) => panic!("the grant does not fit: {error}"),
    };
    let call = plugin.check(&support::run(), world);
    format!("{:?} {:?} {:?}", call.result, call.log, call.state)
}

/// An error is said to people: it has words, and they end.
fn fits(text: &str) {
    assert!(!text.is_empty() && text.len() < 16 * 1024, "{} bytes: {:?}", text.len(), text.get(..200));
}

/// The guest that calls, and a world with traps in it.
fn caller() -> (&'static Plugin, &'static Arc<dyn World>) {
    static WORLD: OnceLock<Arc<dyn World>> = OnceLock::new();
    static CALLER: OnceLock<Plugin> = OnceLock::new();
    let world = WORLD.get_or_init(|| {
        let world = support::TestWorld::new();
        world.write("/srv/app/a.txt", OPEN);
        world.write("/srv/app/sub/b.txt", OPEN);
        world.write("/srv/single.conf", OPEN);
        world.write("/srv/beside.txt", SECRET);
        world.write("/secret/c.txt", SECRET);
        world.write("/secret/the-secret-beside-the-grant", SECRET);
        world.link("/srv/app/up", "../beside.txt");
        world.link("/srv/app/away", "/secret");
        world.link("/srv/app/far", "../../secret/c.txt");
        world.link("/srv/app/round", "round");
        world.link("/srv/app/fine", "sub/b.txt");
        world.link("/srv/app/proc", "/proc/self/root");
        Arc::new(world)
    });
    let caller = CALLER.get_or_init(|| match support::host().load(&support::guest("guests/caller.wasm"), None) {
        Ok(plugin) => plugin,
        Err(error) => panic!("the caller does not load: {error}"),
    });
    (caller, world)
}

/// The calls that these bytes stand for, for people who look into a finding.
pub fn shown(data: &[u8]) -> String {
    calls::decode(data)
}
