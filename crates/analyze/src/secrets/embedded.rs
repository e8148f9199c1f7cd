//! The rules that ship with the program: data in `rules/secrets`, one file per trade.

/// Name and text of each file.
pub(super) const RULES: &[(&str, &str)] = &[
    ("keys.toml", include_str!("../../../../rules/secrets/keys.toml")),
    ("cloud.toml", include_str!("../../../../rules/secrets/cloud.toml")),
    ("source.toml", include_str!("../../../../rules/secrets/source.toml")),
    ("registries.toml", include_str!("../../../../rules/secrets/registries.toml")),
    ("chat.toml", include_str!("../../../../rules/secrets/chat.toml")),
    ("payment.toml", include_str!("../../../../rules/secrets/payment.toml")),
    ("services.toml", include_str!("../../../../rules/secrets/services.toml")),
    ("ai.toml", include_str!("../../../../rules/secrets/ai.toml")),
    ("files.toml", include_str!("../../../../rules/secrets/files.toml")),
    ("connections.toml", include_str!("../../../../rules/secrets/connections.toml")),
    ("generic.toml", include_str!("../../../../rules/secrets/generic.toml")),
];

/// What is known not to be a secret.
pub(super) const ALLOW: &str = include_str!("../../../../rules/secrets/allow.toml");
