//! Layers become an image: replacement, links, the operating system, who brought what in.

use crate::support::*;
use analyze::{Detectors, Limits, SquashInput, squash};
use model::inventory::LayerInventory;
use model::layer::ImageConfig;
use model::observation::ObservationKind;
use model::{Detector, Gap, GapReason, ImageInventory};
use std::collections::BTreeSet;
use testkit::image::LayerBuilder;
use testkit::packages::{
    ApkPackage, DpkgPackage, apk_installed, dpkg_status, node_package, os_release, python_metadata,
};

fn built(layers: &[LayerBuilder]) -> Vec<Vec<u8>> {
    layers.iter().map(|layer| layer.build().blob.to_vec()).collect()
}

fn squashed(layers: &[LayerBuilder]) -> ImageInventory {
    image(&built(layers))
}

/// `path layer[ removed_in]` of every file of interest.
fn image_files(image: &ImageInventory) -> Vec<String> {
    let line = |file: &model::inventory::ImageFile| match file.removed_in {
        Some(removed) => format!("{} {} removed in {removed}", file.path, file.layer),
        None => format!("{} {}", file.path, file.layer),
    };
    image.files.iter().map(line).collect()
}

fn gap_lines(image: &ImageInventory) -> Vec<String> {
    image.gaps.iter().map(gap_line).collect()
}

fn tool(path: &str) -> LayerBuilder {
    LayerBuilder::new().executable(path, "#!/bin/sh")
}

#[test]
fn later_layers_replace_and_remove() {
    let base = tool("a/one").executable("a/two", "#!2").executable("a/three", "#!3").executable("b/four", "#!4");
    let next = LayerBuilder::new().executable("a/one", "#!new").whiteout("a/two").whiteout("b");
    assert_eq!(
        image_files(&squashed(&[base, next])),
        ["a/one 0 removed in 1", "a/one 1", "a/three 0", "a/two 0 removed in 1", "b/four 0 removed in 1",]
    );
}

#[test]
fn a_file_in_place_of_a_folder_hides_all_below() {
    let base = tool("opt/app/bin/x").executable("opt/apple", "#!");
    assert_eq!(
        image_files(&squashed(&[base, LayerBuilder::new().file("opt/app", "now a file")])),
        ["opt/app/bin/x 0 removed in 1", "opt/apple 0",]
    );
}

#[test]
fn opaque_folders_hide_lower_layers_only() {
    let base = tool("d/old").executable("d/sub/old", "#!").executable("dd/kept", "#!");
    let next = tool("d/new").opaque("d");
    assert_eq!(
        image_files(&squashed(&[base, next])),
        ["d/new 1", "d/old 0 removed in 1", "d/sub/old 0 removed in 1", "dd/kept 0",]
    );
}

#[test]
fn a_whiteout_does_not_touch_its_own_layer() {
    let next = LayerBuilder::new().executable("x/a", "#!new").whiteout("x");
    assert_eq!(image_files(&squashed(&[tool("x/a"), next])), ["x/a 0 removed in 1", "x/a 1"]);
}

#[test]
fn linked_folders_are_followed() {
    let base = tool("usr/bin/x").symlink("bin", "usr/bin").symlink("sbin", "/bin");
    let next = LayerBuilder::new().executable("bin/x", "#!new").executable("sbin/y", "#!y");
    let last = LayerBuilder::new().whiteout("bin/y");
    assert_eq!(
        image_files(&squashed(&[base.clone(), next, last])),
        ["usr/bin/x 0 removed in 1", "usr/bin/x 1", "usr/bin/y 1 removed in 2",]
    );
    // An entry for the folder itself makes it one, as when a runtime unpacks the layer.
    let folder = LayerBuilder::new().directory("bin").executable("bin/z", "#!z");
    assert_eq!(image_files(&squashed(&[base, folder])), ["bin/z 1", "usr/bin/x 0"]);
}

