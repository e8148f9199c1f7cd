//! The pass over a layer and the squash of layers, on built, real and hostile input.

mod archives;
mod formats;
mod hostile;
mod layer;
mod real;
mod squash;
mod squash_property;
mod rules_are_sound;
mod support;
