//! The pass over a layer and the squash of layers, on built, real and hostile input.

#[cfg(test)]
mod altered;
#[cfg(test)]
mod archives;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod completeness;
#[cfg(test)]
mod configuration;
#[cfg(test)]
mod formats;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod languages;
#[cfg(test)]
mod large;
#[cfg(test)]
mod layer;
mod lazy;
#[cfg(test)]
mod mutations;
#[cfg(test)]
mod nested;
#[cfg(test)]
mod real;
#[cfg(test)]
mod rpm;
#[cfg(test)]
mod rules_are_sound;
#[cfg(test)]
mod sbom;
#[cfg(test)]
mod secret_corpus;
#[cfg(test)]
mod squash;
#[cfg(test)]
mod squash_property;
#[cfg(test)]
mod support;
#[cfg(test)]
mod systems;
#[cfg(test)]
mod yara;
