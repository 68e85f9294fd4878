//! URI templates: no template and no URI make matching panic, and the values that are found make a
//! URI that matches.
//!
//! An input is text: a template, a line feed, a URI.
#![no_main]

use corelane_protocol::uri_template::{URI_BYTES_MAX, UriTemplate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Some((template, uri)) = text.split_once('\n') else {
        return;
    };
    let Ok(parsed) = UriTemplate::parse(template) else {
        return;
    };
    let Some(values) = parsed.matches(uri) else {
        return;
    };
    let values: Vec<(&str, &str)> = values.iter().collect();
    let made = parsed.expand(&values);
    // Reserved values are written plainly, and may then look like a second parameter.
    let keeps_reserved = template.contains("{+") || template.contains("{#");
    if made.len() <= URI_BYTES_MAX && !keeps_reserved {
        assert!(
            parsed.matches(&made).is_some(),
            "{template:?} does not match {made:?}, made of {values:?}"
        );
    }
});
