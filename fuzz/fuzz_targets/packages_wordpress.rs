//! Package files: `www/wp-includes/version.php`, `www/wp-content/plugins/x/x.php`, `www/wp-content/themes/x/style.css`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz::package_file(
    &["www/wp-includes/version.php", "www/wp-content/plugins/x/x.php", "www/wp-content/themes/x/style.css"],
    data
));
