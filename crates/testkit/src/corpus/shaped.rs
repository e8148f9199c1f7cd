//! Values whose form is more than a row of characters: keys with a structure, checksums, tokens of tokens.

use super::random::Random;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

/// Characters of a line of PEM (RFC 7468, section 2).
const PEM_LINE: usize = 64;

/// Draws what a placeholder names; `None` when it names an alphabet.
pub(super) fn draw(placeholder: &str, random: &mut Random) -> Option<String> {
    let (name, argument) = placeholder.split_once(':').unwrap_or((placeholder, ""));
    Some(match name {
        "uuid" => uuid(random),
        "key32" => STANDARD.encode(random.bytes(32)),
        "github" => checksummed(argument, random),
        "jwt" => jwt(random),
        "basic" => STANDARD.encode(format!("robot:{}", random.text(b"abcdefghijkmnpqrstuvwxyz23456789", 20))),
        "base64-password" => STANDARD.encode(random.text(b"abcdefghijkmnpqrstuvwxyzABCDEFGH23456789-_!", 16)),
        "pem" => pem(argument, random),
        "base64-pem" => STANDARD.encode(pem("PRIVATE KEY", random) + "\n"),
        "gcp" => gcp(random),
        "pgp" => pgp(random),
        "putty" => putty(random),
        "openvpn-key" => openvpn(random),
        "age-key" => bech32("age-secret-key-", random).to_uppercase().replace("AGE-SECRET-KEY-1", ""),
        "nsec" => bech32("nsec", random).replace("nsec1", ""),
        "xprv" => extended_key(random).replace("xprv", ""),
        _ => return None,
    })
}

/// RFC 9562, version 4.
pub(super) fn uuid(random: &mut Random) -> String {
    let hex = |random: &mut Random, n| random.text(b"0123456789abcdef", n);
    let variant = random.text(b"89ab", 1);
    let parts = [hex(random, 8), hex(random, 4), format!("4{}", hex(random, 3)), variant + &hex(random, 3)];
    format!("{}-{}", parts.join("-"), hex(random, 12))
}

/// GitHub's and npm's form: prefix, thirty characters of entropy, six digits of CRC-32 in base 62.
fn checksummed(prefix: &str, random: &mut Random) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let entropy = random.text(DIGITS, 30);
    let mut crc = !entropy.bytes().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    });
    let mut checksum = [b'0'; 6];
    for digit in checksum.iter_mut().rev() {
        *digit = DIGITS[crc as usize % 62];
        crc /= 62;
    }
    format!("{prefix}_{entropy}{}", checksum.map(char::from).iter().collect::<String>())
}

/// RFC 7519: header, claims, 32 bytes of HMAC.
fn jwt(random: &mut Random) -> String {
    let claims = format!(
        r#"{{"sub":"svc-{}","iat":17{},"scope":"orders"}}"#,
        random.between(100, 999),
        random.text(b"0123456789", 8)
    );
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let signature = random.bytes(32);
    format!("{}.{}.{}", encode(br#"{"alg":"HS256","typ":"JWT"}"#), encode(claims.as_bytes()), encode(&signature))
}

/// X.690, section 8.1: tag, length, content.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u16::try_from(content.len()).expect("keys are short") {
        length @ 0..=0x7f => out.push(length.to_be_bytes()[1]),
        length @ 0x80..=0xff => out.extend([0x81, length.to_be_bytes()[1]]),
        length => out.extend([0x82, length.to_be_bytes()[0], length.to_be_bytes()[1]]),
    }
    out.extend_from_slice(content);
    out
}

fn integer(random: &mut Random, bytes: usize) -> Vec<u8> {
    let mut content = random.bytes(bytes);
    content[0] = content[0] & 0x3f | 0x40;
    der(2, &content)
}

/// RFC 8017, appendix A.1.2: nine integers.
fn rsa_key(random: &mut Random) -> Vec<u8> {
    let mut content = der(2, &[0]);
    for bytes in [256, 3, 256, 128, 128, 128, 128, 128] {
        content.extend(integer(random, bytes));
    }
    der(0x30, &content)
}

