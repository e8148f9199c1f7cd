//! YARA rules as public rule sets have them: thousands, of every shape, drawn from a seed.

use std::fmt::Write as _;

/// Rules of one file.
const RULES_PER_FILE: usize = 200;

/// A reproducible stream of numbers (Knuth, MMIX).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 24
    }

    /// Below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn hex(&mut self, bytes: usize) -> String {
        (0..bytes).map(|_| format!("{:02x}", self.below(256))).collect()
    }

    /// Bytes of a hexadecimal string, with blanks.
    fn bytes(&mut self, count: usize) -> String {
        (0..count).map(|_| format!("{:02X} ", self.below(256))).collect()
    }

    /// Words as programs hold them.
    fn word(&mut self) -> String {
        const WORDS: [&str; 12] = [
            "http://",
            "cmd.exe /c ",
            "/bin/sh -c ",
            "User-Agent: ",
            "SELECT ",
            "Software\\\\Microsoft\\\\",
            "pool.",
            "stratum+tcp://",
            "GetProcAddress",
            "/etc/",
            "eval(",
            "LD_PRELOAD=",
        ];
        let at = usize::try_from(self.below(WORDS.len() as u64)).expect("below twelve");
        format!("{}{:x}{:x}", WORDS[at], self.next(), self.next())
    }
}

/// Files of rules: name and text of each. Every rule compiles, and none matches what tests write.
pub fn rule_set(count: usize) -> Vec<(String, String)> {
    let mut numbers = Numbers(11);
    let mut files = Vec::new();
    let mut at = 0;
    while at < count {
        let end = count.min(at + RULES_PER_FILE);
        let mut text = String::from("import \"pe\"\nimport \"elf\"\nimport \"hash\"\nimport \"math\"\n\n");
        for number in at..end {
            text += &rule(number, &mut numbers);
        }
        files.push((format!("set-{:03}.yar", files.len()), text));
        at = end;
    }
    files
}

fn rule(number: usize, numbers: &mut Numbers) -> String {
    let (strings, condition) = match number % 8 {
        0 => texts(numbers),
        1 => hexadecimal(numbers),
        2 => expressions(numbers),
        3 => portable_executable(numbers),
        4 => linkable(numbers),
        5 => digests(numbers),
        6 => encoded(numbers),
        _ => loops(numbers),
    };
    format!(
        "rule generated_{number} : tag_{}\n{{\n    meta:\n        description = \"Detects the family {number}\"\n        \
         author = \"test\"\n        date = \"2026-01-01\"\n        score = {}\n        hash1 = \"{}\"\n    strings:\n{strings}    \
         condition:\n        {condition}\n}}\n\n",
        number % 17,
        numbers.below(100),
        numbers.hex(32)
    )
}

fn texts(numbers: &mut Numbers) -> (String, String) {
    let mut out = String::new();
    for at in 0..4 + numbers.below(8) {
        let modifiers = ["", " ascii wide", " wide nocase", " fullword", " ascii wide nocase fullword"];
        let modifier = modifiers[usize::try_from(at).expect("small") % modifiers.len()];
        let _ = writeln!(out, "        $s{at} = \"{}\"{modifier}", numbers.word());
    }
    (out, format!("filesize < {}KB and {} of ($s*)", 50 + numbers.below(4000), 2 + numbers.below(2)))
}

fn hexadecimal(numbers: &mut Numbers) -> (String, String) {
    let (a, b, c) = (numbers.bytes(6), numbers.bytes(5), numbers.bytes(4));
    let (d, e, f) = (numbers.bytes(3), numbers.bytes(3), numbers.bytes(8));
    let out = format!(
        "        $h0 = {{ {a}?? {b}[2-8] {c}}}\n        $h1 = {{ {d}( {e}| {b}) ?? ?? {a}}}\n        $h2 = {{ {f}[4-16] ({a}| {c}) \
         }}\n"
    );
    (out, "uint16(0) == 0x5A4D and 2 of ($h*) or all of them".to_owned())
}

fn expressions(numbers: &mut Numbers) -> (String, String) {
    let (a, b, c) = (numbers.next(), numbers.next(), numbers.next());
    let out = format!(
        "        $r0 = /call_{a:x}[0-9a-f]{{4,12}}\\.(php|jsp|aspx)/ nocase\n        $r1 = \
         /https?:\\/\\/[a-z0-9.\\-]{{3,40}}\\/{b:x}\\/gate\\.php/ ascii wide\n        $r2 = /{c:x}\\s*=\\s*[\"'][A-Za-z0-9+\\/=]{{20,80}}[\"']/\n"
    );
    (out, "filesize < 2MB and ($r0 or #r1 > 2 or $r2 in (0..8192))".to_owned())
}

fn portable_executable(numbers: &mut Numbers) -> (String, String) {
    let out = format!("        $s0 = \"{}\" wide\n        $s1 = {{ {}}}\n", numbers.word(), numbers.bytes(12));
    let condition = format!(
        "uint16(0) == 0x5A4D and uint32(uint32(0x3C)) == 0x00004550 and (pe.imphash() == \"{}\" or \
         pe.imports(\"kernel32.dll\", \"CreateRemoteThread\") and pe.number_of_sections > {} or any of them)",
        numbers.hex(16),
        2 + numbers.below(6)
    );
    (out, condition)
}

fn linkable(numbers: &mut Numbers) -> (String, String) {
    let out = format!("        $s0 = \"{}\"\n        $s1 = \"{}\"\n", numbers.word(), numbers.word());
    let condition = format!(
        "uint32(0) == 0x464C457F and elf.type == elf.ET_EXEC and (for any s in elf.sections : (s.name == \".{:x}\") or all of \
         them)",
        numbers.next()
    );
    (out, condition)
}

fn digests(numbers: &mut Numbers) -> (String, String) {
    let out = format!("        $s0 = \"{}\"\n", numbers.word());
    let size = 1000 + numbers.below(1_000_000);
    let condition = format!(
        "filesize == {size} and hash.md5(0, filesize) == \"{}\" or filesize < 1MB and $s0 and math.entropy(0, filesize) > 7.0",
        numbers.hex(16)
    );
    (out, condition)
}

fn encoded(numbers: &mut Numbers) -> (String, String) {
    let (a, b, c) = (numbers.word(), numbers.word(), numbers.word());
    let out = format!("        $x0 = \"{a}\" xor\n        $x1 = \"{b}\" base64\n        $x2 = \"{c}\" base64wide\n");
    (out, "for any of ($x*) : (@ < filesize - 4) and filesize < 10MB".to_owned())
}

fn loops(numbers: &mut Numbers) -> (String, String) {
    let (a, b) = (numbers.word(), numbers.bytes(10));
    let out = format!("        $a = \"{a}\" ascii\n        $b = {{ {b}}}\n");
    (out, "#a > 1 and for all i in (1..#a) : (@a[i] < 65536 and !a[i] > 4) or $b at 0 or ($a and $b)".to_owned())
}
