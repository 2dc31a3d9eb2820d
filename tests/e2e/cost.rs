//! Cost: what the agent says that it takes on an idle host, an unoptimised build included.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::crash::print;
use crate::harness::{Machine, on};

#[test]
fn status_says_what_the_agent_costs_on_an_idle_host() -> Result<()> {
    on("cost", Machine::installed()?, |machine| {
        machine.set_up("advise", "", "")?;
        let own = machine.wait_until("a minute of cost is known", Duration::from_mins(3), |m| {
            let status = m.ask(&["status"])?;
            Ok((status["uptime_s"].as_u64() >= Some(60)).then(|| status["own"].clone()))
        })?;
        let figure = |name: &str| own[name].as_f64().with_context(|| format!("status does not know {name}: {own}"));
        let (cpu, resident, each) = (figure("cpu_percent")?, figure("resident_bytes")?, figure("cpu_us_per_sample")?);
        print(&format!(
            "idle host, unoptimised build: {cpu:.2} % of one core, {:.1} MiB resident, {each:.1} us of CPU for each stored sample",
            resident / f64::from(1 << 20)
        ));
        ensure!(cpu < 50.0, "{cpu} % of a core on an idle host");
        ensure!(resident < 512.0 * 1024.0 * 1024.0, "{resident} bytes");
        Ok(())
    })
}
