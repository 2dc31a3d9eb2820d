//! From the traits to the component's exports: the macro, and what it calls.

use std::any::Any;
use std::cell::RefCell;

use crate::bindings::host::metrics::Series;
use crate::bindings::{
    check as wire_check, collector as wire_collector, detector as wire_detector, lifecycle,
    remediator as wire_remediator,
};
use crate::roles::{
    Check, Collector, Context, Detector, Outcome, OutcomeState, Plugin, ProposedPlan, ProposedStep, Remediator,
    Verdict, settings,
};
use crate::{Error, Finding, Report, Samples, host};

thread_local! {
    /// The instance of this call: a component has one thread and lives for one call.
    static INSTANCE: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

/// Makes a type the plugin of this crate.
///
/// `export!(MyCheck: Check)`, `export!(MyMedic: Remediator)`, `export!(MyGuard: Check + Remediator)`, `export!(MyMeter: Collector)` or
/// `export!(MyJudge: Detector)`: one of them, once a crate. In a native build it makes nothing, so logic is tested without a host.
///
/// ```
/// use holdfast_plugin_sdk::{Check, Context, Error, Plugin, Report, export};
///
/// struct Quiet;
///
/// impl Plugin for Quiet {
///     type Settings = std::collections::BTreeMap<String, String>;
///     fn configure(_: Context, _: Self::Settings) -> Result<Self, Error> {
///         Ok(Self)
///     }
/// }
///
/// impl Check for Quiet {
///     fn run(&self, report: &mut Report) -> Result<(), Error> {
///         report.evaluated("quiet.always");
///         Ok(())
///     }
/// }
///
/// export!(Quiet: Check);
///
/// let mut report = Report::default();
/// assert!(Quiet.run(&mut report).is_ok() && report.problems().is_empty());
/// ```
#[macro_export]
macro_rules! export {
    ($plugin:ident : Check) => {
        $crate::__export!($plugin, check);
    };
    ($plugin:ident : Collector) => {
        $crate::__export!($plugin, collector);
    };
    ($plugin:ident : Detector) => {
        $crate::__export!($plugin, detector);
    };
    ($plugin:ident : Remediator) => {
        $crate::__export!($plugin, remediator);
    };
    ($plugin:ident : Check + Remediator) => {
        $crate::__export!($plugin, check remediator);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($plugin:ident, $($role:ident)+) => {
        const _: () = {
            #[cfg_attr(not(target_arch = "wasm32"), expect(dead_code, reason = "only a component exports it"))]
            struct Exported;
            $crate::__role!($plugin, lifecycle);
            $($crate::__role!($plugin, $role);)+
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __role {
    ($plugin:ident, lifecycle) => {
        impl $crate::bindings::lifecycle::Guest for Exported {
            fn configure(context: $crate::bindings::lifecycle::Context) -> Result<(), $crate::Error> {
                $crate::export::configure::<$plugin>(context)
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::lifecycle::__export_holdfast_plugin_lifecycle_0_1_0_cabi!(
            Exported with_types_in $crate::bindings::lifecycle
        );
    };
    ($plugin:ident, collector) => {
        impl $crate::bindings::collector::Guest for Exported {
            fn collect() -> Result<Vec<$crate::bindings::collector::Sample>, $crate::Error> {
                $crate::export::collect::<$plugin>()
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::collector::__export_holdfast_plugin_collector_0_1_0_cabi!(
            Exported with_types_in $crate::bindings::collector
        );
    };
    ($plugin:ident, detector) => {
        impl $crate::bindings::detector::Guest for Exported {
            fn detect(
                window: Vec<$crate::host::metrics::Series>,
            ) -> Result<Vec<$crate::bindings::detector::Anomaly>, $crate::Error> {
                $crate::export::detect::<$plugin>(&window)
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::detector::__export_holdfast_plugin_detector_0_1_0_cabi!(
            Exported with_types_in $crate::bindings::detector
        );
    };
    ($plugin:ident, check) => {
        impl $crate::bindings::check::Guest for Exported {
            fn run() -> Result<$crate::bindings::check::Report, $crate::Error> {
                $crate::export::check::<$plugin>()
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::check::__export_holdfast_plugin_check_0_1_0_cabi!(
            Exported with_types_in $crate::bindings::check
        );
    };
    ($plugin:ident, remediator) => {
        impl $crate::bindings::remediator::Guest for Exported {
            fn propose(finding: $crate::Finding) -> Result<Option<$crate::bindings::remediator::Plan>, $crate::Error> {
                $crate::export::propose::<$plugin>(&finding)
            }
            fn verify(
                finding: $crate::Finding,
                plan: $crate::bindings::remediator::Plan,
                outcomes: Vec<$crate::bindings::remediator::Outcome>,
            ) -> Result<$crate::bindings::remediator::Verdict, $crate::Error> {
                $crate::export::verify::<$plugin>(&finding, plan, outcomes)
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::remediator::__export_holdfast_plugin_remediator_0_1_0_cabi!(
            Exported with_types_in $crate::bindings::remediator
        );
    };
}

/// Settles the panic hook and makes the instance.
pub fn configure<P: Plugin>(context: lifecycle::Context) -> Result<(), Error> {
    std::panic::set_hook(Box::new(|panic| host::log::error(&panic.to_string(), &[])));
    let settings = settings(&context.settings)?;
    let plugin = P::configure(Context { run_id: context.run_id, host_id: context.host_id }, settings)?;
    INSTANCE.with_borrow_mut(|instance| *instance = Some(Box::new(plugin)));
    Ok(())
}

fn with<P: Plugin, T>(call: impl FnOnce(&P) -> Result<T, Error>) -> Result<T, Error> {
    INSTANCE.with_borrow(|instance| match instance.as_ref().and_then(|it| it.downcast_ref::<P>()) {
        Some(plugin) => call(plugin),
        None => Err(Error::Invalid("the host called before `configure` went well".to_owned())),
    })
}

/// The collector role.
pub fn collect<P: Collector>() -> Result<Vec<wire_collector::Sample>, Error> {
    let mut samples = Samples::default();
    with::<P, ()>(|plugin| plugin.collect(&mut samples))?;
    Ok(samples.into_wire())
}

/// The detector role.
pub fn detect<P: Detector>(window: &[Series]) -> Result<Vec<wire_detector::Anomaly>, Error> {
    let found = with::<P, _>(|plugin| plugin.detect(window))?;
    let now = host::clock::now_ns();
    Ok(found.into_iter().map(|anomaly| anomaly.into_wire(now)).collect())
}

/// The check role.
pub fn check<P: Check>() -> Result<wire_check::Report, Error> {
    let mut report = Report::default();
    with::<P, ()>(|plugin| plugin.run(&mut report))?;
    Ok(report.into_wire())
}

/// The remediator role, before.
pub fn propose<P: Remediator>(finding: &Finding) -> Result<Option<wire_remediator::Plan>, Error> {
    let plan = with::<P, _>(|plugin| plugin.propose(finding))?;
    Ok(plan.map(|plan| plan.into_wire(host::clock::now_ns())))
}

/// The remediator role, after.
pub fn verify<P: Remediator>(
    finding: &Finding,
    plan: wire_remediator::Plan,
    outcomes: Vec<wire_remediator::Outcome>,
) -> Result<Verdict, Error> {
    let steps = plan.steps.into_iter().map(|s| ProposedStep { id: s.id, capability: s.capability }).collect();
    let plan = ProposedPlan { summary: plan.summary, subject: plan.subject, evidence: plan.evidence, steps };
    let outcomes: Vec<Outcome> = outcomes.into_iter().map(outcome).collect();
    with::<P, _>(|plugin| plugin.verify(finding, &plan, &outcomes))
}

fn outcome(wire: wire_remediator::Outcome) -> Outcome {
    let state = match wire.state {
        wire_remediator::StepState::Done => OutcomeState::Done,
        wire_remediator::StepState::Failed => OutcomeState::Failed,
        wire_remediator::StepState::Skipped => OutcomeState::Skipped,
        wire_remediator::StepState::Undone => OutcomeState::Undone,
        wire_remediator::StepState::DryRun => OutcomeState::DryRun,
    };
    Outcome { step: wire.step, state, message: wire.message, facts: wire.facts }
}