#[test]
fn hard_links_keep_content_that_other_names_lost() {
    let base = tool("a").hard_link("b", "a");
    assert_eq!(image_files(&squashed(&[base.clone(), LayerBuilder::new().whiteout("a")])), ["a 0 removed in 1", "b 0"]);
    // Into a lower layer.
    let next = LayerBuilder::new().hard_link("c", "a");
    let last = LayerBuilder::new().whiteout("a").whiteout("b");
    assert_eq!(image_files(&squashed(&[base, next, last])), ["a 0 removed in 2", "b 0 removed in 2", "c 1"]);
}

#[test]
fn a_hard_link_into_a_lower_layer_to_a_manifest_is_one() {
    let base = LayerBuilder::files(&[("node_modules/p/package.json", &node_package("p", "1"))]);
    let next = LayerBuilder::new().hard_link("app/node_modules/p/package.json", "node_modules/p/package.json");
    let last = LayerBuilder::new().whiteout("node_modules");
    assert_eq!(image_packages(&squashed(&[base, next, last])), ["pkg:npm/p@1 1:app/node_modules/p/package.json"]);
}

#[test]
fn two_entries_of_a_layer_at_one_path_are_not_clean() {
    let layer = LayerBuilder::new().symlink("bin", "usr/bin").executable("usr/bin/x", "#!1").executable("bin/x", "#!2");
    let gaps = gap_lines(&squashed(&[layer]));
    assert!(gaps.iter().any(|gap| gap.contains("malformed: lies where another entry of layer 0 lies")), "{gaps:?}");
}

fn dpkg(packages: &[(&str, &str)]) -> String {
    let package = |(name, version): &(&'static str, &'static str)| DpkgPackage {
        name,
        version,
        source: None,
        status: "install ok installed",
    };
    let packages: Vec<(&'static str, &'static str)> =
        packages.iter().map(|(n, v)| (&*String::leak((*n).to_owned()), &*String::leak((*v).to_owned()))).collect();
    dpkg_status(&packages.iter().map(package).collect::<Vec<_>>())
}

#[test]
fn packages_belong_to_the_layer_that_brought_them_in() {
    let status = |packages: &[(&str, &str)]| LayerBuilder::files(&[("var/lib/dpkg/status", &dpkg(packages))]);
    let release = os_release("debian", "12", "Debian GNU/Linux 12 (bookworm)");
    let image = squashed(&[
        status(&[("a", "1"), ("b", "1"), ("c", "1"), ("d", "1")]).file("etc/os-release", release),
        status(&[("a", "1"), ("b", "2"), ("d", "1"), ("new", "1")]),
        status(&[("a", "1"), ("b", "2"), ("c", "1"), ("new", "1")]),
        LayerBuilder::new().file("unrelated", "x"),
    ]);
    let at = "var/lib/dpkg/status";
    assert_eq!(
        image_packages(&image),
        [
            format!("pkg:deb/debian/a@1?arch=amd64&distro=debian-12 0:{at}"),
            format!("pkg:deb/debian/b@2?arch=amd64&distro=debian-12 1:{at}"),
            format!("pkg:deb/debian/c@1?arch=amd64&distro=debian-12 2:{at}"),
            format!("pkg:deb/debian/new@1?arch=amd64&distro=debian-12 1:{at}"),
        ]
    );
    assert_eq!(image.packages[1].evidence[0].history.as_deref(), Some("RUN step 1"));
    assert_eq!(image.packages[3].evidence[0].line, Some(31));
    assert_eq!(gap_lines(&image), [""; 0]);
}

#[test]
fn language_packages_belong_to_the_layer_that_brought_them_in() {
    let manifest = |version: &str| LayerBuilder::files(&[("node_modules/p/package.json", &node_package("p", version))]);
    let at = "node_modules/p/package.json";
    // Written again with the same content, as `chown -R` does.
    assert_eq!(image_packages(&squashed(&[manifest("1"), manifest("1")])), [format!("pkg:npm/p@1 0:{at}")]);
    assert_eq!(image_packages(&squashed(&[manifest("1"), manifest("2")])), [format!("pkg:npm/p@2 1:{at}")]);
    let removed = LayerBuilder::new().whiteout("node_modules");
    assert_eq!(image_packages(&squashed(&[manifest("1"), removed.clone()])), [""; 0]);
    assert_eq!(image_packages(&squashed(&[manifest("1"), removed, manifest("1")])), [format!("pkg:npm/p@1 2:{at}")]);
}

