//! Published JSON schemas of the shared test data, for documents that have to be valid.

use jsonschema::{Retrieve, Uri, Validator};
use serde_json::Value;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

/// Everything that is wrong with a document by a schema of the shared data, such as `sarif-2.1.0.schema.json`. `None`
/// where the data is absent; that is said visibly.
///
/// # Panics
/// When the schema itself cannot be used.
pub fn faults(schema: &str, document: &Value) -> Option<Vec<String>> {
    let validator = validator(schema)?;
    let place = |error: jsonschema::ValidationError<'_>| {
        let text = error.to_string();
        let text: String = text.chars().take(300).collect();
        format!("{}: {text}", error.instance_path())
    };
    Some(validator.iter_errors(document).take(20).map(place).collect())
}

fn validator(schema: &str) -> Option<Validator> {
    let path = crate::data::path(&format!("schemas/{schema}"))?;
    let beside = Beside(path.parent()?.to_path_buf());
    let text = fs::read_to_string(&path).expect("the schema can be read");
    let document = serde_json::from_str(&text).expect("the schema is JSON");
    let options = jsonschema::options().with_retriever(beside);
    Some(options.build(&document).expect("the schema can be used"))
}

/// Schemas that a schema refers to lie beside it; CycloneDX's under its own name.
struct Beside(PathBuf);

impl Retrieve for Beside {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn Error + Send + Sync>> {
        let name = uri.path().as_str().rsplit('/').next().unwrap_or_default().to_owned();
        let candidates = [name.clone(), format!("cyclonedx-{name}")];
        let path = candidates.iter().map(|name| self.0.join(name)).find(|path| path.exists());
        let path = path.ok_or_else(|| format!("there is no schema {name}"))?;
        Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
    }
}
