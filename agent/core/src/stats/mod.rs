//! The few statistics that Holdfast owns; each cites where it comes from.
//!
//! Pure and total: any finite input gives an answer or `None`, never a panic. Callers keep not-a-number out.

pub mod density;
pub mod placebo;
pub mod robust;
pub mod slope;
pub mod tail;