#[test]
fn the_same_package_in_two_places_is_one_with_two_places() {
    let layer = LayerBuilder::files(&[
        ("a/node_modules/p/package.json", &node_package("p", "1")),
        ("b/node_modules/p/package.json", &node_package("p", "1")),
    ]);
    let image = squashed(&[layer]);
    assert_eq!(image.packages.len(), 1);
    assert_eq!(image.packages[0].licenses, ["MIT"]);
    assert_eq!(image_packages(&image).len(), 2);
}

#[test]
fn a_manifest_that_an_os_package_owns_has_an_owner() {
    let owned = "usr/lib/python3/dist-packages/six-1.16.0.egg-info/PKG-INFO";
    let own = "usr/local/lib/python3/dist-packages/rich-1.0.dist-info/METADATA";
    let image = squashed(&[
        LayerBuilder::files(&[
            ("etc/os-release", &os_release("debian", "12", "Debian")),
            ("var/lib/dpkg/status", &dpkg(&[("python3-six", "1.16.0-4")])),
            ("var/lib/dpkg/info/python3-six.list", &format!("/.\n/usr\n/{owned}\n")),
            (owned, &python_metadata("six", "1.16.0")),
        ]),
        LayerBuilder::files(&[(own, &python_metadata("rich", "1.0"))]),
    ]);
    assert_eq!(
        image_packages(&image),
        [
            "pkg:deb/debian/python3-six@1.16.0-4?arch=amd64&distro=debian-12 0:var/lib/dpkg/status".to_owned(),
            format!("pkg:pypi/rich@1.0 1:{own}"),
            format!("pkg:pypi/six@1.16.0 0:{owned} owned by python3-six"),
        ]
    );
}

#[test]
fn a_program_of_a_bitnami_application_is_that_application() {
    let document = r#"{"spdxVersion":"SPDX-2.3","packages":[{"name":"java","versionInfo":"17.0.9-11",
        "externalRefs":[{"referenceLocator":"pkg:bitnami/java@17.0.9-11"}]}]}"#;
    let release = "JAVA_VERSION=\"17.0.9\"\n";
    let image = squashed(&[LayerBuilder::files(&[
        ("opt/bitnami/java/.spdx-java.spdx", document),
        ("opt/bitnami/java/release", release),
        ("opt/bitnami/other/release", release),
    ])]);
    assert_eq!(
        image_packages(&image),
        [
            "pkg:bitnami/java@17.0.9-11 0:opt/bitnami/java/.spdx-java.spdx",
            "pkg:generic/openjdk@17.0.9 0:opt/bitnami/other/release"
        ]
    );
    let undescribed = squashed(&[LayerBuilder::files(&[("opt/bitnami/java/release", release)])]);
    assert_eq!(image_packages(&undescribed), ["pkg:generic/openjdk@17.0.9 0:opt/bitnami/java/release"]);
}

#[test]
fn a_package_is_owned_only_when_every_place_is() {
    let apk = apk_installed(&[ApkPackage {
        name: "npm",
        version: "10-r0",
        origin: "npm",
        files: &["usr/lib/node_modules/npm/package.json"],
    }]);
    let image = squashed(&[LayerBuilder::files(&[
        ("etc/os-release", &os_release("alpine", "3.20.3", "Alpine")),
        ("lib/apk/db/installed", &apk),
        ("usr/lib/node_modules/npm/package.json", &node_package("npm", "10.0.0")),
    ])]);
    assert_eq!(image.packages[1].owner.as_deref(), Some("npm"));
    let image = squashed(&[LayerBuilder::files(&[
        ("lib/apk/db/installed", &apk),
        ("usr/lib/node_modules/npm/package.json", &node_package("npm", "10.0.0")),
        ("app/node_modules/npm/package.json", &node_package("npm", "10.0.0")),
    ])]);
    assert_eq!(image.packages[1].owner, None);
}

