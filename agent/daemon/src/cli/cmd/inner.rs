//! What the agent and its unit call, and no person types: hidden from the help.

use super::super::args::CompilePlugin;
use super::super::exit::{DONE, Failure, NO, Outcome};
use super::Session;
use crate::config::Overrides;
use crate::plugins::{Confinement, End, compile_from_stdin};

/// The agent's child that compiles. Its one sentence is read by the agent, so it comes without anything around it.
pub(super) fn compile_plugin(args: &CompilePlugin) -> Outcome {
    let limits = Confinement { cpu_s: args.cpu_seconds, memory_bytes: args.memory_bytes };
    match compile_from_stdin(limits) {
        Ok(()) => Ok(DONE),
        Err(why) => Err(Failure::new(NO, why)),
    }
}

/// `ExecStopPost=` of the agent's unit.
pub(super) fn record_end(it: &Session) -> Outcome {
    let loaded = super::config::load(it.global.config.as_deref(), &Overrides::default())?;
    let told = |name: &str| std::env::var(name).unwrap_or_default();
    let end = End { result: told("SERVICE_RESULT"), code: told("EXIT_CODE"), status: told("EXIT_STATUS") };
    if end.code.is_empty() {
        return Err(Failure::usage("systemd has not said how the agent ended").hint("this is for ExecStopPost="));
    }
    let dir = &loaded.config.agent.data_dir;
    end.record(dir).map_err(|error| Failure::new(NO, format!("{}: {error}", dir.display())))?;
    Ok(DONE)
}
