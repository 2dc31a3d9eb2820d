//! What is known about the data themselves: how good they are, and where a finding comes from; and forgetting them.

mod forget;
mod lineage;
mod prove;
mod quality;

pub use forget::{Forgotten, forget};
pub use lineage::{DecisionStep, Lineage, Rows, lineage};
pub use prove::{REPLAYED_MAX, replayed};
pub use quality::{Cardinality, Lacking, Quality, QualityOptions, Required, SeriesReport, quality};