#[test]
fn the_operating_system_is_told_from_the_flattened_image() {
    let debian = |version: &str| os_release("debian", version, "Debian");
    let base = LayerBuilder::files(&[("usr/lib/os-release", &debian("11"))])
        .symlink("etc/os-release", "../usr/lib/os-release");
    let os =
        |layers: &[LayerBuilder]| squashed(layers).os.map(|os| format!("{} {}", os.id, os.version)).unwrap_or_default();
    assert_eq!(os(std::slice::from_ref(&base)), "debian 11");
    let upgraded = LayerBuilder::files(&[("usr/lib/os-release", &debian("12"))]);
    assert_eq!(os(&[base.clone(), upgraded]), "debian 12");
    assert_eq!(os(&[base.clone(), LayerBuilder::new().whiteout("etc/os-release")]), "debian 11");
    assert_eq!(os(&[base, LayerBuilder::new().whiteout("usr/lib/os-release")]), "");
    assert_eq!(os(&[LayerBuilder::files(&[("etc/alpine-release", "3.9.6\n")])]), "alpine 3.9.6");
    assert_eq!(os(&[LayerBuilder::files(&[("app/rootfs/etc/os-release", &debian("12"))])]), "");
}

#[test]
fn an_unknown_or_unsupported_system_is_a_gap() {
    let apk = LayerBuilder::files(&[("lib/apk/db/installed", "P:a\nV:1-r0\n\n")]);
    let gaps = |layer: &LayerBuilder| {
        let image = squashed(std::slice::from_ref(layer));
        image.gaps.iter().map(|gap| gap.reason).collect::<Vec<_>>()
    };
    assert_eq!(gaps(&apk), [GapReason::UnknownOs]);
    assert_eq!(gaps(&apk.clone().file("etc/os-release", "ID=gentoo\n")), [GapReason::UnsupportedOs]);
    assert_eq!(gaps(&apk.file("etc/os-release", os_release("alpine", "3.20.3", "x"))), []);
    assert_eq!(gaps(&tool("bin/sh")), [GapReason::UnknownOs]);
    assert_eq!(gaps(&tool("app")), []);
    let rpm = LayerBuilder::files(&[
        ("var/lib/rpm/rpmdb.sqlite", "SQLite format 3"),
        ("etc/os-release", "ID=rocky\nVERSION_ID=9.2\n"),
    ]);
    assert_eq!(gaps(&rpm), [GapReason::Malformed]);
}

#[test]
fn a_broken_database_that_was_replaced_is_no_gap_any_more() {
    let release = os_release("alpine", "3.20.3", "x");
    let broken = LayerBuilder::files(&[("lib/apk/db/installed", "P:a\nV:1"), ("etc/os-release", &release)]);
    assert_eq!(squashed(std::slice::from_ref(&broken)).gaps.len(), 1);
    let good = LayerBuilder::files(&[("lib/apk/db/installed", "P:a\nV:1-r0\n\n")]);
    assert_eq!(gap_lines(&squashed(&[broken, good])), [""; 0]);
}

#[test]
fn deleted_secrets_and_malware_stay_with_the_layer_that_removed_them() {
    let eicar = ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$", "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"].concat();
    let base = LayerBuilder::new().executable("tmp/eicar.com", &eicar).file_with("bin/su", "#!", 0o4755, (0, 0));
    let image = squashed(&[base, LayerBuilder::new().whiteout("tmp/eicar.com").whiteout("bin/su")]);
    let seen: Vec<_> = image
        .observations
        .iter()
        .map(|o| (o.detector, o.evidence.layer, o.evidence.removed_in, o.evidence.path.as_ref().unwrap().to_string()))
        .collect();
    assert_eq!(seen, [(Detector::Malware, Some(0), Some(1), "tmp/eicar.com".to_owned())]);
    assert_eq!(image_files(&image), ["bin/su 0 removed in 1", "tmp/eicar.com 0 removed in 1"]);
}

