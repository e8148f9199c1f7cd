//! The store's promises, each tested on each backend.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod performance;
#[cfg(test)]
mod sqlite;
#[cfg(test)]
mod world;
