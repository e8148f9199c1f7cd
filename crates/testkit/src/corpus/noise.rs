//! What is no secret and looks like one: checksums, identifiers, translations, code that speaks of passwords.

use super::CorpusFile;
use super::hosts::Host;
use super::random::Random;
use super::shaped::{armoured, uuid};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const HEX: &[u8] = b"0123456789abcdef";
const WORDS: &[&str] = &[
    "order", "basket", "customer", "shipment", "invoice", "price", "stock", "return", "address", "country", "carrier",
    "session", "request", "retry", "cache", "index", "search", "filter", "render", "upload",
];
const NAMES: &[&str] =
    &["password", "token", "secret", "apiKey", "credential", "accessKey", "passphrase", "clientSecret"];

fn word(random: &mut Random) -> &'static str {
    let chosen: &&'static str = random.pick(WORDS);
    chosen
}

fn hex(random: &mut Random, count: usize) -> String {
    random.text(HEX, count)
}

fn integrity(random: &mut Random) -> String {
    format!("sha512-{}", STANDARD.encode(random.bytes(64)))
}

/// A line of such a file that holds no secret.
pub(super) fn line(host: Host, random: &mut Random) -> String {
    let (a, b) = (word(random), word(random));
    let number = random.between(1, 9000);
    match host {
        Host::Environment | Host::Properties => match random.below(6) {
            0 => format!("{}_URL=https://{b}.internal/{a}", a.to_uppercase()),
            1 => format!("{}_TIMEOUT={number}", a.to_uppercase()),
            2 => format!("BUILD_ID={}", hex(random, 40)),
            3 => format!("{}_PASSWORD_FILE=/run/secrets/{b}", a.to_uppercase()),
            4 => format!("{}_TOKEN=${{{}_TOKEN}}", a.to_uppercase(), b.to_uppercase()),
            _ => format!("REQUEST_NAMESPACE={}", uuid(random)),
        },
        Host::Shell | Host::Dockerfile => match random.below(4) {
            0 => format!("# {a} {b} {number}"),
            1 => format!("RUN echo \"{}  {a}.tar.gz\" | sha256sum -c -", hex(random, 64)),
            2 => format!("export {}_TOKEN=\"$(cat /run/secrets/{b})\"", a.to_uppercase()),
            _ => format!("ARG {}_VERSION=1.{number}.0", a.to_uppercase()),
        },
        Host::Yaml => match random.below(5) {
            0 => format!("  {a}_{b}: {number}"),
            1 => format!("  image: shop/{a}@sha256:{}", hex(random, 64)),
            2 => format!("  {a}_password: {{{{ {b}_password }}}}"),
            3 => format!("  {a}_id: {}", uuid(random)),
            _ => format!("  secretName: {a}-{b}-tls"),
        },
        Host::Toml | Host::Terraform => match random.below(4) {
            0 => format!("{a}_{b} = {number}"),
            1 => format!("{a}_checksum = \"{}\"", hex(random, 64)),
            2 => format!("{a}_password = var.{b}_password"),
            _ => format!("{a}_zone = \"zone-{number}\""),
        },
        Host::Json => match random.below(4) {
            0 => format!("  \"{a}-{number}\": \"{b}\","),
            1 => format!("  \"{a}-{number}-integrity\": \"{}\",", integrity(random)),
            2 => format!("  \"{a}-{number}-id\": \"{}\",", uuid(random)),
            _ => format!("  \"{a}-{number}-tokenUrl\": \"https://{b}.internal/oauth/token\","),
        },
        Host::Minified => format!(
            "!function(t,e){{t.{a}=e({number}),t.{b}=\"{}\";for(var n=0;n<t.length;n++)t[n].{a}({b})}}(this,{a});",
            hex(random, 8)
        ),
        Host::Python | Host::JavaScript | Host::Go | Host::Java | Host::Php => code(random),
    }
}

