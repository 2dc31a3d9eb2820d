//! A call that hangs in the host: nobody is waited for twice, everybody sees it, and it is over when the host answers.

use tokio::sync::RwLock;

use super::*;

/// Answers when the door is open.
struct Behind(Arc<RwLock<()>>);

impl UnitSource for Behind {
    fn unit(&self, name: &str, within: Duration) -> Result<Option<UnitState>, WorldError> {
        drop(self.0.blocking_read());
        OneUnit.unit(name, within)
    }
    fn units(&self, within: Duration) -> Result<Vec<UnitState>, WorldError> {
        self.unit("", within)?;
        OneUnit.units(within)
    }
}

const ASKS: &str = "[read]\nunits = [\"web*.service\"]\n[settings]\ndeed = \"units\"\n";

/// The plugin, behind a door; a call is waited for for so long beyond its deadline of 200 ms.
fn behind_a_door(host: &Host, margin: Duration) -> (Arc<Plugins>, Arc<RwLock<()>>) {
    host.install("guests/hostile.wasm", Some(ASKS));
    let door = Arc::new(RwLock::new(()));
    let mut options = PluginsOptions { margin, ..host.options() };
    options.limits.deadline = Duration::from_millis(200);
    let sources = Sources { units: Arc::new(Behind(Arc::clone(&door))), ..host.sources() };
    let (plugins, problems) = Plugins::load(&options, sources).unwrap();
    assert_eq!(problems, []);
    (Arc::new(plugins), door)
}

fn stuck(plugins: &Plugins) -> Presence {
    plugins.detections(NOW).into_iter().find(|it| it.kind == "plugin.stuck").unwrap().presence
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_hangs_is_shown_waited_for_once_and_over_when_it_ends() {
    let host = Host::new();
    let (plugins, door) = behind_a_door(&host, Duration::from_millis(300));
    assert_eq!(stuck(&plugins), Presence::Cleared);
    for failures in 1..=3 {
        let shut = door.write().await;
        let error = plugins.check("hostile", run(), NOW).await.unwrap_err();
        assert!(matches!(error, PluginError::Stuck { .. }), "{error}");
        host.clock.advance(Duration::from_secs(90));
        if failures == 3 {
            // Three times in a row is too often.
            assert_eq!((plugins.list()[0].state.as_str(), stuck(&plugins)), ("quarantined", Presence::Present));
            drop(shut);
            return;
        }
        let status = plugins.list().remove(0);
        assert_eq!(status.state, "stuck");
        assert!(status.reason.unwrap().starts_with("a call of it has hung for 90 s: something that it reads"));
        assert_eq!(stuck(&plugins), Presence::Present);
        // Who asks meanwhile is told so at once.
        let asked = tokio::time::timeout(Duration::from_millis(250), plugins.check("hostile", run(), NOW));
        let error = asked.await.expect("nobody waits for what hangs").unwrap_err();
        assert!(matches!(error, PluginError::Hangs { .. }), "{error}");
        assert!(error.to_string().contains("a call of it has hung for 90 s"), "{error}");
        let status = plugins.list().remove(0);
        assert_eq!((status.state.as_str(), status.last_error), ("stuck", Some(error.to_string())));
        drop(shut);
        while plugins.list()[0].state == "stuck" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!((plugins.list()[0].state.as_str(), stuck(&plugins)), ("ready", Presence::Cleared));
        assert_eq!(plugins.list()[0].failures, 2 * failures, "one that hung and one that was turned away");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_turn_in_vain_is_counted_and_speaks_against_nobody() {
    let host = Host::new();
    let (plugins, door) = behind_a_door(&host, Duration::from_millis(300));
    let entry = Arc::clone(&plugins.entries()["hostile"]);
    let turn = Arc::clone(&entry.turn).acquire_owned().await.unwrap();
    for failures in 1..=4 {
        let error = plugins.check("hostile", run(), NOW).await.unwrap_err();
        assert!(matches!(error, PluginError::Busy(_)), "{error}");
        let status = plugins.list().remove(0);
        assert_eq!((status.state.as_str(), status.failures), ("ready", failures));
        assert_eq!(status.last_error, Some(error.to_string()));
    }
    drop((turn, door));
    assert!(plugins.check("hostile", run(), NOW).await.is_ok());
}