/// The body of the key that the label of RFC 7468 names.
fn key_of(label: &str, random: &mut Random) -> Vec<u8> {
    match label {
        "RSA PRIVATE KEY" => rsa_key(random),
        // RFC 5915, section 3.
        "EC PRIVATE KEY" => der(
            0x30,
            &[der(2, &[1]), der(4, &random.bytes(32)), der(0xa0, &der(6, &[42, 134, 72, 206, 61, 3, 1, 7]))].concat(),
        ),
        // RFC 5958, section 3: an algorithm and the encrypted octets.
        "ENCRYPTED PRIVATE KEY" => {
            der(0x30, &[der(0x30, &[6, 9, 42, 134, 72, 134, 247, 13, 1, 5, 13]), der(4, &random.bytes(320))].concat())
        }
        // openssh, PROTOCOL.key, section 1.
        "OPENSSH PRIVATE KEY" => {
            [&b"openssh-key-v1\0\0\0\0\x04none\0\0\0\x04none\0\0\0\0\0\0\0\x01\0\0\0\x33"[..], &random.bytes(200)]
                .concat()
        }
        // RFC 5958: version, algorithm, the key in an octet string.
        _ => {
            let algorithm = der(0x30, &[6, 9, 42, 134, 72, 134, 247, 13, 1, 1, 1, 5, 0]);
            let inner = rsa_key(random);
            der(0x30, &[der(2, &[0]), algorithm, der(4, &inner)].concat())
        }
    }
}

fn folded(text: &str) -> String {
    let lines: Vec<&str> =
        text.as_bytes().chunks(PEM_LINE).map(|line| std::str::from_utf8(line).expect("base64")).collect();
    lines.join("\n")
}

pub(super) fn armoured(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----", folded(&STANDARD.encode(der)))
}

fn pem(label: &str, random: &mut Random) -> String {
    let key = key_of(label, random);
    armoured(label, &key)
}

fn gcp(random: &mut Random) -> String {
    let key = pem("PRIVATE KEY", random).replace('\n', "\\n");
    format!(
        "{{\n  \"type\": \"service_account\",\n  \"project_id\": \"shop\",\n  \"private_key_id\": \"{}\",\n  \"private_key\": \"{key}\\n\",\n  \"client_email\": \"robot@shop.iam.gserviceaccount.com\"\n}}",
        random.text(b"0123456789abcdef", 40)
    )
}

/// RFC 9580, section 6.2.
fn pgp(random: &mut Random) -> String {
    let body = folded(&STANDARD.encode(random.bytes(600)));
    let label = "PGP PRIVATE KEY BLOCK";
    format!("-----BEGIN {label}-----\n\n{body}\n={}\n-----END {label}-----", STANDARD.encode(random.bytes(3)))
}

/// PuTTY user manual, appendix C.
fn putty(random: &mut Random) -> String {
    let lines = |random: &mut Random, n: usize| folded(&STANDARD.encode(random.bytes(48 * n)));
    format!(
        "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: robot\nPublic-Lines: 2\n{}\nPrivate-Lines: 1\n{}\nPrivate-MAC: {}",
        lines(random, 2),
        lines(random, 1),
        random.text(b"0123456789abcdef", 64)
    )
}

fn openvpn(random: &mut Random) -> String {
    let lines: Vec<String> = (0..16).map(|_| random.text(b"0123456789abcdef", 32)).collect();
    format!("-----BEGIN OpenVPN Static key V1-----\n{}\n-----END OpenVPN Static key V1-----", lines.join("\n"))
}

/// BIP 173, for 32 bytes.
fn bech32(human: &str, random: &mut Random) -> String {
    const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    let data: Vec<u8> = (0..52).map(|_| u8::try_from(random.below(32)).expect("five bits")).collect();
    let expanded = human.bytes().map(|b| b >> 5).chain([0]).chain(human.bytes().map(|b| b & 31));
    let remainder = 1 ^ expanded.chain(data.iter().copied()).chain([0; 6]).fold(1_u32, |sum, digit| {
        const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
        let next = (sum & 0x01ff_ffff) << 5 ^ u32::from(digit);
        (0..5).filter(|bit| sum >> (25 + bit) & 1 == 1).fold(next, |next, bit: usize| next ^ GENERATOR[bit])
    });
    let checksum = (0..6).map(|at| (remainder >> (5 * (5 - at)) & 31) as u8);
    let digits: String = data.into_iter().chain(checksum).map(|d| char::from(ALPHABET[usize::from(d)])).collect();
    format!("{human}1{digits}")
}

/// BIP 32, "Serialization format", in base 58 with its checksum.
fn extended_key(random: &mut Random) -> String {
    const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut bytes = vec![0x04, 0x88, 0xad, 0xe4, 0];
    bytes.extend([0; 8]);
    bytes.extend(random.bytes(32));
    bytes.push(0);
    bytes.extend(random.bytes(32));
    let checksum = Sha256::digest(Sha256::digest(&bytes));
    bytes.extend_from_slice(&checksum[..4]);
    let mut digits: Vec<u8> = Vec::new();
    for byte in bytes {
        let mut carry = u32::from(byte);
        for digit in &mut digits {
            carry += u32::from(*digit) << 8;
            *digit = (carry % 58) as u8;
            carry /= 58;
        }
        while carry > 0 {
            digits.push((carry % 58) as u8);
            carry /= 58;
        }
    }
    digits.iter().rev().map(|digit| char::from(ALPHABET[usize::from(*digit)])).collect()
}
