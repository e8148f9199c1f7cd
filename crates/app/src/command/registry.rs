//! `pratique registry add|list|scan`: the API of a running server, from the command line.

use crate::arguments::{RegistryAction, RegistryAddArguments, RegistryArguments};
use crate::command::scan::password;
use crate::exit::Exit;
use anyhow::{Context, Result, anyhow, bail};
use remote::api::ApiClient;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::path::Path;

pub(crate) async fn run(arguments: RegistryArguments) -> Result<Exit> {
    let token = arguments.token.context("an API token is needed: --token or PRATIQUE_TOKEN")?;
    let ca = arguments.ca.as_deref().map(read).transpose()?;
    let client = ApiClient::new(&arguments.server, ca.as_deref(), SecretString::from(token))?;
    match arguments.action {
        RegistryAction::Add(add) => self::add(&client, *add).await?,
        RegistryAction::List => list(&client).await?,
        RegistryAction::Scan { name } => scan(&client, &name).await?,
    }
    Ok(Exit::Done)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

async fn add(client: &ApiClient, add: RegistryAddArguments) -> Result<()> {
    let mut body = json!({
        "name": add.name,
        "kind": "docker-v2",
        "url": add.url,
        "plain_http": add.plain_http,
        "skip_tls_verify": add.skip_tls_verify,
        "repositories": add.repositories,
        "scan_mode": add.scan_mode,
        "initial_scan": initial_scan(&add.initial_scan)?,
        "scope": { "include": add.include, "exclude": add.exclude },
    });
    let fields = body.as_object_mut().context("a body is an object")?;
    if let Some(username) = add.username {
        fields.insert("username".into(), username.into());
        fields.insert("password".into(), password(add.password_stdin)?.into());
    }
    if let Some(group) = add.agent_group {
        fields.insert("agent_group".into(), group.into());
    }
    if let Some(path) = add.registry_ca {
        fields.insert("ca_certificate".into(), read(&path)?.into());
    }
    let answer = parse(&client.post("api/v1/registries", serde_json::to_vec(&body)?).await?)?;
    anstream::println!("registry {} is connected as number {}", text(&answer, "name"), answer["id"]);
    Ok(())
}

fn initial_scan(what: &str) -> Result<Value> {
    match what.split_once('=') {
        None if matches!(what, "all" | "latest_tag") => Ok(json!({ "mode": what })),
        Some(("days_modified", days)) => {
            let days: u32 = days.parse().map_err(|_| usage(format!("{days:?} is not a number of days")))?;
            Ok(json!({ "mode": "days_modified", "days": days }))
        }
        _ => Err(usage(format!("{what:?} is not an initial scan: all, latest_tag or days_modified=N"))),
    }
}

fn usage(text: String) -> anyhow::Error {
    anyhow!(engine::Error::new(engine::ErrorKind::Usage, text))
}

async fn registries(client: &ApiClient) -> Result<Vec<Value>> {
    let answer = parse(&client.get("api/v1/registries?limit=500").await?)?;
    Ok(answer["items"].as_array().cloned().unwrap_or_default())
}

async fn list(client: &ApiClient) -> Result<()> {
    let items = registries(client).await?;
    if items.is_empty() {
        anstream::println!("no registry is connected yet: pratique registry add NAME URL");
    }
    for item in items {
        let (name, status, url) = (text(&item, "name"), text(&item, "status"), text(&item, "url"));
        anstream::println!("{name:<24} {status:<10} {url}");
        let reason = text(&item, "reason");
        if !reason.is_empty() {
            anstream::println!("{:<24} {reason}", "");
        }
    }
    Ok(())
}

async fn scan(client: &ApiClient, name: &str) -> Result<()> {
    let items = registries(client).await?;
    let Some(found) = items.iter().find(|item| item["name"] == name) else {
        bail!("no registry is called {name:?}");
    };
    client.post(&format!("api/v1/registries/{}/discover", found["id"]), b"{}".to_vec()).await?;
    anstream::println!("{name}: discovery is under way; new and moved tags are scanned as they are found");
    Ok(())
}

fn parse(bytes: &[u8]) -> Result<Value> {
    serde_json::from_slice(bytes).context("the server's answer cannot be read")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}