fn code(random: &mut Random) -> String {
    let (a, b, name) = (word(random), word(random), *random.pick(NAMES));
    match random.below(10) {
        0 => format!("    {name} = request.form[\"{name}\"]"),
        1 => format!("    return self.{a}.{b}({name})"),
        2 => format!("    {a}_{b} = \"{}\"", hex(random, 40)),
        3 => format!("    {a}Id = \"{}\"", uuid(random)),
        4 => format!("    if ({name} == null) throw new Error(\"{name} is required\");"),
        5 => format!("    // the {name} of the {a} is read from the {b}"),
        6 => format!("    {name}: config.get('{a}.{name}'),"),
        7 => format!("    {name} := os.Getenv(\"{}_{}\")", a.to_uppercase(), name.to_uppercase()),
        8 => format!("    digest = \"{}\"", hex(random, 64)),
        _ => format!("    {a} = {b}.{a}({})", random.between(1, 99)),
    }
}

/// A file without a secret.
pub(super) fn file(number: usize, random: &mut Random) -> CorpusFile {
    type Make = fn(&mut Random) -> String;
    const KINDS: &[(&str, Make)] = &[
        ("package-lock.json", package_lock),
        ("yarn.lock", yarn_lock),
        ("Cargo.lock", cargo_lock),
        ("go.sum", go_sum),
        ("SHA256SUMS", checksums),
        ("ids.csv", identifiers),
        ("vendor.min.js", minified),
        ("theme.css", style),
        ("ca-bundle.crt", certificates),
        ("authorized_keys", public_keys),
        ("locale/de.json", translations),
        ("locale/fr.po", gettext),
        ("src/auth.py", source),
        ("src/login.js", source),
        ("README.md", documentation),
        ("docker-compose.yml", compose),
        ("openapi.yaml", openapi),
        (".env.example", example_environment),
        ("app.js.map", source_map),
        ("schema.sql", schema),
    ];
    let (name, make) = random.pick(KINDS);
    CorpusFile { path: format!("srv/plain{number}/{name}"), bytes: make(random).into_bytes(), planted: Vec::new() }
}

fn rows(random: &mut Random, make: impl Fn(&mut Random) -> String) -> String {
    let count = random.between(20, 120);
    (0..count).map(|_| make(random) + "\n").collect()
}

fn package_lock(random: &mut Random) -> String {
    let row = |random: &mut Random| {
        let name = word(random);
        format!(
            "    \"node_modules/{name}\": {{\n      \"version\": \"1.0.{}\",\n      \"resolved\": \"https://packages.internal/{name}-1.tgz\",\n      \"integrity\": \"{}\"\n    }},",
            random.below(99),
            integrity(random)
        )
    };
    format!("{{\n  \"packages\": {{\n{}  }}\n}}\n", rows(random, row))
}

fn yarn_lock(random: &mut Random) -> String {
    rows(random, |random| {
        let name = word(random);
        format!(
            "{name}@^1.0.0:\n  version \"1.0.4\"\n  resolved \"https://packages.internal/{name}.tgz#{}\"\n  integrity {}\n",
            hex(random, 40),
            integrity(random)
        )
    })
}

fn cargo_lock(random: &mut Random) -> String {
    rows(random, |random| {
        format!(
            "[[package]]\nname = \"{}-token\"\nversion = \"0.3.1\"\nchecksum = \"{}\"\n",
            word(random),
            hex(random, 64)
        )
    })
}

fn go_sum(random: &mut Random) -> String {
    rows(random, |random| {
        format!("code.internal/{} v1.2.{} h1:{}", word(random), random.below(90), STANDARD.encode(random.bytes(32)))
    })
}

fn checksums(random: &mut Random) -> String {
    rows(random, |random| format!("{}  {}-{}.tar.gz", hex(random, 64), word(random), random.below(99)))
}

fn identifiers(random: &mut Random) -> String {
    rows(random, |random| format!("{},{},{}", uuid(random), word(random), hex(random, 32)))
}

fn minified(random: &mut Random) -> String {
    let count = random.between(200, 900);
    let part = |random: &mut Random| {
        let (a, b) = (word(random), *random.pick(NAMES));
        format!("function {}(e,t){{var {b}=e.{b};return t?{b}:e.{a}({})}}", &a[..2], random.below(9999))
    };
    (0..count).map(|_| part(random)).collect()
}

fn style(random: &mut Random) -> String {
    rows(random, |random| {
        let image = STANDARD.encode(random.bytes(180));
        format!(
            ".{}-token {{ background: url(data:image/png;base64,{image}); color: #{}; }}",
            word(random),
            hex(random, 6)
        )
    })
}

