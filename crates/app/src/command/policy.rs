//! `pratique policy check FILE`: can this file be used?

use crate::arguments::{PolicyAction, PolicyArguments};
use crate::command::scan::read_policies;
use crate::exit::Exit;
use anyhow::Result;

pub(crate) fn run(arguments: &PolicyArguments) -> Result<Exit> {
    let PolicyAction::Check { file } = &arguments.action;
    let set = read_policies(file)?;
    for policy in &set.policies {
        let state = if policy.enabled { "" } else { " (disabled)" };
        anstream::println!("{:<18} {}{state}", policy.kind.as_str(), policy.id);
    }
    anstream::println!("{} can be used: {} policies", file.display(), set.policies.len());
    Ok(Exit::Done)
}
