//! The actuator.
fn main() {}