fn certificates(random: &mut Random) -> String {
    let one = |random: &mut Random| armoured("CERTIFICATE", &[&[0x30, 0x82, 3, 0x55][..], &random.bytes(853)].concat());
    (0..random.between(2, 12)).map(|_| one(random) + "\n").collect()
}

fn public_keys(random: &mut Random) -> String {
    rows(random, |random| {
        format!("ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB{} {}@laptop", STANDARD.encode(random.bytes(270)), word(random))
    })
}

fn translations(random: &mut Random) -> String {
    const TEXTS: [(&str, &str); 6] = [
        ("password", "Passwort"),
        ("password.repeat", "Passwort wiederholen"),
        ("token", "Zugangsschluessel"),
        ("secret", "Geheimnis"),
        ("apiKey", "Schnittstellenschluessel"),
        ("passwordHint", "Mindestens12Zeichen"),
    ];
    let row = |random: &mut Random| {
        let (name, text) = random.pick(&TEXTS);
        format!("  \"{}.{name}\": \"{text}\",", word(random))
    };
    format!("{{\n{}  \"end\": \"Ende\"\n}}\n", rows(random, row))
}

fn gettext(random: &mut Random) -> String {
    rows(random, |random| {
        format!("#: {}.c:{}\nmsgid \"password: \"\nmsgstr \"mot de passe : \"\n", word(random), random.below(999))
    })
}

fn source(random: &mut Random) -> String {
    rows(random, code)
}

fn documentation(random: &mut Random) -> String {
    rows(random, |random| match random.below(6) {
        0 => "    export API_KEY=your-api-key-here".to_owned(),
        1 => format!("    aws_access_key_id = AKIAIOSFODNN7{}", "EXAMPLE"),
        2 => "    curl -H 'Authorization: Bearer <token>' https://api.internal".to_owned(),
        3 => "    postgres://user:password@localhost/db".to_owned(),
        4 => format!("Set the {} in the {}.", *random.pick(NAMES), word(random)),
        _ => format!("The commit {} fixed it.", hex(random, 40)),
    })
}

fn compose(random: &mut Random) -> String {
    rows(random, |random| {
        let name = word(random).to_uppercase();
        match random.below(4) {
            0 => format!("      {name}_PASSWORD: ${{{name}_PASSWORD:?}}"),
            1 => format!("      {name}_SECRET_FILE: /run/secrets/{}", word(random)),
            2 => format!("    image: shop@sha256:{}", hex(random, 64)),
            _ => format!("      - {name}_TOKEN"),
        }
    })
}

fn openapi(random: &mut Random) -> String {
    rows(random, |random| {
        let name = *random.pick(NAMES);
        format!(
            "        {name}:\n          type: string\n          format: password\n          description: the {name} of the {}",
            word(random)
        )
    })
}

fn example_environment(random: &mut Random) -> String {
    rows(random, |random| match random.below(3) {
        0 => format!("{}_PASSWORD=", word(random).to_uppercase()),
        1 => format!("{}_API_KEY=changeme", word(random).to_uppercase()),
        _ => format!("{}_SECRET=<your-secret>", word(random).to_uppercase()),
    })
}

fn source_map(random: &mut Random) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let rows: Vec<String> = (0..random.between(300, 2000))
        .map(|_| {
            let count = random.between(4, 6);
            random.text(DIGITS, count)
        })
        .collect();
    format!(
        "{{\"version\":3,\"sources\":[\"app.js\"],\"names\":[\"password\",\"token\"],\"mappings\":\"{}\"}}",
        rows.join(",")
    )
}

fn schema(random: &mut Random) -> String {
    rows(random, |random| {
        let name = word(random);
        match random.below(3) {
            0 => format!(
                "CREATE TABLE {name} (id uuid DEFAULT '{}', password text NOT NULL, token varchar(64));",
                uuid(random)
            ),
            1 => format!("INSERT INTO {name} VALUES ('{}', '{}');", uuid(random), hex(random, 64)),
            _ => format!("COMMENT ON COLUMN {name}.password IS 'a hash, never the password';"),
        }
    })
}
