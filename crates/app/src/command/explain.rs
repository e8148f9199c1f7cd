//! `pratique explain`: a verdict and each step that led to it.

use crate::arguments::ExplainArguments;
use crate::exit::Exit;
use crate::folders;
use anyhow::{Result, anyhow};
use engine::intelligence::Library;
use model::purl::Purl;

pub(crate) fn run(arguments: &ExplainArguments) -> Result<Exit> {
    let key = Purl::to_key(&arguments.purl).map_err(|e| anyhow!(engine::Error::new(engine::ErrorKind::Usage, e)))?;
    let library = Library::open(&folders::intelligence(arguments.intel.intel.clone())?)?;
    let loaded = library.current();
    let explanation = loaded.intelligence.explain(&key, &arguments.vulnerability)?;
    anstream::println!("{explanation}");
    Ok(Exit::Done)
}