#[test]
fn secrets_that_an_upper_layer_deleted_or_replaced_name_both_layers() {
    let token = |random: &str| ["gh", "p_", random].concat();
    let (first, second) =
        (token("zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17"), token("qigOpKGIX0tNscR5pPfCRHiFNt0hRg2tK6Kf"));
    let line = |value: &str| format!("GITHUB_TOKEN={value}\n");
    let base = LayerBuilder::files(&[
        ("srv/deleted.env", &line(&first)),
        ("srv/replaced.env", &line(&second)),
        ("srv/kept.env", &line(&first)),
    ]);
    let next = LayerBuilder::files(&[("srv/replaced.env", "GITHUB_TOKEN=\n")]).whiteout("srv/deleted.env");
    let image = squashed(&[base, next]);
    let mut seen: Vec<_> = image
        .observations
        .iter()
        .filter(|o| o.detector == Detector::Secrets)
        .map(|o| (o.evidence.path.as_ref().unwrap().to_string(), o.evidence.layer, o.evidence.removed_in))
        .collect();
    let place = |path: &str, removed_in| (path.to_owned(), Some(0), removed_in);
    let expect = [place("srv/deleted.env", Some(1)), place("srv/kept.env", None), place("srv/replaced.env", Some(1))];
    seen.sort();
    assert_eq!(seen, expect);
}

#[test]
fn secrets_of_environment_labels_and_build_arguments_are_found() {
    let random = |seed: &str| [seed, "3749420818f5090bb39d6"].concat();
    let mut configuration = ImageConfig::default();
    configuration.config.env =
        vec![format!("LINODE_TOKEN={}{}", random("9cd3749420818f50ab17c"), random("e5a81e5f25c0b7d4a9031d"))];
    configuration.config.labels =
        [("deploy".to_owned(), ["https://robot:", "Zk7-Qm2x@git.internal.net/x"].concat())].into();
    configuration.history = vec![model::layer::HistoryEntry {
        created_by: format!("|1 NPM_TOKEN={} /bin/sh -c npm ci", random("c0a8f1d2e")),
        ..model::layer::HistoryEntry::default()
    }];
    let image = image_with(&built(&[tool("app")]), &configuration);
    let rule = |kind: &ObservationKind| match kind {
        ObservationKind::Secret(fact) => fact.rule.clone(),
        other => panic!("{other:?}"),
    };
    let seen: Vec<_> =
        image.observations.iter().map(|o| (rule(&o.kind), o.evidence.history.clone().unwrap())).collect();
    let mut places: Vec<&str> = seen.iter().map(|(_, place)| place.as_str()).collect();
    places.sort_unstable();
    assert_eq!(places, ["ENV LINODE_TOKEN", "LABEL deploy", "history step 1"], "{seen:?}");
}

#[test]
fn configuration_secrets_have_no_layer() {
    let value = ["9cd3749420818f", "5090bb39d6"].concat();
    let mut configuration = ImageConfig::default();
    configuration.config.env = vec!["PATH=/bin".to_owned(), format!("ADMIN_TOKEN={value}")];
    let image = image_with(&built(&[tool("app")]), &configuration);
    for observation in &image.observations {
        assert!(matches!(observation.kind, ObservationKind::Secret(_)));
        assert_eq!(observation.evidence.layer, None);
        assert_eq!(observation.evidence.history.as_deref(), Some("ENV ADMIN_TOKEN"));
    }
    assert_eq!(image.observations.len(), 1);
}

fn squash_input<'a>(
    inventories: &'a [Option<LayerInventory>],
    layers: &'a [model::Layer],
    (detectors, only, gaps): (&'a Detectors, &'a BTreeSet<Detector>, &'a [Gap]),
    configuration: &'a ImageConfig,
) -> SquashInput<'a> {
    SquashInput { layers, configuration, inventories, gaps, detectors, only }
}

