//! pratique
fn main() {}
