//! As many calls as there is room for; one more is refused by name and is no fault of the plugin.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use holdfast_plugin_host::{CALLS_MAX, CallError, Grant, HostOptions, Limits, PluginHost, World};
use support::{TestWorld, guest, run};

#[test]
fn each_call_has_its_place_and_one_too_many_is_told_so() {
    // Nobody is interrupted: a busy machine takes its time to begin so many.
    let limits = Limits { deadline: Duration::from_mins(2), ..Limits::default() };
    let host = PluginHost::new(HostOptions { limits }).unwrap();
    let grant = "[read]\nunits = [\"web-1.service\"]\n[settings]\ndeed = \"unit\"\nwith = \"web-1.service\"\n";
    let plugin = host.load(&guest("guests/hostile.wasm"), Some(Grant::parse(grant).unwrap())).unwrap();
    let world = Arc::new(TestWorld::new());
    let closed = world.door.write().unwrap();
    let calls: Vec<_> = (0..CALLS_MAX)
        .map(|_| {
            let (plugin, world) = (plugin.clone(), Arc::clone(&world) as Arc<dyn World>);
            std::thread::spawn(move || plugin.check(&run(), &world).result)
        })
        .collect();
    for _ in 0..6_000 {
        if world.asked.load(Ordering::SeqCst) == CALLS_MAX {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(world.asked.load(Ordering::SeqCst), CALLS_MAX, "all of them are under way");

    let one_more = || plugin.check(&run(), &(Arc::new(TestWorld::new()) as Arc<dyn World>)).result;
    let refused = one_more().unwrap_err();
    assert!(matches!(&refused, CallError::Host { what } if what.contains("64 calls at once")), "{refused}");
    assert!(!refused.is_misbehaviour());

    drop(closed);
    for call in calls {
        call.join().unwrap().unwrap();
    }
    one_more().unwrap();
}