#[test]
fn what_was_not_read_is_a_gap() {
    let first = inventory(&tool("app").build().blob);
    let mut second = inventory(&tool("app2").build().blob);
    let layers = [layer_of(0, &first), layer_of(1, &second), layer_of(2, &second)];
    second.detectors.remove(&Detector::Secrets);
    let inventories = [Some(first), Some(second), None];
    let configuration = ImageConfig::default();
    let only = all();
    let image = squash(&squash_input(&inventories, &layers, (detectors(), &only, &[]), &configuration));
    let reasons: Vec<_> = image.gaps.iter().map(|g| (g.scope.as_str(), g.detector, g.reason)).collect();
    assert_eq!(
        reasons,
        [("layer 1", Some(Detector::Secrets), GapReason::NotYetRead), ("layer 2", None, GapReason::Unreadable),]
    );
    // A gap that says why takes the place of the general one.
    let known = [Gap {
        scope: "layer 2".to_owned(),
        detector: None,
        reason: GapReason::Unreadable,
        detail: "the registry answered 404".to_owned(),
    }];
    let image = squash(&squash_input(&inventories, &layers, (detectors(), &only, &known), &configuration));
    assert_eq!(image.gaps.iter().filter(|gap| gap.reason == GapReason::Unreadable).count(), 1);
    // Other rules than those that read it.
    let newer = detectors_with(Limits { database_bytes_max: 1, ..Limits::default() });
    let only = [Detector::Packages].into();
    let image = squash(&squash_input(&inventories, &layers, (&newer, &only, &known), &configuration));
    let reasons: Vec<_> = image.gaps.iter().map(|g| (g.scope.as_str(), g.detector, g.reason)).collect();
    assert_eq!(
        reasons,
        [
            ("layer 0", Some(Detector::Packages), GapReason::NotYetRead),
            ("layer 1", Some(Detector::Packages), GapReason::NotYetRead),
            ("layer 2", None, GapReason::Unreadable),
        ]
    );
    assert_eq!(image.detectors.iter().map(|v| v.detector).collect::<Vec<_>>(), [Detector::Files, Detector::Packages]);
}

#[test]
fn a_claimed_diff_id_that_differs_is_a_gap() {
    let inventory = inventory(&tool("app").build().blob);
    let mut layer = layer_of(0, &inventory);
    layer.diff_id = testkit::image::sha256(b"another layer's");
    layer.bytes = 5;
    let inventories = [Some(inventory)];
    let configuration = ImageConfig::default();
    let (only, layers) = (all(), [layer]);
    let image = squash(&squash_input(&inventories, &layers, (detectors(), &only, &[]), &configuration));
    assert_eq!(image.layers[0].diff_id, inventories[0].as_ref().unwrap().diff_id);
    assert_eq!(image.layers[0].bytes, inventories[0].as_ref().unwrap().bytes);
    assert_eq!(image.gaps[0].reason, GapReason::Malformed);
    assert!(image.gaps[0].detail.contains("the configuration names"), "{:?}", image.gaps);
}

#[test]
fn gaps_of_layers_name_them() {
    let blob = tool("app").build().blob;
    let gaps = gap_lines(&image(&[blob[..blob.len() - 4].to_vec()]));
    assert_eq!(gaps.len(), 1);
    assert!(gaps[0].starts_with("layer 0 malformed: sha256:") && gaps[0].contains("ends early"), "{gaps:?}");
    let gaps = gap_lines(&squashed(&[LayerBuilder::new().hostile_file(b"../x", "")]));
    assert_eq!(gaps, ["../x bad-path: archive entry skipped: the path climbs out with \"..\" (layer 0)"]);
}

#[test]
fn an_image_without_layers_has_facts_of_every_detector() {
    let image = squashed(&[]);
    assert_eq!(image.detectors, detectors().versions());
    assert_eq!(image.gaps, []);
}

#[test]
fn fingerprints_change_with_the_limits_that_matter() {
    let other = detectors_with(Limits { secret_file_bytes_max: 1, ..Limits::default() });
    let changed: Vec<_> = Detector::ALL.into_iter().filter(|d| other.version(*d) != detectors().version(*d)).collect();
    assert_eq!(changed, [Detector::Secrets]);
}
